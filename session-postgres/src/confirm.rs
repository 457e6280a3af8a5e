//! Confirmation that what was written is on a standby, or on the disk.

use session_core::{Confirmation, Result};
use session_sql::Commands;
use session_sql::record::{bytes, integer};

use crate::Postgres;

/// Binds: the quoted name of the table. Whether commits wait for standbys, the end of the write-ahead
/// log, whether what is written reaches the disk, and whether the table is in the log.
const SELECT_STATE: &str = "\
SELECT (current_setting('synchronous_standby_names') <> '')::int,
    convert_to(pg_current_wal_insert_lsn()::text, 'UTF8'),
    (current_setting('fsync') = 'on')::int,
    coalesce((SELECT relpersistence = 'p' FROM pg_catalog.pg_class
        WHERE oid = to_regclass($1)), false)::int";
/// A commit that waits until the synchronous standbys have it, and all before it, on their disks.
const COMMIT_ON_STANDBYS: &str = "\
SELECT (set_config('synchronous_commit', 'on', true) = '')::int,
    (pg_logical_emit_message(true, 'session-store', '') IS NULL)::int";
/// A commit that waits until it, and all before it, is on the server's disk.
const COMMIT_ON_DISK: &str = "\
SELECT (set_config('synchronous_commit', 'local', true) = '')::int,
    (pg_logical_emit_message(true, 'session-store', '') IS NULL)::int";
/// Binds: a position in the write-ahead log. How many standbys have it on their disks, and how many
/// there are whose positions this user may not see.
const SELECT_STANDBYS: &str = "\
SELECT count(*) FILTER (WHERE flush_lsn >= $1::text::pg_lsn),
    count(*) FILTER (WHERE state IS NULL)
FROM pg_catalog.pg_stat_replication";

/// Waits until all that was written before is `confirmation`.
pub(crate) async fn confirm(
    commands: Commands<'_, Postgres>,
    confirmation: Confirmation,
) -> Result<()> {
    if confirmation == Confirmation::Acknowledged {
        return Ok(());
    }
    let table = commands.target().quoted_table();
    let ask = || sqlx::query(SELECT_STATE).bind(table.clone());
    let rows = commands.fetch(ask).await?;
    let row = rows.first().ok_or_else(|| commands.target().no_table())?;
    let has_standbys = integer::<Postgres>(row, 0)? != 0;
    let end = String::from_utf8_lossy(bytes::<Postgres>(row, 1)?).into_owned();
    let reaches_disk = integer::<Postgres>(row, 2)? != 0;
    if integer::<Postgres>(row, 3)? == 0 {
        return Err(commands.target().misconfigured(
            "the table is unlogged: no standby has its rows, and a crash of the server empties it",
        ));
    }
    match confirmation {
        Confirmation::Replicated if has_standbys => commit(commands, COMMIT_ON_STANDBYS).await,
        Confirmation::Replicated => on_a_standby(commands, &end).await,
        Confirmation::Durable if !reaches_disk => Err(commands
            .target()
            .misconfigured("what is written may never reach the disk: fsync is off; set it to on")),
        Confirmation::Durable => commit(commands, COMMIT_ON_DISK).await,
        other => other.by_answer(),
    }
}

async fn commit(commands: Commands<'_, Postgres>, statement: &'static str) -> Result<()> {
    let committed = commands.fetch_written(|| sqlx::query(statement)).await;
    committed.map(drop)
}

/// Waits until a standby has the log up to `end`, where commits do not wait for any.
async fn on_a_standby(commands: Commands<'_, Postgres>, end: &str) -> Result<()> {
    let is_on_standby = || async move {
        let ask = || sqlx::query(SELECT_STANDBYS).bind(end.to_owned());
        let rows = commands.fetch(ask).await?;
        let row = rows.first().ok_or_else(|| commands.target().no_table())?;
        if integer::<Postgres>(row, 0)? > 0 {
            return Ok(true);
        }
        if integer::<Postgres>(row, 1)? > 0 {
            return Err(commands.target().misconfigured(
                "the user may not see what the standbys have: grant it pg_read_all_stats, or set \
                 synchronous_standby_names",
            ));
        }
        Ok(false)
    };
    let late = "no standby has what was written";
    commands.wait_until(is_on_standby, late).await
}
