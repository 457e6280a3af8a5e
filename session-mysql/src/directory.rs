//! Listing, owners, clearing and reaping.

use session_core::{
    Cursor, Ended, Error, Owner, Page, Result, SessionDirectory, SessionId, SessionInfo,
    async_trait,
};
use sqlx::mysql::MySqlRow;
use sqlx::{Connection, Row};

use crate::MysqlStore;
use crate::command::{Bound, Commands};
use crate::row::{age, column, id_bytes, lifetime, owner, ttl};
use crate::schema::{MOST, Many};

/// How many rows one statement clears.
const CLEARED_AT_ONCE: u64 = 1_000;

/// An id as it is stored.
type Id = Vec<u8>;

#[async_trait]
impl SessionDirectory for MysqlStore {
    async fn count(&self) -> Result<u64> {
        let commands = &self.commands;
        let rows = commands
            .fetch("count", || commands.sql.count.query())
            .await?;
        let count = rows.first().map(|row| column::<i64>(row, 0)).transpose()?;
        Ok(u64::try_from(count.unwrap_or_default()).unwrap_or_default())
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let after = match cursor.map(|cursor| cursor.as_str().strip_prefix("after:")) {
            None => "",
            Some(Some(after)) => after,
            Some(None) => return Err(Error::misconfigured("this cursor is not of a MySQL store")),
        };
        let limit = limit.clamp(1, 10_000);
        let commands = &self.commands;
        let page = || {
            let query = commands.sql.list.query();
            query.bind(after.as_bytes().to_vec()).bind(limit as u64)
        };
        let rows = commands.fetch("list", page).await?;
        let last = rows.last().filter(|_| rows.len() == limit);
        let next = match last {
            Some(row) => Some(Cursor::new(format!("after:{}", id(row)?.as_str()))),
            None => None,
        };
        let sessions = readable(&rows);
        Ok(Page { sessions, next })
    }

    async fn owned_by(&self, owner: &Owner) -> Result<Vec<SessionInfo>> {
        let commands = &self.commands;
        let owned = || commands.sql.owned.query().bind(owner_id(owner));
        let rows = commands.fetch("owned_by", owned).await?;
        Ok(readable(&rows))
    }

    /// In batches of 128, each a transaction. A session that is renamed meanwhile is found under
    /// its new id by the next batch.
    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Result<Vec<Ended>> {
        let owner = owner_id(owner);
        let except = except.map_or(Vec::new(), id_bytes);
        let mut all = Vec::new();
        loop {
            let ids = self
                .commands
                .ids("destroy_owned_by", || {
                    let query = self.commands.sql.owned_ids.query();
                    query
                        .bind(owner.clone())
                        .bind(except.clone())
                        .bind(MOST as u64)
                })
                .await?;
            if ids.is_empty() {
                return Ok(all);
            }
            let commands = &self.commands;
            let lock = &commands.sql.lock_owned;
            let ended = commands.delete_locked("destroy_owned_by", lock, &ids, Some(&owner));
            all.extend(ended.await?);
        }
    }

    async fn clear(&self) -> Result<u64> {
        let mut cleared = 0;
        loop {
            let commands = &self.commands;
            let clear = || commands.sql.clear.query().bind(CLEARED_AT_ONCE);
            let rows = commands.execute("clear", clear).await?;
            cleared += rows;
            if rows < CLEARED_AT_ONCE {
                return Ok(cleared);
            }
        }
    }

    /// In batches of 128, each a short transaction.
    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        let ids = self
            .commands
            .ids("reap", || {
                self.commands.sql.expired_ids.query().bind(limit as u64)
            })
            .await?;
        let mut reaped = Vec::new();
        for batch in ids.chunks(MOST) {
            let commands = &self.commands;
            let lock = &commands.sql.lock_expired;
            reaped.extend(commands.delete_locked("reap", lock, batch, None).await?);
        }
        Ok(reaped)
    }
}

impl Commands {
    async fn ids(&self, operation: &'static str, statement: impl Fn() -> Bound) -> Result<Vec<Id>> {
        let rows = self.fetch(operation, statement).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    /// Locks those of `ids` that `lock` selects, deletes them, and says which they were.
    ///
    /// The transaction runs in a task of its own: were it dropped half-way with its caller, its
    /// connection would go back to the pool in the middle of it.
    pub(crate) async fn delete_locked(
        &self,
        operation: &'static str,
        lock: &Many,
        ids: &[Id],
        owner: Option<&[u8]>,
    ) -> Result<Vec<Ended>> {
        let rows = self
            .run(operation, || {
                let commands = self.clone();
                let lock = lock.clone();
                let (ids, owner) = (ids.to_vec(), owner.map(<[u8]>::to_vec));
                let task = tokio::spawn(async move { commands.transact(&lock, &ids, owner).await });
                async { task.await.map_err(|_| sqlx::Error::WorkerCrashed)? }
            })
            .await?;
        // A row whose very id can't be read has gone too; there is nothing to say of it.
        Ok(rows.iter().filter_map(|row| ended(row).ok()).collect())
    }

    async fn transact(
        &self,
        lock: &Many,
        ids: &[Id],
        owner: Option<Id>,
    ) -> sqlx::Result<Vec<MySqlRow>> {
        let mut connection = self.connections.pool.acquire().await?;
        // Otherwise ids that have gone meanwhile would lock the gaps they left.
        sqlx::query("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .execute(&mut *connection)
            .await?;
        let mut transaction = connection.begin().await?;
        let mut select = with_ids(lock, ids);
        if let Some(owner) = owner {
            select = select.bind(owner);
        }
        let rows = select.fetch_all(&mut *transaction).await?;
        let locked: Vec<Id> = rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<sqlx::Result<_>>()?;
        if !locked.is_empty() {
            with_ids(&self.sql.delete, &locked)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(rows)
    }
}

fn owner_id(owner: &Owner) -> Id {
    owner.as_str().as_bytes().to_vec()
}

fn with_ids(statement: &Many, ids: &[Id]) -> Bound {
    let (query, ids) = statement.query(ids);
    ids.bind(query, |query, id| query.bind(id.clone()))
}

fn id(row: &MySqlRow) -> Result<SessionId> {
    let corrupt = || Error::corrupt("the row has no usable id");
    let id = String::from_utf8(column(row, 0)?).map_err(|_| corrupt())?;
    SessionId::from_stored(&id).map_err(|_| corrupt())
}

fn info(row: &MySqlRow) -> Result<SessionInfo> {
    let size: i64 = column(row, 6)?;
    Ok(SessionInfo {
        id: id(row)?,
        owner: owner(row, 1)?,
        lifetime: lifetime(row, 2)?,
        ttl: ttl(row, 4)?,
        age: age(row, 5)?,
        size: usize::try_from(size).unwrap_or_default(),
    })
}

/// The end of a session whose row is gone. What can't be read of it is left out.
fn ended(row: &MySqlRow) -> Result<Ended> {
    Ok(Ended {
        id: id(row)?,
        owner: owner(row, 1).unwrap_or_default(),
        age: age(row, 2)?,
    })
}

/// A row that can't be read costs only its own reader.
fn readable(rows: &[MySqlRow]) -> Vec<SessionInfo> {
    rows.iter().filter_map(|row| info(row).ok()).collect()
}
