//! The builder of a store.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use session_core::backend::{CircuitBreaker, Policy};
use session_core::{Error, Result};
use session_sql::{SessionTable, SqlBackend, SqlConnector};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::backend::policy;
use crate::{Durability, SqliteStore, SqliteTable, file, url};

/// How long SQLite itself waits for a lock, on the connection's thread. The store then waits
/// without a thread.
const BUSY_TIMEOUT: Duration = Duration::from_millis(25);
/// A write-ahead log that a burst of writes has made larger is cut to this size: 64 MiB.
const LOG_BYTES: &str = "67108864";
/// Enough for each statement in each of its sizes.
const PREPARED_STATEMENTS: usize = 128;

/// Sets up a [`SqliteStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct SqliteStoreBuilder {
    table: String,
    timeout: Duration,
    circuit_breaker: Option<CircuitBreaker>,
    max_data: usize,
    readers: u32,
    durability: Durability,
    migrate: bool,
}

impl Default for SqliteStoreBuilder {
    fn default() -> Self {
        Self {
            table: "session_store".to_owned(),
            timeout: Policy::TIMEOUT,
            circuit_breaker: Some(CircuitBreaker::DEFAULT),
            max_data: Policy::MAX_DATA,
            readers: 4,
            durability: Durability::Full,
            migrate: true,
        }
    }
}

impl SqliteStoreBuilder {
    /// Sets the table, without the letters A to Z, which SQLite does not tell from a to z; default
    /// `session_store`. Stores in different tables share nothing but the file, and wait for each
    /// other's writes.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// Sets the time limit of one store operation, including repeats and the wait for another
    /// process that writes; default 2 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets when calls fail at once because the server does not answer, and how often one is sent
    /// all the same; `None` to send each. Default [`CircuitBreaker::DEFAULT`]: after 5 failures in a
    /// row, one call each 100 ms.
    pub fn circuit_breaker(mut self, breaker: impl Into<Option<CircuitBreaker>>) -> Self {
        self.circuit_breaker = breaker.into();
        self
    }

    /// Sets the maximum size of one session's data in bytes; default 1 MiB.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// Sets the maximum number of connections that read; default 4. Each is a thread. One more
    /// connection writes. A database in memory has one connection for both.
    pub fn readers(mut self, connections: u32) -> Self {
        self.readers = connections;
        self
    }

    /// Sets what a power failure may undo; default [`Durability::Full`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets whether connecting also [migrates](SqliteStore::migrate): it creates the file and the
    /// table if they do not exist, and again if the file is deleted later. Default true. Otherwise
    /// call [`SqliteStore::migrate`] on an existing file, or run [`schema`](crate::schema).
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Opens the file at `url`: `sqlite:sessions.db` (in the working directory of this moment),
    /// `sqlite:/var/lib/app/sessions.db` or, in memory, `sqlite::memory:`. A `?`, `#` or `%` in a
    /// name is written as `%3F`, `%23` or `%25`.
    ///
    /// A new file is readable only for its user. It is switched to write-ahead logging, which adds
    /// two files beside it that end with `-wal` and `-shm`.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a URL or setting
    /// that can't be right, a directory that does not exist, a file that is no SQLite database, or
    /// a table that is not of this kind of store.
    /// [`ErrorKind::Unavailable`](session_core::ErrorKind::Unavailable) if the file or its
    /// directory is read-only or the disk is full;
    /// [`ErrorKind::Timeout`](session_core::ErrorKind::Timeout) if another process holds the file
    /// for longer than the time limit.
    pub async fn connect(self, url: &str) -> Result<SqliteStore> {
        self.check()?;
        let options = url::parse(url)?;
        if let Some(path) = file::path(&options) {
            check_path(path)?;
        }
        let place = url::place(&options);
        let is_in_memory = file::is_in_memory(&options);
        let options = self.set_up(options, is_in_memory);
        let keeps = match is_in_memory {
            true => Some(options.connect().await.map_err(|_| {
                Error::misconfigured(format!("{place}: SQLite can't open a database in memory"))
            })?),
            false => None,
        };
        let table = SqliteTable::new(&self.table, keeps, self.durability);
        // In memory, another connection would wait for the locks of the first.
        let readers = if is_in_memory { 1 } else { self.readers };
        let mut connector = SqlConnector::new(options.clone(), place, readers, self.timeout);
        if !is_in_memory {
            connector = connector.with_writer(options);
        }
        if self.migrate {
            connector = connector.with_creation(table.create_table());
        }
        let policy = policy(self.timeout, self.max_data, readers as usize)
            .with_circuit_breaker(self.circuit_breaker);
        let backend = SqlBackend::new(table, policy);
        backend.open(connector, self.migrate).await
    }

    /// The options of a connection.
    fn set_up(&self, options: SqliteConnectOptions, is_in_memory: bool) -> SqliteConnectOptions {
        let options = options
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(PREPARED_STATEMENTS)
            // A batch of rows never waits for its reader.
            .row_buffer_size(2 * session_sql::MAX_BATCH)
            .foreign_keys(false)
            .disable_statement_logging();
        match is_in_memory {
            true => options,
            false => options
                .journal_mode(SqliteJournalMode::Wal)
                .pragma("journal_size_limit", LOG_BYTES)
                // Only macOS has it: there `fsync` leaves what is written in the disk's own cache.
                .pragma("fullfsync", self.durability.fullfsync())
                .synchronous(match self.durability {
                    Durability::Full => SqliteSynchronous::Full,
                    Durability::Normal => SqliteSynchronous::Normal,
                }),
        }
    }

    fn check(&self) -> Result<()> {
        let name = &self.table;
        let invalid = |rule: &str| {
            Err(Error::misconfigured(format!(
                "invalid table name {name:?}: it {rule}"
            )))
        };
        if name.is_empty() || name.chars().count() > 128 {
            return invalid("must have 1 to 128 characters");
        }
        if name.contains('\0') {
            return invalid("must not contain a NUL");
        }
        if name.contains(|c: char| c.is_ascii_uppercase()) {
            return invalid("must not contain A to Z, which SQLite does not tell from a to z");
        }
        if name.starts_with("sqlite_") {
            return invalid("must not begin with sqlite_, which is reserved");
        }
        if self.timeout.is_zero() || self.max_data == 0 || self.readers == 0 {
            return Err(Error::misconfigured(
                "timeout, max_data and readers must be over zero",
            ));
        }
        Ok(())
    }
}

/// Refuses a path that no file can have, where SQLite would only say that it can't open it.
fn check_path(path: &Path) -> Result<()> {
    let wrong = |path: &Path, what: &str| {
        Err(Error::misconfigured(format!(
            "SQLite at {}: {what}",
            path.display()
        )))
    };
    if path.is_dir() {
        return wrong(path, "this is a directory, not a file");
    }
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    match fs::metadata(directory) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => wrong(path, "its directory is a file"),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            wrong(path, "its directory does not exist: create it first")
        }
        Err(why) => wrong(path, &format!("its directory can't be read: {why}")),
    }
}
