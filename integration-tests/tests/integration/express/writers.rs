//! Among writers of this library nothing is lost and nothing comes back, on Express' records too.

use session_core::{
    Draft, ErrorKind, Lifetime, Saved, SessionDirectory, SessionStore, SessionToken, Sessions,
    TokenChange,
};
use session_redis::express::ExpressStore;
use session_redis::redis::{Client, aio::ConnectionManager};
use session_web::express::Express;

use super::setup::{Opened, SECRET, Store, namespace, open, prepare};

pub(crate) async fn writers_here_lose_nothing_and_bring_nothing_back(store: Store) {
    let namespace = namespace();
    prepare(store, &namespace).await;
    let express = || Express::new(SECRET);
    // Two app servers, each with connections of its own.
    let one = open(store, &namespace, express()).await.sessions();
    let two = open(store, &namespace, express()).await.sessions();
    lose_nothing_and_bring_nothing_back(one, two).await;
}

/// A driver's own manager may come back to another server, so the store writes by scripts over it.
#[tokio::test]
async fn writers_with_and_without_scripts_share_records() {
    if Store::Unscripted.is_skipped() {
        return;
    }
    let namespace = namespace();
    prepare(Store::Unscripted, &namespace).await;
    let express = || Express::new(SECRET);
    let without = open(Store::Unscripted, &namespace, express()).await;
    let url = &integration_tests::servers::valkey()
        .expect("not skipped")
        .url;
    let manager = Client::open(url.as_str()).expect("a good URL");
    let manager = ConnectionManager::new(manager).await.expect("up");
    let with = ExpressStore::builder(express()).prefix(namespace);
    let with = Box::new(with.build(manager).await.expect("up"));
    lose_nothing_and_bring_nothing_back(without.sessions(), with.sessions()).await;
}

#[tokio::test]
async fn a_version_that_was_written_over_gets_no_new_token_on_redis() {
    for store in [Store::Redis, Store::Unscripted] {
        if store.is_skipped() {
            continue;
        }
        let namespace = namespace();
        prepare(store, &namespace).await;
        let builder = ExpressStore::builder(Express::new(SECRET)).prefix(namespace);
        let on = builder.connect(store.url()).await.expect("up");
        let draft = |n: u32| Draft::new(format!("{{\"n\":{n}}}"), Lifetime::default());
        let id = SessionToken::generate_plain().id();
        let Saved::Done(first) = on.create(&id, &draft(1)).await.expect("up") else {
            panic!("the id is new");
        };
        let saved = on.save(&id, &draft(2), &first).await;
        assert!(saved.expect("up").is_done());
        let mut moved = draft(3);
        moved.token = TokenChange::New;
        let saved = on.save(&id, &moved, &first).await;
        assert_eq!(saved.expect("up"), Saved::Conflict, "{store:?}");
        assert_eq!(on.destroy(&id, Some(&first)).await.expect("up"), None);
        assert!(on.load(&id).await.expect("up").is_some(), "{store:?}");
        assert_eq!(on.count().await.ok(), Some(1), "{store:?}");
    }
}

/// `one` and `two` are over the same records.
async fn lose_nothing_and_bring_nothing_back(one: Sessions, two: Sessions) {
    let session = one.start();
    session.insert("n", 0).expect("JSON");
    session.save().await.expect("saved");
    let token = session.token();
    let writers = (0..16).map(|writer| {
        let sessions = if writer % 2 == 0 {
            one.clone()
        } else {
            two.clone()
        };
        let token = token.clone();
        tokio::spawn(async move {
            let session = sessions.open(token.as_ref()).await.expect("read");
            session
                .insert(&format!("key{writer}"), writer)
                .expect("JSON");
            let count = session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1);
            count.await.expect("updated");
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
    let session = two.open(token.as_ref()).await.expect("read");
    assert_eq!(session.get::<u32>("n").expect("a number"), Some(16));
    assert_eq!(session.keys().len(), 17);

    // Logouts race saves, touches and new ids; whatever the order, the session is gone after.
    for round in 0..20 {
        let session = one.start();
        session.insert("round", round).expect("JSON");
        session.save().await.expect("saved");
        let token = session.token();
        let slow = two.open(token.as_ref()).await.expect("read");
        slow.insert("late", true).expect("JSON");
        let write = async {
            match round % 3 {
                0 => slow.save().await,
                1 => slow.touch().await,
                _ => slow.cycle_id().await,
            }
        };
        let (destroyed, written) = tokio::join!(session.destroy(), write);
        destroyed.expect("answered");
        assert!(
            written
                .as_ref()
                .err()
                .is_none_or(|error| error.kind() == ErrorKind::Gone),
            "{written:?}"
        );
        if round % 3 != 2 {
            let after = one.open(token.as_ref()).await.expect("read");
            assert!(after.is_new(), "round {round}");
        }
    }

    let listed = one.count().await.expect("counted");
    assert!(listed >= 1);
    let owner = session_core::Owner::new("u").expect("good");
    let session = one.start();
    let hour = std::time::Duration::from_secs(3_600);
    session
        .set_lifetime(Lifetime::new(hour, 2 * hour))
        .expect("good");
    session.sign_in(&owner).await.expect("saved");
    let found = two.open(session.token().as_ref()).await.expect("read");
    assert_eq!(
        (found.owner(), found.lifetime()),
        (Some(owner), Lifetime::new(hour, 2 * hour))
    );
    let directory = one.store().directory().expect("it lists");
    let page = directory.list(None, 1_000).await.expect("listed");
    assert!(page.sessions.len() as u64 >= listed);
    directory.clear().await.expect("cleared");
    assert_eq!(one.count().await.expect("counted"), 0);
}
