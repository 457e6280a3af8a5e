//! Listing, owners, clearing and reaping.

use std::fmt::Write;

use session_core::{
    Cursor, Ended, Error, Owner, Page, Result, SessionDirectory, SessionId, async_trait,
};
use sqlx::mysql::MySqlRow;

use crate::MysqlStore;
use crate::command::{Bound, Commands};
use crate::removal::{Condition, Id, Removal};
use crate::row::{column, id_bytes, info};
use crate::schema::MOST;

/// How many rows one statement clears.
const CLEARED_AT_ONCE: u64 = 1_000;
/// How often in a row all sessions that a batch found may have ended or changed their owner before
/// it locked them.
const FRUITLESS: u32 = 16;

#[async_trait]
impl SessionDirectory for MysqlStore {
    async fn count(&self) -> Result<u64> {
        let commands = &self.commands;
        let rows = commands
            .fetch("count", || commands.sql.count.query())
            .await?;
        let count = rows.first().map(|row| column::<i64>(row, 0)).transpose()?;
        Ok(u64::try_from(count.unwrap_or_default()).unwrap_or_default())
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let list = || self.commands.sql.list.query();
        self.commands.page("list", cursor, limit, list).await
    }

    async fn owned_by(&self, owner: &Owner, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let owned = || self.commands.sql.owned.query().bind(owner_bytes(owner));
        self.commands.page("owned_by", cursor, limit, owned).await
    }

    /// In batches of up to 128, each a transaction. If one fails after others were done, the answer
    /// is what they have ended.
    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let limit = limit.max(1);
        let mut all = Vec::new();
        let mut fruitless = 0;
        while all.len() < limit && fruitless < FRUITLESS {
            let most = MOST.min(limit - all.len());
            match self.commands.destroy_owned(owner, except, most).await {
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
                "destroy_owned_by",
                format!("at each of {FRUITLESS} attempts, other callers changed what was found"),
            ));
        }
        Ok(all)
    }

    /// Looks first whether the table is still one of a store's.
    async fn clear(&self) -> Result<u64> {
        self.commands.check_table("clear").await?;
        let mut cleared = 0;
        loop {
            let commands = &self.commands;
            let clear = || commands.sql.clear.query().bind(CLEARED_AT_ONCE);
            let rows = commands.execute("clear", clear).await?.answer;
            cleared += rows;
            if rows < CLEARED_AT_ONCE {
                return Ok(cleared);
            }
        }
    }

    /// In batches of 128, each a short transaction. If one fails after others were done, the answer
    /// is what they have removed.
    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        let ids = self
            .commands
            .ids("reap", || {
                self.commands.sql.expired_ids.query().bind(limit as u64)
            })
            .await?;
        let mut reaped = Vec::new();
        for batch in ids.chunks(MOST) {
            let removal = Removal {
                lock: self.commands.sql.lock_expired.clone(),
                ids: batch.to_vec(),
                condition: Condition::Nothing,
            };
            match self.commands.remove("reap", removal).await {
                Ok(ended) => reaped.extend(ended),
                Err(error) if reaped.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(reaped)
    }
}

impl Commands {
    /// The ids that `statement` gives. That there is none is the word of a server that takes writes.
    async fn ids(&self, operation: &'static str, statement: impl Fn() -> Bound) -> Result<Vec<Id>> {
        let rows = self.fetch_from_writable(operation, 1, statement).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    /// Ends up to `most` sessions of `owner`; `None` if there are none but `except`.
    async fn destroy_owned(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        most: usize,
    ) -> Result<Option<Vec<Ended>>> {
        let except = except.map_or(&[][..], id_bytes);
        let owned = || {
            let query = self.sql.owned_ids.query().bind(owner_bytes(owner));
            query.bind(except).bind(most as u64)
        };
        let ids = self.ids("destroy_owned_by", owned).await?;
        if ids.is_empty() {
            return Ok(None);
        }
        let removal = Removal {
            lock: self.sql.lock_live.clone(),
            ids,
            condition: Condition::Owner(owner_bytes(owner).to_vec()),
        };
        self.remove("destroy_owned_by", removal).await.map(Some)
    }

    /// A page of what `statement` gives, whose last binds are the id before the page and the most
    /// rows. A row that can't be read costs only its own reader.
    async fn page(
        &self,
        operation: &'static str,
        cursor: Option<&Cursor>,
        limit: usize,
        statement: impl Fn() -> Bound,
    ) -> Result<Page> {
        let after = cursor.map(after_bytes).transpose()?.unwrap_or_default();
        let limit = limit.clamp(1, 10_000);
        let page = || statement().bind(&after[..]).bind(limit as u64);
        let rows = self.fetch(operation, page).await?;
        let last = rows.last().filter(|_| rows.len() == limit);
        let next = last.map(after_row).transpose()?;
        let sessions = rows.iter().filter_map(|row| info(row).ok()).collect();
        Ok(Page { sessions, next })
    }
}

/// Behind the row, whose id need not be readable.
pub(crate) fn after_row(row: &MySqlRow) -> Result<Cursor> {
    let mut cursor = "after:".to_owned();
    for byte in column::<&[u8]>(row, 0)? {
        // Writing to a string can't fail.
        let _ = write!(cursor, "{byte:02x}");
    }
    Ok(Cursor::new(cursor))
}

/// The id that a cursor stands behind.
pub(crate) fn after_bytes(cursor: &Cursor) -> Result<Id> {
    let digits = cursor.as_str().strip_prefix("after:").unwrap_or("odd");
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2);
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
    });
    let bytes: Option<Id> = pairs.collect();
    bytes.ok_or_else(|| Error::misconfigured("this cursor is not of a MySQL store"))
}

fn owner_bytes(owner: &Owner) -> &[u8] {
    owner.as_str().as_bytes()
}
