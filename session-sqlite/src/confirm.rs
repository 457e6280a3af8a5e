//! Confirmation that what was written is on the disk.

use session_core::Result;
use session_sql::Commands;
use session_sql::record::integer;

use crate::Sqlite;

/// Writes the log to the disk, and then what is in it to the file. Answers whether another connection
/// held it up.
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(FULL)";

/// Waits until all that was written before is on the disk.
pub(crate) async fn durable(commands: Commands<'_, Sqlite>) -> Result<()> {
    let is_written = || async move {
        let rows = commands.fetch_written(|| sqlx::query(CHECKPOINT)).await?;
        let is_held = rows.answer.first().map(|row| integer::<Sqlite>(row, 0));
        Ok(is_held.transpose()? == Some(0))
    };
    let late = "other connections read or write the file at every moment";
    commands.wait_until(is_written, late).await
}
