//! A pool of connections.
//!
//! Not the pool of sqlx, for four reasons. It pings each connection that is returned, which doubles
//! the round trips at the server. If the server allows no more connections it fails, instead of
//! waiting for one of its own. It takes a refused port for a server that is starting, and reports a
//! time-out. And it hands out connections whose tokio runtime has ended. Measured with one caller: a
//! save takes 87 µs of the client's CPU, by the pool of sqlx 139 µs (`benches/results/compare.md`).

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{self, Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use session_core::backend::Backoff;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use crate::connection::{CountGuard, OwnedConnection, Runtime};
use crate::dialect::{ConnectionOf, OptionsOf};
use crate::error::{cause, is_broken};
use crate::{Cause, Destination, Dialect, Statement};

/// How long a connection is used. It bounds how long connections lead to an old server after its
/// address has changed.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// How long after a refusal the pool tries to open one more connection.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long no statements are prepared after the server had no room for another.
const NO_PREPARE_FOR: Duration = Duration::from_secs(60);
/// The pauses while the server refuses all connections of this store.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(250));

/// A time that no operation takes: 30 years.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// While it is held, no other connection to the same files is opened.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// A pool of connections. Clones share it.
pub(crate) struct Pool<D: Dialect>(Arc<Shared<D>>);

struct Shared<D: Dialect> {
    options: OptionsOf<D>,
    /// What makes an empty database a store's.
    create: Arc<[Statement<D>]>,
    /// How long to wait while the server refuses all connections.
    acquire_timeout: Duration,
    max_connections: usize,
    /// One permit for each connection. Callers wait for permits in order.
    permits: Arc<Semaphore>,
    /// How many connections are open, in use or idle.
    open: Arc<AtomicUsize>,
    /// Held while a connection to a file is closed.
    closing: Arc<Mutex<()>>,
    state: sync::Mutex<State<D>>,
}

struct State<D: Dialect> {
    idle: Vec<IdleConnection<D>>,
    /// What the connection that was opened last leads to.
    destination: Option<Destination>,
    /// Connections of an older generation are closed.
    generation: u64,
    /// How many permits are withheld, because the server has refused as many connections.
    withheld: usize,
    refused_at: Option<Instant>,
    no_room_at: Option<Instant>,
}

struct IdleConnection<D: Dialect> {
    connection: OwnedConnection<D>,
    since: Instant,
}

/// A connection in use. Dropping it without [putting it back](Self::put_back) closes it, because an
/// answer may still arrive on it.
pub struct PooledConnection<D: Dialect> {
    connection: OwnedConnection<D>,
    /// Whether its statements may stay prepared.
    pub is_persistent: bool,
    shared: Arc<Shared<D>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl<D: Dialect> Clone for Pool<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Dialect> Pool<D> {
    /// A pool of up to `max_connections` connections. If the server refuses all, it tries again for
    /// `acquire_timeout`.
    pub(crate) fn new(
        options: OptionsOf<D>,
        max_connections: u32,
        acquire_timeout: Duration,
    ) -> Self {
        Self::with(
            options,
            max_connections as usize,
            acquire_timeout,
            [].into(),
            Arc::default(),
        )
    }

    /// The same, unused, which closes no file while `other` closes one.
    pub(crate) fn closing_in_turn_with(self, other: &Self) -> Self {
        let shared = &self.0;
        Self::with(
            shared.options.clone(),
            shared.max_connections,
            shared.acquire_timeout,
            Arc::clone(&shared.create),
            Arc::clone(&other.0.closing),
        )
    }

    /// The same, unused, whose new connections make an empty database a store's by `create`.
    pub(crate) fn with_creation(self, create: Arc<[Statement<D>]>) -> Self {
        let shared = &self.0;
        let options = shared.options.clone();
        Self::with(
            options,
            shared.max_connections,
            shared.acquire_timeout,
            create,
            Arc::clone(&shared.closing),
        )
    }

    fn with(
        options: OptionsOf<D>,
        max_connections: usize,
        acquire_timeout: Duration,
        create: Arc<[Statement<D>]>,
        closing: Arc<Mutex<()>>,
    ) -> Self {
        Self(Arc::new(Shared {
            options,
            create,
            acquire_timeout,
            max_connections,
            permits: Arc::new(Semaphore::new(max_connections)),
            open: Arc::default(),
            closing,
            state: sync::Mutex::new(State::new()),
        }))
    }

    /// Returns the connection that was used last, or a new one; callers wait in order. If the
    /// server allows no more connections, callers wait for the existing ones. `before_opening` runs
    /// before a new connection is opened.
    pub(crate) async fn acquire(
        &self,
        before_opening: impl Future<Output = Option<Turn>>,
    ) -> sqlx::Result<PooledConnection<D>> {
        let shared = &self.0;
        let until = instant_after(shared.acquire_timeout);
        let (mut attempt, mut refusal) = (0, None);
        let mut before_opening = Some(before_opening);
        loop {
            // The semaphore is never closed, so this always returns a permit.
            let permit = Arc::clone(&shared.permits).acquire_owned().await.ok();
            let (idle, is_persistent) = shared.take_idle();
            let connection = match idle {
                Some(connection) => connection,
                None => match shared
                    .connect_after(before_opening.take(), refusal, until)
                    .await
                {
                    Ok(connection) => connection,
                    Err(error) if is_full::<D>(&error) && Instant::now() < until => {
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

    /// Whether connections lead to files.
    pub(crate) fn leads_to_files(&self) -> bool {
        D::destination(&self.0.options).is_some()
    }

    /// Whether connections are open that lead to something else than new ones would.
    pub(crate) fn leads_elsewhere(&self) -> bool {
        let shared = &self.0;
        if shared.open.load(Ordering::Acquire) == 0 {
            return false;
        }
        let own = shared.state().destination;
        !is_at(own, D::destination(&shared.options))
    }

    /// Closes all connections, those in use when they are returned: one was broken or led to the
    /// wrong server, so others may be or do too.
    pub(crate) fn discard(&self) {
        self.0.discard();
    }

    /// Closes the connections that were not used since `began`, when a statement was sent that was
    /// not answered: they may be silent too.
    pub(crate) fn discard_unused_since(&self, began: Instant) {
        let mut state = self.0.state();
        let silent: Vec<IdleConnection<D>> = state
            .idle
            .extract_if(.., |idle| idle.since < began)
            .collect();
        drop(state);
        silent.into_iter().for_each(|idle| idle.connection.close());
    }
}

impl<D: Dialect> State<D> {
    const fn new() -> Self {
        Self {
            idle: Vec::new(),
            destination: None,
            generation: 0,
            withheld: 0,
            refused_at: None,
            no_room_at: None,
        }
    }

    /// The connection that was used last, preferably in this runtime: another runtime may be busy.
    fn pop(&mut self) -> Option<OwnedConnection<D>> {
        let here = Handle::try_current().ok()?.id();
        let is_here = |idle: &IdleConnection<D>| idle.connection.runtime.id == here;
        let last = self.idle.len().checked_sub(1)?;
        let at = self.idle.iter().rposition(is_here).unwrap_or(last);
        Some(self.idle.remove(at).connection)
    }
}

impl<D: Dialect> Shared<D> {
    fn state(&self) -> MutexGuard<'_, State<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection, and whether statements may stay prepared.
    fn take_idle(&self) -> (Option<OwnedConnection<D>>, bool) {
        let destination = D::destination(&self.options);
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
        let is_usable = |idle: &mut IdleConnection<D>| {
            now.duration_since(idle.since) < D::MAX_IDLE
                && !idle.connection.runtime.has_ended()
                && is_at(idle.connection.destination, destination)
        };
        let unusable: Vec<IdleConnection<D>> = (state.idle)
            .extract_if(.., |idle| !is_usable(idle))
            .collect();
        let found = state.pop();
        let answer = (found, state.no_room_at.is_none());
        drop(state);
        unusable
            .into_iter()
            .for_each(|idle| idle.connection.close());
        answer
    }

    /// Opens a connection, after `before_opening`. After a `refusal`, it returns that error if no
    /// connection is open by `until`, because a time-out would not say why.
    async fn connect_after(
        self: &Arc<Self>,
        before_opening: Option<impl Future<Output = Option<Turn>>>,
        refusal: Option<sqlx::Error>,
        until: Instant,
    ) -> sqlx::Result<OwnedConnection<D>> {
        let turn = match before_opening {
            Some(before_opening) => before_opening.await,
            None => None,
        };
        let made = self.connect_in(turn);
        match refusal {
            None => made.await,
            Some(refusal) => timeout_at(until.into(), made).await.unwrap_or(Err(refusal)),
        }
    }

    /// Opens a connection; in a `turn`, which ends when it is open, in a task that a caller who goes
    /// away does not end: a connection that is opened and not counted would hold a lost file.
    async fn connect_in(self: &Arc<Self>, turn: Option<Turn>) -> sqlx::Result<OwnedConnection<D>> {
        let Some(turn) = turn else {
            return self.connect().await;
        };
        let shared = Arc::clone(self);
        let made = tokio::spawn(async move {
            let made = shared.connect().await;
            drop(turn);
            made
        });
        made.await
            .unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }

    async fn connect(&self) -> sqlx::Result<OwnedConnection<D>> {
        let generation = self.state().generation;
        let (connection, destination) = D::open(&self.options, &self.create).await?;
        // Before it counts: what counts leads to this.
        self.state().destination = destination;
        let count = CountGuard::new(&self.open);
        Ok(OwnedConnection {
            connection: Some(connection),
            created: Instant::now(),
            destination,
            generation,
            runtime: Runtime::current(),
            count: Some(count),
            closing: Arc::clone(&self.closing),
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

    fn discard(&self) {
        let mut state = self.state();
        state.generation += 1;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        idle.into_iter().for_each(|idle| idle.connection.close());
    }

    fn put_idle(&self, connection: OwnedConnection<D>) {
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

impl<D: Dialect> Drop for Shared<D> {
    fn drop(&mut self) {
        for idle in self.state().idle.drain(..) {
            idle.connection.close();
        }
    }
}

impl<D: Dialect> PooledConnection<D> {
    /// The connection.
    pub fn get(&mut self) -> &mut ConnectionOf<D> {
        let connection = self.connection.connection.as_mut();
        connection.expect("only a connection that is dropped is closed")
    }

    /// Returns the connection to the pool after `answer`, unless that shows that it is broken.
    pub fn put_back<T>(self, answer: &sqlx::Result<T>) {
        match answer {
            Err(error) if is_broken::<D>(error) => self.close_after(error),
            _ => self.release(),
        }
    }

    /// Returns the connection, which has answered everything, to the pool.
    pub fn release(self) {
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
    /// statement, the pool stops preparing statements for a minute, and gives up those that it has:
    /// one that does not stay needs room for a moment, too.
    pub fn close_after(self, error: &sqlx::Error) {
        if matches!(cause::<D>(error), Some(Cause::NoRoomToPrepare(_))) {
            let mut state = self.shared.state();
            let is_first = state.no_room_at.replace(Instant::now()).is_none();
            drop(state);
            if is_first {
                self.shared.discard();
            }
        }
    }
}

/// The instant after `limit`, which may be longer than a clock can tell: never, in effect.
pub(crate) fn instant_after(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or(now + NEVER)
}

/// Whether a connection that leads to `own` leads to what is there `now`.
fn is_at(own: Option<Destination>, now: Option<Destination>) -> bool {
    own == now && own.is_none_or(|files| files.iter().all(Option::is_some))
}

/// Whether the server refuses a connection because there are too many.
fn is_full<D: Dialect>(error: &sqlx::Error) -> bool {
    matches!(cause::<D>(error), Some(Cause::Full(_)))
}
