//! The directory: listing, counting, owners, clearing and reaping.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use session_core::backend::Call;
use session_core::{Cursor, Ended, Error, Owner, Page, Result, SessionId};

use crate::prepared::MAX_BATCH;
use crate::record::{bytes, id_bytes, info, integer};
use crate::removal::Id;
use crate::{Bound, Claimed, Commands, Dialect, Removal, RowOf, SessionTable, SqlClient};

/// How many rows one statement deletes.
const CLEAR_BATCH: u64 = 1_000;
/// How many batches in a row may find sessions of which none can be destroyed, because other
/// requests destroy them or change their owner first.
const MAX_FRUITLESS: u32 = 16;

/// From then on, a reap that has claimed something returns: claims are to be confirmed before they
/// lapse.
const LONGEST_REAP: Duration = Duration::from_secs(10);

/// The most rows of a page.
const MAX_PAGE: usize = 10_000;

/// One operation of the directory.
pub(crate) struct Directory<'d, T: SessionTable> {
    pub(crate) call: &'d Call<SqlClient<T::Dialect>>,
    pub(crate) table: &'d T,
}

impl<T: SessionTable> Clone for Directory<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: SessionTable> Copy for Directory<'_, T> {}

impl<'d, T: SessionTable> Directory<'d, T> {
    fn commands(self) -> Commands<'d, T::Dialect> {
        Commands::new(self.call, self.table.name())
    }

    pub(crate) async fn count(self) -> Result<u64> {
        let rows = self.commands().fetch(|| self.table.count()).await?;
        count::<T::Dialect>(&rows)
    }

    pub(crate) async fn list(self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let list = |after: &[u8], limit| self.table.list(after, limit);
        self.page(cursor, limit, list).await
    }

    pub(crate) async fn owned_by(
        self,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        let owned = |after: &[u8], limit| self.table.owned(owner, after, limit);
        self.page(cursor, limit, owned).await
    }

    /// Destroys in batches of up to 128, each a transaction. If a batch fails after others
    /// succeeded, returns what those have destroyed, unless it may have been executed.
    pub(crate) async fn destroy_owned_by(
        self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let limit = limit.max(1);
        let mut all = Vec::new();
        let mut fruitless = 0;
        while all.len() < limit && fruitless < MAX_FRUITLESS {
            let batch = MAX_BATCH.min(limit - all.len());
            match self.destroy_owned(owner, except, batch).await {
                Ok(None) => return Ok(all),
                Ok(Some(ended)) => {
                    fruitless = if ended.is_empty() { fruitless + 1 } else { 0 };
                    all.extend(ended);
                }
                // What a doubtful one has ended, the caller must find out.
                Err(error) if all.is_empty() || error.is_doubtful() => return Err(error),
                Err(_) => return Ok(all),
            }
        }
        if all.is_empty() {
            return Err(Error::unavailable(
                self.call.name(),
                format!(
                    "at each of {MAX_FRUITLESS} attempts, other callers changed what was found"
                ),
            ));
        }
        Ok(all)
    }

    /// Checks first that the table is still a store's.
    pub(crate) async fn clear(self) -> Result<u64> {
        let commands = self.commands();
        let table = T::Dialect::table(commands).await?;
        let table = table.ok_or_else(|| commands.target().no_table())?;
        commands.require(self.table.difference(&table))?;
        clear(commands, |limit| self.table.clear(limit)).await
    }

    /// Claims in batches of up to 128. If a batch fails after others succeeded, returns what those
    /// have claimed. What a failed one has claimed is reported when its claim has lapsed.
    pub(crate) async fn reap(self, limit: usize) -> Result<Vec<Ended>> {
        let expired = || self.table.expired_ids(limit as u64);
        let ids = ids::<T::Dialect>(&self.rows(expired).await?)?;
        let (mut reaped, began) = (Vec::new(), Instant::now());
        for batch in ids.chunks(MAX_BATCH) {
            if !reaped.is_empty() && began.elapsed() >= LONGEST_REAP {
                break;
            }
            match self.table.claim(self.call, batch).await {
                Ok(Claimed { ended, unreadable }) => {
                    reaped.extend(ended);
                    // What stays is claimed again.
                    let _ = self.delete_claimed(&unreadable).await;
                }
                Err(error) if reaped.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(reaped)
    }

    /// Deletes in batches of up to 128. After an error some are deleted, and the others are
    /// reported again.
    pub(crate) async fn confirm_reaped(self, reaped: &[Ended]) -> Result<()> {
        let ids = reaped.iter().map(|ended| id_bytes(&ended.id).to_vec());
        self.delete_claimed(&ids.collect::<Vec<Id>>()).await
    }

    async fn delete_claimed(self, ids: &[Id]) -> Result<()> {
        for batch in ids.chunks(MAX_BATCH) {
            let delete = || self.table.delete_claimed(batch);
            self.commands().execute(delete).await?;
        }
        Ok(())
    }

    /// Fetches the rows that `statement` selects. If there is none, the server must take writes.
    async fn rows(
        self,
        statement: impl Fn() -> Bound<T::Dialect>,
    ) -> Result<Vec<RowOf<T::Dialect>>> {
        self.commands().fetch_from_writable(1, statement).await
    }

    /// Destroys up to `limit` sessions of `owner`; `None` if there are none but `except`.
    async fn destroy_owned(
        self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Option<Vec<Ended>>> {
        let owned = || self.table.owned_ids(owner, except, limit as u64);
        let rows = self.rows(owned).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let removal = Removal::of_owned(&ids::<T::Dialect>(&rows)?, owner);
        let ended = self.table.remove(self.call, removal).await?;
        Ok(Some(as_listed::<T::Dialect>(ended, &rows)))
    }

    /// A page of the sessions that `statement` selects after an id, up to a limit. Corrupt rows are
    /// left out.
    async fn page(
        self,
        cursor: Option<&Cursor>,
        limit: usize,
        statement: impl Fn(&[u8], u64) -> Bound<T::Dialect>,
    ) -> Result<Page> {
        let (rows, next) = page(self.commands(), cursor, limit, statement).await?;
        let sessions = rows.iter().filter_map(|row| info::<T::Dialect>(row).ok());
        Ok(Page::new(sessions.collect(), next))
    }
}

/// The ids in the first column.
fn ids<D: Dialect>(rows: &[RowOf<D>]) -> Result<Vec<Id>> {
    let id = |row| Ok(bytes::<D>(row, 0)?.to_vec());
    rows.iter().map(id).collect()
}

/// The `ended` sessions, of which those whose end was not answered are as they were listed before.
fn as_listed<D: Dialect>(ended: Vec<Ended>, listed: &[RowOf<D>]) -> Vec<Ended> {
    if ended.iter().all(|ended| ended.age.is_some()) {
        return ended;
    }
    let listed = Removal::ended::<D>(listed, &[]).into_iter();
    let mut listed: HashMap<_, _> = listed.map(|listed| (listed.id.clone(), listed)).collect();
    let known = |ended: Ended| match ended.age {
        Some(_) => ended,
        None => listed.remove(&ended.id).unwrap_or(ended),
    };
    ended.into_iter().map(known).collect()
}

/// The number in the first column of the only row.
///
/// # Errors
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) if it is none.
pub fn count<D: Dialect>(rows: &[RowOf<D>]) -> Result<u64> {
    let count = rows.first().map(|row| integer::<D>(row, 0)).transpose()?;
    Ok(u64::try_from(count.unwrap_or_default()).unwrap_or_default())
}

/// Deletes all rows by repeating `statement`, whose argument is its limit. Returns how many there
/// were.
///
/// # Errors
/// The server's or the driver's, after repeats.
pub async fn clear<D: Dialect>(
    commands: Commands<'_, D>,
    statement: impl Fn(u64) -> Bound<D>,
) -> Result<u64> {
    let mut cleared = 0;
    loop {
        let rows = commands.execute(|| statement(CLEAR_BATCH)).await?.answer;
        cleared += rows;
        if rows < CLEAR_BATCH {
            return Ok(cleared);
        }
    }
}

/// The rows after the cursor, and the cursor of the next page. The arguments of `statement` are the
/// id before the page and the limit.
///
/// # Errors
/// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a cursor of another
/// store; the server's or the driver's, after repeats.
pub async fn page<D: Dialect>(
    commands: Commands<'_, D>,
    cursor: Option<&Cursor>,
    limit: usize,
    statement: impl Fn(&[u8], u64) -> Bound<D>,
) -> Result<(Vec<RowOf<D>>, Option<Cursor>)> {
    let after = cursor.map(id_before::<D>).transpose()?.unwrap_or_default();
    let limit = limit.clamp(1, MAX_PAGE);
    let rows = commands.fetch(|| statement(&after, limit as u64)).await?;
    let last = rows.last().filter(|_| rows.len() == limit);
    let next = last.map(cursor_after::<D>).transpose()?;
    Ok((rows, next))
}

/// The cursor after `row`, whose id may be corrupt.
fn cursor_after<D: Dialect>(row: &RowOf<D>) -> Result<Cursor> {
    let id = bytes::<D>(row, 0)?;
    Ok(Cursor::new(format!("after:{}", hex::encode(id))))
}

/// The id that `cursor` follows.
fn id_before<D: Dialect>(cursor: &Cursor) -> Result<Id> {
    let digits = cursor.as_str().strip_prefix("after:");
    let id = digits.and_then(|digits| hex::decode(digits).ok());
    id.ok_or_else(|| Error::misconfigured(format!("this cursor is not of a {} store", D::PRODUCT)))
}
