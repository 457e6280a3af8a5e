//! MongoDB: a majority, and its journals.

use integration_tests::servers::{self, Kind, Private};
use session_core::Confirmation::{Durable, Replicated};
use session_mongo::MongoStore;
use session_mongo::mongodb::bson::doc;

use super::{SECOND, late, refused, signs_out};
use crate::mongo_backend::pair::{admin, until};

async fn store(url: &str) -> MongoStore {
    let store = MongoStore::builder().timeout(2 * SECOND).connect(url).await;
    store.expect("up")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_confirms() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let start = || {
        let set = ["--replSet", "rs0"];
        tokio::task::spawn_blocking(move || Private::start_bare(Kind::Mongo, &set))
    };
    let (primary, one, other) = tokio::join!(start(), start(), start());
    let members = [primary, one, other].map(|one| one.expect("started"));
    let host = |at: usize| format!("127.0.0.1:{}", members[at].port);
    let never = |at: usize| doc! { "_id": at as i32, "host": host(at), "priority": 0 };
    let first = doc! { "_id": 0, "host": host(0) };
    let set = doc! { "_id": "rs0", "members": [first, never(1), never(2)] };
    let of_primary = admin(&members[0]).await;
    let initiated = of_primary
        .run_command(doc! { "replSetInitiate": set })
        .await;
    initiated.expect("initiated");
    until(&of_primary, "isWritablePrimary").await;
    for secondary in &members[1..] {
        until(&admin(secondary).await, "secondary").await;
    }
    let hosts = [host(0), host(1), host(2)].join(",");
    let store = store(&format!("mongodb://{hosts}/app?replicaSet=rs0")).await;
    signs_out(store.clone(), Replicated).await;
    signs_out(store.clone(), Durable).await;
    members[1].stand_still().expect("stopped");
    signs_out(store.clone(), Replicated).await;
    members[2].stand_still().expect("stopped");
    // The primary has written it, and steps down in ten seconds.
    let scratch = doc! { "insert": "other", "documents": [{}], "writeConcern": { "w": 1 } };
    of_primary.run_command(scratch).await.expect("written");
    late(&store, Replicated).await;
    late(&store, Durable).await;
    for member in &members[1..] {
        member.go_on().expect("it goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_server_is_no_replica_and_has_a_journal() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let server = Private::start_bare(Kind::Mongo, &[]);
    let store = store(&server.url).await;
    let why = refused(&store, Replicated).await;
    assert!(why.contains("it is a single server"), "{why}");
    signs_out(store, Durable).await;
}
