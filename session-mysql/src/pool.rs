//! The store's connections: its client.
//!
//! Not a pool of sqlx: that pings every connection that comes back to it, which is a round trip for
//! the server to each of the callers'; it asks for another connection where the server allows no
//! more, and fails, while those it has would serve; it takes a refused port for a server that
//! starts, and reports a time-out; and it gives a connection of a runtime that has ended to the
//! next one.

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

/// How long a connection may lie here unused.
const IDLE: Duration = Duration::from_secs(30);
/// How long a connection is used: a server behind a changed address is found by then.
const AGE: Duration = Duration::from_secs(30 * 60);
/// How long after the server has refused a connection another one is tried beside those there are.
const AGAIN: Duration = Duration::from_secs(5);
/// How long statements are not kept prepared after the server had no room for another.
const UNPREPARED: Duration = Duration::from_secs(60);
/// Waiting for a server that has no connection for this store at all.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(250));

/// What a connection is set to before its first use, whatever the server's own settings are: what
/// statements mean, and that a value which does not fit is an error.
const SETTINGS: &str = "\
SET NAMES utf8mb4, time_zone = '+00:00', autocommit = 1, sql_auto_is_null = 0, \
sql_safe_updates = 0, sql_select_limit = 18446744073709551615, \
sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
NO_ENGINE_SUBSTITUTION'";

/// The connections of one store: a pool, which is its client for good. Clones share it.
#[derive(Clone)]
pub struct MysqlClient(Arc<Shared>);

struct Shared {
    options: MySqlConnectOptions,
    /// How long to wait for a server that has no connection to give.
    patience: Duration,
    most: usize,
    /// One permit for each connection that there may be: callers wait for one in their turn.
    permits: Arc<Semaphore>,
    /// How many there are, in use or at hand.
    open: Arc<AtomicUsize>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    parked: Vec<Parked>,
    /// Connections of another generation are of no use.
    generation: u64,
    /// How many permits are withheld, for the server has refused so many connections.
    withheld: usize,
    refused: Option<Instant>,
    no_room: Option<Instant>,
}

struct Parked {
    connection: Open,
    since: Instant,
}

/// A connection, and what is known of it.
struct Open {
    connection: MySqlConnection,
    made: Instant,
    generation: u64,
    /// The runtime whose end is the connection's.
    runtime: Runtime,
    _counted: Counted,
}

struct Counted(Arc<AtomicUsize>);

/// The runtime that something was made in.
struct Runtime {
    id: runtime::Id,
    /// A task that does nothing, and ends with its runtime.
    ends: AbortHandle,
}

/// A connection in use. Dropped without being [put back](Self::put_back) it is closed: an answer
/// may still be under way on it.
pub(crate) struct InUse {
    connection: Open,
    /// Whether the server may keep prepared statements of it.
    pub(crate) is_persistent: bool,
    shared: Arc<Shared>,
    permit: Option<OwnedSemaphorePermit>,
}

impl MysqlClient {
    /// At most `most` connections. A server that has none to give is asked again for `patience`.
    pub(crate) fn new(options: MySqlConnectOptions, most: u32, patience: Duration) -> Self {
        let options = options
            .set_names(false)
            .timezone(None)
            .pipes_as_concat(false)
            .no_engine_substitution(false);
        Self(Arc::new(Shared {
            options,
            patience,
            most: most as usize,
            permits: Arc::new(Semaphore::new(most as usize)),
            open: Arc::default(),
            state: Mutex::default(),
        }))
    }

    /// A connection, for each caller in its turn: the one used last, or a new one.
    ///
    /// If the server allows no more of them, callers wait for those there are.
    pub(crate) async fn acquire(&self) -> sqlx::Result<InUse> {
        let shared = &self.0;
        let until = Instant::now() + shared.patience;
        let (mut attempt, mut refusal) = (0, None);
        loop {
            // Never closed, so there is no other answer than a permit.
            let permit = Arc::clone(&shared.permits).acquire_owned().await.ok();
            let (parked, generation, is_persistent) = shared.take();
            let connection = match parked {
                Some(connection) => connection,
                None => match shared.connect_after(refusal, until, generation).await {
                    Ok(connection) => connection,
                    Err(error) if is_full(&error) && Instant::now() < until => {
                        shared.refused(permit);
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
            return Ok(InUse {
                connection,
                is_persistent,
                shared: Arc::clone(shared),
                permit,
            });
        }
    }

    /// Closes all connections, those in use when they come back: one was found broken or leading to
    /// the wrong server, and others may be too.
    pub(crate) fn discard(&self) {
        let mut state = self.0.state();
        state.generation += 1;
        let parked = std::mem::take(&mut state.parked);
        drop(state);
        parked
            .into_iter()
            .for_each(|parked| parked.connection.close());
    }

    /// Closes those that were not used since `began`, when something was sent that was not answered:
    /// they may be as silent.
    pub(crate) fn discard_unused_since(&self, began: Instant) {
        let mut state = self.0.state();
        let silent: Vec<Parked> = state
            .parked
            .extract_if(.., |parked| parked.since < began)
            .collect();
        drop(state);
        silent
            .into_iter()
            .for_each(|parked| parked.connection.close());
    }
}

impl State {
    /// The connection that was used last, of this runtime's if there is one: another one may be
    /// busy.
    fn pop(&mut self) -> Option<Open> {
        let here = Handle::try_current().ok()?.id();
        let is_here = |parked: &Parked| parked.connection.runtime.id == here;
        let last = self.parked.len().checked_sub(1)?;
        let at = self.parked.iter().rposition(is_here).unwrap_or(last);
        Some(self.parked.remove(at).connection)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection at hand, the present generation, and whether statements may stay prepared.
    fn take(&self) -> (Option<Open>, u64, bool) {
        let mut state = self.state();
        if state.withheld > 0 && state.refused.is_none_or(|at| at.elapsed() > AGAIN) {
            state.withheld -= 1;
            state.refused = Some(Instant::now());
            self.permits.add_permits(1);
        }
        if state.no_room.is_some_and(|at| at.elapsed() > UNPREPARED) {
            state.no_room = None;
        }
        let now = Instant::now();
        let is_of_use = |parked: &mut Parked| {
            now.duration_since(parked.since) < IDLE && !parked.connection.runtime.has_ended()
        };
        let of_no_use: Vec<Parked> = (state.parked)
            .extract_if(.., |parked| !is_of_use(parked))
            .collect();
        let found = state.pop();
        let answer = (found, state.generation, state.no_room.is_none());
        drop(state);
        of_no_use
            .into_iter()
            .for_each(|parked| parked.connection.close());
        answer
    }

    /// A new connection. If the server had none to give before, the answer is that refusal unless
    /// this one is made by `until`: a time limit further out would not say why.
    async fn connect_after(
        &self,
        refusal: Option<sqlx::Error>,
        until: Instant,
        generation: u64,
    ) -> sqlx::Result<Open> {
        let made = self.connect(generation);
        match refusal {
            None => made.await,
            Some(refusal) => timeout_at(until.into(), made).await.unwrap_or(Err(refusal)),
        }
    }

    async fn connect(&self, generation: u64) -> sqlx::Result<Open> {
        let mut connection = self.options.connect().await?;
        let counted = Counted::new(&self.open);
        connection.execute(SETTINGS).await?;
        Ok(Open {
            connection,
            made: Instant::now(),
            generation,
            runtime: Runtime::present(),
            _counted: counted,
        })
    }

    /// The server allows no more connections: one caller less has a turn at a time, unless it is
    /// the only one.
    fn refused(&self, permit: Option<OwnedSemaphorePermit>) {
        let mut state = self.state();
        state.refused = Some(Instant::now());
        if state.withheld + 1 < self.most && self.open.load(Ordering::Acquire) > 0 {
            state.withheld += 1;
            if let Some(permit) = permit {
                permit.forget();
            }
        }
    }

    fn put(&self, connection: Open) {
        let now = Instant::now();
        let mut state = self.state();
        if connection.generation != state.generation || now - connection.made > AGE {
            drop(state);
            connection.close();
            return;
        }
        state.parked.push(Parked {
            connection,
            since: now,
        });
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for parked in self.state().parked.drain(..) {
            parked.connection.close();
        }
    }
}

impl InUse {
    /// The connection.
    pub(crate) fn get(&mut self) -> &mut MySqlConnection {
        &mut self.connection.connection
    }

    /// Lets others use the connection after `answer`, if there is more to be expected of it.
    pub(crate) fn put_back<T>(self, answer: &sqlx::Result<T>) {
        match answer {
            Err(error) if is_broken(error) => self.close_after(error),
            _ => self.release(),
        }
    }

    /// It has answered all that it was sent.
    pub(crate) fn release(self) {
        let Self {
            connection,
            shared,
            permit,
            ..
        } = self;
        shared.put(connection);
        // Now the next caller finds it.
        drop(permit);
    }

    /// Closes the connection because of `error`. If the server has no room for another prepared
    /// statement, none is kept for a while.
    pub(crate) fn close_after(self, error: &sqlx::Error) {
        if has_no_room_to_prepare(error) {
            self.shared.state().no_room = Some(Instant::now());
        }
    }
}

impl Open {
    /// Tells the server, which logs connections that end without a word. What does not go out at
    /// once is left unsaid, so nothing is left behind that waits.
    fn close(self) {
        let mut goodbye = pin!(self.connection.close());
        let _ = goodbye
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
    }
}

impl Counted {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Runtime {
    fn present() -> Self {
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
