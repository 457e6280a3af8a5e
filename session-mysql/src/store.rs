//! The five operations: one statement each, or a share of one that serves many.

use std::fmt;
use std::sync::Arc;

use session_core::batch::{Batcher, Create, Destroy, Save, Touch};
use session_core::{
    Capabilities, Draft, Ended, Error, Record, Result, Saved, SessionDirectory, SessionId,
    SessionStore, Timeout, Ttl, Version, async_trait,
};
use sqlx::{MySqlPool, Row};

use crate::MysqlStoreBuilder;
use crate::carrier::{Creates, Destroys, Loads, Saves, Touches, limits};
use crate::command::Commands;
use crate::connection::Connections;
use crate::schema::Statements;

/// What a statement takes besides the data, at most.
const STATEMENT_BYTES: usize = 16 * 1024;

/// Sessions in one MySQL or MariaDB table. Clones share the pool.
#[derive(Clone)]
pub struct MysqlStore {
    pub(crate) commands: Commands,
    creates: Batcher<Creates>,
    loads: Batcher<Loads>,
    saves: Batcher<Saves>,
    touches: Batcher<Touches>,
    destroys: Batcher<Destroys>,
    max_data: usize,
}

impl MysqlStore {
    /// Connects to the server at `url`, with the defaults of the [builder](MysqlStoreBuilder).
    ///
    /// # Errors
    /// As [`MysqlStoreBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url).await
    }

    /// Sets a store up.
    pub fn builder() -> MysqlStoreBuilder {
        MysqlStoreBuilder::default()
    }

    /// A store that keeps at most `at_hand` of the pool's connections to itself.
    pub(crate) fn new(pool: MySqlPool, at_hand: u32, options: &MysqlStoreBuilder) -> Self {
        let limits = limits(pool.options().get_max_connections());
        let commands = Commands {
            connections: Connections::new(pool, at_hand as usize),
            sql: Arc::new(Statements::new(&options.table)),
            timeout: options.timeout,
        };
        let limit = options.timeout;
        Self {
            creates: Batcher::new(Creates(commands.clone()), limits, limit),
            loads: Batcher::new(Loads(commands.clone()), limits, limit),
            saves: Batcher::new(Saves(commands.clone()), limits, limit),
            touches: Batcher::new(Touches(commands.clone()), limits, limit),
            destroys: Batcher::new(Destroys::new(commands.clone()), limits, limit),
            commands,
            max_data: options.max_data,
        }
    }

    /// Creates the table if it is not there. May be called by many processes at once, and again.
    /// Needs the right to create tables in the database, none to create databases.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] if a right is missing or the server's `max_allowed_packet` is
    /// under [`max_data`](MysqlStoreBuilder::max_data); the store's own.
    pub async fn migrate(&self) -> Result<()> {
        let commands = &self.commands;
        let packet = commands
            .run("migrate", |_| async {
                let ask = sqlx::query("SELECT CAST(@@max_allowed_packet AS SIGNED)");
                let row = ask.fetch_one(&commands.connections.pool).await?;
                Ok(row.try_get::<i64, _>(0)?)
            })
            .await?;
        if i64::try_from(self.max_data + STATEMENT_BYTES).unwrap_or(i64::MAX) > packet {
            return Err(Error::misconfigured(format!(
                "max_data is {} bytes, but the server's max_allowed_packet is {packet}: lower the \
                 one or raise the other",
                self.max_data
            )));
        }
        let create = || commands.sql.create_table.query();
        commands.execute("migrate", create).await?;
        Ok(())
    }

    fn check(&self, draft: &Draft) -> Result<()> {
        Error::check_size("record", draft.data.len(), self.max_data)
    }
}

#[async_trait]
impl SessionStore for MysqlStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .with_expiry_reports(true)
            .with_max_data(self.max_data)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        Some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        self.check(draft)?;
        let (id, draft) = (id.clone(), draft.clone());
        self.creates.call(Create { id, draft }).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        self.loads.call(id.clone()).await
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        self.check(draft)?;
        let (id, draft, expected) = (id.clone(), draft.clone(), expected.clone());
        self.saves
            .call(Save {
                id,
                draft,
                expected,
            })
            .await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let id = id.clone();
        self.touches.call(Touch { id, idle }).await
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        let (id, expected) = (id.clone(), expected.cloned());
        self.destroys.call(Destroy { id, expected }).await
    }
}

impl fmt::Debug for MysqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlStore")
            .field("table", &self.commands.sql.table)
            .field("timeout", &self.commands.timeout)
            .finish_non_exhaustive()
    }
}
