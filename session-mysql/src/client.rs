//! The client of a store: its pool of connections.
//!
//! Not the pool of sqlx, for four reasons. It pings each connection that is returned, which doubles
//! the round trips at the server. If the server allows no more connections it fails, instead of
//! waiting for one of its own. It takes a refused port for a server that is starting, and reports a
//! time-out. And it hands out connections whose tokio runtime has ended. Measured with one caller: a
//! save takes 87 µs of the client's CPU, by the pool of sqlx 139 µs (`benches/results/compare.md`).

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use session_core::backend::Backoff;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::runtime::{self, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::timeout_at;

use crate::error::{has_no_room_to_prepare, is_broken, is_full};

/// How long a connection may be idle.
const MAX_IDLE: Duration = Duration::from_secs(30);
/// How long a connection is used. It bounds how long connections lead to an old server after its
/// address has changed.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// How long after a refusal the pool tries to open one more connection.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long no statements are prepared after the server had no room for another.
const NO_PREPARE_FOR: Duration = Duration::from_secs(60);
/// The pauses while the server refuses all connections of this store.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(250));

/// Sets up a new connection: statements mean the same whatever the server's settings are, and a
/// value that does not fit is an error.
const SETTINGS: &str = "\
SET NAMES utf8mb4, time_zone = '+00:00', autocommit = 1, sql_auto_is_null = 0, \
sql_safe_updates = 0, sql_select_limit = 18446744073709551615, \
sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
NO_ENGINE_SUBSTITUTION'";

/// The client of a [`MysqlStore`](crate::MysqlStore): a pool of connections. Clones share it.
#[derive(Clone)]
pub struct MysqlClient(Arc<Shared>);

struct Shared {
    options: MySqlConnectOptions,
    /// How long to wait while the server refuses all connections.
    acquire_timeout: Duration,
    max_connections: usize,
    /// One permit for each connection. Callers wait for permits in order.
    permits: Arc<Semaphore>,
    /// How many connections are open, in use or idle.
    open: Arc<AtomicUsize>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<IdleConnection>,
    /// Connections of an older generation are closed.
    generation: u64,
    /// How many permits are withheld, because the server has refused as many connections.
    withheld: usize,
    refused_at: Option<Instant>,
    no_room_at: Option<Instant>,
}

struct IdleConnection {
    connection: OwnedConnection,
    since: Instant,
}

/// A connection of the pool.
struct OwnedConnection {
    connection: MySqlConnection,
    created: Instant,
    generation: u64,
    /// The connection can't be used after this runtime has ended.
    runtime: Runtime,
    _count: CountGuard,
}

struct CountGuard(Arc<AtomicUsize>);

/// A handle that tells whether a tokio runtime has ended.
struct Runtime {
    id: runtime::Id,
    /// A task that waits for ever, so it ends with its runtime.
    ends: AbortHandle,
}

/// A connection in use. Dropping it without [putting it back](Self::put_back) closes it, because an
/// answer may still arrive on it.
pub(crate) struct PooledConnection {
    connection: OwnedConnection,
    /// Whether its statements may stay prepared.
    pub(crate) is_persistent: bool,
    shared: Arc<Shared>,
    permit: Option<OwnedSemaphorePermit>,
}

impl MysqlClient {
    /// A pool of up to `max_connections` connections. If the server refuses all, it tries again for
    /// `acquire_timeout`.
    pub(crate) fn new(
        options: MySqlConnectOptions,
        max_connections: u32,
        acquire_timeout: Duration,
    ) -> Self {
        let options = options
            .set_names(false)
            .timezone(None)
            .pipes_as_concat(false)
            .no_engine_substitution(false);
        Self(Arc::new(Shared {
            options,
            acquire_timeout,
            max_connections: max_connections as usize,
            permits: Arc::new(Semaphore::new(max_connections as usize)),
            open: Arc::default(),
            state: Mutex::default(),
        }))
    }

    /// Returns the connection that was used last, or a new one; callers wait in order. If the
    /// server allows no more connections, callers wait for the existing ones.
    pub(crate) async fn acquire(&self) -> sqlx::Result<PooledConnection> {
        let shared = &self.0;
        let until = Instant::now() + shared.acquire_timeout;
        let (mut attempt, mut refusal) = (0, None);
        loop {
            // The semaphore is never closed, so this always returns a permit.
            let permit = Arc::clone(&shared.permits).acquire_owned().await.ok();
            let (idle, generation, is_persistent) = shared.take_idle();
            let connection = match idle {
                Some(connection) => connection,
                None => match shared.connect_after(refusal, until, generation).await {
                    Ok(connection) => connection,
                    Err(error) if is_full(&error) && Instant::now() < until => {
                        shared.withhold_permit(permit);
                        if shared.open.load(Ordering::Acquire) == 0 {
                            let _ = timeout_at(until.into(), BACKOFF.wait(attempt)).await;
                            attempt += 1;
                        }
                        refusal = Some(error);
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            return Ok(PooledConnection {
                connection,
                is_persistent,
                shared: Arc::clone(shared),
                permit,
            });
        }
    }

    /// Closes all connections, those in use when they are returned: one was broken or led to the
    /// wrong server, so others may be or do too.
    pub(crate) fn discard(&self) {
        let mut state = self.0.state();
        state.generation += 1;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        idle.into_iter().for_each(|idle| idle.connection.close());
    }

    /// Closes the connections that were not used since `began`, when a statement was sent that was
    /// not answered: they may be silent too.
    pub(crate) fn discard_unused_since(&self, began: Instant) {
        let mut state = self.0.state();
        let silent: Vec<IdleConnection> = state
            .idle
            .extract_if(.., |idle| idle.since < began)
            .collect();
        drop(state);
        silent.into_iter().for_each(|idle| idle.connection.close());
    }
}

impl State {
    /// The connection that was used last, preferably in this runtime: another runtime may be busy.
    fn pop(&mut self) -> Option<OwnedConnection> {
        let here = Handle::try_current().ok()?.id();
        let is_here = |idle: &IdleConnection| idle.connection.runtime.id == here;
        let last = self.idle.len().checked_sub(1)?;
        let at = self.idle.iter().rposition(is_here).unwrap_or(last);
        Some(self.idle.remove(at).connection)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection, the current generation, and whether statements may stay prepared.
    fn take_idle(&self) -> (Option<OwnedConnection>, u64, bool) {
        let mut state = self.state();
        if state.withheld > 0 && state.refused_at.is_none_or(|at| at.elapsed() > RETRY_AFTER) {
            state.withheld -= 1;
            state.refused_at = Some(Instant::now());
            self.permits.add_permits(1);
        }
        if state
            .no_room_at
            .is_some_and(|at| at.elapsed() > NO_PREPARE_FOR)
        {
            state.no_room_at = None;
        }
        let now = Instant::now();
        let is_usable = |idle: &mut IdleConnection| {
            now.duration_since(idle.since) < MAX_IDLE && !idle.connection.runtime.has_ended()
        };
        let unusable: Vec<IdleConnection> = (state.idle)
            .extract_if(.., |idle| !is_usable(idle))
            .collect();
        let found = state.pop();
        let answer = (found, state.generation, state.no_room_at.is_none());
        drop(state);
        unusable
            .into_iter()
            .for_each(|idle| idle.connection.close());
        answer
    }

    /// Opens a connection. After a `refusal`, it returns that error if no connection is open by
    /// `until`, because a time-out would not say why.
    async fn connect_after(
        &self,
        refusal: Option<sqlx::Error>,
        until: Instant,
        generation: u64,
    ) -> sqlx::Result<OwnedConnection> {
        let made = self.connect(generation);
        match refusal {
            None => made.await,
            Some(refusal) => timeout_at(until.into(), made).await.unwrap_or(Err(refusal)),
        }
    }

    async fn connect(&self, generation: u64) -> sqlx::Result<OwnedConnection> {
        let mut connection = self.options.connect().await?;
        let count = CountGuard::new(&self.open);
        connection.execute(SETTINGS).await?;
        Ok(OwnedConnection {
            connection,
            created: Instant::now(),
            generation,
            runtime: Runtime::current(),
            _count: count,
        })
    }

    /// Withholds a permit after the server has refused a connection, unless it is the last one.
    fn withhold_permit(&self, permit: Option<OwnedSemaphorePermit>) {
        let mut state = self.state();
        state.refused_at = Some(Instant::now());
        if state.withheld + 1 < self.max_connections && self.open.load(Ordering::Acquire) > 0 {
            state.withheld += 1;
            if let Some(permit) = permit {
                permit.forget();
            }
        }
    }

    fn put_idle(&self, connection: OwnedConnection) {
        let now = Instant::now();
        let mut state = self.state();
        if connection.generation != state.generation || now - connection.created > MAX_AGE {
            drop(state);
            connection.close();
            return;
        }
        state.idle.push(IdleConnection {
            connection,
            since: now,
        });
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for idle in self.state().idle.drain(..) {
            idle.connection.close();
        }
    }
}

impl PooledConnection {
    /// The connection.
    pub(crate) fn get(&mut self) -> &mut MySqlConnection {
        &mut self.connection.connection
    }

    /// Returns the connection to the pool after `answer`, unless that shows that it is broken.
    pub(crate) fn put_back<T>(self, answer: &sqlx::Result<T>) {
        match answer {
            Err(error) if is_broken(error) => self.close_after(error),
            _ => self.release(),
        }
    }

    /// Returns the connection, which has answered everything, to the pool.
    pub(crate) fn release(self) {
        let Self {
            connection,
            shared,
            permit,
            ..
        } = self;
        shared.put_idle(connection);
        // The permit last, so that the next caller finds the connection.
        drop(permit);
    }

    /// Closes the connection because of `error`. If the server has no room for another prepared
    /// statement, the pool stops preparing statements for [`NO_PREPARE_FOR`].
    pub(crate) fn close_after(self, error: &sqlx::Error) {
        if has_no_room_to_prepare(error) {
            self.shared.state().no_room_at = Some(Instant::now());
        }
    }
}

impl OwnedConnection {
    /// Tells the server, which logs connections that are closed otherwise. Polls only once, so that
    /// nothing waits for the socket.
    fn close(self) {
        let mut closing = pin!(self.connection.close());
        let _ = closing
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
    }
}

impl CountGuard {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(open))
    }
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Runtime {
    fn current() -> Self {
        let task = tokio::spawn(std::future::pending::<()>());
        Self {
            id: Handle::current().id(),
            ends: task.abort_handle(),
        }
    }

    fn has_ended(&self) -> bool {
        self.ends.is_finished()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.ends.abort();
    }
}
