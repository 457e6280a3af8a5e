//! The suite on SQLite, in a file and in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use integration_tests::servers;
use session_conformance::{StoreFactory, TestStore, conformance_tests};
use session_core::{Result, SessionId, async_trait};
use session_sqlite::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use session_sqlite::sqlx::{self, AssertSqlSafe, Connection};
use session_sqlite::{SqliteStore, SqliteStoreBuilder};
use tempfile::TempDir;
use tokio::sync::Mutex;

fn builder(namespace: &str) -> SqliteStoreBuilder {
    SqliteStore::builder()
        .timeout(servers::PATIENCE)
        .table(namespace)
        .max_data(2 * 1024 * 1024)
}

/// A file, with a table for each namespace. The stores of a case wait for each other's writes, as
/// processes do.
struct File(Arc<TempDir>);

impl File {
    fn new() -> Self {
        Self(Arc::new(TempDir::new().expect("a directory")))
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.0.path().join("sessions.db").display())
    }
}

#[async_trait]
impl StoreFactory for File {
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let store = builder(namespace).connect(&self.url()).await?;
        // The directory goes after the last store.
        Ok(TestStore::new(store).with_guard(Arc::clone(&self.0)))
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        let options: SqliteConnectOptions = self.url().parse().expect("a good URL");
        let connection = SqliteConnection::connect_with(&options).await;
        // The length of a stamp is checked, so it is the owner that is no text.
        let update = format!("UPDATE \"{namespace}\" SET owner = X'FF00FF' WHERE id = ?");
        let done = sqlx::query(AssertSqlSafe(update))
            .bind(id.as_str().as_bytes())
            .execute(&mut connection.expect("the file is there"))
            .await
            .expect("overwritten");
        assert_eq!(done.rows_affected(), 1);
        Ok(true)
    }

    async fn lapse_claims(&self, namespace: &str) -> Result<bool> {
        let options: SqliteConnectOptions = self.url().parse().expect("a good URL");
        let connection = SqliteConnection::connect_with(&options).await;
        let lapse = format!("UPDATE \"{namespace}\" SET claimed = 0 WHERE claimed IS NOT NULL");
        let done = sqlx::query(AssertSqlSafe(lapse))
            .execute(&mut connection.expect("the file is there"))
            .await;
        done.expect("lapsed");
        Ok(true)
    }
}

conformance_tests!(File::new());

/// A dependency that needs an older SQLite changes it for every package of the workspace.
#[tokio::test]
async fn the_tests_run_on_the_version_that_the_documents_name_and_that_several_processes_may_use() {
    let connection = SqliteConnection::connect("sqlite::memory:").await;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut connection.expect("it needs no file"))
        .await
        .expect("a version");
    let numbers = version
        .split('.')
        .map(|number| number.parse().expect("a number"));
    let numbers: Vec<u32> = numbers.collect();
    assert!(numbers >= vec![3, 51, 3], "{version} can damage a file");
    let told = format!("{}.{}", numbers[0], numbers[1]);
    let project = include_str!("../../../README.md");
    assert!(project.contains(&format!("SQLite ({told}) is compiled in")));
    let package = include_str!("../../../session-sqlite/README.md");
    assert!(package.contains(&format!("(tested version: {told})")));
}

/// A database for each namespace.
#[derive(Default)]
struct Memory(Mutex<HashMap<String, SqliteStore>>);

#[async_trait]
impl StoreFactory for Memory {
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let store = match self.0.lock().await.entry(namespace.to_owned()) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => {
                let store = builder(namespace).connect("sqlite::memory:").await?;
                new.insert(store).clone()
            }
        };
        Ok(TestStore::new(store))
    }
}

// What is in this process' memory does not get corrupt.
conformance_tests!(
    Memory::default(),
    without = [Corruption],
    module = in_memory
);
