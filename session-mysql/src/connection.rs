//! Connections at hand.
//!
//! A pool of sqlx pings every connection that comes back to it, which is a round trip for the
//! server to each of the callers'. So those in steady use stay here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{MySql, MySqlConnection, MySqlPool};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a connection may lie here unused; the pool's own rules count for it afterwards.
const IDLE: Duration = Duration::from_secs(30);

/// A pool, and those of its connections that are at hand. Clones share them.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) pool: MySqlPool,
    parked: Arc<Parked>,
    /// One permit for each connection that may be in use. Without it callers would wait for the
    /// pool, while connections that never go back to it serve others again and again.
    permits: Arc<Semaphore>,
}

struct Parked {
    connections: Mutex<Vec<(PoolConnection<MySql>, Instant)>>,
    /// How many may be here: the pool has others to serve.
    most: usize,
}

/// A connection in use. Dropped without [`release`](Self::release) it is closed: an answer may
/// still be under way on it.
pub(crate) struct InUse {
    connection: Option<PoolConnection<MySql>>,
    parked: Arc<Parked>,
    /// Dropped after the connection was parked.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connections {
    /// At most `most` of the pool's connections are in use or at hand, but one may always be in
    /// use.
    pub(crate) fn new(pool: MySqlPool, most: usize) -> Self {
        let parked = Arc::new(Parked {
            connections: Mutex::default(),
            most,
        });
        Self {
            pool,
            parked,
            permits: Arc::new(Semaphore::new(most.max(1))),
        }
    }

    /// A connection, for each caller in its turn: the one used last, or one of the pool's.
    pub(crate) async fn acquire(&self) -> sqlx::Result<InUse> {
        // Never closed, so there is no other answer than a permit.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let connection = match self.parked.pop() {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        Ok(InUse {
            connection: Some(connection),
            parked: Arc::clone(&self.parked),
            _permit: permit,
        })
    }

    /// Closes all that lie here: one was found broken, and others may be too.
    pub(crate) fn discard(&self) {
        for (connection, _) in self.parked.lock().drain(..) {
            close(connection);
        }
    }
}

impl Parked {
    fn lock(&self) -> MutexGuard<'_, Vec<(PoolConnection<MySql>, Instant)>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn pop(&self) -> Option<PoolConnection<MySql>> {
        let (connection, since) = self.lock().pop()?;
        if since.elapsed() > IDLE {
            give_back(connection);
            return None;
        }
        Some(connection)
    }

    fn push(&self, connection: PoolConnection<MySql>) {
        let mut connections = self.lock();
        if connections.len() < self.most {
            connections.push((connection, Instant::now()));
        } else {
            drop(connections);
            give_back(connection);
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        for (connection, _) in self.lock().drain(..) {
            give_back(connection);
        }
    }
}

impl InUse {
    /// The connection.
    pub(crate) fn get(&mut self) -> &mut MySqlConnection {
        self.connection.as_mut().expect("it is not released yet")
    }

    /// It waits for nothing, and can serve others.
    pub(crate) fn release(mut self) {
        if let Some(connection) = self.connection.take() {
            self.parked.push(connection);
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            close(connection);
        }
    }
}

fn close(mut connection: PoolConnection<MySql>) {
    connection.close_on_drop();
    give_back(connection);
}

fn give_back(connection: PoolConnection<MySql>) {
    match Handle::try_current() {
        Ok(_) => drop(connection),
        // The pool takes connections back in a task, and panics where there is no runtime: where
        // a program ends, which closes the connection too.
        Err(_) => std::mem::forget(connection),
    }
}
