//! Confirmation that what was written is on the disk.

use std::time::{Duration, Instant};

use session_core::backend::Backoff;
use session_core::{Error, Result};
use session_sql::Commands;
use session_sql::record::integer;

use crate::Sqlite;

/// Writes the log to the disk, and then what is in it to the file. Answers whether another connection
/// held it up.
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(FULL)";
/// The pauses between two looks.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(4), Duration::from_millis(64));

/// Waits until all that was written before is on the disk.
pub(crate) async fn durable(commands: Commands<'_, Sqlite>) -> Result<()> {
    let (began, limit) = (Instant::now(), commands.call().timeout() * 3 / 4);
    for attempt in 0.. {
        let rows = commands.fetch_written(|| sqlx::query(CHECKPOINT)).await?;
        let is_held = rows.answer.first().map(|row| integer::<Sqlite>(row, 0));
        if is_held.transpose()? == Some(0) {
            return Ok(());
        }
        if began.elapsed() > limit {
            let why = "other connections read or write the file at every moment";
            return Err(Error::timeout(
                commands.call().name(),
                commands.target().at(why),
            ));
        }
        BACKOFF.wait(attempt).await;
    }
    Ok(())
}
