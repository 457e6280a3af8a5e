//! The records of express-mysql-session.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use session_core::backend::{Call, Operation, Policy};
use session_core::{Cursor, Error, Result, Ttl};
use session_express::{Configured, Found, KeyValue, Listed, Renamed};
use sqlx::mysql::MySqlRow;

use super::ExpressStoreBuilder;
use super::format::Format;
use super::schema::{Names, Statements, query};
use crate::client::MysqlClient;
use crate::command::Commands;
use crate::directory::{clear, count, page};
use crate::prepared::Bound;
use crate::record::column;

/// The records of express-mysql-session: reads and writes them for an
/// [`ExpressStore`](super::ExpressStore).
#[derive(Clone)]
pub struct ExpressMysqlSession {
    names: Arc<Names>,
    sql: Arc<Statements>,
    format: Format,
    policy: Policy,
}

impl Configured for ExpressMysqlSession {
    type Builder = ExpressStoreBuilder;
}

impl ExpressMysqlSession {
    /// For a table as this crate and express-mysql-session create it.
    pub(super) fn new(names: Names, policy: Policy) -> Self {
        let format = Format::default();
        Self {
            sql: Arc::new(Statements::new(&names, format.is_bytes)),
            names: Arc::new(names),
            format,
            policy,
        }
    }

    /// The same for a table of another format.
    fn with_format(mut self, format: Format) -> Self {
        self.policy.max_data = self.policy.max_data.min(format.max_bytes);
        self.sql = Arc::new(Statements::new(&self.names, format.is_bytes));
        self.format = format;
        self
    }

    /// Creates the table if it does not exist and `migrate` is set, and checks it. Returns the same
    /// with the table's format; `None` if there is no table.
    pub(super) async fn prepare(
        self,
        call: &Call<MysqlClient>,
        migrate: bool,
    ) -> Result<Option<Self>> {
        let commands = self.commands(call);
        let create = || query(&self.sql.create_table).persistent(false);
        let table = match migrate {
            true => Some(commands.table_or_create(create).await?),
            false => commands.table().await?,
        };
        let Some(table) = table else {
            return Ok(None);
        };
        let format = commands.require(Format::of(&table, &self.names))?;
        let Names {
            sid, expires, data, ..
        } = &*self.names;
        let columns = [sid.as_str(), expires, data];
        commands.check_rights(&columns).await?;
        Ok(Some(self.with_format(format)))
    }

    fn commands<'c>(&'c self, call: &'c Call<MysqlClient>) -> Commands<'c> {
        Commands::new(call, &self.names.table)
    }

    /// Replaces `old` by `new` and the id `from` by `to`. Removes an expired row that has the id
    /// `to`.
    async fn update(
        &self,
        call: &Call<MysqlClient>,
        (from, to): (&str, &str),
        (old, new): (&Bytes, &Bytes),
        ttl: Ttl,
    ) -> Result<Renamed> {
        let new = text(new)?;
        let swap = || {
            query(&self.sql.swap)
                .bind(to)
                .bind(millis(ttl))
                .bind(new)
                .bind(from)
                .bind(&**old)
        };
        match self.write(call, to, swap).await? {
            Some(0) => Ok(Renamed::Changed),
            Some(_) => Ok(Renamed::Done),
            None => Ok(Renamed::Taken),
        }
    }

    /// Runs `statement`, which writes a value under `name`. Returns how many rows it wrote; `None`
    /// if there is a live one with that name.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](session_core::ErrorKind::Unavailable) if it wrote nothing and an
    /// earlier attempt, whose answer was lost, may have written.
    async fn write(
        &self,
        call: &Call<MysqlClient>,
        name: &str,
        statement: impl Fn() -> Bound,
    ) -> Result<Option<u64>> {
        let commands = self.commands(call);
        let first = commands.write(&statement).await?;
        let (mut written, mut is_repeated) = (first.answer, first.is_repeated);
        if written.is_none() {
            self.remove_expired(call, name.as_bytes()).await?;
            let again = commands.write(&statement).await?;
            written = again.answer;
            is_repeated |= again.is_repeated;
        }
        if is_repeated && written.unwrap_or(0) == 0 {
            return Err(Error::unavailable(
                call.name(),
                "the connection was lost, and the write may have been executed",
            ));
        }
        Ok(written)
    }

    /// Removes the row `name` if it has expired.
    async fn remove_expired(&self, call: &Call<MysqlClient>, name: &[u8]) -> Result<()> {
        let remove = || bind_name(query(&self.sql.remove_expired), name);
        self.commands(call).execute(remove).await?;
        Ok(())
    }
}

impl KeyValue for ExpressMysqlSession {
    type Client = MysqlClient;
    const NAME: &'static str = "mysql";
    const TTL: Duration = Duration::from_secs(86_400);

    fn policy(&self) -> Policy {
        self.policy
    }

    async fn get(&self, call: &Call<MysqlClient>, name: &str) -> Result<Option<Found>> {
        let get = || query(&self.sql.get).bind(name);
        // Only a server that takes writes may say that a session is gone, or has the version to
        // destroy. Any server may answer a load.
        let wanted = match call.operation() {
            Operation::Load => 0,
            Operation::Destroy => usize::MAX,
            _ => 1,
        };
        let rows = self.commands(call).fetch_from_writable(wanted, get).await?;
        rows.first().map(|row| found(row, 0)).transpose()
    }

    async fn add(
        &self,
        call: &Call<MysqlClient>,
        name: &str,
        value: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        let value = text(value)?;
        let add = || {
            let query = query(&self.sql.add).bind(name);
            query.bind(millis(ttl)).bind(value)
        };
        Ok(self.write(call, name, add).await?.is_some())
    }

    async fn swap(
        &self,
        call: &Call<MysqlClient>,
        name: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        let swapped = self.update(call, (name, name), (old, new), ttl).await?;
        Ok(swapped == Renamed::Done)
    }

    async fn extend(&self, call: &Call<MysqlClient>, name: &str, ttl: Ttl) -> Result<bool> {
        let extend = || query(&self.sql.extend).bind(millis(ttl)).bind(name);
        Ok(self.commands(call).execute(extend).await?.answer > 0)
    }

    async fn rename(
        &self,
        call: &Call<MysqlClient>,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<Renamed> {
        self.update(call, (from, to), (old, new), ttl).await
    }

    async fn remove(&self, call: &Call<MysqlClient>, name: &str) -> Result<bool> {
        let remove = || query(&self.sql.remove).bind(name);
        let sent = self.commands(call).execute(remove).await?;
        // An earlier attempt may have removed it.
        Ok(sent.answer > 0 || sent.is_repeated)
    }

    async fn count(&self, call: &Call<MysqlClient>) -> Result<u64> {
        let count_all = || query(&self.sql.count);
        count(&self.commands(call).fetch(count_all).await?)
    }

    async fn page(
        &self,
        call: &Call<MysqlClient>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Listed> {
        let list = |after: &[u8], limit: u64| bind_name(query(&self.sql.page), after).bind(limit);
        let (rows, next) = page(self.commands(call), cursor, limit, list).await?;
        // Corrupt rows are left out.
        let named = |row| Some((name(row)?, found(row, 1).ok()?));
        let values = rows.iter().filter_map(named).collect();
        Ok(Listed { values, next })
    }

    /// Checks first that the table can still be used.
    async fn clear(&self, call: &Call<MysqlClient>) -> Result<u64> {
        let commands = self.commands(call);
        let table = commands.table().await?;
        let table = table.ok_or_else(|| commands.target().no_table())?;
        commands.require(Format::of(&table, &self.names))?;
        clear(commands, |limit| query(&self.sql.clear).bind(limit)).await
    }

    async fn purge(&self, call: &Call<MysqlClient>, limit: usize) -> Result<()> {
        let expired = || query(&self.sql.expired).bind(limit as u64);
        let rows = self.commands(call).fetch_from_writable(1, expired).await?;
        for row in &rows {
            self.remove_expired(call, column(row, 0)?).await?;
        }
        Ok(())
    }

    async fn open(&self, value: &Bytes) -> Result<Bytes> {
        Ok(self.format.open(value))
    }

    async fn seal(&self, json: Bytes, _: Option<&Bytes>) -> Result<Bytes> {
        let value = self.format.seal(json)?;
        Error::check_size("record", value.len(), self.policy.max_data)?;
        Ok(value)
    }
}

/// The value in the column `at`, and its remaining time in the next column.
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

/// Binds an id as text, so that the index of a text column is used. An id that is not UTF-8 comes
/// from a column of bytes.
fn bind_name(query: Bound, name: &[u8]) -> Bound {
    match std::str::from_utf8(name) {
        Ok(text) => query.bind(text),
        Err(_) => query.bind(name),
    }
}

/// A value as text, as a column of type `JSON` requires.
fn text(value: &Bytes) -> Result<&str> {
    std::str::from_utf8(value).map_err(|_| Error::corrupt("the session is no text"))
}

/// For ever is until 2106, the end of the column's range.
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
            .field("timeout", &self.policy.timeout)
            .finish_non_exhaustive()
    }
}
