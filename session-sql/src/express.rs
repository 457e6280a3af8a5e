//! Sessions in a table of one of Express' stores (feature `express`).
//!
//! A database is an [`ExpressTable`]: the statements on that table with their binds. [`SqlKeyValue`]
//! makes of it what [`session_express::ExpressStore`] works on.

use std::fmt::{self, Debug};
use std::time::Duration;

use bytes::Bytes;
use session_core::backend::{Call, Operation, Policy};
use session_core::{Cursor, Error, Result, Ttl};
use session_express::{Configured, Express, Found, KeyValue, Listed, Renamed};

use crate::record::{bytes, integer};
use crate::{Bound, Commands, Dialect, Difference, RowOf, SqlClient, Table, clear, count, page};

/// A table of one of Express' stores: the statements on it with their binds.
///
/// A row has an id, a value and the time of its end. A statement treats a row whose time has passed
/// as absent, unless it says otherwise. Times to live are bound in milliseconds.
pub trait ExpressTable: Debug + Send + Sync + 'static {
    /// The database.
    type Dialect: Dialect;
    /// The builder of the store.
    type Builder: From<Express>;

    /// The name of the table.
    fn name(&self) -> &str;

    /// The limits of an operation.
    fn policy(&self) -> Policy;

    /// Finds a difference that makes the table unusable.
    ///
    /// # Errors
    /// The difference.
    fn difference(&self, table: &Table) -> std::result::Result<(), Difference>;

    /// Selects the value of an id, and the milliseconds that are left of its time.
    fn get(&self, id: &str) -> Bound<Self::Dialect>;

    /// Inserts a row. If there is a live one, it writes none, or fails because of a
    /// [duplicate key](crate::Cause::Duplicate).
    fn add(&self, id: &str, value: &str, millis: i64) -> Bound<Self::Dialect>;

    /// Replaces the first of the `values` by the second, and the first of the `ids` by the second.
    fn swap(&self, ids: [&str; 2], values: [&str; 2], millis: i64) -> Bound<Self::Dialect>;

    /// Extends the time of a row, if it ends earlier than in `millis`.
    fn extend(&self, id: &str, millis: i64) -> Bound<Self::Dialect>;

    /// Deletes a row.
    fn remove(&self, id: &str) -> Bound<Self::Dialect>;

    /// Deletes a row if its time has passed.
    fn remove_expired(&self, id: &[u8]) -> Bound<Self::Dialect>;

    /// Counts the rows.
    fn count(&self) -> Bound<Self::Dialect>;

    /// Selects ids in ascending order, with the columns of [`get`](Self::get).
    fn page(&self, after: &[u8], limit: u64) -> Bound<Self::Dialect>;

    /// Deletes up to `limit` rows, whether or not their time has passed.
    fn clear(&self, limit: u64) -> Bound<Self::Dialect>;

    /// Deletes about `limit` rows whose time has passed.
    fn purge(
        &self,
        commands: Commands<'_, Self::Dialect>,
        limit: u64,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Converts a stored value to JSON.
    fn open(&self, value: &Bytes) -> Bytes {
        value.clone()
    }

    /// Converts JSON to the value to store.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](session_core::ErrorKind::Value) for JSON that the column would change.
    fn seal(&self, json: Bytes) -> Result<Bytes>;
}

/// Reads and writes the records in a table of Express'.
pub struct SqlKeyValue<T>(T);

impl<T: ExpressTable> SqlKeyValue<T> {
    /// Of this table.
    pub const fn new(table: T) -> Self {
        Self(table)
    }

    fn commands<'c>(&'c self, call: &'c Call<SqlClient<T::Dialect>>) -> Commands<'c, T::Dialect> {
        Commands::new(call, self.0.name())
    }

    async fn replace(
        &self,
        call: &Call<SqlClient<T::Dialect>>,
        ids: [&str; 2],
        values: [&Bytes; 2],
        ttl: Ttl,
    ) -> Result<Renamed> {
        // A value that is no text is corrupt in any layout, so no session has it.
        let Ok(old) = text(values[0]) else {
            return Ok(Renamed::Changed);
        };
        let values = [old, text(values[1])?];
        let swap = || self.0.swap(ids, values, millis(ttl));
        match self.write(call, ids[1], swap).await? {
            Some(0) => Ok(Renamed::Changed),
            Some(_) => Ok(Renamed::Done),
            None => Ok(Renamed::Taken),
        }
    }

    /// Runs `statement`, which writes a value under `id`. Returns how many rows it wrote; `None` if a
    /// live one has that key. An expired one is removed.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](session_core::ErrorKind::Unavailable) if it wrote nothing and an
    /// earlier attempt, whose answer was lost, may have written.
    async fn write(
        &self,
        call: &Call<SqlClient<T::Dialect>>,
        id: &str,
        statement: impl Fn() -> Bound<T::Dialect> + Sync,
    ) -> Result<Option<u64>> {
        let commands = self.commands(call);
        let first = commands.write(&statement).await?;
        let (mut written, mut is_repeated) = (first.answer, first.is_repeated);
        if written.is_none() {
            let remove = || self.0.remove_expired(id.as_bytes());
            commands.execute(remove).await?;
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
}

impl<T: ExpressTable> Configured for SqlKeyValue<T> {
    type Builder = T::Builder;
}

impl<T: ExpressTable> KeyValue for SqlKeyValue<T> {
    type Client = SqlClient<T::Dialect>;
    const NAME: &'static str = T::Dialect::NAME;
    const TTL: Duration = Duration::from_secs(86_400);

    fn policy(&self) -> Policy {
        self.0.policy()
    }

    async fn get(&self, call: &Call<Self::Client>, name: &str) -> Result<Option<Found>> {
        // Only a server that takes writes may say that a session is gone, or has the version to
        // destroy. Any server may answer a load.
        let wanted = match call.operation() {
            Operation::Load => 0,
            Operation::Destroy => usize::MAX,
            _ => 1,
        };
        let commands = self.commands(call);
        let get = || self.0.get(name);
        let rows = commands.fetch_from_writable(wanted, get).await?;
        let row = rows.first().map(|row| found::<T::Dialect>(row, 0));
        row.transpose()
    }

    async fn add(
        &self,
        call: &Call<Self::Client>,
        name: &str,
        value: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        let value = text(value)?;
        let add = || self.0.add(name, value, millis(ttl));
        let written = self.write(call, name, add).await?;
        Ok(written.is_some_and(|rows| rows > 0))
    }

    async fn swap(
        &self,
        call: &Call<Self::Client>,
        name: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        let swapped = self.replace(call, [name, name], [old, new], ttl).await?;
        Ok(swapped == Renamed::Done)
    }

    async fn extend(&self, call: &Call<Self::Client>, name: &str, ttl: Ttl) -> Result<bool> {
        let extend = || self.0.extend(name, millis(ttl));
        Ok(self.commands(call).execute(extend).await?.answer > 0)
    }

    async fn rename(
        &self,
        call: &Call<Self::Client>,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<Renamed> {
        self.replace(call, [from, to], [old, new], ttl).await
    }

    async fn remove(&self, call: &Call<Self::Client>, name: &str) -> Result<bool> {
        let remove = || self.0.remove(name);
        let sent = self.commands(call).execute(remove).await?;
        // An earlier attempt may have removed it.
        Ok(sent.answer > 0 || sent.is_repeated)
    }

    async fn count(&self, call: &Call<Self::Client>) -> Result<u64> {
        let rows = self.commands(call).fetch(|| self.0.count()).await?;
        count::<T::Dialect>(&rows)
    }

    async fn page(
        &self,
        call: &Call<Self::Client>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Listed> {
        let list = |after: &[u8], limit| self.0.page(after, limit);
        let (rows, next) = page(self.commands(call), cursor, limit, list).await?;
        // Corrupt rows are left out.
        let listed = |row| Some((id::<T::Dialect>(row)?, found::<T::Dialect>(row, 1).ok()?));
        let values = rows.iter().filter_map(listed).collect();
        Ok(Listed { values, next })
    }

    /// Checks first that the table can still be used.
    async fn clear(&self, call: &Call<Self::Client>) -> Result<u64> {
        let commands = self.commands(call);
        let table = T::Dialect::table(commands).await?;
        let table = table.ok_or_else(|| commands.target().no_table())?;
        commands.require(self.0.difference(&table))?;
        clear(commands, |limit| self.0.clear(limit)).await
    }

    async fn purge(&self, call: &Call<Self::Client>, limit: usize) -> Result<()> {
        self.0.purge(self.commands(call), limit as u64).await
    }

    async fn open(&self, value: &Bytes) -> Result<Bytes> {
        Ok(self.0.open(value))
    }

    async fn seal(&self, json: Bytes, _: Option<&Bytes>) -> Result<Bytes> {
        let value = self.0.seal(json)?;
        Error::check_size("record", value.len(), self.policy().max_data)?;
        Ok(value)
    }
}

/// The value in the column `at`, and its remaining time in the next column.
fn found<D: Dialect>(row: &RowOf<D>, at: usize) -> Result<Found> {
    let left = integer::<D>(row, at + 1)?;
    Ok(Found {
        value: Bytes::copy_from_slice(bytes::<D>(row, at)?),
        left: Ttl::Left(Duration::from_millis(u64::try_from(left).unwrap_or(0))),
        modified: None,
    })
}

/// The id in the first column; `None` if it is no text.
fn id<D: Dialect>(row: &RowOf<D>) -> Option<String> {
    String::from_utf8(bytes::<D>(row, 0).ok()?.to_vec()).ok()
}

/// A value as text, which columns of types for JSON require.
fn text(value: &Bytes) -> Result<&str> {
    std::str::from_utf8(value).map_err(|_| Error::corrupt("the session is no text"))
}

/// For ever is 139 years: a column of 32 bits ends in 2106, and its statements stop there.
fn millis(ttl: Ttl) -> i64 {
    let left = ttl.left().map_or(i64::MAX, |left| {
        i64::try_from(left.as_millis()).unwrap_or(i64::MAX)
    });
    left.min(1 << 42)
}

impl<T: ExpressTable> Debug for SqlKeyValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
