//! Whose collection it is, and what a user may do with it.

use std::sync::Arc;

use integration_tests::servers::{self, Kind};
use session_core::{
    Draft, ErrorKind, Lifetime, Owner, SessionDirectory, SessionStore, SessionToken, Sessions,
};
use session_mongo::MongoStore;
use session_mongo::express::{Express, ExpressLayout, ExpressStore};
use session_mongo::mongodb::IndexModel;
use session_mongo::mongodb::bson::{DateTime, Document, doc};
use session_mongo::mongodb::options::{
    ClusteredIndex, Collation, IndexOptions, TimeseriesGranularity, TimeseriesOptions,
};

use super::guarded::guarded;
use super::{HOUR, database, drop_collection, must_create, name, store, url};
use crate::log::Log;

fn index(keys: Document, options: IndexOptions) -> IndexModel {
    IndexModel::builder().keys(keys).options(options).build()
}

fn unique() -> IndexOptions {
    IndexOptions::builder().unique(true).build()
}

fn named(name: &str) -> IndexOptions {
    IndexOptions::builder().name(name.to_owned()).build()
}

/// What another program has made of the collection.
#[derive(Clone, Copy, Debug)]
enum Foreign {
    View,
    Capped,
    TimeSeries,
    Collated,
    Unique,
    Ttl,
    OwnName,
    OwnNameUnique,
    OwnKeys,
    ConnectMongo,
    Documents,
    Stamped,
    Native,
}

async fn make(foreign: Foreign, name: &str) {
    let database = database().await;
    let documents = database.collection::<Document>(name);
    let create = database.create_collection(name);
    let ttl = IndexOptions::builder().expire_after(HOUR).build();
    match foreign {
        Foreign::View => create.view_on("another".to_owned()).await.expect("made"),
        Foreign::Capped => create.capped(true).size(1_000_000).await.expect("made"),
        Foreign::TimeSeries => {
            let options = TimeseriesOptions::builder().time_field("at".to_owned());
            let options = options
                .granularity(Some(TimeseriesGranularity::Hours))
                .build();
            create.timeseries(options).await.expect("made");
        }
        Foreign::Collated => {
            let collation = Collation::builder().locale("en").build();
            create.collation(collation).await.expect("made");
        }
        Foreign::Unique => {
            let made = documents.create_index(index(doc! { "token": 1 }, unique()));
            made.await.map(drop).expect("made");
        }
        Foreign::Ttl => {
            let made = documents.create_index(index(doc! { "born": 1 }, ttl)).await;
            made.map(drop).expect("made");
        }
        Foreign::OwnName => {
            let made = documents.create_index(index(doc! { "born": 1 }, named("due_ttl")));
            made.await.map(drop).expect("made");
        }
        Foreign::OwnNameUnique => {
            let mut options = named("owner_id");
            options.unique = Some(true);
            let made = documents.create_index(index(doc! { "owner": 1, "_id": 1 }, options));
            made.await.map(drop).expect("made");
        }
        Foreign::OwnKeys => {
            let made = documents.create_index(index(doc! { "due": 1 }, named("mine")));
            made.await.map(drop).expect("made");
        }
        Foreign::ConnectMongo => {
            let builder = ExpressStore::builder(Express::new("secret")).collection(name);
            let store = builder.build(database.clone()).await.expect("set up");
            let sessions = Sessions::new(Arc::new(store));
            let session = sessions.start();
            session.insert("n", 1).expect("JSON");
            session.save().await.expect("saved");
        }
        Foreign::Documents => {
            let many = (0..20).map(|n| doc! { "_id": format!("{n}"), "user": n });
            documents.insert_many(many).await.map(drop).expect("stored");
        }
        Foreign::Stamped => {
            let stamped = (0..20).map(|n| {
                doc! { "_id": format!("{n}"), "v": n, "stamp": DateTime::now(), "session": n }
            });
            let stored = documents.insert_many(stamped).await;
            stored.map(drop).expect("stored");
        }
        Foreign::Native => {
            let store = store(name).await;
            let draft = Draft::new("{}", Lifetime::idle(HOUR));
            must_create(&store, &SessionToken::generate().id(), &draft).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_of_another_program_is_refused_and_left_as_it_is() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    for (foreign, text, express_text) in [
        (Foreign::View, "it is a view", Some("it is a view")),
        (Foreign::Capped, "capped", Some("capped")),
        (
            Foreign::TimeSeries,
            "it is a timeseries",
            Some("it is a timeseries"),
        ),
        (
            Foreign::Collated,
            "collation \"en\"",
            Some("collation \"en\""),
        ),
        (
            Foreign::Unique,
            "unique index \"token_1\"",
            Some("unique index \"token_1\""),
        ),
        (
            Foreign::Ttl,
            "TTL index \"born_1\"",
            Some("TTL index \"born_1\""),
        ),
        (Foreign::OwnName, "index \"due_ttl\"", None),
        (
            Foreign::OwnNameUnique,
            "index \"owner_id\"",
            Some("unique index \"owner_id\""),
        ),
        (Foreign::OwnKeys, "names of due_ttl", None),
        (Foreign::ConnectMongo, "TTL index \"expires_1\"", None),
        (
            Foreign::Documents,
            "without the fields v, stamp",
            Some("without the fields session"),
        ),
        (
            Foreign::Stamped,
            "without the fields v, stamp",
            Some("without the fields session"),
        ),
        (Foreign::Native, "", Some("TTL index \"due_ttl\"")),
    ] {
        for migrate in [true, false] {
            let name = name();
            make(foreign, &name).await;
            let before = indexes(&name).await;
            // The name of an index that is not ours is found out when ours is to be made.
            let is_refused = !text.is_empty()
                && (migrate
                    || !matches!(
                        foreign,
                        Foreign::OwnName | Foreign::OwnNameUnique | Foreign::OwnKeys
                    ));
            let builder = MongoStore::builder().collection(&name).migrate(migrate);
            let native = builder.build(database().await).await.map(drop);
            let builder = ExpressStore::builder(Express::new("secret")).collection(&name);
            let builder = builder.migrate(migrate);
            let express = builder.build(database().await).await.map(drop);
            for (opened, expected) in [
                (native, is_refused.then_some(text)),
                (express, express_text),
            ] {
                let case = format!("{foreign:?}, migrate {migrate}");
                match (opened, expected) {
                    (Err(error), Some(text)) => {
                        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{case}: {error}");
                        let is_told = error.to_string().contains(text);
                        assert!(
                            is_told && error.to_string().contains(&name),
                            "{case}: {error}"
                        );
                    }
                    (Ok(()), None) => {}
                    (opened, expected) => panic!("{case}: {opened:?}, {expected:?}"),
                }
            }
            if is_refused && express_text.is_some() {
                assert_eq!(indexes(&name).await, before, "{foreign:?}");
            }
            drop_collection(&name).await;
        }
    }
}

async fn indexes(name: &str) -> Vec<String> {
    let documents = database().await.collection::<Document>(name);
    // A view has none, and says so by an error.
    documents.list_index_names().await.unwrap_or_default()
}

/// One that is clustered by its ids, or has an index more for an administrator's queries.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_was_prepared_for_sessions_is_taken() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let (database, name) = (database().await, name());
    let clustered = database.create_collection(&name);
    let clustered = clustered.clustered_index(ClusteredIndex::default());
    clustered.await.expect("made");
    let documents = database.collection::<Document>(&name);
    let other = documents.create_index(index(doc! { "born": 1 }, IndexOptions::default()));
    other.await.expect("made");
    let store = store(&name).await;
    let draft = Draft::new("{}", Lifetime::idle(HOUR));
    must_create(&store, &SessionToken::generate().id(), &draft).await;
    drop_collection(&name).await;
}

/// A damaged document must not keep the application from starting.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_with_sessions_and_other_documents_is_taken_and_cleared_of_the_sessions() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let (database, name) = (database().await, name());
    let first = store(&name).await;
    let documents = database.collection::<Document>(&name);
    let foreign = [
        doc! { "_id": "connect-mongo's", "session": "{}", "expires": DateTime::MAX },
        doc! { "_id": 7, "v": 3 },
        doc! { "_id": "stamped", "stamp": 1 },
        doc! { "_id": "both", "v": 3, "stamp": "2026" },
    ];
    documents.insert_many(foreign).await.expect("stored");
    let owner = Owner::new("ann").expect("valid");
    let draft = Draft::new("{}", Lifetime::idle(HOUR)).with_owner(owner);
    for _ in 0..3 {
        must_create(&first, &SessionToken::generate().id(), &draft).await;
    }
    let damage = doc! { "$set": { "data": 1, "stamp": "x", "deadline": "soon" } };
    let its = doc! { "owner": "ann" };
    documents.update_one(its, damage).await.expect("damaged");
    let again = store(&name).await;
    assert_eq!(again.clear().await.expect("up"), 3);
    assert_eq!(documents.count_documents(doc! {}).await.expect("up"), 4);
    let express = ExpressStore::builder(Express::new("secret")).collection(&name);
    documents.drop_indexes().await.expect("dropped");
    let express = express.build(database).await.expect("set up");
    let lifetime = express.lifetime();
    let sessions = Sessions::builder(Arc::new(express)).lifetime(lifetime);
    let sessions = sessions.build().expect("good rules");
    let directory = sessions.store().directory().expect("it lists");
    assert_eq!(directory.clear().await.expect("up"), 1);
    assert_eq!(documents.count_documents(doc! {}).await.expect("up"), 3);
    drop_collection(&name).await;
}

/// Where a document is among others says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn one_session_after_many_other_documents_makes_a_collection_ours() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let documents = database().await.collection::<Document>(&name);
    let many = || (0..100).map(|n| doc! { "_id": n, "user": n });
    let draft = Draft::new("{}", Lifetime::idle(HOUR));
    let native = store(&name).await;
    documents.insert_many(many()).await.expect("stored");
    must_create(&native, &SessionToken::generate().id(), &draft).await;
    store(&name).await;
    let plain = MongoStore::builder().collection(&name).migrate(false);
    plain.build(database().await).await.expect("ours");
    drop_collection(&name).await;

    let builder = ExpressStore::builder(Express::new("secret")).collection(&name);
    let express = builder
        .clone()
        .build(database().await)
        .await
        .expect("set up");
    documents.insert_many(many()).await.expect("stored");
    let id = SessionToken::generate_plain().id();
    assert!(express.create(&id, &draft).await.expect("up").is_done());
    builder.build(database().await).await.expect("ours");
    drop_collection(&name).await;
}

/// The only session there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_session_among_other_documents_keeps_nothing_from_starting() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let documents = database().await.collection::<Document>(&name);
    for damage in [
        doc! { "$set": { "v": "three" } },
        doc! { "$set": { "v": 99 } },
        doc! { "$set": { "stamp": "x" } },
        doc! { "$set": { "data": 1 } },
        doc! { "$unset": { "data": 1 } },
        doc! { "$unset": { "deadline": 1, "due": 1, "born": 1, "credential": 1 } },
    ] {
        let first = store(&name).await;
        documents
            .insert_one(doc! { "_id": 1, "user": 1 })
            .await
            .expect("stored");
        let draft = Draft::new("{}", Lifetime::idle(HOUR));
        must_create(&first, &SessionToken::generate().id(), &draft).await;
        let its = doc! { "stamp": { "$exists": true } };
        documents
            .update_one(its, damage.clone())
            .await
            .expect("damaged");
        let again = store(&name).await;
        assert_eq!(again.clear().await.expect("up"), 1, "{damage}");
        drop_collection(&name).await;
    }
    for damage in [
        doc! { "$set": { "session": 1 } },
        doc! { "$unset": { "expires": 1 } },
    ] {
        let builder = ExpressStore::builder(Express::new("secret")).collection(&name);
        let first = builder.clone().build(database().await).await;
        let draft = Draft::new("{}", Lifetime::idle(HOUR));
        let id = SessionToken::generate_plain().id();
        let created = first.expect("set up").create(&id, &draft).await;
        assert!(created.expect("up").is_done());
        documents
            .update_one(doc! {}, damage)
            .await
            .expect("damaged");
        builder.build(database().await).await.expect("ours");
        drop_collection(&name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_layouts_have_collections_of_their_own_by_default() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let server = url().split(['/', '?']).nth(2).expect("a host");
    let url = format!("mongodb://{server}/{}?directConnection=true", name());
    let native = MongoStore::connect(&url).await.expect("set up");
    let express = ExpressStore::builder(Express::new("secret"));
    let express = express.connect(&url).await.expect("set up");
    assert!(
        format!("{native:?}").contains("\"session_store\""),
        "{native:?}"
    );
    assert!(
        format!("{express:?}").contains("\"sessions\""),
        "{express:?}"
    );
    // In the other order too.
    MongoStore::connect(&url).await.expect("set up");
    let client = session_mongo::mongodb::Client::with_uri_str(&url).await;
    let database = client.expect("a good URL").default_database();
    database.expect("named").drop().await.expect("dropped");
}

#[tokio::test]
async fn a_grace_that_the_user_may_not_change_stays_and_the_log_says_so() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let (guarded, name) = (guarded().await, name());
    let store = |user: &'static str, grace| {
        let builder = MongoStore::builder().collection(&name).expiry_grace(grace);
        let source = if user == "root" {
            "authSource=admin"
        } else {
            ""
        };
        let url = guarded.url(user, source);
        async move { builder.connect(&url).await }
    };
    let log = Log::start();
    let logged = || log.take().join("\n");
    let warned = |text: &str| {
        text.lines()
            .any(|line| line.starts_with("WARN") && line.contains("expiry_grace"))
    };
    let first = store("writer", std::time::Duration::ZERO)
        .await
        .expect("set up");
    assert!(!first.capabilities().expiry_reports);
    assert!(!warned(&logged()));
    let kept = store("writer", HOUR).await.expect("it goes on");
    let said = logged();
    assert!(
        warned(&said) && said.contains("0ns") && said.contains("3600s"),
        "{said}"
    );
    assert!(said.contains(&name), "{said}");
    assert!(!kept.capabilities().expiry_reports, "the old one");
    let draft = Draft::new("{}", Lifetime::idle(HOUR));
    must_create(&kept, &SessionToken::generate().id(), &draft).await;
    let changed = store("root", HOUR).await.expect("changed");
    assert!(changed.capabilities().expiry_reports && !warned(&logged()));
    let same = store("writer", HOUR).await.expect("nothing to change");
    assert!(same.capabilities().expiry_reports && !warned(&logged()));
    let without = MongoStore::builder().collection(&name).migrate(false);
    let without = without
        .connect(&guarded.url("writer", ""))
        .await
        .expect("set up");
    assert!(without.capabilities().expiry_reports, "what the index has");
}

/// The rights that `docs/operations.md` names suffice, and each that is missing is named.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_suffice_and_a_missing_one_is_named() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let (guarded, name) = (guarded().await, name());
    let app = guarded.admin().await.client().database("app");
    let work = ["find", "insert", "update", "remove"];
    let set_up = ["createIndex", "listIndexes"];
    let all = [&work[..], &set_up].concat();
    for (n, missing) in [None]
        .into_iter()
        .chain(work.map(Some))
        .chain([Some("createIndex")])
        .enumerate()
    {
        let user = format!("u{n}{name}");
        let actions: Vec<_> = all
            .iter()
            .filter(|&&action| Some(action) != missing)
            .collect();
        let actions = actions
            .iter()
            .map(|action| action.to_string())
            .collect::<Vec<_>>();
        let role = doc! { "createRole": &user, "roles": [], "privileges": [
            { "resource": { "db": "app", "collection": &name }, "actions": actions },
            { "resource": { "db": "app", "collection": "" }, "actions": ["listCollections"] },
        ] };
        app.run_command(role).await.expect("created");
        let pwd = super::guarded::PASSWORD;
        let create = doc! { "createUser": &user, "pwd": pwd, "roles": [&user] };
        app.run_command(create).await.expect("created");
        let builder = MongoStore::builder().collection(&name);
        let opened = builder.clone().connect(&guarded.url(&user, "")).await;
        match missing {
            None => {
                let store = opened.expect("it suffices");
                let id = SessionToken::generate().id();
                let draft = Draft::new("{}", Lifetime::idle(HOUR));
                must_create(&store, &id, &draft).await;
                assert!(store.touch(&id, HOUR.into()).await.expect("may").is_some());
                store.list(None, 10).await.expect("may");
                store.reap(10).await.expect("may");
                store.clear().await.expect("may");
            }
            Some(right) => {
                let error = opened.expect_err(right);
                assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
                assert!(
                    error
                        .to_string()
                        .contains(&format!("rights {right} on app.{name}")),
                    "{error}"
                );
            }
        }
        // To work, the others suffice.
        let opened = builder
            .migrate(false)
            .connect(&guarded.url(&user, ""))
            .await;
        assert_eq!(
            opened.is_ok(),
            missing.is_none_or(|right| right == "createIndex")
        );
    }
}
