//! The table of connect-pg-simple.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use session_core::backend::{Call, Policy};
use session_core::{ErrorKind, Result};
use session_sql::express::ExpressTable;
use session_sql::record::bytes;
use session_sql::{Dialect as _, Difference, Table};

use super::ExpressStoreBuilder;
use super::format::Format;
use super::schema::{CHECK_TIME_ZONE, SELECT_SETTINGS, Statements};
use crate::{Postgres, check};

type Bound = session_sql::Bound<Postgres>;
type Commands<'c> = session_sql::Commands<'c, Postgres>;
type PostgresClient = session_sql::SqlClient<Postgres>;

/// The table of connect-pg-simple, for an [`ExpressStore`](super::ExpressStore).
#[derive(Clone)]
pub struct ConnectPgSimple {
    table: Arc<str>,
    sql: Arc<Statements>,
    format: Arc<Format>,
    policy: Policy,
}

impl ConnectPgSimple {
    /// For a table as this crate and connect-pg-simple create it, until [`prepare`](Self::prepare) has
    /// found out how it is.
    pub(super) fn new(table: String, policy: Policy) -> Self {
        let format = Format::new("UTC".to_owned());
        Self {
            sql: Arc::new(Statements::new(&table, &format)),
            table: table.into(),
            format: Arc::new(format),
            policy,
        }
    }

    /// Creates the table if it does not exist and `migrate` is set, and checks it. Returns the same
    /// with the table's format. Without a `time_zone`, looks it up.
    pub(super) async fn prepare(
        mut self,
        call: &Call<PostgresClient>,
        migrate: bool,
        time_zone: Option<String>,
    ) -> Result<Self> {
        let commands = self.commands(call);
        check::server(commands).await?;
        let table = match migrate {
            true => Some(commands.table_or_create(&self.sql.create_table).await?),
            false => Postgres::table(commands).await?,
        };
        let time_zone = time_zone_of(commands, time_zone).await?;
        let format = match table {
            None => Format::new(time_zone),
            Some(table) => {
                let format = commands.require(Format::of(&table, time_zone))?;
                commands.check_rights(&["sid", "sess", "expire"]).await?;
                format
            }
        };
        self.sql = Arc::new(Statements::new(&self.table, &format));
        self.format = Arc::new(format);
        Ok(self)
    }

    fn commands<'c>(&'c self, call: &'c Call<PostgresClient>) -> Commands<'c> {
        Commands::new(call, &self.table)
    }
}

impl ExpressTable for ConnectPgSimple {
    type Dialect = Postgres;
    type Builder = ExpressStoreBuilder;

    fn name(&self) -> &str {
        &self.table
    }

    fn policy(&self) -> Policy {
        self.policy
    }

    fn difference(&self, table: &Table) -> std::result::Result<(), Difference> {
        Format::of(table, String::new()).map(drop)
    }

    fn get(&self, id: &str) -> Bound {
        self.sql.get.query().bind(id)
    }

    fn add(&self, id: &str, value: &str, millis: i64) -> Bound {
        let query = self.sql.add.query().bind(id);
        query.bind(millis).bind(value)
    }

    fn swap(&self, [from, to]: [&str; 2], [old, new]: [&str; 2], millis: i64) -> Bound {
        let query = self.sql.swap.query().bind(to).bind(millis);
        let query = query.bind(new).bind(from);
        query.bind(old)
    }

    fn extend(&self, id: &str, millis: i64) -> Bound {
        self.sql.extend.query().bind(id).bind(millis)
    }

    fn remove(&self, id: &str) -> Bound {
        self.sql.remove.query().bind(id)
    }

    fn remove_expired(&self, id: &[u8]) -> Bound {
        self.sql.remove_expired.query().bind(text(id))
    }

    fn count(&self) -> Bound {
        self.sql.count.query()
    }

    fn page(&self, after: &[u8], limit: u64) -> Bound {
        self.sql.page.query().bind(text(after)).bind(signed(limit))
    }

    fn clear(&self, limit: u64) -> Bound {
        self.sql.clear.query().bind(signed(limit))
    }

    async fn purge(&self, commands: Commands<'_>, limit: u64) -> Result<()> {
        let purge = || self.sql.purge.query().bind(signed(limit));
        commands.execute(purge).await?;
        Ok(())
    }

    fn seal(&self, json: Bytes) -> Result<Bytes> {
        self.format.check(&json)?;
        Ok(json)
    }
}

/// An id, which is text in any table of this kind.
fn text(id: &[u8]) -> String {
    String::from_utf8_lossy(id).into_owned()
}

fn signed(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The time zone of connections that set none; `chosen` if there is one. Checks that the server knows
/// it, and the encoding of the database.
async fn time_zone_of(commands: Commands<'_>, chosen: Option<String>) -> Result<String> {
    let ask = || sqlx::query(SELECT_SETTINGS);
    let rows = commands.fetch(ask).await?;
    let setting = |at| -> Result<String> {
        let value = rows.first().map(|row| bytes::<Postgres>(row, at));
        let value = value.transpose()?.unwrap_or_default();
        Ok(String::from_utf8_lossy(value).into_owned())
    };
    let encoding = setting(0)?;
    if encoding != "UTF8" {
        let wrong = format!("the encoding of the database is {encoding}: sessions need UTF8");
        return Err(commands.target().misconfigured(wrong));
    }
    let time_zone = match chosen {
        Some(chosen) => chosen,
        None => setting(1)?,
    };
    let check = || -> Bound {
        let query = sqlx::query(CHECK_TIME_ZONE);
        query.bind(time_zone.clone())
    };
    match commands.fetch(check).await {
        Ok(_) => Ok(time_zone),
        Err(error) if error.kind() == ErrorKind::Refused => {
            let unknown = format!("the server knows no time zone {time_zone:?}: set `time_zone`");
            Err(commands.target().misconfigured(unknown))
        }
        Err(error) => Err(error),
    }
}

impl fmt::Debug for ConnectPgSimple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectPgSimple")
            .field("table", &Postgres::quoted(&self.table))
            .field("time_zone", &self.format.time_zone)
            .field("timeout", &self.policy.timeout)
            .finish_non_exhaustive()
    }
}
