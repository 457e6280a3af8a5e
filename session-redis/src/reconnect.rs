//! The connection that is used now, and when another takes its place.
//!
//! The driver opens a connection again when it has seen it break. Two faults it does not see: a
//! connection that stays open while nothing comes back any more, and one to a server that is not the
//! primary any more. And an attempt to connect that was refused for another reason than the network
//! (a password that was wrong for a while, too many clients) it never makes again.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
#[cfg(feature = "cluster")]
use redis::cluster::ClusterConfig;
use redis::{RedisError, RedisResult};

use crate::connection::{DriverConnection, Origin};
use crate::error::{leads_elsewhere, refuses_connection};
use crate::socket::watched;

/// A connection that took another's place less long ago than this leads to where its address leads
/// now: yet another one helps nothing.
const RECENT: Duration = Duration::from_millis(100);

/// A connection that another takes the place of when it does not serve any more.
pub(crate) struct Reconnecting {
    pub(crate) origin: Origin,
    /// How long an operation may take.
    timeout: Duration,
    current: Mutex<Current>,
    /// Whether a call over the current connection was given up, and no answer has come since.
    is_silent: AtomicBool,
}

struct Current {
    open: DriverConnection,
    /// How many there were before it.
    number: u64,
    made: Instant,
    /// Since when calls that were given up have waited.
    silent_since: Option<Instant>,
    /// Whether they have waited so long that the next call needs another connection. One in a
    /// cluster stays suspect: each node has a socket of its own.
    is_suspect: bool,
}

/// A call that is under way. When it is dropped without an answer, its connection is suspect.
pub(crate) struct Call<'a> {
    connection: &'a Reconnecting,
    number: u64,
    began: Instant,
    is_over: bool,
}

impl Reconnecting {
    /// Connects.
    pub(crate) async fn connect(origin: Origin, timeout: Duration) -> RedisResult<Self> {
        let origin = match origin {
            Origin::Client(client) => Origin::Client(Box::new(watched(*client, timeout))),
            other => other,
        };
        let open = match &origin {
            Origin::Client(client) => {
                let config = manager_config(timeout);
                let manager = ConnectionManager::new_with_config((**client).clone(), config);
                DriverConnection::Single(manager.await?)
            }
            #[cfg(feature = "cluster")]
            Origin::ClusterClient(client) => {
                let config = cluster_config(timeout);
                DriverConnection::Cluster(client.get_async_connection_with_config(config).await?)
            }
            Origin::Given(manager) => DriverConnection::Single(manager.clone()),
            #[cfg(feature = "cluster")]
            Origin::GivenCluster(connection) => DriverConnection::Cluster(connection.clone()),
        };
        Ok(Self {
            origin,
            timeout,
            current: Mutex::new(Current {
                open,
                number: 0,
                made: Instant::now(),
                silent_since: None,
                is_suspect: false,
            }),
            is_silent: AtomicBool::new(false),
        })
    }

    /// Begins a call over the connection that is given with it.
    pub(crate) fn call(&self) -> (Call<'_>, DriverConnection) {
        let mut current = self.current();
        if current.is_suspect && self.replace(&mut current) {
            tracing::debug!("another Redis connection takes the place of one that is silent");
        }
        let call = Call {
            connection: self,
            number: current.number,
            began: Instant::now(),
            is_over: false,
        };
        (call, current.open.clone())
    }

    /// A caller has waited for as long as an operation may take, while its batch goes on: a connection
    /// that was there for long is suspect, unless something comes over it after all.
    pub(crate) fn gave_up(&self) {
        let mut current = self.current();
        if current.made.elapsed() >= self.timeout / 2 {
            current.is_suspect = true;
            self.is_silent.store(true, Relaxed);
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another connection, which opens when it is first used; none where the caller gave the old one.
    fn another(&self) -> Option<DriverConnection> {
        match &self.origin {
            Origin::Client(client) => {
                let config = manager_config(self.timeout);
                let manager = ConnectionManager::new_lazy_with_config((**client).clone(), config);
                manager.ok().map(DriverConnection::Single)
            }
            #[cfg(feature = "cluster")]
            Origin::ClusterClient(client) => {
                let config = cluster_config(self.timeout);
                let connection = client.get_pending_async_connection_with_config(config);
                Some(DriverConnection::Cluster(connection))
            }
            Origin::Given(_) => None,
            #[cfg(feature = "cluster")]
            Origin::GivenCluster(_) => None,
        }
    }

    fn replace(&self, current: &mut Current) -> bool {
        let Some(open) = self.another() else {
            return false;
        };
        current.open = open;
        current.number += 1;
        current.made = Instant::now();
        current.silent_since = None;
        current.is_suspect = false;
        self.is_silent.store(false, Relaxed);
        true
    }
}

impl fmt::Debug for Reconnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)
    }
}

impl Call<'_> {
    /// An answer has come: the connection is not silent, if it came over this one. In a cluster it
    /// came from one node, and proves nothing of another that a caller has waited for.
    pub(crate) fn answered(mut self) {
        self.is_over = true;
        let connection = self.connection;
        if !connection.is_silent.load(Relaxed) {
            return;
        }
        let mut current = connection.current();
        if current.number == self.number {
            connection.is_silent.store(false, Relaxed);
            current.silent_since = None;
            current.is_suspect &= connection.origin.is_cluster();
        }
    }

    /// The call has failed so. Says whether another connection is there to try again with: nothing
    /// was done then.
    pub(crate) fn failed(mut self, error: &RedisError) -> bool {
        if error.is_timeout() {
            // Dropping it tells how long that was.
            return false;
        }
        self.is_over = true;
        if !leads_elsewhere(error) && !refuses_connection(error) {
            return false;
        }
        let mut current = self.connection.current();
        if current.number != self.number {
            return true;
        }
        if current.number > 0 && current.made.elapsed() < RECENT {
            return false;
        }
        tracing::debug!(%error, "another Redis connection takes the place of one that does not serve");
        self.connection.replace(&mut current)
    }
}

impl Drop for Call<'_> {
    /// Its caller has given up or gone away. One who gave up early proves nothing; several do who
    /// have waited for long together, without an answer in between.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut current = self.connection.current();
        if current.number != self.number {
            return;
        }
        let since = current.silent_since.unwrap_or(self.began).min(self.began);
        current.silent_since = Some(since);
        self.connection.is_silent.store(true, Relaxed);
        // The next call makes another: here there may be no runtime any more.
        current.is_suspect |= since.elapsed() >= self.connection.timeout / 2;
    }
}

fn manager_config(timeout: Duration) -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout))
        .set_min_delay(Duration::from_millis(50))
        .set_number_of_retries(1)
}

#[cfg(feature = "cluster")]
fn cluster_config(timeout: Duration) -> ClusterConfig {
    ClusterConfig::new()
        .set_connection_timeout(timeout)
        .set_response_timeout(timeout)
}
