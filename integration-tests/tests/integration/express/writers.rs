//! Among writers of this library nothing is lost and nothing comes back, on Express' records too.

use session_core::{ErrorKind, Lifetime};
use session_web::express::Express;

use super::setup::{SECRET, Store, namespace, open};

pub(crate) async fn writers_here_lose_nothing_and_bring_nothing_back(store: Store) {
    let namespace = namespace();
    let express = || Express::new(SECRET);
    // Two app servers, each with connections of its own.
    let one = open(store, &namespace, express()).await.sessions();
    let two = open(store, &namespace, express()).await.sessions();
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
