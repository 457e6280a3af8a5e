//! The client of a store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::dialect::OptionsOf;
use crate::pool::{Pool, PooledConnection, Turn};
use crate::{Dialect, Statement};

/// How long an operation waits for connections in use to be closed that lead to lost files.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// The client of a store: a pool of connections, and a second one where only one connection can
/// write. Clones share them.
pub struct SqlClient<D: Dialect> {
    pool: Pool<D>,
    /// The one connection that writes; if there is none, all do.
    writer: Option<Pool<D>>,
    /// Held by the one that opens a connection to files.
    opening: Arc<Mutex<()>>,
    /// Whether statements may stay prepared.
    prepares: bool,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Statements that change nothing.
    Read,
    /// Any statements.
    Write,
}

impl<D: Dialect> SqlClient<D> {
    /// A pool of up to `max_connections` connections. If the server refuses all, it tries again for
    /// `acquire_timeout`.
    pub(crate) fn new(
        options: OptionsOf<D>,
        max_connections: u32,
        acquire_timeout: Duration,
    ) -> Self {
        Self {
            pool: Pool::new(options, max_connections, acquire_timeout),
            writer: None,
            opening: Arc::default(),
            prepares: true,
        }
    }

    /// The same, with one connection with `options` for all that writes.
    pub(crate) fn with_writer(self, options: OptionsOf<D>, acquire_timeout: Duration) -> Self {
        let writer = Pool::new(options, 1, acquire_timeout).closing_in_turn_with(&self.pool);
        Self {
            writer: Some(writer),
            ..self
        }
    }

    /// The same, where no statement stays prepared unless `prepares`.
    pub(crate) fn with_prepared(self, prepares: bool) -> Self {
        Self { prepares, ..self }
    }

    /// The same, whose new connections make an empty database a store's by `create`.
    pub(crate) fn with_creation(self, create: &Arc<[Statement<D>]>) -> Self {
        Self {
            pool: self.pool.with_creation(Arc::clone(create)),
            writer: (self.writer).map(|writer| writer.with_creation(Arc::clone(create))),
            ..self
        }
    }

    /// Returns a connection; callers wait in order.
    ///
    /// # Errors
    /// The driver's, if none can be opened.
    pub(crate) async fn acquire(&self, access: Access) -> sqlx::Result<PooledConnection<D>> {
        let pool = match (&self.writer, access) {
            (Some(writer), Access::Write) => writer,
            _ => &self.pool,
        };
        let mut connection = pool.acquire(self.turn_to_open()).await?;
        connection.is_persistent &= self.prepares;
        Ok(connection)
    }

    /// Waits until no other connection to files is being opened, so that all are known. Closes all
    /// connections, and waits until they are closed, if some lead to files that are no longer at
    /// their paths: a connection that is opened beside them in the same process would share the
    /// locks and the memory of the old files.
    async fn turn_to_open(&self) -> Option<Turn> {
        if !self.pool.leads_to_files() {
            return None;
        }
        let turn = Arc::clone(&self.opening).lock_owned().await;
        let until = Instant::now() + LEAVE_WITHIN;
        while self.pools().any(Pool::leads_elsewhere) && Instant::now() < until {
            self.discard();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Some(turn)
    }

    /// Closes all connections, those in use when they are returned.
    pub(crate) fn discard(&self) {
        self.pools().for_each(Pool::discard);
    }

    /// Closes the connections that were not used since `began`.
    pub(crate) fn discard_unused_since(&self, began: Instant) {
        self.pools()
            .for_each(|pool| pool.discard_unused_since(began));
    }

    fn pools(&self) -> impl Iterator<Item = &Pool<D>> {
        std::iter::once(&self.pool).chain(&self.writer)
    }
}

impl<D: Dialect> Clone for SqlClient<D> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            writer: self.writer.clone(),
            opening: Arc::clone(&self.opening),
            prepares: self.prepares,
        }
    }
}
