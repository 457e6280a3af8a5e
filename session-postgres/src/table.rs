//! The table of sessions.

use session_core::backend::{Call, Create, Destroy, Policy, Save, Store, Touch};
use session_core::{Ended, Inspection, NoticeStream, Owner, Result, Saved, SessionId, Ttl};
use session_sql::{
    Bound, Claimed, Commands, Difference, Expected, Id, Removal, Returning, SessionTable,
    SqlBackend, SqlClient, Statement, Table, returning,
};

use crate::notices::Listener;
use crate::schema::{self, Statements};
use crate::{Postgres, PostgresStoreBuilder, check, inspection};

/// The table of sessions in a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct PostgresTable {
    sql: Statements,
    /// What listens to notices, if anything does.
    listener: Option<Listener>,
}

impl PostgresTable {
    pub(crate) const fn new(sql: Statements, listener: Option<Listener>) -> Self {
        Self { sql, listener }
    }
}

impl SessionTable for PostgresTable {
    type Dialect = Postgres;
    type Builder = PostgresStoreBuilder;

    const VERSION: u8 = schema::VERSION;
    const COLUMNS: &'static [Expected] = check::COLUMNS;

    fn name(&self) -> &str {
        &self.sql.table
    }

    async fn connect(builder: PostgresStoreBuilder, url: &str) -> Result<Store<SqlBackend<Self>>> {
        builder.connect(url).await
    }

    fn notices(&self, call: Call<SqlClient<Postgres>>) -> Option<NoticeStream> {
        Some(self.listener.as_ref()?.listen(call, self.sql.clone()))
    }

    async fn check_server(&self, commands: Commands<'_, Postgres>, _: Policy) -> Result<()> {
        check::server(commands).await
    }

    async fn inspection(&self, commands: Commands<'_, Postgres>) -> Result<Inspection> {
        inspection::run(commands).await
    }

    fn create_table(&self) -> &[Statement<Postgres>] {
        &self.sql.migrate
    }

    fn difference(&self, table: &Table) -> Result<(), Difference> {
        check::difference(table)
    }

    fn load_one(&self, id: &SessionId) -> Bound<Postgres> {
        self.sql.load(id)
    }

    fn load(&self, ids: &[SessionId]) -> Bound<Postgres> {
        self.sql.load_many(ids)
    }

    fn stamps(&self, ids: &[&SessionId]) -> Bound<Postgres> {
        self.sql.stamps(ids)
    }

    fn save(&self, saves: &[&Save]) -> Bound<Postgres> {
        self.sql.save(saves)
    }

    fn count(&self) -> Bound<Postgres> {
        self.sql.count.query()
    }

    fn list(&self, after: &[u8], limit: u64) -> Bound<Postgres> {
        self.sql.list(after, limit)
    }

    fn owned(&self, owner: &Owner, after: &[u8], limit: u64) -> Bound<Postgres> {
        self.sql.owned(owner, after, limit)
    }

    fn owned_ids(&self, owner: &Owner, except: Option<&SessionId>, limit: u64) -> Bound<Postgres> {
        self.sql.owned_ids(owner, except, limit)
    }

    fn expired_ids(&self, limit: u64) -> Bound<Postgres> {
        self.sql.expired_ids(limit)
    }

    fn present(&self, ids: &[Id]) -> Bound<Postgres> {
        self.sql.present(ids)
    }

    fn delete_claimed(&self, ids: &[Id]) -> Bound<Postgres> {
        self.sql.delete_claimed(ids)
    }

    fn clear(&self, limit: u64) -> Bound<Postgres> {
        self.sql.clear(limit)
    }

    async fn create(
        &self,
        commands: Commands<'_, Postgres>,
        creates: &[Create],
    ) -> Result<Vec<Result<Saved>>> {
        returning::create(self, commands, creates).await
    }

    async fn touch(
        &self,
        commands: Commands<'_, Postgres>,
        touches: &[Touch],
    ) -> Result<Vec<Result<Option<Ttl>>>> {
        returning::touch(self, commands, touches).await
    }

    async fn destroy(
        &self,
        call: &Call<SqlClient<Postgres>>,
        destroys: &[Destroy],
    ) -> Result<Vec<Result<Option<Ended>>>> {
        returning::destroy(self, call, destroys).await
    }

    async fn claim(&self, call: &Call<SqlClient<Postgres>>, ids: &[Id]) -> Result<Claimed> {
        returning::claim(self, call, ids).await
    }

    async fn remove(
        &self,
        call: &Call<SqlClient<Postgres>>,
        removal: Removal,
    ) -> Result<Vec<Ended>> {
        returning::remove(self, call, removal).await
    }
}

impl Returning for PostgresTable {
    fn insert(&self, creates: &[Create]) -> Bound<Postgres> {
        self.sql.create(creates)
    }

    fn extend(&self, touches: &[Touch]) -> Bound<Postgres> {
        self.sql.touch(touches)
    }

    fn delete(&self, removal: &Removal) -> Bound<Postgres> {
        self.sql.delete(removal)
    }

    fn claim_expired(&self, ids: &[Id]) -> Bound<Postgres> {
        self.sql.claim(ids)
    }
}
