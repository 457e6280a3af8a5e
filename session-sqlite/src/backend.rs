//! The store, and how it batches.

use std::time::Duration;

use session_core::backend::{BatchLimits, Policy, Store};
use session_sql::{MAX_BATCH, SqlBackend, SqlClient};

use crate::{Sqlite, SqliteTable};

/// A store of sessions in a SQLite file. Clones share it.
pub type SqliteStore = Store<SqliteBackend>;
/// The backend of a [`SqliteStore`].
pub type SqliteBackend = SqlBackend<SqliteTable>;
/// The client of a [`SqliteStore`]: its connections.
pub type SqliteClient = SqlClient<Sqlite>;

/// How many batches of loads may be in flight. Measured on two busy processors, 300 bytes, 64 callers:
/// 67,000 loads a second by 1, 135,000 by 2, and no more by 3 or 4.
const LOADS_IN_FLIGHT: usize = 2;

/// Loads of a store with `readers` connections that read, and writes on one connection, where the
/// operations that queue during a commit are the next batch.
///
/// Measured beside one statement and one commit for each operation, in the same run: a load of 1
/// caller takes 1.01 of the time, 64 callers load 2.4 times as many a second and 256 4.0 times; a
/// save of 1 caller takes 0.97 to 1.01 of the time, 64 callers save 5.6 to 8.3 times as many and 256
/// 11 times.
pub(crate) fn policy(timeout: Duration, max_data: usize, readers: usize) -> Policy {
    let limits = |unbatched, in_flight| {
        BatchLimits::new(unbatched, in_flight)
            .with_items(MAX_BATCH)
            .with_bytes(256 * 1024)
            .with_queued(10_000)
    };
    let loads = limits(readers, readers.min(LOADS_IN_FLIGHT));
    Policy::new(timeout, max_data)
        .with_repeats(session_sql::REPEATS)
        .with_batches(limits(1, 1))
        .with_load(loads)
}
