//! What only MongoDB has: a TTL thread that comes late, indexes, collations, a driver that repeats
//! some commands by itself.

mod damage;
mod failures;
mod guarded;
mod lagging;
mod layout;
mod lost;
mod ours;
mod owners;
pub(crate) mod pair;
mod proxy;
mod relay;
mod silent;
mod values;
mod wrong_server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind};
use session_core::{
    Anchor, Credential, Description, Draft, ErrorKind, Lifetime, Owner, Saved, SessionDirectory,
    SessionId, SessionStore, SessionToken, Stamp, Ttl,
};
use session_mongo::MongoStore;
use session_mongo::mongodb::bson::spec::BinarySubtype;
use session_mongo::mongodb::bson::{Binary, Document, doc};
use session_mongo::mongodb::event::EventHandler;
use session_mongo::mongodb::event::command::CommandEvent;
use session_mongo::mongodb::options::ClientOptions;
use session_mongo::mongodb::{Client, Database};

const HOUR: Duration = Duration::from_secs(3_600);

fn url() -> &'static str {
    &servers::mongo()
        .expect("a test that is skipped has returned")
        .url
}

async fn database() -> Database {
    let client = Client::with_uri_str(url()).await.expect("a good URL");
    client.database("backend")
}

fn name() -> String {
    format!("c{:x}", u128::from_be_bytes(*Stamp::generate().as_bytes()))
}

async fn store(collection: &str) -> MongoStore {
    let builder = MongoStore::builder()
        .collection(collection)
        .timeout(servers::PATIENCE);
    builder.build(database().await).await.expect("set up")
}

/// Creates a session that is not there yet.
async fn must_create(store: &MongoStore, id: &SessionId, draft: &Draft) {
    let created = store.create(id, draft).await.expect("up");
    assert_eq!(created, Saved::done(draft));
}

async fn drop_collection(name: &str) {
    let documents = database().await.collection::<Document>(name);
    documents.drop().await.expect("up");
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
    must_create(&store, &id, &brief).await;
    tokio::time::sleep(Duration::from_millis(110)).await;
    let documents = database.collection::<Document>(&name);
    assert_eq!(
        documents.count_documents(doc! {}).await.expect("up"),
        1,
        "it is still stored"
    );
    assert_eq!(store.load(&id).await.expect("up"), None);
    assert_eq!(store.count().await.ok(), Some(0));
    let owned = store.owned_by(&owner, None, 10).await.expect("up");
    assert_eq!(owned.sessions, []);
    assert_eq!(store.destroy(&id, None).await.expect("up"), None);
    assert!(store.list(None, 10).await.expect("up").sessions.is_empty());
    documents.drop().await.expect("up");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_saves_that_go_together_each_keeps_the_rules() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let (database, name) = (database().await, name());
    let builder = MongoStore::builder().collection(&name);
    let store = builder.build(database.clone()).await.expect("set up");
    let wait = Duration::from_millis(300);
    let hours = |n| Lifetime::new(n * HOUR, 12 * n * HOUR);
    let mut sessions = Vec::new();
    for n in 0..200 {
        let lifetime = match n % 4 {
            3 => Lifetime::idle(wait / 2),
            _ => hours(1),
        };
        let draft = Draft::new("old", lifetime).with_owner(Owner::new("$old").ok());
        sessions.push((SessionToken::generate().id(), draft));
    }
    let create = sessions.iter().map(|(id, draft)| store.create(id, draft));
    let created = futures_util::future::try_join_all(create).await;
    assert!(created.expect("up").iter().all(Saved::is_done));
    tokio::time::sleep(wait).await;
    let drafts: Vec<Draft> = (0..200_u32)
        .map(|n| {
            let anchor = match n % 4 {
                1 => Anchor::Restart,
                _ => Anchor::Keep,
            };
            let owner = (n % 3 > 0).then(|| Owner::new("$new").expect("valid"));
            let credential = Credential::from_stored(&[n as u8; 57][..n as usize % 58]);
            let draft = Draft::new(format!("{n}"), hours(2 + n % 2)).with_owner(owner);
            let draft = draft.with_credential(credential.expect("it fits"));
            let description = Description::from_stored(&[n as u8; 60][..n as usize % 5]);
            let draft = draft.with_description(description.expect("it fits"));
            draft.with_anchor(anchor)
        })
        .collect();
    let began = Instant::now();
    let save = (0..sessions.len()).map(|n| {
        let expected = match n % 4 {
            // One that is in the same batch, as that of another session.
            2 => sessions[n - 2].1.stamp,
            _ => sessions[n].1.stamp,
        };
        let (store, id, draft) = (&store, &sessions[n].0, &drafts[n]);
        async move { store.save(id, draft, &expected.into()).await }
    });
    let saved = futures_util::future::try_join_all(save).await.expect("up");
    for (n, saved) in saved.into_iter().enumerate() {
        let before = began.elapsed();
        let found = store.load(&sessions[n].0).await.expect("up");
        match n % 4 {
            2 => {
                assert_eq!(saved, Saved::Conflict, "save {n}");
                let found = found.expect("as it was");
                assert_eq!(found.version, sessions[n].1.stamp.into(), "save {n}");
            }
            3 => assert_eq!((saved, found), (Saved::Gone, None), "save {n}"),
            _ => {
                assert_eq!(saved, Saved::done(&drafts[n]), "save {n}");
                let (found, draft) = (found.expect("saved"), &drafts[n]);
                assert_eq!(found.data, draft.data, "save {n}");
                assert_eq!(found.version, draft.stamp.into(), "save {n}");
                assert_eq!(found.credential, draft.credential, "save {n}");
                assert_eq!(found.description, draft.description, "save {n}");
                assert_eq!(found.owner, draft.owner, "save {n}");
                assert_eq!(found.lifetime, draft.lifetime, "save {n}");
                assert!(
                    found.ttl > Ttl::Left(HOUR * 3 / 2),
                    "save {n}: {}",
                    found.ttl
                );
                let (age, after) = (found.age, began.elapsed());
                match draft.anchor {
                    Anchor::Restart => assert!(age <= after, "save {n}: {age:?}, {after:?}"),
                    _ => assert!(age > before + wait / 2, "save {n}: {age:?}, {before:?}"),
                }
            }
        }
    }
    let documents = database.collection::<Document>(&name);
    let left_over = documents.count_documents(doc! { "draft": { "$exists": true } });
    assert_eq!(left_over.await.expect("up"), 0, "a draft is stored once");
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
        assert_eq!((indexes.len(), after), (3, Some(60 + grace as i64)));
    }
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
        must_create(&store, &SessionToken::generate().id(), &draft).await;
    }
    let live = doc! { "$gt": ["$deadline", "$$NOW"] };
    let due = doc! { "$expr": { "$and": [
        { "$lte": ["$due", "$$NOW"] },
        { "$lte": ["$deadline", "$$NOW"] },
    ] } };
    let after = doc! { "$gt": "x" };
    for (find, index) in [
        (doc! { "filter": { "_id": "x" } }, "IDHACK"),
        (doc! { "filter": { "_id": { "$in": ["x", "y"] } } }, "_id_"),
        (
            doc! { "filter": { "_id": "x", "$expr": live.clone() } },
            "_id_",
        ),
        (
            doc! { "filter": { "_id": "x", "stamp": "s", "$expr": live.clone() } },
            "_id_",
        ),
        (
            doc! { "filter": { "_id": after.clone(), "$expr": live.clone() }, "sort": { "_id": 1 } },
            "_id_",
        ),
        (
            doc! {
                "filter": { "owner": "u", "_id": after, "$expr": live },
                "sort": { "_id": 1 },
                "hint": "owner_id",
            },
            "owner_id",
        ),
        (doc! { "filter": due }, "due_ttl"),
    ] {
        let mut explained = doc! { "find": &name };
        explained.extend(find);
        let explain = database.run_command(doc! { "explain": explained }).await;
        let explained = explain.expect("explained");
        let plan = explained.get_document("queryPlanner").expect("a plan");
        let rejected = plan.get_array("rejectedPlans").expect("none");
        assert!(rejected.is_empty(), "{index}: nothing is weighed: {plan}");
        let plan = plan.to_string();
        for slow in ["COLLSCAN", "\"SORT\""] {
            assert!(
                plan.contains(index) && !plan.contains(slow),
                "{index}: {plan}"
            );
        }
    }
    drop_collection(&name).await;
}

/// The database by a client whose `command`s are counted.
async fn counted(command: &'static str) -> (Database, Arc<AtomicUsize>) {
    let mut options = ClientOptions::parse(url()).await.expect("a URL");
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if matches!(&event, CommandEvent::Started(begun) if begun.command_name == command) {
            seen.fetch_add(1, SeqCst);
        }
    }));
    let client = Client::with_options(options).expect("a client");
    (client.database("backend"), count)
}

/// However many there are, no command takes long.
#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_are_cleared_part_by_part() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let ((database, deletes), name) = (counted("delete").await, name());
    let documents = database.collection::<Document>(&name);
    let store = MongoStore::builder().collection(&name).build(database);
    let store = store.await.expect("set up");
    let stamp = || Binary {
        subtype: BinarySubtype::Generic,
        bytes: vec![0; 16],
    };
    let many = (0..20_500).map(|n| doc! { "_id": n.to_string(), "v": 3, "stamp": stamp() });
    documents.insert_many(many).await.expect("inserted");
    assert_eq!(store.clear().await.ok(), Some(20_500));
    assert_eq!(deletes.load(SeqCst), 3, "of at most 10,000 each");
    assert_eq!(documents.count_documents(doc! {}).await.expect("up"), 0);
    documents.drop().await.expect("up");
}

/// A server's first reply has 101 documents, if it is not asked for more.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_sessions_are_found_in_one_round_trip() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let ((database, more), name) = (counted("getMore").await, name());
    let builder = MongoStore::builder().collection(&name).expiry_grace(HOUR);
    let store = builder.build(database).await.expect("set up");
    let owner = Owner::new("u").expect("valid");
    let brief = Lifetime::idle(Duration::from_millis(1));
    for lifetime in [Lifetime::idle(HOUR), brief] {
        let sessions: Vec<_> = (0..250)
            .map(|_| {
                let draft = Draft::new("{}", lifetime).with_owner(owner.clone());
                (SessionToken::generate().id(), draft)
            })
            .collect();
        let creates = sessions.iter().map(|(id, draft)| store.create(id, draft));
        let created = futures_util::future::try_join_all(creates).await;
        assert!(created.expect("up").iter().all(Saved::is_done));
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    for page in [
        store.list(None, 250).await.expect("up"),
        store.owned_by(&owner, None, 250).await.expect("up"),
    ] {
        assert_eq!(page.sessions.len(), 250);
    }
    assert_eq!(store.reap(250).await.expect("up").len(), 250);
    let ended = store.destroy_owned_by(&owner, None, 250).await;
    assert_eq!(ended.expect("up").len(), 250);
    assert_eq!(more.load(SeqCst), 0);
    drop_collection(&name).await;
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
