//! SQL databases through `sqlx`, with pools that do not ping.

use std::path::Path;
use std::time::Duration;

use sqlx::mysql::MySqlPoolOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{MySqlPool, PgPool, Row, SqlitePool};

use super::ids;
use crate::compare::contender::{Contender, json, read_json};

/// A pool of 16.
pub(in crate::compare) struct Mysql {
    ids: Vec<String>,
    pool: MySqlPool,
}

impl Mysql {
    pub(in crate::compare) async fn new(url: &str, sessions: usize) -> Self {
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

/// A pool of 16.
pub(in crate::compare) struct Postgres {
    ids: Vec<String>,
    pool: PgPool,
}

impl Postgres {
    pub(in crate::compare) async fn new(url: &str, sessions: usize) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(16)
            .test_before_acquire(false)
            .connect(url)
            .await
            .expect("up");
        for statement in [
            "DROP TABLE IF EXISTS raw_sessions",
            "CREATE TABLE raw_sessions (id bytea PRIMARY KEY, data bytea NOT NULL,
             expires timestamptz NOT NULL)",
            "CREATE INDEX ON raw_sessions (expires)",
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

impl Contender for Postgres {
    async fn create(&self, n: usize, text: String) {
        self.save(n, text).await;
    }

    async fn load(&self, n: usize) -> (u64, usize) {
        let query = "SELECT data FROM raw_sessions WHERE id = $1 AND expires > now()";
        let query = sqlx::query(query).bind(self.ids[n].as_bytes());
        let row = query.fetch_one(&self.pool).await.expect("there");
        read_json(row.get(0))
    }

    async fn save(&self, n: usize, text: String) {
        let query = "INSERT INTO raw_sessions VALUES ($1, $2, now() + interval '1 hour')
                     ON CONFLICT (id) DO UPDATE SET data = EXCLUDED.data, expires = EXCLUDED.expires";
        let query = sqlx::query(query)
            .bind(self.ids[n].as_bytes())
            .bind(json(&text).into_bytes());
        query.execute(&self.pool).await.expect("saved");
    }
}

/// One connection that writes, and a pool of 16 that read.
pub(in crate::compare) struct Sqlite {
    ids: Vec<String>,
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Sqlite {
    pub(in crate::compare) async fn new(file: &Path, sessions: usize) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = async |connections: u32| {
            let pool = SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(60))
                .test_before_acquire(false);
            let pool = pool.connect_with(options.clone()).await;
            pool.expect("a file")
        };
        let (writer, readers) = (pool(1).await, pool(16).await);
        for statement in [
            "CREATE TABLE raw_sessions (id BLOB PRIMARY KEY, data BLOB NOT NULL,
             expires INTEGER NOT NULL) STRICT",
            "CREATE INDEX raw_expires ON raw_sessions (expires)",
        ] {
            sqlx::query(statement)
                .execute(&writer)
                .await
                .expect("a table");
        }
        let ids = ids(sessions);
        Self {
            ids,
            writer,
            readers,
        }
    }
}

impl Contender for Sqlite {
    async fn create(&self, n: usize, text: String) {
        self.save(n, text).await;
    }

    async fn load(&self, n: usize) -> (u64, usize) {
        let query = "SELECT data FROM raw_sessions WHERE id = ? AND expires > unixepoch()";
        let query = sqlx::query(query).bind(self.ids[n].as_bytes());
        let row = query.fetch_one(&self.readers).await.expect("there");
        read_json(row.get(0))
    }

    async fn save(&self, n: usize, text: String) {
        let query = "INSERT INTO raw_sessions VALUES (?, ?, unixepoch() + 3600)
                     ON CONFLICT (id) DO UPDATE SET data = excluded.data, expires = excluded.expires";
        let query = sqlx::query(query)
            .bind(self.ids[n].as_bytes())
            .bind(json(&text).into_bytes());
        query.execute(&self.writer).await.expect("saved");
    }
}
