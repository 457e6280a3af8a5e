//! The operations of a store.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use session_core::backend::{
    Backend, BatchLimits, Call, Create, Destroy, Operation, Policy, Save, Setup, Store, Touch,
};
use session_core::{
    Capabilities, Cursor, Ended, Inspection, NoticeStream, Owner, Page, Record, Result, Saved,
    SessionId, Stamp, Ttl,
};

use crate::directory::Directory;
use crate::prepared::MAX_BATCH;
use crate::record::{bytes, id_bytes, record, stamp};
use crate::{Commands, Dialect, RowOf, SessionTable, SqlClient, SqlConnector, Table};

/// How often a statement is repeated for each cause.
pub const REPEATS: u32 = 4;

/// The backend of a store of sessions in one table.
pub struct SqlBackend<T> {
    table: T,
    policy: Policy,
}

impl<T: SessionTable> SqlBackend<T> {
    /// Sessions in `table`.
    #[must_use]
    pub const fn new(table: T, policy: Policy) -> Self {
        Self { table, policy }
    }

    /// Makes a store of the table whose clients `connector` makes. Checks the server and, if it
    /// exists, the table; creates the table if `migrate` is set.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a setting that can't
    /// be right, a right that is missing or a table that is not of this kind of store; the server's
    /// or the driver's.
    pub async fn open(
        self,
        connector: SqlConnector<T::Dialect>,
        migrate: bool,
    ) -> Result<Store<Self>> {
        let first = connector.client();
        let store = Store::new(self, connector, first);
        let backend = store.backend();
        let check = |call| async move { backend.check(&call).await };
        store.by_command(Operation::Connect, check).await?;
        if migrate {
            store.migrate().await?;
        }
        Ok(store)
    }

    async fn check(&self, call: &Call<SqlClient<T::Dialect>>) -> Result<()> {
        let commands = self.commands(call);
        self.table.check_server(commands, self.policy).await?;
        match T::Dialect::table(commands).await? {
            Some(table) => self.check_found(commands, &table).await,
            None => Ok(()),
        }
    }

    async fn check_found(&self, commands: Commands<'_, T::Dialect>, table: &Table) -> Result<()> {
        commands.require(self.table.difference(table))?;
        commands.check_own_rights::<T>().await
    }

    fn commands<'c>(&'c self, call: &'c Call<SqlClient<T::Dialect>>) -> Commands<'c, T::Dialect> {
        Commands::new(call, self.table.name())
    }

    fn directory<'d>(&'d self, call: &'d Call<SqlClient<T::Dialect>>) -> Directory<'d, T> {
        Directory {
            call,
            table: &self.table,
        }
    }
}

impl<T: SessionTable> Backend for SqlBackend<T> {
    type Client = SqlClient<T::Dialect>;
    const NAME: &'static str = T::Dialect::NAME;
    const HAS_DIRECTORY: bool = true;

    fn policy(&self) -> Policy {
        self.policy
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .with_expiry_reports(true)
            .with_descriptions(true)
            .with_keeps_past(true)
            .with_needs_reaper(true)
    }

    async fn create(
        &self,
        call: &Call<Self::Client>,
        creates: &[Create],
    ) -> Result<Vec<Result<Saved>>> {
        self.table.create(self.commands(call), creates).await
    }

    async fn load(
        &self,
        call: &Call<Self::Client>,
        ids: &[SessionId],
    ) -> Result<Vec<Result<Option<Record>>>> {
        let commands = self.commands(call);
        if let [id] = ids {
            let rows = commands.fetch(|| self.table.load_one(id)).await?;
            return Ok(vec![rows.first().map(T::record_of_one).transpose()]);
        }
        let rows = commands.fetch(|| self.table.load(ids)).await?;
        Ok(in_order::<T::Dialect, _>(ids, &rows, record::<T>))
    }

    async fn save(&self, call: &Call<Self::Client>, saves: &[Save]) -> Result<Vec<Result<Saved>>> {
        let commands = self.commands(call);
        let (mut matched, mut is_repeated) = (0, false);
        for group in self.table.save_groups(saves) {
            let sent = commands.execute(|| self.table.save(&group)).await?;
            matched += sent.answer;
            is_repeated |= sent.is_repeated;
        }
        let drafts = || saves.iter().map(|save| &save.draft);
        if matched == saves.len() as u64 {
            return Ok(drafts().map(|draft| Ok(Saved::done(draft))).collect());
        }
        let ids: Vec<&SessionId> = saves.iter().map(|save| &save.id).collect();
        let found = stamps(&self.table, commands, &ids).await?;
        Ok(Saved::of_batch(drafts(), found, matched, is_repeated))
    }

    async fn touch(
        &self,
        call: &Call<Self::Client>,
        touches: &[Touch],
    ) -> Result<Vec<Result<Option<Ttl>>>> {
        self.table.touch(self.commands(call), touches).await
    }

    async fn destroy(
        &self,
        call: &Call<Self::Client>,
        destroys: &[Destroy],
    ) -> Result<Vec<Result<Option<Ended>>>> {
        self.table.destroy(call, destroys).await
    }

    fn notices(&self, call: Call<Self::Client>) -> Option<NoticeStream> {
        self.table.notices(call)
    }

    /// Creates the table if it does not exist, and checks the table and the user's rights.
    async fn migrate(&self, call: &Call<Self::Client>) -> Result<()> {
        let commands = self.commands(call);
        let table = commands.table_or_create(self.table.create_table()).await?;
        self.check_found(commands, &table).await
    }

    async fn inspection(&self, call: &Call<Self::Client>) -> Result<Inspection> {
        self.table.inspection(self.commands(call)).await
    }

    async fn remove(&self, call: &Call<Self::Client>) -> Result<()> {
        self.commands(call).drop_table().await
    }

    async fn count(&self, call: &Call<Self::Client>) -> Result<u64> {
        self.directory(call).count().await
    }

    async fn list(
        &self,
        call: &Call<Self::Client>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        self.directory(call).list(cursor, limit).await
    }

    async fn owned_by(
        &self,
        call: &Call<Self::Client>,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        self.directory(call).owned_by(owner, cursor, limit).await
    }

    async fn destroy_owned_by(
        &self,
        call: &Call<Self::Client>,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let directory = self.directory(call);
        directory.destroy_owned_by(owner, except, limit).await
    }

    async fn clear(&self, call: &Call<Self::Client>) -> Result<u64> {
        self.directory(call).clear().await
    }

    async fn reap(&self, call: &Call<Self::Client>, limit: usize) -> Result<Vec<Ended>> {
        self.directory(call).reap(limit).await
    }

    async fn confirm_reaped(&self, call: &Call<Self::Client>, reaped: &[Ended]) -> Result<()> {
        self.directory(call).confirm_reaped(reaped).await
    }
}

impl<T: SessionTable> Setup for SqlBackend<T> {
    type Builder = T::Builder;

    async fn connect(builder: T::Builder, url: &str) -> Result<Store<Self>> {
        T::connect(builder, url).await
    }
}

/// A policy with batches of up to [`MAX_BATCH`], of which so many loads and so many of each kind of
/// write may be in flight. The limits are measured: `docs/performance.md`.
#[must_use]
pub fn policy(timeout: Duration, max_data: usize, in_flight: usize) -> Policy {
    let limits = BatchLimits::new(in_flight.min(16), in_flight.min(4))
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

/// The stamps of live sessions, by a server that takes writes.
///
/// # Errors
/// The server's or the driver's, after repeats.
pub async fn stamps<T: SessionTable>(
    table: &T,
    commands: Commands<'_, T::Dialect>,
    ids: &[&SessionId],
) -> Result<Vec<Result<Option<Stamp>>>> {
    let rows = commands
        .fetch_from_writable(ids.len(), || table.stamps(ids))
        .await?;
    Ok(in_order::<T::Dialect, _>(ids, &rows, |row| {
        stamp::<T::Dialect>(row, 1)
    }))
}

/// Applies `read` to the row of each of `ids`, whose first column is the id; `None` for an id
/// without a row.
pub fn in_order<D: Dialect, T>(
    ids: &[impl Borrow<SessionId>],
    rows: &[RowOf<D>],
    read: impl Fn(&RowOf<D>) -> Result<T>,
) -> Vec<Result<Option<T>>> {
    if ids.len() == 1 {
        return vec![rows.first().map(read).transpose()];
    }
    let row_of = |row| Some((bytes::<D>(row, 0).ok()?, row));
    let by_id: HashMap<&[u8], &RowOf<D>> = rows.iter().filter_map(row_of).collect();
    let row = |id| by_id.get(id_bytes(id)).map(|row| read(row));
    ids.iter().map(|id| row(id.borrow()).transpose()).collect()
}

impl<T: SessionTable> fmt::Debug for SqlBackend<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlBackend")
            .field("database", &T::Dialect::NAME)
            .field("table", &T::Dialect::quoted(self.table.name()))
            .field("timeout", &self.policy.timeout)
            .finish_non_exhaustive()
    }
}
