//! Every field of a document with every type of value: it costs its own reader, and nobody else.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use integration_tests::servers::{self, Kind};
use session_core::{
    Draft, ErrorKind, Lifetime, Owner, SessionDirectory, SessionId, SessionStore, SessionToken,
    Sessions, Timeout,
};
use session_mongo::MongoStore;
use session_mongo::express::{Express, ExpressLayout, ExpressStore};
use session_mongo::mongodb::Collection;
use session_mongo::mongodb::bson::oid::ObjectId;
use session_mongo::mongodb::bson::spec::BinarySubtype;
use session_mongo::mongodb::bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, Regex, Timestamp, doc,
};

use super::{HOUR, database, drop_collection, must_create, name};

/// A value of every type, and of those that have ends, the ends; `None` is no value.
fn values() -> Vec<Option<Bson>> {
    let regex = Regex {
        pattern: "a".try_into().expect("no NUL"),
        options: "".try_into().expect("no NUL"),
    };
    let binary = |subtype, bytes: &[u8]| {
        Bson::Binary(Binary {
            subtype,
            bytes: bytes.to_vec(),
        })
    };
    let decimal = "1e6000".parse::<Decimal128>().expect("a number");
    let scoped = JavaScriptCodeWithScope {
        code: "x".to_owned(),
        scope: doc! { "x": 1 },
    };
    let values = [
        Bson::Double(1.5),
        Bson::Double(f64::NAN),
        Bson::Double(f64::INFINITY),
        Bson::String("ann".to_owned()),
        Bson::String(String::new()),
        Bson::Document(doc! { "a": 1 }),
        Bson::Document(doc! {}),
        Bson::Array(vec![
            Bson::DateTime(DateTime::now()),
            "ann".into(),
            1.into(),
        ]),
        Bson::Array(vec![]),
        binary(BinarySubtype::Generic, b""),
        binary(BinarySubtype::Generic, b"0123456789abcdef"),
        binary(BinarySubtype::Uuid, b"0123456789abcdef"),
        Bson::ObjectId(ObjectId::new()),
        Bson::Boolean(true),
        Bson::DateTime(DateTime::MIN),
        Bson::DateTime(DateTime::MAX),
        Bson::DateTime(DateTime::from_millis(0)),
        Bson::Null,
        Bson::RegularExpression(regex),
        Bson::JavaScriptCode("x".to_owned()),
        Bson::JavaScriptCodeWithScope(scoped),
        Bson::Symbol("ann".to_owned()),
        Bson::Undefined,
        Bson::Int32(1),
        Bson::Int32(i32::MIN),
        Bson::Int64(i64::MIN),
        Bson::Int64(i64::MAX),
        Bson::Timestamp(Timestamp {
            time: 1,
            increment: 1,
        }),
        Bson::Timestamp(Timestamp {
            time: u32::MAX,
            increment: 1,
        }),
        Bson::Decimal128(decimal),
        Bson::MinKey,
        Bson::MaxKey,
    ];
    let values = values.into_iter().map(Some);
    values.chain([None]).collect()
}

/// `base` as another document, with this value in this field.
fn damaged(base: &Document, field: &str, value: &Option<Bson>) -> Document {
    let mut document = base.clone();
    document.insert("_id", SessionToken::generate().id().as_str());
    match value {
        Some(value) => document.insert(field, value.clone()),
        None => document.remove(field),
    };
    document
}

struct Native {
    store: MongoStore,
    documents: Collection<Document>,
    ann: Owner,
    healthy: SessionId,
    draft: Draft,
}

impl Native {
    async fn start(name: &str) -> Self {
        let database = database().await;
        let builder = MongoStore::builder().collection(name).expiry_grace(HOUR);
        let store = builder.build(database.clone()).await.expect("set up");
        let ann = Owner::new("ann").expect("valid");
        let healthy = SessionToken::generate().id();
        let draft = Draft::new("{}", Lifetime::idle(HOUR)).with_owner(ann.clone());
        must_create(&store, &healthy, &draft).await;
        let documents = database.collection(name);
        Self {
            store,
            documents,
            ann,
            healthy,
            draft,
        }
    }

    async fn base(&self) -> Document {
        let its = doc! { "_id": self.healthy.as_str() };
        self.documents
            .find_one(its)
            .await
            .expect("up")
            .expect("there")
    }

    /// Everything that others do goes on beside these documents.
    async fn try_beside(&self, case: &str, damaged: Vec<Document>) {
        let (store, ann) = (&self.store, &self.ann);
        self.documents.insert_many(&damaged).await.expect("stored");
        for document in &damaged {
            if let Ok(id) = document.get_str("_id") {
                let case = format!("{case} {document}");
                self.try_together(&case, &SessionId::from_stored(id).expect("valid"))
                    .await;
            }
        }
        for limit in [1, 1_000] {
            for is_owned in [true, false] {
                assert!(self.lists(case, is_owned, limit).await, "{case}");
            }
        }
        store
            .count()
            .await
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        let mut expired = self::damaged(&self.base().await, "x", &None);
        for field in ["deadline", "due"] {
            expired.insert(field, DateTime::from_millis(1_000));
        }
        self.documents.insert_one(&expired).await.expect("stored");
        let reaped = store.reap(1_000).await;
        let reaped = reaped.unwrap_or_else(|error| panic!("{case}: reap: {error}"));
        let expired = expired.get_str("_id").expect("text");
        assert!(
            reaped.iter().any(|end| end.id.as_str() == expired),
            "{case}"
        );
        let kept = Sessions::new(Arc::new(store.clone()));
        let kept = kept.keep_newest(ann, damaged.len() + 1).await;
        kept.unwrap_or_else(|error| panic!("{case}: keep_newest: {error}"));
        let other = SessionToken::generate().id();
        must_create(store, &other, &self.draft).await;
        let ended = store
            .destroy_owned_by(ann, Some(&self.healthy), 1_000)
            .await;
        let ended = ended.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(ended.iter().any(|end| end.id == other), "{case}");
        let rest = doc! { "_id": { "$ne": self.healthy.as_str() } };
        self.documents.delete_many(rest).await.expect("up");
    }

    /// Whether the healthy session is listed, in pages of `limit`.
    async fn lists(&self, case: &str, is_owned: bool, limit: usize) -> bool {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = match is_owned {
                true => self.store.owned_by(&self.ann, cursor.as_ref(), limit).await,
                false => self.store.list(cursor.as_ref(), limit).await,
            };
            let page = page.unwrap_or_else(|error| panic!("{case}: {error}"));
            found.extend(page.sessions.into_iter().map(|session| session.id));
            cursor = page.next;
            if cursor.is_none() {
                return found.contains(&self.healthy);
            }
        }
    }

    /// In one batch with what others do.
    async fn try_together(&self, case: &str, damaged: &SessionId) {
        let mut ids = vec![damaged.clone()];
        ids.extend(vec![self.healthy.clone(); 5]);
        let loads = join_all(ids.iter().map(|id| self.store.load(id))).await;
        for (load, id) in loads.into_iter().zip(&ids) {
            match load {
                Ok(found) => assert!(found.is_some() || id == damaged, "{case}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{case}: {error}");
                    assert_eq!(id, damaged, "{case}");
                }
            }
        }
        let idle = Timeout::After(HOUR);
        let touches = join_all(ids.iter().map(|id| self.store.touch(id, idle))).await;
        for (touch, id) in touches.into_iter().zip(&ids) {
            assert!(
                id == damaged || matches!(touch, Ok(Some(_))),
                "{case}: {touch:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_any_type_costs_its_own_session_only() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let native = Native::start(&name).await;
    let base = native.base().await;
    let fields = [
        "v",
        "data",
        "stamp",
        "credential",
        "description",
        "owner",
        "idle",
        "absolute",
        "born",
        "deadline",
        "due",
        "claim",
        "claimed",
        "draft",
        "another",
    ];
    for field in fields {
        let values = values();
        let documents = values.iter().map(|value| damaged(&base, field, value));
        native.try_beside(field, documents.collect()).await;
    }
    let with_id = ids().map(|id| {
        let mut document = base.clone();
        document.insert("_id", id);
        document
    });
    native.try_beside("_id", with_id.collect()).await;
    drop_collection(&name).await;
}

/// What an `_id` can be, each once.
fn ids() -> impl Iterator<Item = Bson> {
    let values = values().into_iter().flatten();
    values
        .filter(|value| match value {
            Bson::Array(_) | Bson::RegularExpression(_) | Bson::Undefined => false,
            // For MongoDB these are the texts of the same characters.
            Bson::Symbol(_) => false,
            Bson::String(text) => !text.is_empty(),
            _ => true,
        })
        .chain([Bson::Symbol("a symbol".to_owned())])
}

/// The documents of connect-mongo.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_any_type_costs_its_own_express_session_only() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let (database, name) = (database().await, name());
    let builder = ExpressStore::builder(Express::new("secret")).collection(&name);
    let store = builder.touch_after(Duration::from_secs(1)).timestamps(true);
    let store = store.build(database.clone()).await.expect("set up");
    let lifetime = store.lifetime();
    let sessions = Sessions::builder(Arc::new(store)).lifetime(lifetime);
    let sessions = sessions.build().expect("good rules");
    let directory = sessions.store().directory().expect("it lists");
    let session = sessions.start();
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("saved");
    let documents = database.collection::<Document>(&name);
    let base = documents
        .find_one(doc! {})
        .await
        .expect("up")
        .expect("there");
    let healthy = base.get_str("_id").expect("text").to_owned();
    let mut cases = Vec::new();
    for field in [
        "session",
        "expires",
        "lastModified",
        "createdAt",
        "updatedAt",
    ] {
        for value in values() {
            cases.push((format!("{field}: {value:?}"), damaged(&base, field, &value)));
        }
    }
    for id in ids() {
        let case = format!("_id: {id:?}");
        let mut document = base.clone();
        document.insert("_id", id);
        cases.push((case, document));
    }
    for (case, document) in cases {
        documents.insert_one(&document).await.expect("stored");
        // Page by page, so that each of them is the last of one.
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = directory.list(cursor.as_ref(), 1).await;
            let page = page.unwrap_or_else(|error| panic!("{case}: {error}"));
            found.extend(page.sessions.into_iter().map(|session| session.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert!(found.iter().any(|id| id.as_str() == healthy), "{case}");
        directory
            .count()
            .await
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        if let Some(id) = document.get_str("_id").ok().and_then(SessionToken::plain) {
            let opened = sessions.open(Some(&id)).await;
            opened.unwrap_or_else(|error| panic!("{case}: {error}"));
        }
        directory
            .reap(10)
            .await
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        let opened = sessions.open(session.token().as_ref()).await.expect("read");
        assert!(!opened.is_new(), "{case}");
        documents
            .delete_many(doc! { "_id": { "$ne": &healthy } })
            .await
            .expect("up");
    }
    drop_collection(&name).await;
}
