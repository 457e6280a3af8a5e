//! The table of sessions, with the operations that MySQL does its own way.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use session_core::backend::{Call, Create, Destroy, Policy, Save, Touch};
use session_core::{Ended, Inspection, Owner, Record, Result, Saved, SessionId, Ttl};
use session_sql::record::{id_bytes, integer, ttl};
use session_sql::{
    Bound, Claimed, Commands, Difference, Expected, Id, Removal, SessionTable, Statement, Table,
    in_order, record, stamps,
};
use sqlx::mysql::MySqlRow;

use crate::check::{self, check_engine};
use crate::record::record_with_head;
use crate::save_many::groups_to_save;
use crate::schema::{COLUMNS, Statements, VERSION};
use crate::statement::{groups, with_ids};
use crate::{Mysql, MysqlClient, MysqlStore, MysqlStoreBuilder, inspection};

/// The most bytes of a statement besides the data.
const STATEMENT_BYTES: usize = 16 * 1024;

/// The table of a [`MysqlStore`]. Clones share its statements.
#[derive(Clone, Debug)]
pub struct MysqlTable {
    pub(crate) sql: Arc<Statements>,
    /// Whether the server may know `DELETE … RETURNING`: false once it has refused it. MariaDB
    /// knows it, MySQL does not.
    pub(crate) has_returning: Arc<AtomicBool>,
}

impl MysqlTable {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            sql: Arc::new(Statements::new(name)),
            has_returning: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Creates as many sessions as one of the prepared sizes.
    async fn create_part(
        &self,
        commands: Commands<'_, Mysql>,
        creates: &[Create],
    ) -> Result<Vec<Result<Saved>>> {
        let mut is_repeated = false;
        if creates.len() > 1 {
            let sent = commands.write(|| self.sql.create(creates)).await?;
            if sent.answer.is_some() {
                let done = creates.iter().map(|create| Ok(Saved::done(&create.draft)));
                return Ok(done.collect());
            }
            is_repeated = sent.is_repeated;
        }
        // A single create, or one of the ids is taken.
        let mut answers = Vec::with_capacity(creates.len());
        for create in creates {
            answers.push(self.create_one(commands, create, is_repeated).await);
        }
        Ok(answers)
    }

    /// Creates one session, replacing an expired one. With `is_repeated`, an earlier attempt may
    /// have created it.
    async fn create_one(
        &self,
        commands: Commands<'_, Mysql>,
        create: &Create,
        mut is_repeated: bool,
    ) -> Result<Saved> {
        let insert = || self.sql.create(std::slice::from_ref(create));
        // Twice, because an expired session may have the id. If the id is taken again after that,
        // another request has created it.
        for _ in 0..2 {
            let sent = commands.write(insert).await?;
            if sent.answer.is_some() {
                return Ok(Saved::done(&create.draft));
            }
            is_repeated |= sent.is_repeated;
            let expired = || self.sql.remove_expired.query().bind(id_bytes(&create.id));
            if commands.execute(expired).await?.answer == 0 {
                break;
            }
        }
        let found = stamps(self, commands, &[&create.id]).await?;
        let found = found.into_iter().next().transpose()?.flatten();
        let outcome = match Saved::by_stamp(found, &create.draft) {
            // It existed a moment ago.
            Saved::Gone => Saved::Conflict,
            outcome => outcome,
        };
        Ok(outcome.after(is_repeated))
    }
}

impl SessionTable for MysqlTable {
    type Dialect = Mysql;
    type Builder = MysqlStoreBuilder;
    const VERSION: u8 = VERSION;
    const COLUMNS: &'static [Expected] = &COLUMNS;

    fn name(&self) -> &str {
        &self.sql.table
    }

    async fn connect(builder: MysqlStoreBuilder, url: &str) -> Result<MysqlStore> {
        builder.connect(url).await
    }

    async fn check_server(&self, commands: Commands<'_, Mysql>, policy: Policy) -> Result<()> {
        let ask = || sqlx::query("SELECT CAST(@@max_allowed_packet AS SIGNED)");
        let rows = commands.fetch(ask).await?;
        let packet = rows.first().map_or(Ok(0), |row| integer::<Mysql>(row, 0))?;
        let max_data = policy.max_data;
        if i64::try_from(max_data + STATEMENT_BYTES).unwrap_or(i64::MAX) > packet {
            return Err(commands.target().misconfigured(format!(
                "max_data is {max_data} bytes, but the server's max_allowed_packet is {packet}: \
                 lower the one or raise the other"
            )));
        }
        check::one_server(commands).await
    }

    async fn inspection(&self, commands: Commands<'_, Mysql>) -> Result<Inspection> {
        inspection::run(commands).await
    }

    fn create_table(&self) -> &[Statement<Mysql>] {
        std::slice::from_ref(&self.sql.create_table)
    }

    fn difference(&self, table: &Table) -> Result<(), Difference> {
        table.check_not_view()?;
        table.column::<Mysql>("id")?;
        check_engine(table)?;
        table.check_columns::<Mysql>(Self::COLUMNS)?;
        table.check_indexes::<Mysql>("id", &["owner", "due"])
    }

    fn load_one(&self, id: &SessionId) -> Bound<Mysql> {
        self.sql.load.query().bind(id_bytes(id))
    }

    fn load(&self, ids: &[SessionId]) -> Bound<Mysql> {
        let (query, ids) = self.sql.load_many.query(ids);
        ids.bind(query, |query, id| query.bind(id_bytes(id)))
    }

    fn record_of_one(row: &MySqlRow) -> Result<Record> {
        record_with_head(row)
    }

    fn stamps(&self, ids: &[&SessionId]) -> Bound<Mysql> {
        let (query, ids) = self.sql.stamps.query(ids);
        ids.bind(query, |query, id| query.bind(id_bytes(id)))
    }

    fn save(&self, saves: &[&Save]) -> Bound<Mysql> {
        match saves {
            [save] => self.sql.save(save),
            saves => self.sql.save_many(saves),
        }
    }

    fn save_groups<'s>(&self, saves: &'s [Save]) -> Vec<Vec<&'s Save>> {
        groups_to_save(saves)
    }

    fn count(&self) -> Bound<Mysql> {
        self.sql.count.query()
    }

    fn list(&self, after: &[u8], limit: u64) -> Bound<Mysql> {
        self.sql.list.query().bind(after).bind(limit)
    }

    fn owned(&self, owner: &Owner, after: &[u8], limit: u64) -> Bound<Mysql> {
        let query = self.sql.owned.query().bind(record::owner_bytes(owner));
        query.bind(after).bind(limit)
    }

    fn owned_ids(&self, owner: &Owner, except: Option<&SessionId>, limit: u64) -> Bound<Mysql> {
        let query = self.sql.owned_ids.query().bind(record::owner_bytes(owner));
        query.bind(except.map_or(&[][..], id_bytes)).bind(limit)
    }

    fn expired_ids(&self, limit: u64) -> Bound<Mysql> {
        self.sql.expired_ids.query().bind(limit)
    }

    fn present(&self, ids: &[Id]) -> Bound<Mysql> {
        self.sql.present(ids)
    }

    fn delete_claimed(&self, ids: &[Id]) -> Bound<Mysql> {
        with_ids(&self.sql.delete_claimed, ids)
    }

    fn clear(&self, limit: u64) -> Bound<Mysql> {
        self.sql.clear.query().bind(limit)
    }

    async fn create(
        &self,
        commands: Commands<'_, Mysql>,
        creates: &[Create],
    ) -> Result<Vec<Result<Saved>>> {
        let mut answers = Vec::with_capacity(creates.len());
        let mut rest = creates;
        while !rest.is_empty() {
            // Padding would insert a row twice, so each part has a size that is prepared for.
            let (part, more) = rest.split_at(1 << rest.len().ilog2());
            rest = more;
            answers.extend(self.create_part(commands, part).await?);
        }
        Ok(answers)
    }

    async fn touch(
        &self,
        commands: Commands<'_, Mysql>,
        touches: &[Touch],
    ) -> Result<Vec<Result<Option<Ttl>>>> {
        let mut matched = 0;
        for group in groups(touches, |touch| touch.idle) {
            matched += commands.execute(|| self.sql.touch(&group)).await?.answer;
        }
        if matched == 0 {
            return Ok(touches.iter().map(|_| Ok(None)).collect());
        }
        let ids: Vec<&SessionId> = touches.iter().map(|touch| &touch.id).collect();
        let ttls = || self.sql.ttls(&ids);
        let rows = commands.fetch_from_writable(matched as usize, ttls).await?;
        Ok(in_order::<Mysql, _>(&ids, &rows, |row| {
            ttl::<Mysql>(row, 1)
        }))
    }

    async fn destroy(
        &self,
        call: &Call<MysqlClient>,
        destroys: &[Destroy],
    ) -> Result<Vec<Result<Option<Ended>>>> {
        match destroys {
            [destroy] => Ok(vec![self.destroy_one(call, destroy).await]),
            destroys => self.destroy_many(call, destroys).await,
        }
    }

    async fn claim(&self, call: &Call<MysqlClient>, ids: &[Id]) -> Result<Claimed> {
        self.claim_expired(call, ids).await
    }

    async fn remove(&self, call: &Call<MysqlClient>, removal: Removal) -> Result<Vec<Ended>> {
        self.remove_live(call, removal).await
    }
}
