//! Confirmation that what was written is on a replica, or on the disk.

use session_core::{Confirmation, Result};
use session_sql::Commands;
use session_sql::record::{bytes, integer};

use crate::Mysql;

/// The names since MySQL 8.0.26, and those of before and of MariaDB.
const SELECT_ENABLED: &str = "\
SHOW GLOBAL VARIABLES WHERE Variable_name IN
    ('rpl_semi_sync_source_enabled', 'rpl_semi_sync_master_enabled')";
/// `ON` while each commit waits until a replica has it, and again once a replica has all of those that
/// did not wait.
const SELECT_STATUS: &str = "\
SHOW GLOBAL STATUS WHERE Variable_name IN
    ('Rpl_semi_sync_source_status', 'Rpl_semi_sync_master_status')";
const SELECT_REPLICAS: &str = "\
SHOW GLOBAL STATUS WHERE Variable_name IN
    ('Rpl_semi_sync_source_clients', 'Rpl_semi_sync_master_clients')";
const SELECT_DURABILITY: &str = "\
SELECT CAST(@@innodb_flush_log_at_trx_commit AS SIGNED), CAST(@@log_bin AS SIGNED),
    CAST(@@sync_binlog AS SIGNED)";

/// Waits until all that was written before is `confirmation`.
pub(crate) async fn confirm(
    commands: Commands<'_, Mysql>,
    confirmation: Confirmation,
) -> Result<()> {
    match confirmation {
        Confirmation::Replicated => replicated(commands).await,
        Confirmation::Durable => durable(commands).await,
        other => other.by_answer(),
    }
}

/// Waits until semi-synchronous replication says that a replica has all that was committed.
async fn replicated(commands: Commands<'_, Mysql>) -> Result<()> {
    if setting(commands, SELECT_ENABLED).await?.as_deref() != Some(b"ON") {
        return Err(commands.target().misconfigured(
            "nothing tells that a replica has a write: set up semi-synchronous replication, and \
             rpl_semi_sync_source_enabled (before MySQL 8.0.26 and in MariaDB \
             rpl_semi_sync_master_enabled) to ON",
        ));
    }
    let is_on_replica = || async move {
        let is_on = setting(commands, SELECT_STATUS).await?.as_deref() == Some(b"ON");
        let replicas = setting(commands, SELECT_REPLICAS).await?;
        Ok(is_on && replicas.is_some_and(|replicas| replicas != b"0"))
    };
    let late = "no replica acknowledges what is written: semi-synchronous replication is off until one \
                has caught up";
    commands.wait_until(is_on_replica, late).await
}

/// The value of a variable that has several names; `None` if the server has none of them.
async fn setting(commands: Commands<'_, Mysql>, ask: &'static str) -> Result<Option<Vec<u8>>> {
    let rows = commands.fetch(|| sqlx::query(ask)).await?;
    let value = rows.first().map(|row| bytes::<Mysql>(row, 1));
    Ok(value.transpose()?.map(<[u8]>::to_vec))
}

/// With the right settings, a commit is on the disk when it is answered.
async fn durable(commands: Commands<'_, Mysql>) -> Result<()> {
    let rows = commands.fetch(|| sqlx::query(SELECT_DURABILITY)).await?;
    let row = rows.first().ok_or_else(|| commands.target().no_table())?;
    let number = |column| integer::<Mysql>(row, column);
    let (flush, has_log, sync) = (number(0)?, number(1)? != 0, number(2)?);
    let weak = match (flush, has_log, sync) {
        (1, false, _) | (1, true, 1) => return Ok(()),
        (1, ..) => format!("sync_binlog is {sync}"),
        _ => format!("innodb_flush_log_at_trx_commit is {flush}"),
    };
    Err(commands.target().misconfigured(format!(
        "what is answered may not be on the disk yet: {weak}; set it to 1"
    )))
}
