//! The five operations: one statement each, or a share of one that serves many.

use std::fmt;
use std::sync::Arc;

use session_core::batch::{Batcher, Create, Destroy, Save, Touch};
use session_core::{
    Capabilities, Draft, Ended, Error, Record, Result, Saved, SessionDirectory, SessionId,
    SessionStore, Timeout, Ttl, Version, async_trait,
};
use sqlx::Row;

use crate::MysqlStoreBuilder;
use crate::carrier::{Creates, Destroys, Loads, Saves, Touches, limits};
use crate::command::Commands;
use crate::connection::Connections;
use crate::error::Target;
use crate::schema::Statements;
use crate::table::difference;

/// What a statement takes besides the data, at most.
const STATEMENT_BYTES: usize = 16 * 1024;

/// Sessions in one MySQL or MariaDB table. Clones share its connections.
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

    pub(crate) fn new(
        connections: Connections,
        target: Target,
        options: &MysqlStoreBuilder,
    ) -> Self {
        let limits = limits(connections.most());
        let commands = Commands {
            connections,
            sql: Arc::new(Statements::new(&target.table)),
            target,
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
    /// Needs the right `CREATE` on the table if it has to create it.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] if a table of this name is there that is not one of a store's, or
    /// a right is missing: the message names what differs or which; the store's own.
    pub async fn migrate(&self) -> Result<()> {
        let commands = &self.commands;
        let create = || commands.sql.create_table.query().persistent(false);
        let table = commands.table_or_create("migrate", create).await?;
        commands.require(difference(&table))?;
        commands.check_own_rights("migrate").await
    }

    /// Looks whether the server and the table are fit to be used. A table that is not there may be
    /// made later.
    pub(crate) async fn check_server(&self) -> Result<()> {
        let commands = &self.commands;
        let ask = || sqlx::query("SELECT CAST(@@max_allowed_packet AS SIGNED)").persistent(false);
        let rows = commands.fetch("connect", ask).await?;
        let packet = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0));
        let packet = packet.map_err(|error| commands.target.error("connect", &error))?;
        if i64::try_from(self.max_data + STATEMENT_BYTES).unwrap_or(i64::MAX) > packet {
            return Err(commands.target.misconfigured(format!(
                "max_data is {} bytes, but the server's max_allowed_packet is {packet}: lower the \
                 one or raise the other",
                self.max_data
            )));
        }
        if let Some(table) = commands.table("connect").await? {
            commands.require(difference(&table))?;
            commands.check_own_rights("connect").await?;
        }
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
