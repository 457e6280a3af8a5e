//! The six operations, each one statement or two.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use session_core::{
    Anchor, Backoff, Capabilities, Draft, Error, Lifetime, Owner, Record, Result, Saved,
    SessionDirectory, SessionId, SessionStore, Stamp, Timeout, Ttl, async_trait, within,
};
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::query::Query;
use sqlx::{MySql, MySqlPool, Row};

use crate::MysqlStoreBuilder;
use crate::error::{from_sqlx, is_duplicate, is_worth_repeating};
use crate::schema::Statements;

/// How often a statement is tried that fails for a reason that passes.
const ATTEMPTS: u32 = 5;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(100));
/// What a statement takes besides the data, at most.
const STATEMENT_BYTES: usize = 16 * 1024;
/// A century. Dates beyond the year 9999 would be null, which stands for never.
const LONGEST_MICROS: i64 = 100 * 366 * 86_400 * 1_000_000;

/// Sessions in one MySQL or MariaDB table. Clones share the pool.
#[derive(Clone)]
pub struct MysqlStore {
    pub(crate) pool: MySqlPool,
    pub(crate) sql: Arc<Statements>,
    timeout: Duration,
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

    pub(crate) fn new(pool: MySqlPool, sql: Statements, options: &MysqlStoreBuilder) -> Self {
        Self {
            pool,
            sql: Arc::new(sql),
            timeout: options.timeout,
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
        let packet = self
            .run("migrate", || async {
                let ask = sqlx::query("SELECT CAST(@@max_allowed_packet AS SIGNED)");
                ask.fetch_one(&self.pool).await?.try_get::<i64, _>(0)
            })
            .await?;
        if i64::try_from(self.max_data + STATEMENT_BYTES).unwrap_or(i64::MAX) > packet {
            return Err(Error::misconfigured(format!(
                "max_data is {} bytes, but the server's max_allowed_packet is {packet}: lower the \
                 one or raise the other",
                self.max_data
            )));
        }
        self.run("migrate", || async {
            self.sql.create_table.query().execute(&self.pool).await
        })
        .await?;
        Ok(())
    }

    /// Runs `work` within the time limit, again if it fails for a reason that passes.
    pub(crate) async fn run<T, W>(&self, operation: &'static str, work: impl Fn() -> W) -> Result<T>
    where
        W: Future<Output = sqlx::Result<T>>,
    {
        let repeated = async {
            let mut attempt = 1;
            loop {
                match work().await {
                    Err(error) if attempt < ATTEMPTS && is_worth_repeating(&error) => {
                        BACKOFF.wait(attempt).await;
                        attempt += 1;
                    }
                    done => return done.map_err(|error| from_sqlx(operation, &error)),
                }
            }
        };
        within(operation, self.timeout, repeated).await
    }

    fn check(&self, draft: &Draft) -> Result<()> {
        Error::check_size("record", draft.data.len(), self.max_data)
    }

    /// The stamp of the live session `id`.
    async fn stamp(&self, operation: &'static str, id: &SessionId) -> Result<Option<Stamp>> {
        let row = self
            .run(operation, || async {
                let query = self.sql.stamp.query().bind(id.as_str().as_bytes());
                query.fetch_optional(&self.pool).await
            })
            .await?;
        row.map(|row| stamp(&row, 0)).transpose()
    }

    /// Removes the session `id` if it has expired: it stands where a new one shall be.
    async fn remove_expired(&self, operation: &'static str, id: &SessionId) -> Result<bool> {
        let removed = self
            .run(operation, || async {
                let query = self.sql.remove_expired.query().bind(id.as_str().as_bytes());
                query.execute(&self.pool).await
            })
            .await?;
        Ok(removed.rows_affected() > 0)
    }

    /// Runs a statement that puts a session under the id `to`, after an expired one has made room.
    /// Gives the number of rows it matched, or the stamp of the live session that is there.
    async fn write_to(
        &self,
        operation: &'static str,
        to: &SessionId,
        query: impl Fn() -> Query<'static, MySql, MySqlArguments>,
    ) -> Result<std::result::Result<u64, Option<Stamp>>> {
        // Twice, for an expired one may stand there; more often would be somebody else's work.
        for _ in 0..2 {
            let written = self
                .run(operation, || async {
                    match query().execute(&self.pool).await {
                        Err(error) if is_duplicate(&error) => Ok(None),
                        done => done.map(|done| Some(done.rows_affected())),
                    }
                })
                .await?;
            if let Some(rows) = written {
                return Ok(Ok(rows));
            }
            if !self.remove_expired(operation, to).await? {
                break;
            }
        }
        Ok(Err(self.stamp(operation, to).await?))
    }

    fn create_query(&self, id: &SessionId, draft: &Draft) -> Query<'static, MySql, MySqlArguments> {
        let lifetime = draft.lifetime;
        let first = lifetime.idle.min(lifetime.absolute);
        self.sql
            .create
            .query()
            .bind(id.as_str().as_bytes().to_vec())
            .bind(draft.stamp.as_bytes().to_vec())
            .bind(owner_bytes(draft))
            .bind(millis(lifetime.idle))
            .bind(millis(lifetime.absolute))
            .bind(micros(first))
            .bind(draft.data.to_vec())
    }

    fn save_query(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Query<'static, MySql, MySqlArguments> {
        let (idle, absolute) = (draft.lifetime.idle, draft.lifetime.absolute);
        let restart = draft.anchor == Anchor::Restart;
        self.sql
            .save
            .query()
            .bind(to.as_str().as_bytes().to_vec())
            .bind(draft.stamp.as_bytes().to_vec())
            .bind(owner_bytes(draft))
            .bind(millis(idle))
            .bind(millis(absolute))
            .bind(micros(idle))
            .bind(restart)
            .bind(micros(absolute))
            .bind(micros(idle))
            .bind(restart)
            .bind(micros(absolute))
            .bind(restart)
            .bind(draft.data.to_vec())
            .bind(from.as_str().as_bytes().to_vec())
            .bind(expected.as_bytes().to_vec())
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

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        self.check(draft)?;
        match self
            .write_to("create", id, || self.create_query(id, draft))
            .await?
        {
            Ok(_) => Ok(draft.stamp),
            Err(Some(stamp)) if stamp == draft.stamp => Ok(stamp),
            Err(_) => Err(Error::AlreadyExists),
        }
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let row = self
            .run("load", || async {
                let query = self.sql.load.query().bind(id.as_str().as_bytes());
                query.fetch_optional(&self.pool).await
            })
            .await?;
        row.map(|row| record(&row)).transpose()
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved> {
        self.check(draft)?;
        let saved = self
            .run("save", || async {
                self.save_query(id, id, draft, expected)
                    .execute(&self.pool)
                    .await
            })
            .await?;
        if saved.rows_affected() > 0 {
            return Ok(Saved::Done(draft.stamp));
        }
        Ok(match self.stamp("save", id).await? {
            Some(stamp) if stamp == draft.stamp => Saved::Done(stamp),
            Some(_) => Saved::Conflict,
            None => Saved::Gone,
        })
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let (idle, id) = (micros(idle), id.as_str().as_bytes());
        let touched = self
            .run("touch", || async {
                let query = self.sql.touch.query().bind(idle).bind(idle).bind(id);
                query.execute(&self.pool).await
            })
            .await?;
        if touched.rows_affected() == 0 {
            return Ok(None);
        }
        let row = self
            .run("touch", || async {
                self.sql
                    .ttl
                    .query()
                    .bind(id)
                    .fetch_optional(&self.pool)
                    .await
            })
            .await?;
        row.map(|row| ttl(&row, 0)).transpose()
    }

    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        self.check(draft)?;
        let query = || self.save_query(from, to, draft, expected);
        match self.write_to("rename", to, query).await? {
            Ok(0) => {}
            Ok(_) => return Ok(Saved::Done(draft.stamp)),
            Err(Some(stamp)) if stamp == draft.stamp => return Ok(Saved::Done(stamp)),
            Err(_) => return Err(Error::AlreadyExists),
        }
        if self.stamp("rename", to).await? == Some(draft.stamp) {
            return Ok(Saved::Done(draft.stamp));
        }
        Ok(match self.stamp("rename", from).await? {
            Some(_) => Saved::Conflict,
            None => Saved::Gone,
        })
    }

    async fn destroy(&self, id: &SessionId) -> Result<bool> {
        let destroyed = self
            .run("destroy", || async {
                let query = self.sql.destroy.query().bind(id.as_str().as_bytes());
                query.execute(&self.pool).await
            })
            .await?;
        Ok(destroyed.rows_affected() > 0)
    }
}

fn record(row: &MySqlRow) -> Result<Record> {
    Ok(Record {
        data: Bytes::from(column::<Vec<u8>>(row, 0)?),
        stamp: stamp(row, 1)?,
        owner: owner(row, 2)?,
        lifetime: lifetime(row, 3)?,
        ttl: ttl(row, 5)?,
        age: age(row, 6)?,
    })
}

pub(crate) fn column<'r, T>(row: &'r MySqlRow, index: usize) -> Result<T>
where
    T: sqlx::Decode<'r, MySql> + sqlx::Type<MySql>,
{
    row.try_get(index)
        .map_err(|error| from_sqlx("read", &error))
}

fn stamp(row: &MySqlRow, index: usize) -> Result<Stamp> {
    let bytes: Vec<u8> = column(row, index)?;
    let bytes = bytes
        .try_into()
        .map_err(|_| Error::corrupt("the row has no usable stamp"))?;
    Ok(Stamp::from_bytes(bytes))
}

pub(crate) fn owner(row: &MySqlRow, index: usize) -> Result<Option<Owner>> {
    let Some(bytes) = column::<Option<Vec<u8>>>(row, index)? else {
        return Ok(None);
    };
    let owner = String::from_utf8(bytes)
        .ok()
        .and_then(|owner| Owner::new(owner).ok());
    owner
        .map(Some)
        .ok_or_else(|| Error::corrupt("the row has no usable owner"))
}

/// The limits in this column and the next.
pub(crate) fn lifetime(row: &MySqlRow, index: usize) -> Result<Lifetime> {
    let limit = |index| -> Result<Timeout> {
        let millis: Option<i64> = column(row, index)?;
        Ok(Timeout::from_millis(
            millis.map(|millis| u64::try_from(millis).unwrap_or(0)),
        ))
    };
    Ok(Lifetime::new(limit(index)?, limit(index + 1)?))
}

pub(crate) fn ttl(row: &MySqlRow, index: usize) -> Result<Ttl> {
    let micros: Option<i64> = column(row, index)?;
    Ok(micros.map_or(Ttl::Never, |micros| Ttl::Left(from_micros(micros))))
}

pub(crate) fn age(row: &MySqlRow, index: usize) -> Result<Duration> {
    Ok(from_micros(column(row, index)?))
}

/// A clock that was set back gives 0.
fn from_micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

fn owner_bytes(draft: &Draft) -> Option<Vec<u8>> {
    draft
        .owner
        .as_ref()
        .map(|owner| owner.as_str().as_bytes().to_vec())
}

fn millis(timeout: Timeout) -> Option<i64> {
    timeout
        .millis()
        .map(|millis| i64::try_from(millis).unwrap_or(i64::MAX))
}

/// Whole milliseconds, in microseconds.
fn micros(timeout: Timeout) -> Option<i64> {
    millis(timeout).map(|millis| millis.saturating_mul(1_000).min(LONGEST_MICROS))
}

impl fmt::Debug for MysqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlStore")
            .field("table", &self.sql.table)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
