//! Values as express-mysql-session keeps them.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use session_core::{Cursor, Error, Result, Ttl, async_trait};
use session_express::{Configured, Found, KeyValue, Listed, Renamed};
use sqlx::mysql::MySqlRow;

use super::ExpressStoreBuilder;
use super::schema::{Statements, query};
use crate::command::{Bound, Commands};
use crate::row::column;

/// How many rows one statement removes.
const AT_ONCE: u64 = 1_000;

/// Values as express-mysql-session keeps them.
#[derive(Clone)]
pub struct ExpressMysqlSession {
    pub(super) commands: Commands<Statements>,
    pub(super) table: String,
    pub(super) max_data: usize,
}

impl Configured for ExpressMysqlSession {
    type Builder = ExpressStoreBuilder;
}

impl ExpressMysqlSession {
    /// Puts `new` in the place of `old`, under another id if `to` is one: after an expired row has
    /// made room, if there was one.
    async fn update(
        &self,
        operation: &'static str,
        (from, to): (&str, &str),
        (old, new): (&Bytes, &Bytes),
        ttl: Ttl,
    ) -> Result<Renamed> {
        let new = text(new)?;
        let swap = || {
            query(&self.commands.sql.swap)
                .bind(to)
                .bind(millis(ttl))
                .bind(new)
                .bind(from)
                .bind(&**old)
        };
        match self.write(operation, to, swap).await? {
            Some(0) => Ok(Renamed::Changed),
            Some(_) => Ok(Renamed::Done),
            None => Ok(Renamed::Taken),
        }
    }

    /// How many rows `statement` wrote, which puts a value under `name`; `None` if there is a live
    /// one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it wrote nothing, and was sent before on a connection that was
    /// lost: that sending may have been done.
    async fn write(
        &self,
        operation: &'static str,
        name: &str,
        statement: impl Fn() -> Bound,
    ) -> Result<Option<u64>> {
        let mut sent = self.commands.write(operation, &statement).await?;
        if sent.answer.is_none() {
            self.make_room(operation, name).await?;
            let again = self.commands.write(operation, &statement).await?;
            sent.answer = again.answer;
            sent.before |= again.before;
        }
        if sent.before && sent.answer.unwrap_or(0) == 0 {
            return Err(Error::unavailable(
                operation,
                "the connection was lost, and the write may have been done",
            ));
        }
        Ok(sent.answer)
    }

    /// Removes the row `name` if it has expired: it stands where a new one shall be.
    async fn make_room(&self, operation: &'static str, name: &str) -> Result<()> {
        let remove = || query(&self.commands.sql.remove_expired).bind(name);
        self.commands.execute(operation, remove).await?;
        Ok(())
    }
}

#[async_trait]
impl KeyValue for ExpressMysqlSession {
    const TTL: Duration = Duration::from_secs(86_400);

    fn max_data(&self) -> usize {
        self.max_data
    }

    async fn get(&self, operation: &'static str, name: &str) -> Result<Option<Found>> {
        let get = || query(&self.commands.sql.get).bind(name);
        let rows = self.commands.fetch(operation, get).await?;
        rows.first().map(found).transpose()
    }

    async fn add(&self, name: &str, value: &Bytes, ttl: Ttl) -> Result<bool> {
        let value = text(value)?;
        let add = || {
            query(&self.commands.sql.add)
                .bind(name)
                .bind(millis(ttl))
                .bind(value)
        };
        Ok(self.write("create", name, add).await?.is_some())
    }

    async fn swap(&self, name: &str, old: &Bytes, new: &Bytes, ttl: Ttl) -> Result<bool> {
        let swapped = self.update("save", (name, name), (old, new), ttl).await?;
        Ok(swapped == Renamed::Done)
    }

    async fn extend(&self, name: &str, ttl: Ttl) -> Result<bool> {
        let extend = || {
            query(&self.commands.sql.extend)
                .bind(millis(ttl))
                .bind(name)
        };
        Ok(self.commands.execute("touch", extend).await?.answer > 0)
    }

    async fn rename(
        &self,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<Renamed> {
        self.update("rename", (from, to), (old, new), ttl).await
    }

    async fn remove(&self, name: &str) -> Result<bool> {
        let remove = || query(&self.commands.sql.remove).bind(name);
        let sent = self.commands.execute("destroy", remove).await?;
        // An earlier sending may have removed it.
        Ok(sent.answer > 0 || sent.before)
    }

    async fn count(&self) -> Result<u64> {
        let rows = self
            .commands
            .fetch("count", || query(&self.commands.sql.count))
            .await?;
        let count = rows.first().map(|row| column::<i64>(row, 0)).transpose()?;
        Ok(u64::try_from(count.unwrap_or_default()).unwrap_or_default())
    }

    async fn page(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Listed> {
        let after = cursor.map_or(Some(""), |cursor| cursor.as_str().strip_prefix("after:"));
        let after =
            after.ok_or_else(|| Error::misconfigured("this cursor is not of a MySQL store"))?;
        let limit = limit.clamp(1, 10_000);
        let page = || {
            query(&self.commands.sql.page)
                .bind(after)
                .bind(limit as u64)
        };
        let rows = self.commands.fetch("list", page).await?;
        let mut values = Vec::with_capacity(rows.len());
        for row in &rows {
            values.push((name(row, 2)?, found(row)?));
        }
        let last = values.last().filter(|_| rows.len() == limit);
        let next = last.map(|(name, _)| Cursor::new(format!("after:{name}")));
        Ok(Listed { values, next })
    }

    async fn clear(&self) -> Result<u64> {
        let mut cleared = 0;
        loop {
            let clear = || query(&self.commands.sql.clear).bind(AT_ONCE);
            let rows = self.commands.execute("clear", clear).await?.answer;
            cleared += rows;
            if rows < AT_ONCE {
                return Ok(cleared);
            }
        }
    }

    async fn purge(&self, limit: usize) -> Result<()> {
        let expired = || query(&self.commands.sql.expired).bind(limit as u64);
        let rows = self.commands.fetch("reap", expired).await?;
        for row in &rows {
            self.make_room("reap", &name(row, 0)?).await?;
        }
        Ok(())
    }
}

fn found(row: &MySqlRow) -> Result<Found> {
    let left: i64 = column(row, 1)?;
    Ok(Found {
        value: Bytes::copy_from_slice(column(row, 0)?),
        left: Ttl::Left(Duration::from_millis(u64::try_from(left).unwrap_or(0))),
        modified: None,
    })
}

fn name(row: &MySqlRow, index: usize) -> Result<String> {
    String::from_utf8(column(row, index)?).map_err(|_| Error::corrupt("the row has no usable id"))
}

/// A value as text, which a column of type `JSON` needs.
fn text(value: &Bytes) -> Result<&str> {
    std::str::from_utf8(value).map_err(|_| Error::corrupt("the session is no text"))
}

/// Until 2106, which is the end of the column, for ever.
fn millis(ttl: Ttl) -> i64 {
    let left = ttl.left().map_or(i64::MAX, |left| {
        i64::try_from(left.as_millis()).unwrap_or(i64::MAX)
    });
    left.min(1 << 42)
}

impl fmt::Debug for ExpressMysqlSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpressMysqlSession")
            .field("table", &self.table)
            .field("timeout", &self.commands.timeout)
            .finish_non_exhaustive()
    }
}
