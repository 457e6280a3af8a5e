//! Listing, owners, clearing and reaping.

use std::sync::Arc;

use session_core::backend::Call;
use session_core::{Cursor, Ended, Error, Owner, Page, Result, SessionId};
use sqlx::mysql::MySqlRow;

use crate::command::Commands;
use crate::connector::MysqlClient;
use crate::removal::{Condition, Id, Removal};
use crate::row::{column, id_bytes, info};
use crate::schema::Statements;
use crate::statement::{Bound, MOST};

/// How many rows one statement clears.
const CLEARED_AT_ONCE: u64 = 1_000;
/// How often in a row all sessions that a batch found may have ended or changed their owner before
/// it locked them.
const FRUITLESS: u32 = 16;

/// The most rows of a page.
const PAGE: usize = 10_000;

/// An operation of the directory.
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

    /// In batches of up to 128, each a transaction. If one fails after others were done, the answer
    /// is what they have ended.
    pub(crate) async fn destroy_owned_by(
        self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let limit = limit.max(1);
        let mut all = Vec::new();
        let mut fruitless = 0;
        while all.len() < limit && fruitless < FRUITLESS {
            let most = MOST.min(limit - all.len());
            match self.destroy_owned(owner, except, most).await {
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
                format!("at each of {FRUITLESS} attempts, other callers changed what was found"),
            ));
        }
        Ok(all)
    }

    /// Looks first whether the table is still one of a store's.
    pub(crate) async fn clear(self) -> Result<u64> {
        self.commands().check_table().await?;
        clear(self.commands(), |most| self.sql.clear.query().bind(most)).await
    }

    /// In batches of 128, each a short transaction. If one fails after others were done, the answer
    /// is what they have removed.
    pub(crate) async fn reap(self, limit: usize) -> Result<Vec<Ended>> {
        let expired = || self.sql.expired_ids.query().bind(limit as u64);
        let ids = self.ids(expired).await?;
        let mut reaped = Vec::new();
        for batch in ids.chunks(MOST) {
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

    /// The ids that `statement` gives. That there is none is the word of a server that takes writes.
    async fn ids(self, statement: impl Fn() -> Bound) -> Result<Vec<Id>> {
        let rows = self.commands().fetch_from_writable(1, statement).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    /// Ends up to `most` sessions of `owner`; `None` if there are none but `except`.
    async fn destroy_owned(
        self,
        owner: &Owner,
        except: Option<&SessionId>,
        most: usize,
    ) -> Result<Option<Vec<Ended>>> {
        let except = except.map_or(&[][..], id_bytes);
        let owned = || {
            let query = self.sql.owned_ids.query().bind(owner_bytes(owner));
            query.bind(except).bind(most as u64)
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

    /// A page of what `statement` gives, whose last binds are the id before the page and the most
    /// rows. A row that can't be read costs only its own reader.
    async fn page(
        self,
        cursor: Option<&Cursor>,
        limit: usize,
        statement: impl Fn() -> Bound,
    ) -> Result<Page> {
        let bind = |after: &[u8], most: u64| statement().bind(after).bind(most);
        let (rows, next) = page(self.commands(), cursor, limit, bind).await?;
        let sessions = rows.iter().filter_map(|row| info(row).ok()).collect();
        Ok(Page::new(sessions, next))
    }
}

/// The number in the only row and column.
pub(crate) fn count(rows: &[MySqlRow]) -> Result<u64> {
    let count = rows.first().map(|row| column::<i64>(row, 0)).transpose()?;
    Ok(u64::try_from(count.unwrap_or_default()).unwrap_or_default())
}

/// Deletes all rows, a few at a time by `statement`, which is given how many; how many there were.
pub(crate) async fn clear(commands: Commands<'_>, statement: impl Fn(u64) -> Bound) -> Result<u64> {
    let mut cleared = 0;
    loop {
        let rows = commands
            .execute(|| statement(CLEARED_AT_ONCE))
            .await?
            .answer;
        cleared += rows;
        if rows < CLEARED_AT_ONCE {
            return Ok(cleared);
        }
    }
}

/// The rows that `statement` gives behind the cursor, given an id and how many; and where the next
/// page starts.
pub(crate) async fn page(
    commands: Commands<'_>,
    cursor: Option<&Cursor>,
    limit: usize,
    statement: impl Fn(&[u8], u64) -> Bound,
) -> Result<(Vec<MySqlRow>, Option<Cursor>)> {
    let after = cursor.map(id_before).transpose()?.unwrap_or_default();
    let limit = limit.clamp(1, PAGE);
    let rows = commands.fetch(|| statement(&after, limit as u64)).await?;
    let last = rows.last().filter(|_| rows.len() == limit);
    let next = last.map(cursor_after).transpose()?;
    Ok((rows, next))
}

/// Behind the row, whose id need not be readable.
fn cursor_after(row: &MySqlRow) -> Result<Cursor> {
    let id: &[u8] = column(row, 0)?;
    Ok(Cursor::new(format!("after:{}", hex::encode(id))))
}

/// The id that a cursor stands behind.
fn id_before(cursor: &Cursor) -> Result<Id> {
    let digits = cursor.as_str().strip_prefix("after:");
    let id = digits.and_then(|digits| hex::decode(digits).ok());
    id.ok_or_else(|| Error::misconfigured("this cursor is not of a MySQL store"))
}

fn owner_bytes(owner: &Owner) -> &[u8] {
    owner.as_str().as_bytes()
}
