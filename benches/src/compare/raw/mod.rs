//! The raw drivers with their best settings, one query for each operation. A save is an
//! unconditional upsert, as in a simple program; a load checks the expiry.

mod sql;

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use redis::AsyncCommands;
use redis::aio::ConnectionLike;
use session_core::{Bytes, SessionToken};
use session_mongo::mongodb::bson::{DateTime, Document, doc};
use session_mongo::mongodb::options::ReplaceOptions;
use session_mongo::mongodb::{Client, Collection, options::ClientOptions};

use super::contender::{Contender, json, read_json};

pub(super) use sql::{Mysql, Postgres, Sqlite};

const HOUR: Duration = Duration::from_secs(3_600);

fn ids(sessions: usize) -> Vec<String> {
    let id = |_| SessionToken::generate().id().as_str().to_owned();
    (0..sessions).map(id).collect()
}

/// A sharded map: 64 maps, each behind a lock.
pub(crate) struct Map {
    ids: Vec<String>,
    shards: Vec<RwLock<HashMap<String, (Instant, Bytes)>>>,
}

impl Map {
    pub(crate) fn new(sessions: usize) -> Self {
        Self {
            ids: ids(sessions),
            shards: (0..64).map(|_| RwLock::default()).collect(),
        }
    }

    fn shard(&self, id: &str) -> &RwLock<HashMap<String, (Instant, Bytes)>> {
        let last = id.as_bytes().last().copied().unwrap_or_default();
        &self.shards[usize::from(last) % 64]
    }
}

impl Contender for Map {
    async fn create(&self, n: usize, text: String) {
        self.save(n, text).await;
    }

    async fn load(&self, n: usize) -> (u64, usize) {
        let id = &self.ids[n];
        let shard = self
            .shard(id)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let (deadline, data) = shard.get(id).expect("there").clone();
        drop(shard);
        assert!(deadline > Instant::now());
        read_json(&data)
    }

    async fn save(&self, n: usize, text: String) {
        let id = &self.ids[n];
        let value = (Instant::now() + HOUR, Bytes::from(json(&text)));
        let mut shard = self
            .shard(id)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match shard.get_mut(id) {
            Some(entry) => *entry = value,
            None => drop(shard.insert(id.clone(), value)),
        }
    }
}

/// `redis`, multiplexed over one connection, or one to each node of a cluster: `GET` and `SET … EX`.
pub(crate) struct Redis<C> {
    ids: Vec<String>,
    connection: C,
}

impl<C> Redis<C> {
    pub(crate) fn new(connection: C, sessions: usize) -> Self {
        let ids = ids(sessions).into_iter().map(|id| format!("raw:{id}"));
        Self {
            ids: ids.collect(),
            connection,
        }
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Contender for Redis<C> {
    async fn create(&self, n: usize, text: String) {
        self.save(n, text).await;
    }

    async fn load(&self, n: usize) -> (u64, usize) {
        let mut connection = self.connection.clone();
        let data: Vec<u8> = connection.get(&self.ids[n]).await.expect("there");
        read_json(&data)
    }

    async fn save(&self, n: usize, text: String) {
        let mut connection = self.connection.clone();
        let saved = connection.set_ex(&self.ids[n], json(&text), HOUR.as_secs());
        let () = saved.await.expect("saved");
    }
}

/// `mongodb` with a pool of 16: `find_one` and `replace_one`, by `_id`.
pub(crate) struct Mongo {
    ids: Vec<String>,
    collection: Collection<Document>,
}

impl Mongo {
    pub(crate) async fn new(url: &str, sessions: usize) -> Self {
        let mut options = ClientOptions::parse(url).await.expect("a URL");
        options.max_pool_size = Some(16);
        let client = Client::with_options(options).expect("good options");
        let collection = client.database("benches").collection("raw");
        collection.drop().await.expect("dropped");
        let index = session_mongo::mongodb::IndexModel::builder();
        let index = index.keys(doc! { "expires": 1 }).build();
        collection.create_index(index).await.expect("an index");
        let ids = ids(sessions);
        Self { ids, collection }
    }
}

impl Contender for Mongo {
    async fn create(&self, n: usize, text: String) {
        self.save(n, text).await;
    }

    async fn load(&self, n: usize) -> (u64, usize) {
        let filter = doc! { "_id": &self.ids[n], "expires": { "$gt": DateTime::now() } };
        let found = self.collection.find_one(filter).await.expect("up");
        read_json(
            found
                .expect("there")
                .get_binary_generic("data")
                .expect("bytes"),
        )
    }

    async fn save(&self, n: usize, text: String) {
        let expires = DateTime::from_system_time(SystemTime::now() + HOUR);
        let data = session_mongo::mongodb::bson::Binary {
            subtype: session_mongo::mongodb::bson::spec::BinarySubtype::Generic,
            bytes: json(&text).into_bytes(),
        };
        let document = doc! { "_id": &self.ids[n], "data": data, "expires": expires };
        let options = ReplaceOptions::builder().upsert(true).build();
        let replace = self
            .collection
            .replace_one(doc! { "_id": &self.ids[n] }, document);
        replace.with_options(options).await.expect("saved");
    }
}
