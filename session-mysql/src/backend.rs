//! The operations: each has a statement for one session, and one for a batch.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use session_core::backend::{
    Backend, BatchLimits, Call, Create, Destroy, Policy, Save, Setup, Store, Touch,
};
use session_core::{
    Anchor, Capabilities, Cursor, Draft, Ended, Lifetime, Owner, Page, Record, Result, Saved,
    SessionId, Stamp, Ttl,
};
use sqlx::Row;
use sqlx::mysql::MySqlRow;

use crate::MysqlStoreBuilder;
use crate::check::difference;
use crate::client::MysqlClient;
use crate::command::Commands;
use crate::directory::Directory;
use crate::prepared::MAX_BATCH;
use crate::record::{column, id_bytes, record, record_with_head, stamp, ttl};
use crate::save_many::split_by_checksum;
use crate::schema::Statements;

/// How often a statement is repeated for each cause.
pub(crate) const REPEATS: u32 = 4;
/// The most bytes of a statement besides the data.
const STATEMENT_BYTES: usize = 16 * 1024;

/// A store of sessions in one MySQL or MariaDB table. Clones share the connections.
///
/// [`connect`](Store::connect) and [`builder`](Store::builder) set one up.
pub type MysqlStore = Store<MysqlBackend>;

/// The backend of a [`MysqlStore`].
pub struct MysqlBackend {
    pub(crate) sql: Arc<Statements>,
    policy: Policy,
    /// Whether the server may know `DELETE … RETURNING`: false once it has refused it. MariaDB
    /// knows it, MySQL does not.
    pub(crate) has_returning: AtomicBool,
}

impl MysqlBackend {
    /// Sessions in `table`.
    pub(crate) fn new(table: &str, policy: Policy) -> Self {
        Self {
            sql: Arc::new(Statements::new(table)),
            policy,
            has_returning: AtomicBool::new(true),
        }
    }

    /// Checks the server and, if it exists, the table.
    pub(crate) async fn check_server(&self, call: &Call<MysqlClient>) -> Result<()> {
        let commands = self.commands(call);
        let ask = || sqlx::query("SELECT CAST(@@max_allowed_packet AS SIGNED)").persistent(false);
        let rows = commands.fetch(ask).await?;
        let packet = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0));
        let packet = packet.map_err(|error| commands.target().error(&error))?;
        let max_data = self.policy.max_data;
        if i64::try_from(max_data + STATEMENT_BYTES).unwrap_or(i64::MAX) > packet {
            return Err(commands.target().misconfigured(format!(
                "max_data is {max_data} bytes, but the server's max_allowed_packet is {packet}: \
                 lower the one or raise the other"
            )));
        }
        if let Some(table) = commands.table().await? {
            commands.require(difference(&table))?;
            commands.check_own_rights().await?;
        }
        Ok(())
    }

    pub(crate) fn commands<'c>(&'c self, call: &'c Call<MysqlClient>) -> Commands<'c> {
        Commands::new(call, &self.sql.table)
    }

    fn directory<'d>(&'d self, call: &'d Call<MysqlClient>) -> Directory<'d> {
        let sql = &self.sql;
        Directory { call, sql }
    }

    /// Creates as many sessions as one of the prepared sizes.
    async fn create_part(
        &self,
        call: &Call<MysqlClient>,
        creates: &[Create],
    ) -> Result<Vec<Result<Saved>>> {
        let mut is_repeated = false;
        if creates.len() > 1 {
            let insert = || self.sql.create(creates);
            let sent = self.commands(call).write(insert).await?;
            if sent.answer.is_some() {
                let done = creates.iter().map(|create| Ok(Saved::done(&create.draft)));
                return Ok(done.collect());
            }
            is_repeated = sent.is_repeated;
        }
        // A single create, or one of the ids is taken.
        let mut answers = Vec::with_capacity(creates.len());
        for create in creates {
            answers.push(self.create_one(call, create, is_repeated).await);
        }
        Ok(answers)
    }

    /// Creates one session, replacing an expired one. With `is_repeated`, an earlier attempt may
    /// have created it.
    async fn create_one(
        &self,
        call: &Call<MysqlClient>,
        create: &Create,
        mut is_repeated: bool,
    ) -> Result<Saved> {
        let commands = self.commands(call);
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
        let found = self.stamp(call, &create.id).await?;
        let outcome = match Saved::by_stamp(found, &create.draft) {
            // It existed a moment ago.
            Saved::Gone => Saved::Conflict,
            outcome => outcome,
        };
        Ok(outcome.after(is_repeated))
    }

    /// The stamp of the live session `id`.
    pub(crate) async fn stamp(
        &self,
        call: &Call<MysqlClient>,
        id: &SessionId,
    ) -> Result<Option<Stamp>> {
        let stamps = || self.sql.stamps(&[id]);
        let rows = self.commands(call).fetch_from_writable(1, stamps).await?;
        rows.first().map(|row| stamp(row, 1)).transpose()
    }

    /// Updates the rows. Returns how many matched, and whether an earlier attempt may have been
    /// executed.
    async fn update(&self, call: &Call<MysqlClient>, saves: &[Save]) -> Result<(u64, bool)> {
        let commands = self.commands(call);
        if let [save] = saves {
            let sent = commands.execute(|| self.sql.save(save)).await?;
            return Ok((sent.answer, sent.is_repeated));
        }
        let (mut matched, mut is_repeated) = (0, false);
        // Most sites have one lifetime, or two: with "remember me" and without.
        for group in groups(saves, |save| shared_by(&save.draft)) {
            for saves in split_by_checksum(group) {
                let statement = || match &saves[..] {
                    [(_, save)] => self.sql.save(save),
                    saves => self.sql.save_many(saves),
                };
                let sent = commands.execute(statement).await?;
                matched += sent.answer;
                is_repeated |= sent.is_repeated;
            }
        }
        Ok((matched, is_repeated))
    }
}

impl Backend for MysqlBackend {
    type Client = MysqlClient;
    const NAME: &'static str = "mysql";
    const HAS_DIRECTORY: bool = true;

    fn policy(&self) -> Policy {
        self.policy
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .with_expiry_reports(true)
            .with_descriptions(true)
            .with_needs_reaper(true)
    }

    async fn create(
        &self,
        call: &Call<MysqlClient>,
        creates: &[Create],
    ) -> Result<Vec<Result<Saved>>> {
        let mut answers = Vec::with_capacity(creates.len());
        let mut rest = creates;
        while !rest.is_empty() {
            // Padding would insert a row twice, so each part has a size that is prepared for.
            let (part, more) = rest.split_at(1 << rest.len().ilog2());
            rest = more;
            answers.extend(self.create_part(call, part).await?);
        }
        Ok(answers)
    }

    async fn load(
        &self,
        call: &Call<MysqlClient>,
        ids: &[SessionId],
    ) -> Result<Vec<Result<Option<Record>>>> {
        let commands = self.commands(call);
        if let [id] = ids {
            let rows = commands.fetch(|| self.sql.load(id)).await?;
            return Ok(vec![rows.first().map(record_with_head).transpose()]);
        }
        let rows = commands.fetch(|| self.sql.load_many(ids)).await?;
        Ok(in_order(ids, &rows, record))
    }

    async fn save(&self, call: &Call<MysqlClient>, saves: &[Save]) -> Result<Vec<Result<Saved>>> {
        let (matched, is_repeated) = self.update(call, saves).await?;
        if matched == saves.len() as u64 {
            return Ok(saves
                .iter()
                .map(|save| Ok(Saved::done(&save.draft)))
                .collect());
        }
        let ids: Vec<&SessionId> = saves.iter().map(|save| &save.id).collect();
        let stamps = || self.sql.stamps(&ids);
        let rows = self.commands(call).fetch_from_writable(ids.len(), stamps);
        let found = in_order(&ids, &rows.await?, |row| stamp(row, 1));
        let drafts = saves.iter().map(|save| &save.draft);
        Ok(Saved::of_batch(drafts, found, matched, is_repeated))
    }

    async fn touch(
        &self,
        call: &Call<MysqlClient>,
        touches: &[Touch],
    ) -> Result<Vec<Result<Option<Ttl>>>> {
        let commands = self.commands(call);
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
        Ok(in_order(&ids, &rows, |row| ttl(row, 1)))
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

    /// Creates the table if it does not exist, which needs the right `CREATE`, and checks the table
    /// and the user's rights.
    async fn migrate(&self, call: &Call<MysqlClient>) -> Result<()> {
        let commands = self.commands(call);
        let create = || self.sql.create_table.query().persistent(false);
        let table = commands.table_or_create(create).await?;
        commands.require(difference(&table))?;
        commands.check_own_rights().await
    }

    async fn count(&self, call: &Call<MysqlClient>) -> Result<u64> {
        self.directory(call).count().await
    }

    async fn list(
        &self,
        call: &Call<MysqlClient>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        self.directory(call).list(cursor, limit).await
    }

    async fn owned_by(
        &self,
        call: &Call<MysqlClient>,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        self.directory(call).owned_by(owner, cursor, limit).await
    }

    async fn destroy_owned_by(
        &self,
        call: &Call<MysqlClient>,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let directory = self.directory(call);
        directory.destroy_owned_by(owner, except, limit).await
    }

    async fn clear(&self, call: &Call<MysqlClient>) -> Result<u64> {
        self.directory(call).clear().await
    }

    async fn reap(&self, call: &Call<MysqlClient>, limit: usize) -> Result<Vec<Ended>> {
        self.directory(call).reap(limit).await
    }
}

impl Setup for MysqlBackend {
    type Builder = MysqlStoreBuilder;

    async fn connect(builder: MysqlStoreBuilder, url: &str) -> Result<MysqlStore> {
        builder.connect(url).await
    }
}

/// The policy of a store with this many connections. The batch limits are measured:
/// `docs/performance.md`.
pub(crate) fn policy(timeout: Duration, max_data: usize, connections: u32) -> Policy {
    let connections = connections.max(1) as usize;
    let limits = BatchLimits::new(connections.min(16), connections.min(4))
        .with_items(MAX_BATCH)
        .with_bytes(256 * 1024)
        .with_queued(10_000);
    Policy::new(timeout, max_data)
        .with_repeats(REPEATS)
        .with_create(limits)
        .with_load(limits)
        .with_save(limits)
        .with_touch(limits)
        .with_destroy(limits)
}

/// What the drafts of one statement have in common: the limits that it sets once for all its
/// sessions, and whether it sets descriptions.
fn shared_by(draft: &Draft) -> (Lifetime, Anchor, bool) {
    (draft.lifetime, draft.anchor, draft.description.is_some())
}

/// Groups `items` by `key`, in the order of each key's first item.
fn groups<T, K: PartialEq>(items: &[T], key: impl Fn(&T) -> K) -> Vec<Vec<&T>> {
    let mut groups: Vec<(K, Vec<&T>)> = Vec::with_capacity(1);
    for item in items {
        let key = key(item);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Applies `read` to the row of each of `ids`; `None` for an id without a row.
fn in_order<T>(
    ids: &[impl Borrow<SessionId>],
    rows: &[MySqlRow],
    read: impl Fn(&MySqlRow) -> Result<T>,
) -> Vec<Result<Option<T>>> {
    if ids.len() == 1 {
        return vec![rows.first().map(read).transpose()];
    }
    let row_of = |row| Some((column::<&[u8]>(row, 0).ok()?, row));
    let by_id: HashMap<&[u8], &MySqlRow> = rows.iter().filter_map(row_of).collect();
    let row = |id| by_id.get(id_bytes(id)).map(|row| read(row));
    ids.iter().map(|id| row(id.borrow()).transpose()).collect()
}

impl fmt::Debug for MysqlBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlBackend")
            .field("table", &self.sql.table)
            .field("timeout", &self.policy.timeout)
            .finish_non_exhaustive()
    }
}
