//! Values as express-mysql-session keeps them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use session_core::backend::{Call, Policy};
use session_core::{Cursor, Error, Result, Ttl};
use session_express::{Configured, Found, KeyValue, Listed, Renamed};
use sqlx::mysql::MySqlRow;

use super::ExpressStoreBuilder;
use super::schema::{Names, Statements, query};
use super::table::Shape;
use crate::command::{Bound, Commands};
use crate::directory::{after_bytes, after_row};
use crate::row::column;

/// How many rows one statement removes.
const AT_ONCE: u64 = 1_000;

/// Values as express-mysql-session keeps them.
#[derive(Clone)]
pub struct ExpressMysqlSession {
    pub(super) commands: Commands<Statements>,
    pub(super) names: Arc<Names>,
    pub(super) shape: Shape,
    pub(super) max_data: usize,
}

impl Configured for ExpressMysqlSession {
    type Builder = ExpressStoreBuilder;
}

impl ExpressMysqlSession {
    /// Makes the table if it is not there and may be made, and looks whether it can be worked with;
    /// `None` if there is none.
    pub(super) async fn prepare(&self, migrate: bool) -> Result<Option<Shape>> {
        let commands = &self.commands;
        let create = || query(&commands.sql.create_table).persistent(false);
        let table = match migrate {
            true => Some(commands.table_or_create("connect", create).await?),
            false => commands.table("connect").await?,
        };
        let Some(table) = table else {
            return Ok(None);
        };
        let shape = commands.require(Shape::of(&table, &self.names))?;
        let Names {
            sid, expires, data, ..
        } = &*self.names;
        let columns = [sid.as_str(), expires, data];
        commands.check_rights("connect", &columns).await?;
        Ok(Some(shape))
    }

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
            self.make_room(operation, name.as_bytes()).await?;
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
    async fn make_room(&self, operation: &'static str, name: &[u8]) -> Result<()> {
        let remove = || bind_name(query(&self.commands.sql.remove_expired), name);
        self.commands.execute(operation, remove).await?;
        Ok(())
    }
}

impl KeyValue for ExpressMysqlSession {
    type Client = ();

    const NAME: &'static str = "mysql";
    const TTL: Duration = Duration::from_secs(86_400);

    fn policy(&self) -> Policy {
        // Each command has a limit of its own, below.
        Policy::new(self.commands.timeout.saturating_mul(2), self.max_data)
    }

    async fn get(&self, call: &Call<()>, name: &str) -> Result<Option<Found>> {
        let operation = call.name();
        let get = || query(&self.commands.sql.get).bind(name);
        // That a session has gone, or is another version than is to end, is the word of a server
        // that takes writes; a load is answered by any.
        let wanted = match operation {
            "load" => 0,
            "destroy" => usize::MAX,
            _ => 1,
        };
        let rows = self.commands.fetch_from_writable(operation, wanted, get);
        let rows = rows.await?;
        rows.first().map(|row| found(row, 0)).transpose()
    }

    async fn add(&self, call: &Call<()>, name: &str, value: &Bytes, ttl: Ttl) -> Result<bool> {
        let value = text(value)?;
        let add = || {
            query(&self.commands.sql.add)
                .bind(name)
                .bind(millis(ttl))
                .bind(value)
        };
        Ok(self.write(call.name(), name, add).await?.is_some())
    }

    async fn swap(
        &self,
        call: &Call<()>,
        name: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        let swapped = self
            .update(call.name(), (name, name), (old, new), ttl)
            .await?;
        Ok(swapped == Renamed::Done)
    }

    async fn extend(&self, call: &Call<()>, name: &str, ttl: Ttl) -> Result<bool> {
        let extend = || {
            query(&self.commands.sql.extend)
                .bind(millis(ttl))
                .bind(name)
        };
        Ok(self.commands.execute(call.name(), extend).await?.answer > 0)
    }

    async fn rename(
        &self,
        call: &Call<()>,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<Renamed> {
        self.update(call.name(), (from, to), (old, new), ttl).await
    }

    async fn remove(&self, call: &Call<()>, name: &str) -> Result<bool> {
        let remove = || query(&self.commands.sql.remove).bind(name);
        let sent = self.commands.execute(call.name(), remove).await?;
        // An earlier sending may have removed it.
        Ok(sent.answer > 0 || sent.before)
    }

    async fn count(&self, call: &Call<()>) -> Result<u64> {
        let rows = self
            .commands
            .fetch(call.name(), || query(&self.commands.sql.count))
            .await?;
        let count = rows.first().map(|row| column::<i64>(row, 0)).transpose()?;
        Ok(u64::try_from(count.unwrap_or_default()).unwrap_or_default())
    }

    async fn page(&self, call: &Call<()>, cursor: Option<&Cursor>, limit: usize) -> Result<Listed> {
        let after = cursor.map(after_bytes).transpose()?.unwrap_or_default();
        let limit = limit.clamp(1, 10_000);
        let page = || bind_name(query(&self.commands.sql.page), &after).bind(limit as u64);
        let rows = self.commands.fetch(call.name(), page).await?;
        let last = rows.last().filter(|_| rows.len() == limit);
        let next = last.map(after_row).transpose()?;
        // A row that can't be read costs only its own reader.
        let named = |row| Some((name(row)?, found(row, 1).ok()?));
        let values = rows.iter().filter_map(named).collect();
        Ok(Listed { values, next })
    }

    /// Looks first whether the table is still one that can be worked with.
    async fn clear(&self, call: &Call<()>) -> Result<u64> {
        let table = self.commands.table(call.name()).await?;
        let table = table.ok_or_else(|| self.commands.target.no_table())?;
        self.commands
            .require(Shape::of(&table, &self.names).map(drop))?;
        let mut cleared = 0;
        loop {
            let clear = || query(&self.commands.sql.clear).bind(AT_ONCE);
            let rows = self.commands.execute(call.name(), clear).await?.answer;
            cleared += rows;
            if rows < AT_ONCE {
                return Ok(cleared);
            }
        }
    }

    async fn purge(&self, call: &Call<()>, limit: usize) -> Result<()> {
        let expired = || query(&self.commands.sql.expired).bind(limit as u64);
        let rows = self.commands.fetch_from_writable(call.name(), 1, expired);
        let rows = rows.await?;
        for row in &rows {
            self.make_room(call.name(), column(row, 0)?).await?;
        }
        Ok(())
    }

    async fn open(&self, value: &Bytes) -> Result<Bytes> {
        Ok(self.shape.open(value))
    }

    async fn seal(&self, json: Bytes, _: Option<&Bytes>) -> Result<Bytes> {
        let value = self.shape.seal(json)?;
        Error::check_size("record", value.len(), self.max_data)?;
        Ok(value)
    }
}

/// The value in the column `at`, and what is left of its time in the next.
fn found(row: &MySqlRow, at: usize) -> Result<Found> {
    let left: i64 = column(row, at + 1)?;
    Ok(Found {
        value: Bytes::copy_from_slice(column(row, at)?),
        left: Ttl::Left(Duration::from_millis(u64::try_from(left).unwrap_or(0))),
        modified: None,
    })
}

fn name(row: &MySqlRow) -> Option<String> {
    String::from_utf8(column(row, 0).ok()?).ok()
}

/// An id as text, with which a column of characters is looked up by its index; one that is no text
/// is in a column of bytes.
fn bind_name(query: Bound, name: &[u8]) -> Bound {
    match std::str::from_utf8(name) {
        Ok(text) => query.bind(text.to_owned()),
        Err(_) => query.bind(name.to_vec()),
    }
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
            .field("table", &self.names.table)
            .field("timeout", &self.commands.timeout)
            .finish_non_exhaustive()
    }
}
