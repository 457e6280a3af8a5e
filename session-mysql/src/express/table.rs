//! The table of express-mysql-session.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use session_core::Result;
use session_core::backend::{Call, Policy};
use session_sql::express::ExpressTable;
use session_sql::record::bytes;
use session_sql::{Dialect as _, Difference, Table};

use super::ExpressStoreBuilder;
use super::format::Format;
use super::schema::{Names, Statements};
use crate::{Mysql, MysqlClient, check};

type Bound = session_sql::Bound<Mysql>;
type Commands<'c> = session_sql::Commands<'c, Mysql>;

/// The table of express-mysql-session, for an [`ExpressStore`](super::ExpressStore).
#[derive(Clone)]
pub struct ExpressMysqlSession {
    names: Arc<Names>,
    sql: Arc<Statements>,
    format: Format,
    policy: Policy,
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
        check::one_server(commands).await?;
        let table = match migrate {
            true => Some(commands.table_or_create(&self.sql.create_table).await?),
            false => Mysql::table(commands).await?,
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
}

impl ExpressTable for ExpressMysqlSession {
    type Dialect = Mysql;
    type Builder = ExpressStoreBuilder;

    fn name(&self) -> &str {
        &self.names.table
    }

    fn policy(&self) -> Policy {
        self.policy
    }

    fn difference(&self, table: &Table) -> std::result::Result<(), Difference> {
        Format::of(table, &self.names).map(drop)
    }

    fn get(&self, id: &str) -> Bound {
        self.sql.get.query().bind(id)
    }

    fn add(&self, id: &str, value: &str, millis: i64) -> Bound {
        self.sql.add.query().bind(id).bind(millis).bind(value)
    }

    fn swap(&self, [from, to]: [&str; 2], [old, new]: [&str; 2], millis: i64) -> Bound {
        let query = self.sql.swap.query().bind(to).bind(millis);
        query.bind(new).bind(from).bind(old.as_bytes())
    }

    fn extend(&self, id: &str, millis: i64) -> Bound {
        self.sql.extend.query().bind(millis).bind(id)
    }

    fn remove(&self, id: &str) -> Bound {
        self.sql.remove.query().bind(id)
    }

    fn remove_expired(&self, id: &[u8]) -> Bound {
        bind_id(self.sql.remove_expired.query(), id)
    }

    fn count(&self) -> Bound {
        self.sql.count.query()
    }

    fn page(&self, after: &[u8], limit: u64) -> Bound {
        bind_id(self.sql.page.query(), after).bind(limit)
    }

    fn clear(&self, limit: u64) -> Bound {
        self.sql.clear.query().bind(limit)
    }

    async fn purge(&self, commands: Commands<'_>, limit: u64) -> Result<()> {
        let expired = || self.sql.expired.query().bind(limit);
        let rows = commands.fetch_from_writable(1, expired).await?;
        for row in &rows {
            let id = bytes::<Mysql>(row, 0)?;
            commands.execute(|| self.remove_expired(id)).await?;
        }
        Ok(())
    }

    fn open(&self, value: &Bytes) -> Bytes {
        self.format.open(value)
    }

    fn seal(&self, json: Bytes) -> Result<Bytes> {
        self.format.seal(json)
    }
}

/// Binds an id as text, so that the index of a text column is used. An id that is not UTF-8 comes
/// from a column of bytes.
fn bind_id(query: Bound, id: &[u8]) -> Bound {
    match std::str::from_utf8(id) {
        Ok(text) => query.bind(text),
        Err(_) => query.bind(id),
    }
}

impl fmt::Debug for ExpressMysqlSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpressMysqlSession")
            .field("table", &self.names.table)
            .field("timeout", &self.policy.timeout)
            .finish_non_exhaustive()
    }
}
