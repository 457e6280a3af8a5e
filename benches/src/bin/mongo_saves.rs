//! The cost of saves for MongoDB's server: batches as `update` commands of several forms.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml --bin mongo_saves
//! ```
//!
//! Each form has its own collection, with the same sessions and indexes. Each round sends one batch
//! of each form.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::time::{Duration, Instant};

use benches::Latencies;
use futures_util::future::join_all;
use integration_tests::servers;
use session_core::{SessionToken, Stamp};
use session_mongo::mongodb::bson::spec::BinarySubtype;
use session_mongo::mongodb::bson::{Binary, Bson, DateTime, Document, doc};
use session_mongo::mongodb::options::IndexOptions;
use session_mongo::mongodb::{Client, Collection, Database, IndexModel};

const SESSIONS: usize = 8_192;
const ROUNDS: usize = 60;
/// Connections, and saves in the batch of each.
const BATCHES: [(usize, usize); 4] = [(1, 64), (1, 128), (2, 64), (2, 128)];
const HOUR: i64 = 3_600_000;

/// A form of a batch of saves.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// `$set` by `_id` without a comparison, the lower bound.
    Blind,
    /// A statement for each session, with a pipeline.
    Each,
    /// A statement for each session, with a pipeline, by `_id`.
    EachById,
    /// A statement for each, with `$set` and `$currentDate`, and the deadline worked out of it.
    Classic,
    /// The same without a check of the deadline, which would save expired sessions.
    ClassicUnchecked,
    /// One statement for all, whose pipeline looks each session's draft up.
    All,
    /// The same without a check of stamp and deadline.
    AllUnchecked,
}

const WAYS: [Way; 7] = [
    Way::Blind,
    Way::Each,
    Way::EachById,
    Way::Classic,
    Way::ClassicUnchecked,
    Way::All,
    Way::AllUnchecked,
];

struct Session {
    key: Bson,
    sid: String,
    stamp: Stamp,
}

fn binary(bytes: &[u8]) -> Bson {
    Bson::Binary(Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    })
}

fn bytes(stamp: Stamp) -> Bson {
    binary(stamp.as_bytes())
}

/// 300 bytes, different each time.
fn data() -> Bson {
    binary(&Stamp::generate().as_bytes().repeat(19)[..300])
}

impl Way {
    /// The statements that give each of `sessions` a new stamp and new data.
    fn statements(self, sessions: &[(&Session, Stamp)]) -> Vec<Document> {
        match self {
            Self::All | Self::AllUnchecked => vec![self.one(sessions)],
            _ => {
                let each = sessions.iter();
                each.map(|(session, stamp)| self.each(session, *stamp))
                    .collect()
            }
        }
    }

    fn each(self, session: &Session, stamp: Stamp) -> Document {
        let mut filter = match self {
            Self::Blind | Self::EachById => doc! { "_id": session.key.clone() },
            _ => doc! { "sid": &session.sid },
        };
        if !matches!(self, Self::Blind) {
            filter.insert("stamp", bytes(session.stamp));
        }
        let used = doc! { "$min": [{ "$add": ["$used", "$idle"] }, "$end"] };
        match self {
            Self::Each | Self::EachById => drop(filter.insert("$expr", live("$deadline"))),
            Self::Classic => drop(filter.insert("$expr", live(used))),
            _ => {}
        }
        let mut fields = doc! { "data": data(), "stamp": bytes(stamp) };
        let update: Bson = match self {
            Self::Blind => doc! { "$set": fields }.into(),
            Self::Classic | Self::ClassicUnchecked => {
                fields.extend(doc! { "idle": HOUR, "absolute": 12 * HOUR });
                doc! { "$set": fields, "$unset": { "owner": "" }, "$currentDate": { "used": true } }
                    .into()
            }
            _ => {
                fields.extend(doc! { "idle": HOUR, "absolute": 12 * HOUR, "owner": "$$REMOVE" });
                fields.insert("deadline", deadline(HOUR.into(), (12 * HOUR).into()));
                vec![doc! { "$set": fields }, follow()].into()
            }
        };
        doc! { "q": filter, "u": update }
    }

    fn one(self, sessions: &[(&Session, Stamp)]) -> Document {
        let ids: Vec<&str> = sessions.iter().map(|(s, _)| s.sid.as_str()).collect();
        let stamps: Vec<Bson> = sessions.iter().map(|(s, _)| bytes(s.stamp)).collect();
        let drafts: Vec<Document> = sessions
            .iter()
            .map(|(_, stamp)| {
                doc! { "data": data(), "stamp": bytes(*stamp), "idle": HOUR, "absolute": 12 * HOUR }
            })
            .collect();
        let own = doc! { "$indexOfArray": [{ "$literal": &ids }, "$sid"] };
        let mut filter = doc! { "sid": { "$in": ids } };
        if matches!(self, Self::All) {
            let expected = doc! { "$arrayElemAt": [{ "$literal": stamps }, own.clone()] };
            let same = doc! { "$eq": ["$stamp", expected] };
            filter.insert("$expr", doc! { "$and": [same, live("$deadline")] });
        }
        let draft = doc! { "$arrayElemAt": [{ "$literal": drafts }, own] };
        let fields = doc! {
            "data": "$draft.data",
            "stamp": "$draft.stamp",
            "owner": { "$ifNull": ["$draft.owner", "$$REMOVE"] },
            "idle": "$draft.idle",
            "absolute": "$draft.absolute",
            "deadline": deadline("$draft.idle".into(), "$draft.absolute".into()),
        };
        doc! {
            "q": filter,
            "u": [{ "$set": { "draft": draft } }, { "$set": fields }, follow(), { "$unset": "draft" }],
            "multi": true,
        }
    }
}

fn live(deadline: impl Into<Bson>) -> Document {
    doc! { "$gt": [deadline.into(), "$$NOW"] }
}

fn deadline(idle: Bson, absolute: Bson) -> Document {
    doc! { "$min": [
        { "$add": ["$$NOW", idle] },
        { "$add": ["$born", absolute] },
        DateTime::from_millis(253_402_300_799_999),
    ] }
}

fn follow() -> Document {
    let near = doc! { "$and": [
        { "$gte": ["$deadline", "$due"] },
        { "$lt": ["$deadline", { "$add": ["$due", 60_000] }] },
    ] };
    doc! { "$set": { "due": { "$cond": [near, "$due", "$deadline"] } } }
}

/// One form, its collection, and the latencies of its saves.
struct Runner {
    way: Way,
    name: String,
    sessions: Vec<Session>,
    took: Latencies,
}

impl Runner {
    async fn new(database: &Database, way: Way) -> Self {
        let name = format!("{way:?}");
        let collection: Collection<Document> = database.collection(&name);
        collection.drop().await.expect("dropped");
        let index = |field: &str, unique: bool, after: Option<Duration>| {
            let options = IndexOptions::builder().unique(unique).expire_after(after);
            let index = IndexModel::builder().keys(doc! { field: 1 });
            index.options(options.build()).build()
        };
        let minute = Duration::from_secs(60);
        let indexes = [
            index("sid", true, None),
            index("due", false, Some(minute)),
            index("owner", false, None),
        ];
        collection.create_indexes(indexes).await.expect("created");
        let now = DateTime::now();
        let later = |hours: i64| DateTime::from_millis(now.timestamp_millis() + hours * HOUR);
        let document = |_| {
            doc! {
                "sid": SessionToken::generate().id().as_str(), "stamp": bytes(Stamp::generate()),
                "data": data(), "idle": HOUR, "absolute": 12 * HOUR, "born": now, "used": now,
                "deadline": later(1), "due": later(1), "end": later(12),
            }
        };
        let documents: Vec<_> = (0..SESSIONS).map(document).collect();
        let inserted = collection.insert_many(&documents).await.expect("inserted");
        let session = |(n, document): (usize, &Document)| Session {
            key: inserted.inserted_ids[&n].clone(),
            sid: document.get_str("sid").expect("a text").to_owned(),
            stamp: stamp(document),
        };
        Self {
            way,
            name,
            sessions: documents.iter().enumerate().map(session).collect(),
            took: Latencies::default(),
        }
    }

    /// Sends one batch on each of `connections`, concurrently.
    async fn round(&mut self, database: &Database, connections: usize, saves: usize) {
        // Spread like random ids, and different each time.
        let first = usize::from(Stamp::generate().as_bytes()[0]);
        let (way, step) = (self.way, self.sessions.len() / (connections * saves));
        let mut chosen: Vec<_> = self.sessions.iter_mut().skip(first % step).collect();
        chosen = chosen.into_iter().step_by(step).collect();
        let new: Vec<Stamp> = chosen.iter().map(|_| Stamp::generate()).collect();
        let pairs: Vec<_> = chosen
            .iter()
            .zip(&new)
            .map(|(s, new)| (&**s, *new))
            .collect();
        let commands = pairs.chunks(saves).map(|batch| {
            let statements = way.statements(batch);
            let command = doc! { "update": &self.name, "updates": statements, "ordered": false };
            database.run_command(command)
        });
        let began = Instant::now();
        let mut matched = 0;
        for reply in join_all(commands.map(IntoFuture::into_future)).await {
            matched += reply.expect("up").get_i32("n").expect("a count");
        }
        self.took.add(began.elapsed() / pairs.len() as u32);
        assert_eq!(matched as usize, pairs.len(), "{:?} saves all", self.way);
        for (session, new) in chosen.into_iter().zip(new) {
            session.stamp = new;
        }
    }
}

fn stamp(document: &Document) -> Stamp {
    let bytes = document.get_binary_generic("stamp").expect("bytes");
    Stamp::from_bytes(bytes.as_slice().try_into().expect("sixteen"))
}

#[tokio::main]
async fn main() {
    let server = servers::mongo().expect("SESSION_TEST_SKIP does not name mongo");
    println!("{}", server.description);
    let client = Client::with_uri_str(&server.url).await.expect("it is up");
    let database = client.database("benches");
    let mut runners = Vec::new();
    for way in WAYS {
        runners.push(Runner::new(&database, way).await);
    }
    for (connections, saves) in BATCHES {
        for runner in &mut runners {
            runner.took = Latencies::default();
        }
        for n in 0..ROUNDS {
            for place in 0..runners.len() {
                let runner = (place + n) % runners.len();
                runners[runner].round(&database, connections, saves).await;
            }
        }
        for runner in &runners {
            let took = runner.took.per_mille(500).as_secs_f64() * 1e6;
            println!(
                "{connections} × {saves} saves, {:?}: {took:.0} µs each",
                runner.way
            );
        }
    }
    database.drop().await.expect("dropped");
}
