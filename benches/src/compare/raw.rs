//! The raw drivers with their best settings, one query for each operation. A save is an
//! unconditional upsert, as in a simple program; a load checks the expiry.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use redis::AsyncCommands;
use session_core::{Bytes, SessionToken};
use session_mongo::mongodb::bson::{DateTime, Document, doc};
use session_mongo::mongodb::options::ReplaceOptions;
use session_mongo::mongodb::{Client, Collection, options::ClientOptions};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{MySqlPool, Row};

use super::contender::{Contender, json, read_json};

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

/// `redis`, multiplexed over one connection: `GET` and `SET … EX`.
pub(crate) struct Redis {
    ids: Vec<String>,
    connection: redis::aio::MultiplexedConnection,
}

impl Redis {
    pub(crate) async fn new(url: &str, sessions: usize) -> Self {
        let client = redis::Client::open(url).expect("a URL");
        let connection = client.get_multiplexed_async_connection().await;
        Self {
            ids: ids(sessions)
                .into_iter()
                .map(|id| format!("raw:{id}"))
                .collect(),
            connection: connection.expect("up"),
        }
    }
}

impl Contender for Redis {
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

/// `sqlx` with a pool of 16 that does not ping.
pub(crate) struct Mysql {
    ids: Vec<String>,
    pool: MySqlPool,
}

impl Mysql {
    pub(crate) async fn new(url: &str, sessions: usize) -> Self {
        let pool = MySqlPoolOptions::new()
            .max_connections(16)
            .test_before_acquire(false)
            .connect(url)
            .await
            .expect("up");
        for statement in [
            "DROP TABLE IF EXISTS raw_sessions",
            "CREATE TABLE raw_sessions (id VARBINARY(64) PRIMARY KEY, data LONGBLOB NOT NULL,
             expires DATETIME(6) NOT NULL, KEY (expires)) ENGINE = InnoDB",
        ] {
            sqlx::query(statement)
                .execute(&pool)
                .await
                .expect("a table");
        }
        let ids = ids(sessions);
        Self { ids, pool }
    }
}

impl Contender for Mysql {
    async fn create(&self, n: usize, text: String) {
        self.save(n, text).await;
    }

    async fn load(&self, n: usize) -> (u64, usize) {
        let query = "SELECT data FROM raw_sessions WHERE id = ? AND expires > UTC_TIMESTAMP(6)";
        let query = sqlx::query(query).bind(self.ids[n].as_bytes());
        let row = query.fetch_one(&self.pool).await.expect("there");
        read_json(row.get(0))
    }

    async fn save(&self, n: usize, text: String) {
        let query = "INSERT INTO raw_sessions VALUES (?, ?, UTC_TIMESTAMP(6) + INTERVAL 1 HOUR)
                     ON DUPLICATE KEY UPDATE data = VALUES(data), expires = VALUES(expires)";
        let query = sqlx::query(query)
            .bind(self.ids[n].as_bytes())
            .bind(json(&text).into_bytes());
        query.execute(&self.pool).await.expect("saved");
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
