//! What only MongoDB has: a TTL thread that comes late, indexes, collations.

use std::time::Duration;

use integration_tests::servers::{self, Kind};
use session_core::{
    Draft, ErrorKind, Lifetime, Owner, SessionDirectory, SessionStore, SessionToken, Stamp,
};
use session_mongo::MongoStore;
use session_mongo::mongodb::bson::{Document, doc};
use session_mongo::mongodb::options::Collation;
use session_mongo::mongodb::{Client, Database};

async fn database() -> Database {
    let server = servers::mongo().expect("a test that is skipped has returned");
    Client::with_uri_str(&server.url)
        .await
        .expect("a good URL")
        .database("backend")
}

fn name() -> String {
    format!("c{:x}", u128::from_be_bytes(*Stamp::generate().as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_ttl_thread_has_not_removed_is_invisible() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let database = database().await;
    let name = name();
    let store = MongoStore::builder()
        .collection(&name)
        .build(database.clone())
        .await
        .expect("set up");
    assert!(
        !store.capabilities().expiry_reports,
        "nothing keeps the TTL index waiting"
    );
    let id = SessionToken::generate().id();
    let owner = Owner::new("u").expect("valid");
    let brief =
        Draft::new("{}", Lifetime::idle(Duration::from_millis(100))).with_owner(owner.clone());
    store.create(&id, &brief).await.expect("created");
    tokio::time::sleep(Duration::from_millis(110)).await;
    let documents = database.collection::<Document>(&name);
    assert_eq!(
        documents.count_documents(doc! {}).await.expect("up"),
        1,
        "it is still stored"
    );
    assert_eq!(store.load(&id).await.expect("up"), None);
    assert_eq!(store.count().await.ok(), Some(0));
    assert_eq!(store.owned_by(&owner).await.expect("up"), []);
    assert!(store.list(None, 10).await.expect("up").sessions.is_empty());
    documents.drop().await.expect("up");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_may_migrate_at_once_and_the_grace_may_change() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let database = database().await;
    let name = name();
    for grace in [0, 3_600, 60] {
        let mut tasks = Vec::new();
        for _ in 0..10 {
            let builder = MongoStore::builder()
                .collection(&name)
                .expiry_grace(Duration::from_secs(grace));
            tasks.push(tokio::spawn(builder.build(database.clone())));
        }
        for task in tasks {
            task.await.expect("no panic").expect("migrated");
        }
        let list = doc! { "listIndexes": &name };
        let listed = database.run_command(list).await.expect("up");
        let indexes = listed.get_document("cursor").expect("there");
        let indexes = indexes.get_array("firstBatch").expect("there");
        let after = indexes.iter().find_map(|index| {
            let after = index.as_document()?.get("expireAfterSeconds")?;
            after.as_i64().or(after.as_i32().map(i64::from))
        });
        // The indexed date is up to a minute before the deadline.
        assert_eq!((indexes.len(), after), (4, Some(60 + grace as i64)));
    }
    database
        .collection::<Document>(&name)
        .drop()
        .await
        .expect("up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_folds_letters_is_refused() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let database = database().await;
    let name = name();
    let collation = Collation::builder().locale("en").build();
    database
        .create_collection(&name)
        .collation(collation)
        .await
        .expect("created");
    let error = MongoStore::builder()
        .collection(&name)
        .build(database.clone())
        .await;
    let error = error.expect_err("A would be a");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("collation"), "{error}");
    database
        .collection::<Document>(&name)
        .drop()
        .await
        .expect("up");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_by_an_index() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let database = database().await;
    let name = name();
    let store = MongoStore::builder()
        .collection(&name)
        .build(database.clone())
        .await;
    let store = store.expect("set up");
    let owner = Owner::new("u").expect("valid");
    for _ in 0..50 {
        let draft = Draft::new("{}", Lifetime::default()).with_owner(owner.clone());
        store
            .create(&SessionToken::generate().id(), &draft)
            .await
            .expect("created");
    }
    let live = doc! { "$gt": ["$deadline", "$$NOW"] };
    let due = doc! { "$expr": { "$and": [
        { "$lte": ["$due", "$$NOW"] },
        { "$lte": ["$deadline", "$$NOW"] },
    ] } };
    for (filter, index) in [
        (doc! { "sid": "x", "$expr": live.clone() }, "sid_unique"),
        (doc! { "owner": "u", "$expr": live }, "owner_sparse"),
        (due, "due_ttl"),
    ] {
        let explain = doc! { "explain": { "find": &name, "filter": filter } };
        let plan = database
            .run_command(explain)
            .await
            .expect("explained")
            .to_string();
        assert!(
            plan.contains(index) && !plan.contains("COLLSCAN"),
            "{index}: {plan}"
        );
    }
    database
        .collection::<Document>(&name)
        .drop()
        .await
        .expect("up");
}

#[tokio::test]
async fn names_that_mongodb_can_not_have_are_refused_before_any_io() {
    let database = Client::with_uri_str("mongodb://127.0.0.1:1/")
        .await
        .expect("a good URL");
    let database = database.database("backend");
    for name in [
        "",
        "a$b",
        "a\0b",
        "system.users",
        ".a",
        "a.",
        &"x".repeat(250),
    ] {
        let built = MongoStore::builder()
            .collection(name)
            .build(database.clone())
            .await;
        assert_eq!(
            built.expect_err(name).kind(),
            ErrorKind::Misconfigured,
            "{name:?}"
        );
    }
    let built = MongoStore::builder()
        .max_data(16 << 20)
        .build(database)
        .await;
    assert_eq!(
        built.expect_err("over a document").kind(),
        ErrorKind::Misconfigured
    );
}
