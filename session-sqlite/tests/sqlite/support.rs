//! A directory with a file, and sessions in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use session_core::{Draft, Saved, Version};
use session_sqlite::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use session_sqlite::sqlx::{self, AssertSqlSafe, Connection};
use session_sqlite::{Lifetime, SessionId, SessionStore, SessionToken, SqliteStore};
use tempfile::TempDir;

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// A directory for one file, which goes with its test.
pub(crate) struct Place(pub(crate) TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("sessions.db")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.file().display())
    }

    pub(crate) async fn store(&self) -> SqliteStore {
        SqliteStore::connect(&self.url()).await.expect("opened")
    }

    /// The file and those beside it.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let named = |end: &str| PathBuf::from(format!("{}{end}", self.file().display()));
        let files = ["", "-wal", "-shm"].map(named);
        files.into_iter().filter(|file| file.exists()).collect()
    }

    /// A connection that is none of the store's.
    pub(crate) async fn connection(&self) -> SqliteConnection {
        let options: SqliteConnectOptions = self.url().parse().expect("a good URL");
        let options = options.create_if_missing(true);
        let made = SqliteConnection::connect_with(&options).await;
        made.expect("opened")
    }
}

/// Waits until the last connection to the file is closed, which deletes the log: a store closes its
/// connections after it was dropped, and SQLite takes the rights of one that is open for the next.
pub(crate) async fn closed(file: &Path) {
    let log = PathBuf::from(format!("{}-wal", file.display()));
    let gone = async {
        while log.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), gone).await;
    waited.expect("the log is deleted");
}

pub(crate) async fn run(connection: &mut SqliteConnection, statement: &str) {
    let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
    statement.execute(connection).await.expect("executed");
}

pub(crate) fn draft(data: &[u8]) -> Draft {
    Draft::new(data.to_vec(), Lifetime::new(HOUR, 10 * HOUR))
}

pub(crate) fn new_id() -> SessionId {
    SessionToken::generate().id().clone()
}

pub(crate) fn done(saved: Saved) -> Version {
    match saved {
        Saved::Done(version) => version,
        other => panic!("must be Done, was {other:?}"),
    }
}

pub(crate) async fn create(store: &SqliteStore, data: &[u8]) -> SessionId {
    let id = new_id();
    done(store.create(&id, &draft(data)).await.expect("created"));
    id
}

pub(crate) async fn data(store: &SqliteStore, id: &SessionId) -> Option<Vec<u8>> {
    let found = store.load(id).await.expect("loaded");
    found.map(|record| record.data.to_vec())
}
