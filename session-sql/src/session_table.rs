//! The table of sessions: its statements, and the operations that databases do differently.

use std::fmt::Debug;

use session_core::backend::{Call, Create, Destroy, Policy, Save, Store, Touch};
use session_core::{Ended, Inspection, NoticeStream, Owner, Record, Result, Saved, SessionId, Ttl};

use crate::check::{Difference, Expected, Table};
use crate::removal::Id;
use crate::{
    Bound, Claimed, Commands, Dialect, Removal, RowOf, SqlBackend, SqlClient, Statement, record,
};

/// The table of sessions in one database: the statements on it with their binds, and the operations
/// that are not the same in all databases.
///
/// Where a database returns rows from the statements that write, [`Returning`](crate::Returning) has
/// those operations.
pub trait SessionTable: Debug + Send + Sync + Sized + 'static {
    /// The database.
    type Dialect: Dialect;
    /// The builder of the store.
    type Builder: Default + Send;

    /// The version of the layout, in each row. A row of another version is corrupt.
    const VERSION: u8;

    /// The columns of the table, the key first.
    const COLUMNS: &'static [Expected];

    /// The name of the table.
    fn name(&self) -> &str;

    /// Connects to the database at `url`.
    fn connect(
        builder: Self::Builder,
        url: &str,
    ) -> impl Future<Output = Result<Store<SqlBackend<Self>>>> + Send;

    /// Tells of sessions as they end, as [`Backend::notices`](session_core::backend::Backend::notices);
    /// `None`, the default, if the table does not.
    fn notices(&self, call: Call<SqlClient<Self::Dialect>>) -> Option<NoticeStream> {
        let _ = call;
        None
    }

    /// Checks the server's settings; by default nothing.
    fn check_server(
        &self,
        commands: Commands<'_, Self::Dialect>,
        policy: Policy,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (commands, policy);
        async { Ok(()) }
    }

    /// Reads the server's settings, as
    /// [`Backend::inspection`](session_core::backend::Backend::inspection); by default none.
    fn inspection(
        &self,
        commands: Commands<'_, Self::Dialect>,
    ) -> impl Future<Output = Result<Inspection>> + Send {
        let place = commands.target().place.to_owned();
        async move { Ok(Inspection::of(place)) }
    }

    /// The statements that create the table if it does not exist.
    fn create_table(&self) -> &[Statement<Self::Dialect>];

    /// Finds a difference from the table that [`create_table`](Self::create_table) creates which a
    /// store can't accept.
    fn difference(&self, table: &Table) -> Result<(), Difference> {
        table.check_not_view()?;
        table.check_columns::<Self::Dialect>(Self::COLUMNS)?;
        table.check_indexes::<Self::Dialect>("id", &["owner", "due"])
    }

    /// Selects the row of one live session, for [`record_of_one`](Self::record_of_one).
    fn load_one(&self, id: &SessionId) -> Bound<Self::Dialect>;

    /// Selects the rows of live sessions, with the columns that [`record::record`] reads.
    fn load(&self, ids: &[SessionId]) -> Bound<Self::Dialect>;

    /// Reads a row of [`load_one`](Self::load_one).
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt).
    fn record_of_one(row: &RowOf<Self::Dialect>) -> Result<Record> {
        record::record::<Self>(row)
    }

    /// Selects id and stamp of live sessions.
    fn stamps(&self, ids: &[&SessionId]) -> Bound<Self::Dialect>;

    /// Updates the live sessions that have the expected stamps.
    fn save(&self, saves: &[&Save]) -> Bound<Self::Dialect>;

    /// Groups saves by what one statement can save; by default all of them.
    fn save_groups<'s>(&self, saves: &'s [Save]) -> Vec<Vec<&'s Save>> {
        vec![saves.iter().collect()]
    }

    /// Counts the live sessions.
    fn count(&self) -> Bound<Self::Dialect>;

    /// Selects up to `limit` live sessions with greater ids than `after`, in the order of the ids,
    /// with the columns that [`record::info`] reads.
    fn list(&self, after: &[u8], limit: u64) -> Bound<Self::Dialect>;

    /// The same of one owner.
    fn owned(&self, owner: &Owner, after: &[u8], limit: u64) -> Bound<Self::Dialect>;

    /// Selects id, owner and age in µs of up to `limit` live sessions of `owner` but `except`.
    fn owned_ids(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: u64,
    ) -> Bound<Self::Dialect>;

    /// Selects the ids of up to `limit` expired sessions that no reaper has claimed.
    fn expired_ids(&self, limit: u64) -> Bound<Self::Dialect>;

    /// Selects the ids that have rows, live or expired.
    fn present(&self, ids: &[Id]) -> Bound<Self::Dialect>;

    /// Deletes those of the claimed sessions that are expired still.
    fn delete_claimed(&self, ids: &[Id]) -> Bound<Self::Dialect>;

    /// Deletes up to `limit` rows, live or expired.
    fn clear(&self, limit: u64) -> Bound<Self::Dialect>;

    /// Creates sessions, replacing expired ones.
    fn create(
        &self,
        commands: Commands<'_, Self::Dialect>,
        creates: &[Create],
    ) -> impl Future<Output = Result<Vec<Result<Saved>>>> + Send;

    /// Moves deadlines of live sessions.
    fn touch(
        &self,
        commands: Commands<'_, Self::Dialect>,
        touches: &[Touch],
    ) -> impl Future<Output = Result<Vec<Result<Option<Ttl>>>>> + Send;

    /// Ends live sessions.
    fn destroy(
        &self,
        call: &Call<SqlClient<Self::Dialect>>,
        destroys: &[Destroy],
    ) -> impl Future<Output = Result<Vec<Result<Option<Ended>>>>> + Send;

    /// Claims those of up to [`MAX_BATCH`](crate::MAX_BATCH) sessions that are expired and that no
    /// reaper has claimed, for a minute by the server's clock, and tells what their rows hold. It
    /// waits for no lock.
    fn claim(
        &self,
        call: &Call<SqlClient<Self::Dialect>>,
        ids: &[Id],
    ) -> impl Future<Output = Result<Claimed>> + Send;

    /// Ends live sessions and tells what their rows held. It goes on if its caller goes away.
    fn remove(
        &self,
        call: &Call<SqlClient<Self::Dialect>>,
        removal: Removal,
    ) -> impl Future<Output = Result<Vec<Ended>>> + Send;
}
