//! How a store is set up.

use std::time::Duration;

use session_core::backend::{Operation, Policy};
use session_core::{Error, Result};
use sqlx::mysql::MySqlConnectOptions;

use super::schema::Names;
use super::{Express, ExpressMysqlSession, ExpressStore};
use crate::backend::REPEATS;
use crate::connector::MysqlConnector;
use crate::{builder, location};

/// Sets an [`ExpressStore`] up.
#[derive(Clone, Debug)]
#[must_use]
pub struct ExpressStoreBuilder {
    express: Express,
    names: Names,
    connections: u32,
    timeout: Duration,
    max_data: usize,
    migrate: bool,
}

impl From<Express> for ExpressStoreBuilder {
    fn from(express: Express) -> Self {
        Self {
            express,
            names: Names {
                table: "sessions".to_owned(),
                sid: "session_id".to_owned(),
                expires: "expires".to_owned(),
                data: "data".to_owned(),
            },
            connections: 16,
            timeout: Policy::TIMEOUT,
            max_data: Policy::MAX_DATA,
            migrate: true,
        }
    }
}

impl ExpressStoreBuilder {
    /// The table. express-mysql-session: `schema.tableName`; default `sessions`.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.names.table = name.into();
        self
    }

    /// The columns. express-mysql-session: `schema.columnNames`; default `session_id`, `expires`
    /// and `data`.
    pub fn columns(
        mut self,
        session_id: impl Into<String>,
        expires: impl Into<String>,
        data: impl Into<String>,
    ) -> Self {
        self.names.sid = session_id.into();
        self.names.expires = expires.into();
        self.names.data = data.into();
        self
    }

    /// The most connections; default 16. Where the server allows fewer, operations wait for those
    /// there are.
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// The longest that one operation may take; default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most bytes of one record; default 1 MiB, and at most what the column of the data holds:
    /// 16 MiB, or 64 KiB if it is `TEXT`.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// Whether to create the table if it is not there. express-mysql-session:
    /// `createDatabaseTable`; default `true`.
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Connects to the server at `url`, as
    /// [`MysqlStoreBuilder::connect`](crate::MysqlStoreBuilder::connect).
    ///
    /// A table that is there is checked: it must have the three columns, of types that hold a
    /// session, a key that is the session's id alone, and no other column that must be given a value.
    ///
    /// # Errors
    /// As that.
    pub async fn connect(self, url: &str) -> Result<ExpressStore> {
        self.check()?;
        self.connect_with(location::parse(url)?).await
    }

    /// As [`connect`](Self::connect), with options that no URL has.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: MySqlConnectOptions) -> Result<ExpressStore> {
        self.check()?;
        let connector = MysqlConnector::new(options, self.connections, self.timeout)?;
        let client = connector.client();
        let policy = Policy::new(self.timeout, self.max_data).with_repeats(REPEATS);
        let kv = ExpressMysqlSession::new(self.names, policy);
        let express = self.express.clone();
        let store = ExpressStore::new(kv.clone(), express, connector.clone(), client.clone())?;
        let prepare = |call| async move { kv.prepare(&call, self.migrate).await };
        match store.by_command(Operation::Connect, prepare).await? {
            None => Ok(store),
            Some(kv) => ExpressStore::new(kv, self.express, connector, client),
        }
    }

    fn check(&self) -> Result<()> {
        let Names {
            table,
            sid,
            expires,
            data,
        } = &self.names;
        for (what, name) in [
            ("table", table),
            ("column", sid),
            ("column", expires),
            ("column", data),
        ] {
            let length = name.chars().count();
            if !(1..=64).contains(&length) || name.contains('\0') || name.ends_with(' ') {
                return Err(Error::misconfigured(format!(
                    "MySQL has no {what} named {name:?}: it has not 1 to 64 characters, a NUL, or a space at its end"
                )));
            }
        }
        builder::check(self.timeout, self.max_data, self.connections)?;
        if self.max_data > 16 * 1024 * 1024 {
            return Err(Error::misconfigured(
                "max_data must be at most 16 MiB: a MEDIUMTEXT holds no more",
            ));
        }
        self.express.check()
    }
}
