//! What the stable `_id` costs on MongoDB: a collection with a second unique index on the session
//! id, as the store has it, beside one whose `_id` is the session id.
//!
//! ```text
//! cargo run --release -p benches --bin mongo_ids
//! ```
//!
//! Both have the indexes on owner and deadline. The rounds alternate.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use integration_tests::servers;
use session_core::SessionToken;
use session_mongo::mongodb::bson::spec::BinarySubtype;
use session_mongo::mongodb::bson::{Binary, Bson, DateTime, Document, doc};
use session_mongo::mongodb::options::IndexOptions;
use session_mongo::mongodb::{Client, Collection, IndexModel};

const SESSIONS: usize = 20_000;
const ROUNDS: usize = 5;
const CALLERS: [usize; 2] = [1, 32];

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

/// Runs `work` for every session, so many at a time, and gives the operations a second.
async fn rate<R: Future<Output = ()>>(callers: usize, work: impl Fn(usize) -> R) -> f64 {
    let began = Instant::now();
    let running = stream::iter(0..SESSIONS)
        .map(work)
        .buffer_unordered(callers);
    running.for_each(|()| async {}).await;
    SESSIONS as f64 / began.elapsed().as_secs_f64()
}

/// The operations a second of insert, find and compare-and-swap.
async fn measure(client: &Client, key: Key, callers: usize) -> [f64; 3] {
    let collection = collection(client, key).await;
    let ids: Vec<String> = (0..SESSIONS)
        .map(|_| SessionToken::generate().id().as_str().to_owned())
        .collect();
    let hour = Duration::from_secs(3_600);
    let field = key.field();
    let inserts = rate(callers, |n| {
        let (collection, id) = (&collection, &ids[n]);
        let deadline = DateTime::from_system_time(std::time::SystemTime::now() + hour);
        let document = doc! {
            field: id, "stamp": binary(vec![0; 16]), "data": binary(vec![7; 300]),
            "deadline": deadline, "owner": format!("owner {}", n % 1_000),
        };
        async move {
            collection.insert_one(document).await.expect("inserted");
        }
    })
    .await;
    let finds = rate(callers, |n| {
        let (collection, id) = (&collection, &ids[n]);
        async move {
            let found = collection.find_one(doc! { field: id }).await;
            assert!(found.expect("found").is_some(), "it is there");
        }
    })
    .await;
    let saves = rate(callers, |n| {
        let (collection, id) = (&collection, &ids[n]);
        async move {
            let filter = doc! { field: id, "stamp": binary(vec![0; 16]) };
            let set: Vec<Document> = vec![doc! { "$set": {
                "stamp": binary(vec![1; 16]),
                "data": Bson::Binary(binary(vec![8; 300])),
                "deadline": { "$add": ["$$NOW", 3_600_000] },
            } }];
            let saved = collection.update_one(filter, set).await.expect("saved");
            assert_eq!(saved.modified_count, 1, "swapped");
        }
    })
    .await;
    [inserts, finds, saves]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() {
    let server = servers::mongo().expect("SESSION_TEST_SKIP does not name mongo");
    println!("{}", server.description);
    let client = Client::with_uri_str(&server.url).await.expect("it is up");
    for callers in CALLERS {
        let mut rates: [Vec<[f64; 3]>; 2] = Default::default();
        for _ in 0..ROUNDS {
            rates[0].push(measure(&client, Key::Primary, callers).await);
            rates[1].push(measure(&client, Key::Second, callers).await);
        }
        for (n, operation) in ["insert", "find", "save"].into_iter().enumerate() {
            let of = |key: usize| median(rates[key].iter().map(|rate| rate[n]).collect());
            let (primary, second) = (of(0), of(1));
            println!(
                "{callers:>3} callers, {operation}: {primary:.0}/s by _id, {second:.0}/s by a second index, ratio {:.2}",
                second / primary
            );
        }
    }
    client.database("benches").drop().await.expect("dropped");
}
