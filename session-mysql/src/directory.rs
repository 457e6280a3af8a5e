//! The directory: listing, counting, owners, clearing and reaping.

use std::sync::Arc;

use session_core::backend::Call;
use session_core::{Cursor, Ended, Error, Owner, Page, Result, SessionId};
use sqlx::mysql::MySqlRow;

use crate::client::MysqlClient;
use crate::command::Commands;
use crate::prepared::{Bound, MAX_BATCH};
use crate::record::{column, id_bytes, info};
use crate::removal::{Condition, Id, Removal};
use crate::schema::Statements;

/// How many rows one statement deletes.
const CLEAR_BATCH: u64 = 1_000;
/// How many batches in a row may find sessions of which none can be destroyed, because other
/// requests destroy them or change their owner first.
const MAX_FRUITLESS: u32 = 16;

/// The most rows of a page.
const MAX_PAGE: usize = 10_000;

/// One operation of the directory.
#[derive(Clone, Copy)]
pub(crate) struct Directory<'d> {
    pub(crate) call: &'d Call<MysqlClient>,
    pub(crate) sql: &'d Arc<Statements>,
}

impl<'d> Directory<'d> {
    fn commands(self) -> Commands<'d> {
        Commands::new(self.call, &self.sql.table)
    }

    pub(crate) async fn count(self) -> Result<u64> {
        let rows = self.commands().fetch(|| self.sql.count.query()).await?;
        count(&rows)
    }

    pub(crate) async fn list(self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.page(cursor, limit, || self.sql.list.query()).await
    }

    pub(crate) async fn owned_by(
        self,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        let owned = || self.sql.owned.query().bind(owner_bytes(owner));
        self.page(cursor, limit, owned).await
    }

    /// Destroys in batches of up to 128, each a transaction. If a batch fails after others
    /// succeeded, returns what those have destroyed.
    pub(crate) async fn destroy_owned_by(
        self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let limit = limit.max(1);
        let mut all = Vec::new();
        let mut fruitless = 0;
        while all.len() < limit && fruitless < MAX_FRUITLESS {
            let batch = MAX_BATCH.min(limit - all.len());
            match self.destroy_owned(owner, except, batch).await {
                Ok(None) => return Ok(all),
                Ok(Some(ended)) => {
                    fruitless = if ended.is_empty() { fruitless + 1 } else { 0 };
                    all.extend(ended);
                }
                Err(error) if all.is_empty() => return Err(error),
                Err(_) => return Ok(all),
            }
        }
        if all.is_empty() {
            return Err(Error::unavailable(
                self.call.name(),
                format!(
                    "at each of {MAX_FRUITLESS} attempts, other callers changed what was found"
                ),
            ));
        }
        Ok(all)
    }

    /// Checks first that the table is still a store's.
    pub(crate) async fn clear(self) -> Result<u64> {
        self.commands().check_table().await?;
        clear(self.commands(), |limit| self.sql.clear.query().bind(limit)).await
    }

    /// Reaps in batches of up to 128, each a short transaction. If a batch fails after others
    /// succeeded, returns what those have removed.
    pub(crate) async fn reap(self, limit: usize) -> Result<Vec<Ended>> {
        let expired = || self.sql.expired_ids.query().bind(limit as u64);
        let ids = self.ids(expired).await?;
        let mut reaped = Vec::new();
        for batch in ids.chunks(MAX_BATCH) {
            let removal = Removal {
                lock: self.sql.lock_expired.clone(),
                ids: batch.to_vec(),
                condition: Condition::Nothing,
            };
            match removal.send(self.call, self.sql).await {
                Ok(ended) => reaped.extend(ended),
                Err(error) if reaped.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(reaped)
    }

    /// Fetches the ids that `statement` selects. If there is none, the server must take writes.
    async fn ids(self, statement: impl Fn() -> Bound) -> Result<Vec<Id>> {
        let rows = self.commands().fetch_from_writable(1, statement).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    /// Destroys up to `limit` sessions of `owner`; `None` if there are none but `except`.
    async fn destroy_owned(
        self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Option<Vec<Ended>>> {
        let except = except.map_or(&[][..], id_bytes);
        let owned = || {
            let query = self.sql.owned_ids.query().bind(owner_bytes(owner));
            query.bind(except).bind(limit as u64)
        };
        let ids = self.ids(owned).await?;
        if ids.is_empty() {
            return Ok(None);
        }
        let removal = Removal {
            lock: self.sql.lock_live.clone(),
            ids,
            condition: Condition::Owner(owner_bytes(owner).to_vec()),
        };
        removal.send(self.call, self.sql).await.map(Some)
    }

    /// A page of the sessions that `statement` selects; its last binds are the id before the page
    /// and the limit. Corrupt rows are left out.
    async fn page(
        self,
        cursor: Option<&Cursor>,
        limit: usize,
        statement: impl Fn() -> Bound,
    ) -> Result<Page> {
        let bind = |after: &[u8], limit: u64| statement().bind(after).bind(limit);
        let (rows, next) = page(self.commands(), cursor, limit, bind).await?;
        let sessions = rows.iter().filter_map(|row| info(row).ok()).collect();
        Ok(Page::new(sessions, next))
    }
}

/// The number in the first column of the only row.
pub(crate) fn count(rows: &[MySqlRow]) -> Result<u64> {
    let count = rows.first().map(|row| column::<i64>(row, 0)).transpose()?;
    Ok(u64::try_from(count.unwrap_or_default()).unwrap_or_default())
}

/// Deletes all rows by repeating `statement`, whose argument is its limit. Returns how many there
/// were.
pub(crate) async fn clear(commands: Commands<'_>, statement: impl Fn(u64) -> Bound) -> Result<u64> {
    let mut cleared = 0;
    loop {
        let rows = commands.execute(|| statement(CLEAR_BATCH)).await?.answer;
        cleared += rows;
        if rows < CLEAR_BATCH {
            return Ok(cleared);
        }
    }
}

/// The rows after the cursor, and the cursor of the next page. The arguments of `statement` are the
/// id before the page and the limit.
pub(crate) async fn page(
    commands: Commands<'_>,
    cursor: Option<&Cursor>,
    limit: usize,
    statement: impl Fn(&[u8], u64) -> Bound,
) -> Result<(Vec<MySqlRow>, Option<Cursor>)> {
    let after = cursor.map(id_before).transpose()?.unwrap_or_default();
    let limit = limit.clamp(1, MAX_PAGE);
    let rows = commands.fetch(|| statement(&after, limit as u64)).await?;
    let last = rows.last().filter(|_| rows.len() == limit);
    let next = last.map(cursor_after).transpose()?;
    Ok((rows, next))
}

/// The cursor after `row`, whose id may be corrupt.
fn cursor_after(row: &MySqlRow) -> Result<Cursor> {
    let id: &[u8] = column(row, 0)?;
    Ok(Cursor::new(format!("after:{}", hex::encode(id))))
}

/// The id that `cursor` follows.
fn id_before(cursor: &Cursor) -> Result<Id> {
    let digits = cursor.as_str().strip_prefix("after:");
    let id = digits.and_then(|digits| hex::decode(digits).ok());
    id.ok_or_else(|| Error::misconfigured("this cursor is not of a MySQL store"))
}

fn owner_bytes(owner: &Owner) -> &[u8] {
    owner.as_str().as_bytes()
}
