//! The table of sessions.

use std::fmt;
use std::sync::{Arc, Mutex};

use session_core::backend::{Call, Create, Destroy, Policy, Save, Store, Touch};
use session_core::{Ended, Inspection, Owner, Result, Saved, SessionId, Ttl};
use session_sql::record::{id_bytes, owner_bytes};
use session_sql::{
    Bound, Claimed, Commands, Difference, Expected, Id, Removal, Returning, SessionTable,
    SqlBackend, SqlClient, Statement, Table, returning,
};
use sqlx::SqliteConnection;

use crate::schema::{COLUMNS, Statements, VERSION};
use crate::statement::{of_ids, of_stored};
use crate::{Sqlite, SqliteStoreBuilder, check, inspection};

/// The table of a [`SqliteStore`](crate::SqliteStore). Clones share its statements.
#[derive(Clone)]
pub struct SqliteTable {
    sql: Arc<Statements>,
    /// A connection that is never used: a database in memory ends with its last connection.
    _keeps: Option<Arc<Mutex<SqliteConnection>>>,
}

impl SqliteTable {
    pub(crate) fn new(name: &str, keeps: Option<SqliteConnection>) -> Self {
        Self {
            sql: Arc::new(Statements::new(name)),
            _keeps: keeps.map(|connection| Arc::new(Mutex::new(connection))),
        }
    }
}

impl fmt::Debug for SqliteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTable")
            .field("name", &self.sql.table)
            .finish_non_exhaustive()
    }
}

impl SessionTable for SqliteTable {
    type Dialect = Sqlite;
    type Builder = SqliteStoreBuilder;
    const VERSION: u8 = VERSION;
    const COLUMNS: &'static [Expected] = &COLUMNS;

    fn name(&self) -> &str {
        &self.sql.table
    }

    async fn connect(builder: SqliteStoreBuilder, url: &str) -> Result<Store<SqlBackend<Self>>> {
        builder.connect(url).await
    }

    async fn check_server(&self, commands: Commands<'_, Sqlite>, _: Policy) -> Result<()> {
        check::version(commands).await
    }

    async fn inspection(&self, commands: Commands<'_, Sqlite>) -> Result<Inspection> {
        inspection::run(commands).await
    }

    fn create_table(&self) -> &[Statement<Sqlite>] {
        &self.sql.create_table
    }

    fn difference(&self, table: &Table) -> Result<(), Difference> {
        table.check_not_view()?;
        table.check_columns::<Sqlite>(Self::COLUMNS)?;
        table.check_indexes::<Sqlite>("id", &["owner", "due"])?;
        check::check_strict(table)
    }

    fn load_one(&self, id: &SessionId) -> Bound<Sqlite> {
        of_ids(&self.sql.load, &[id])
    }

    fn load(&self, ids: &[SessionId]) -> Bound<Sqlite> {
        of_ids(&self.sql.load, ids)
    }

    fn stamps(&self, ids: &[&SessionId]) -> Bound<Sqlite> {
        of_ids(&self.sql.stamps, ids)
    }

    fn save(&self, saves: &[&Save]) -> Bound<Sqlite> {
        self.sql.save(saves)
    }

    fn count(&self) -> Bound<Sqlite> {
        self.sql.count.query()
    }

    fn list(&self, after: &[u8], limit: u64) -> Bound<Sqlite> {
        self.sql.list.query().bind(after).bind(number(limit))
    }

    fn owned(&self, owner: &Owner, after: &[u8], limit: u64) -> Bound<Sqlite> {
        let query = self.sql.owned.query().bind(owner_bytes(owner));
        query.bind(after).bind(number(limit))
    }

    fn owned_ids(&self, owner: &Owner, except: Option<&SessionId>, limit: u64) -> Bound<Sqlite> {
        let query = self.sql.owned_ids.query().bind(owner_bytes(owner));
        let except = except.map(id_bytes).unwrap_or_default();
        query.bind(except).bind(number(limit))
    }

    fn expired_ids(&self, limit: u64) -> Bound<Sqlite> {
        self.sql.expired_ids.query().bind(number(limit))
    }

    fn present(&self, ids: &[Id]) -> Bound<Sqlite> {
        of_stored(&self.sql.present, ids, |query| query)
    }

    fn delete_claimed(&self, ids: &[Id]) -> Bound<Sqlite> {
        of_stored(&self.sql.delete_claimed, ids, |query| query)
    }

    fn clear(&self, limit: u64) -> Bound<Sqlite> {
        self.sql.clear.query().bind(number(limit))
    }

    async fn create(
        &self,
        commands: Commands<'_, Sqlite>,
        creates: &[Create],
    ) -> Result<Vec<Result<Saved>>> {
        returning::create(self, commands, creates).await
    }

    async fn touch(
        &self,
        commands: Commands<'_, Sqlite>,
        touches: &[Touch],
    ) -> Result<Vec<Result<Option<Ttl>>>> {
        returning::touch(self, commands, touches).await
    }

    async fn destroy(
        &self,
        call: &Call<SqlClient<Sqlite>>,
        destroys: &[Destroy],
    ) -> Result<Vec<Result<Option<Ended>>>> {
        returning::destroy(self, call, destroys).await
    }

    async fn claim(&self, call: &Call<SqlClient<Sqlite>>, ids: &[Id]) -> Result<Claimed> {
        returning::claim(self, call, ids).await
    }

    async fn remove(&self, call: &Call<SqlClient<Sqlite>>, removal: Removal) -> Result<Vec<Ended>> {
        returning::remove(self, call, removal).await
    }
}

impl Returning for SqliteTable {
    fn insert(&self, creates: &[Create]) -> Bound<Sqlite> {
        self.sql.insert(creates)
    }

    fn extend(&self, touches: &[Touch]) -> Bound<Sqlite> {
        self.sql.extend(touches)
    }

    fn delete(&self, removal: &Removal) -> Bound<Sqlite> {
        self.sql.delete(removal)
    }

    fn claim_expired(&self, ids: &[Id]) -> Bound<Sqlite> {
        of_stored(&self.sql.claim, ids, |query| query)
    }
}

/// SQLite's numbers have a sign, and none for no limit.
fn number(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
