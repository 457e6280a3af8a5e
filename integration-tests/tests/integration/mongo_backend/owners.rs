//! An owner's sessions.

use std::collections::BTreeSet;

use integration_tests::servers::{self, Kind};
use session_core::{
    Credential, Draft, ErrorKind, Lifetime, Owner, Saved, SessionDirectory, SessionId,
    SessionStore, SessionToken,
};
use session_mongo::MongoStore;
use session_mongo::mongodb::bson::{Document, doc};

use super::proxy::Proxy;
use super::{HOUR, database, drop_collection, must_create, name, store};

fn owner(name: &str) -> Owner {
    Owner::new(name).expect("valid")
}

fn draft(owner: &Owner) -> Draft {
    Draft::new("{}", Lifetime::idle(HOUR)).with_owner(owner.clone())
}

async fn create(store: &MongoStore, owner: &Owner) -> (SessionId, Draft) {
    let (id, draft) = (SessionToken::generate().id(), draft(owner));
    must_create(store, &id, &draft).await;
    (id, draft)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_on_after_any_id() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let store = store(&name).await;
    let ann = owner("ann");
    let longest = "\u{10ffff}".repeat(63) + "xyz";
    let texts = [
        "after:",
        "after:a",
        "$a",
        "$$NOW",
        "{}",
        "0",
        " ",
        "a\0b",
        "a",
        "A",
        "ä",
        "\u{1}",
        "507f1f77bcf86cd799439011",
        &longest,
    ];
    for text in texts {
        let id = SessionId::from_stored(text).expect("1 to 255 bytes");
        must_create(&store, &id, &draft(&ann)).await;
    }
    // Neither text nor ours.
    let other = doc! { "_id": 5, "owner": "ann" };
    let documents = database().await.collection::<Document>(&name);
    documents.insert_one(other).await.expect("inserted");
    for limit in [1, 3, 100] {
        for owned in [false, true] {
            let (mut found, mut cursor) = (Vec::new(), None);
            loop {
                let page = match owned {
                    true => store.owned_by(&ann, cursor.as_ref(), limit).await,
                    false => store.list(cursor.as_ref(), limit).await,
                };
                let page = page.expect("up");
                assert!(page.sessions.len() <= limit);
                found.extend(page.sessions.into_iter().map(|session| session.id));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            let mut expected = texts.map(|text| SessionId::from_stored(text).expect("valid"));
            expected.sort();
            assert_eq!(found, expected, "by {limit}");
        }
    }
    let foreign = session_core::Cursor::new("17");
    for page in [
        store.list(Some(&foreign), 1).await,
        store.owned_by(&ann, Some(&foreign), 1).await,
    ] {
        let error = page.expect_err("not ours");
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
    }
    drop_collection(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_end_an_owners_sessions_at_once_end_each_once() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let store = store(&name).await;
    let (ann, bob) = (owner("ann"), owner("bob"));
    let (kept, _) = create(&store, &ann).await;
    let (of_bob, _) = create(&store, &bob).await;
    let mut expected = BTreeSet::new();
    for _ in 0..150 {
        expected.insert(create(&store, &ann).await.0);
    }
    let end_all = || async {
        let mut all = Vec::new();
        loop {
            let ended = store.destroy_owned_by(&ann, Some(&kept), 40).await;
            let ended = ended.expect("up");
            if ended.is_empty() {
                return all;
            }
            assert!(ended.len() <= 40);
            all.extend(ended);
        }
    };
    let (one, other) = tokio::join!(end_all(), end_all());
    let told: Vec<_> = one.into_iter().chain(other).collect();
    assert!(told.iter().all(|end| end.owner.as_ref() == Some(&ann)));
    assert!(told.iter().all(|end| end.age.is_some()));
    assert_eq!(told.len(), expected.len(), "none is told twice");
    let told: BTreeSet<_> = told.into_iter().map(|end| end.id).collect();
    assert_eq!(told, expected);
    for id in [kept, of_bob] {
        assert!(store.load(&id).await.expect("up").is_some());
    }
    drop_collection(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_changes_its_owner_meanwhile_is_left_and_the_rest_is_looked_for() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let (proxy, name) = (Proxy::start().await, name());
    let (far, near) = (proxy.store(&name, true).await, store(&name).await);
    let (ann, bob) = (owner("ann"), owner("bob"));
    let (changed, first) = create(&near, &ann).await;
    let mut held = proxy.hold("delete", &changed);
    let mut second = None;
    let (ended, ()) = tokio::join!(far.destroy_owned_by(&ann, None, 1), async {
        held.reached().await;
        let saved = near.save(&changed, &draft(&bob), &first.stamp.into()).await;
        assert!(saved.expect("up").is_done());
        second = Some(create(&near, &ann).await.0);
        drop(held);
    });
    let ended: Vec<_> = ended.expect("up").into_iter().map(|end| end.id).collect();
    assert_eq!(Some(&ended[0]), second.as_ref());
    assert_eq!(ended.len(), 1);
    assert!(near.load(&changed).await.expect("up").is_some());
    let rest = far.destroy_owned_by(&ann, None, 1).await;
    assert_eq!(rest.expect("up"), []);
    drop_collection(&name).await;
}

/// A session that a saver keeps changing is ended all the same, and none is brought back.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_saved_all_the_time_is_ended_with_its_owners_others() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let store = store(&name).await;
    let ann = owner("ann");
    let (id, first) = create(&store, &ann).await;
    let saves = async {
        let mut version = first.stamp.into();
        loop {
            let credential = Credential::from_stored(b"c").expect("fits");
            let next = draft(&ann).with_credential(credential);
            match store.save(&id, &next, &version).await.expect("up") {
                Saved::Done(now) => version = now,
                Saved::Gone | Saved::Unknown => return,
                other => panic!("nobody else saves: {other:?}"),
            }
        }
    };
    let ((), ended) = tokio::join!(saves, async {
        tokio::time::sleep(HOUR / 72_000).await;
        store.destroy_owned_by(&ann, None, 10).await
    });
    assert_eq!(ended.expect("up").len(), 1);
    assert_eq!(store.load(&id).await.expect("up"), None);
    drop_collection(&name).await;
}
