//! What the stable `_id` costs on MongoDB: a collection with a second unique index on the session
//! id, as the store has it, beside one whose `_id` is the session id.
//!
//! ```text
//! cargo run --release -p benches --bin mongo_ids
//! ```
//!
//! Both have the indexes on owner and deadline. Each round of operations runs on the one, then on
//! the other.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::time::Duration;

use benches::Latencies;
use futures_util::{StreamExt, stream};
use integration_tests::servers;
use session_core::SessionToken;
use session_mongo::mongodb::bson::spec::BinarySubtype;
use session_mongo::mongodb::bson::{Binary, Bson, DateTime, Document, doc};
use session_mongo::mongodb::options::IndexOptions;
use session_mongo::mongodb::{Client, Collection, IndexModel};

const ROUNDS: usize = 60;
/// Callers, and the sessions of a round.
const CALLERS: [(usize, usize); 2] = [(1, 25), (32, 500)];

/// Where the session id is.
#[derive(Clone, Copy, Debug)]
enum Key {
    /// In `_id`.
    Primary,
    /// In `sid`, with an index of its own; `_id` is an `ObjectId`.
    Second,
}

impl Key {
    const fn field(self) -> &'static str {
        match self {
            Self::Primary => "_id",
            Self::Second => "sid",
        }
    }
}

fn binary(bytes: Vec<u8>) -> Binary {
    let subtype = BinarySubtype::Generic;
    Binary { subtype, bytes }
}

async fn collection(client: &Client, key: Key) -> Collection<Document> {
    let collection = client.database("benches").collection(&format!("{key:?}"));
    collection.drop().await.expect("dropped");
    let index = |field: &str, unique: bool| {
        let options = IndexOptions::builder().unique(unique).build();
        IndexModel::builder()
            .keys(doc! { field: 1 })
            .options(options)
            .build()
    };
    let mut indexes = vec![index("owner", false), index("deadline", false)];
    if matches!(key, Key::Second) {
        indexes.push(index("sid", true));
    }
    collection.create_indexes(indexes).await.expect("created");
    collection
}

/// The latencies of insert, find and compare-and-swap.
type Measured = [Latencies; 3];

/// One round on new sessions: each is inserted, each is found, each is saved.
async fn round(
    collection: &Collection<Document>,
    key: Key,
    (callers, sessions): (usize, usize),
    measured: &mut Measured,
) {
    let ids: Vec<String> = (0..sessions)
        .map(|_| SessionToken::generate().id().as_str().to_owned())
        .collect();
    for (operation, latencies) in measured.iter_mut().enumerate() {
        let running = stream::iter(&ids).map(|id| async move {
            let mut took = Latencies::default();
            took.time(run(collection, key, operation, id)).await;
            took
        });
        let mut running = running.buffer_unordered(callers);
        while let Some(took) = running.next().await {
            latencies.extend(took);
        }
    }
}

async fn run(collection: &Collection<Document>, key: Key, operation: usize, id: &str) {
    let (field, hour) = (key.field(), Duration::from_secs(3_600));
    match operation {
        0 => {
            let deadline = DateTime::from_system_time(std::time::SystemTime::now() + hour);
            let document = doc! {
                field: id, "stamp": binary(vec![0; 16]), "data": binary(vec![7; 300]),
                "deadline": deadline, "owner": &id[..6],
            };
            collection.insert_one(document).await.expect("inserted");
        }
        1 => {
            let found = collection.find_one(doc! { field: id }).await;
            assert!(found.expect("found").is_some(), "it is there");
        }
        _ => {
            let filter = doc! { field: id, "stamp": binary(vec![0; 16]) };
            let set: Vec<Document> = vec![doc! { "$set": {
                "stamp": binary(vec![1; 16]),
                "data": Bson::Binary(binary(vec![8; 300])),
                "deadline": { "$add": ["$$NOW", 3_600_000] },
            } }];
            let saved = collection.update_one(filter, set).await.expect("saved");
            assert_eq!(saved.modified_count, 1, "swapped");
        }
    }
}

#[tokio::main]
async fn main() {
    let server = servers::mongo().expect("SESSION_TEST_SKIP does not name mongo");
    println!("{}", server.description);
    let client = Client::with_uri_str(&server.url).await.expect("it is up");
    let primary = collection(&client, Key::Primary).await;
    let second = collection(&client, Key::Second).await;
    for size in CALLERS {
        let mut measured: [Measured; 2] = Default::default();
        for n in 0..ROUNDS {
            // Either one first, so that neither has the other's writes behind it each time.
            for which in [n % 2, 1 - n % 2] {
                let (on, key) = [(&primary, Key::Primary), (&second, Key::Second)][which];
                round(on, key, size, &mut measured[which]).await;
            }
        }
        for (n, operation) in ["insert", "find", "save"].into_iter().enumerate() {
            let p50 = |which: usize| measured[which][n].per_mille(500).as_secs_f64() * 1e3;
            let (by_id, by_second) = (p50(0), p50(1));
            println!(
                "{:>3} callers, {operation}: p50 {by_id:.3} ms by _id, {by_second:.3} ms by a second index, ratio {:.2}",
                size.0,
                by_second / by_id
            );
        }
    }
    client.database("benches").drop().await.expect("dropped");
}
