//! One operation under way.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::{Breaker, Passage, Trouble};
use super::clients::Clients;
use super::counters::Counters;
use super::failure::{Failure, Remedy};
use super::meter::{Meter, tell_attempts};
use super::{Client, Connector, Fixed, Operation, Policy, breaker};
use crate::backoff::Backoff;
use crate::{Error, Result, time_limit};

/// Before a command is sent again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(4), Duration::from_millis(100));

/// One operation under way: the way to the database, with the time that it may take and the repeats
/// that may help. Cheap to clone, for work in a task of its own.
pub struct Call<C: Client> {
    pub(super) shared: Arc<Shared<C>>,
    operation: Operation,
    timer: Timer,
    /// That of the backend's queues which it belongs to, or `NO_QUEUE`. Small, because futures hold
    /// calls several times.
    queue: u16,
    /// How many bytes of session data it writes.
    bytes: u32,
}

/// There are fewer queues.
const NO_QUEUE: u16 = u16::MAX;

/// What the calls of one store share.
pub(super) struct Shared<C: Client> {
    pub(super) clients: Clients<C>,
    pub(super) timeout: Duration,
    pub(super) repeats: u32,
    pub(super) place: Arc<str>,
    pub(super) counters: Arc<Counters>,
    pub(super) trouble: Arc<Trouble>,
    /// One for each of the backend's queues; none where there is no circuit breaker.
    pub(super) breakers: Box<[Breaker]>,
}

impl<C: Client> Shared<C> {
    pub(super) fn new(
        connector: impl Connector<Client = C>,
        first: C,
        policy: &Policy,
        queues: usize,
        counters: Arc<Counters>,
    ) -> Self {
        let place: Arc<str> = Arc::from(connector.place());
        let (connector, timeout) = (Box::new(connector), policy.timeout);
        let trouble = Arc::<Trouble>::default();
        let of_breakers = Arc::new(breaker::Shared {
            place: Arc::clone(&place),
            counters: Arc::clone(&counters),
            trouble: Arc::clone(&trouble),
        });
        let breakers = policy.circuit_breaker.into_iter().flat_map(|settings| {
            let shared = &of_breakers;
            (0..queues).map(move |_| Breaker::new(settings, Arc::clone(shared)))
        });
        let (counted, noted) = (Arc::clone(&counters), Arc::clone(&trouble));
        Self {
            clients: Clients::new(connector, first, timeout, counted, noted),
            timeout,
            repeats: policy.repeats,
            place,
            breakers: breakers.collect(),
            counters,
            trouble,
        }
    }
}

/// What the time limit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// For the operation: `Store` runs the timer.
    Operation,
    /// For each command.
    Command,
}

/// One attempt to send a command.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt<C> {
    /// What to send it by.
    pub client: C,
    /// Whether an earlier attempt may have been executed: its answer was lost.
    pub is_repeated: bool,
}

/// An answer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Sent<T> {
    /// The answer.
    pub answer: T,
    /// Whether an earlier attempt may have been executed: its answer was lost.
    pub is_repeated: bool,
}

impl<T> Sent<T> {
    /// The same, with what `change` makes of the answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Sent<U> {
        Sent {
            answer: change(self.answer),
            is_repeated: self.is_repeated,
        }
    }
}

/// How often each remedy was tried.
#[derive(Default)]
struct Tried {
    repeat: u32,
    replace: u32,
    prepare: u32,
}

impl Tried {
    fn of(&mut self, remedy: Remedy) -> &mut u32 {
        match remedy {
            Remedy::Repeat => &mut self.repeat,
            Remedy::Replace => &mut self.replace,
            Remedy::Prepare => &mut self.prepare,
        }
    }
}

impl<C: Client> Call<C> {
    /// An operation over the one `client` that there is, without a store: for the tests of a
    /// backend's methods. Repeats, and the time limit of each command, are the default
    /// [`Policy`]'s.
    ///
    /// ```
    /// # use session_core::backend::{Call, Failure, Operation};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> session_core::Result<()> {
    /// let call = Call::over("a client", Operation::Count);
    /// let sent = call.send(|attempt| async move { Ok::<_, Failure>(attempt.client.len()) });
    /// assert_eq!(sent.await?.answer, 8);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn over(client: C, operation: Operation) -> Self {
        let connector = Fixed::new("a client without a store");
        let counters = Arc::clone(&Meter::new("client").counters);
        let shared = Shared::new(connector, client, &Policy::default(), 1, counters);
        Self::new(&Arc::new(shared), operation, Timer::Command, None)
    }

    pub(super) fn new(
        shared: &Arc<Shared<C>>,
        operation: Operation,
        timer: Timer,
        queue: Option<u16>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            operation,
            timer,
            queue: queue.unwrap_or(NO_QUEUE),
            bytes: 0,
        }
    }

    /// The same, which writes so many `bytes` of session data.
    pub(super) fn writing(mut self, bytes: usize) -> Self {
        self.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// The same operation, for a command that may go to another server than its session's: whether
    /// it is answered says nothing of the operation's [queue](super::Backend::queues), so it neither
    /// opens nor closes the [circuit](super::CircuitBreaker).
    #[must_use]
    pub fn to_other_server(&self) -> Self {
        Self {
            queue: NO_QUEUE,
            ..self.clone()
        }
    }

    /// The same operation for a task of its own, which may outlive the caller and its time limit:
    /// each command has that limit then.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            timer: Timer::Command,
            ..self.clone()
        }
    }

    /// The operation.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The name of the operation, for errors.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.operation.as_str()
    }

    /// The product and its address, for errors.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.shared.place
    }

    /// How long the operation, or each command of a directory's operation, may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// Sends a command: runs `send`, again if it fails for a [reason](Failure) that passes.
    ///
    /// # Errors
    /// The failure's; [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if there is no answer in
    /// time.
    pub async fn send<T, W>(&self, send: impl Fn(Attempt<C>) -> W) -> Result<Sent<T>>
    where
        W: Future<Output = Result<T, Failure>>,
    {
        // Pinned here: moved, it would be in this future twice.
        let sent = pin!(self.repeat(send));
        match self.timer {
            Timer::Operation => sent.await,
            Timer::Command => self.within_timeout(sent).await,
        }
    }

    pub(super) fn breaker(&self) -> Option<&Breaker> {
        self.shared.breakers.get(usize::from(self.queue))
    }

    /// Lets the operation through, or not.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) while the circuit is open.
    #[inline]
    pub(super) fn admit(&self) -> Result<Passage> {
        match self.breaker() {
            Some(breaker) => breaker.admit(self.operation),
            None => Ok(Passage::Usual),
        }
    }

    /// Runs `work` within the time limit, and that of the call which it belongs to.
    pub(super) async fn within_timeout<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Shared {
            clients, timeout, ..
        } = &*self.shared;
        let began = Instant::now();
        let until = time_limit::deadline(began, *timeout);
        let no_answer = || Error::no_answer(self.name(), self.place(), *timeout);
        if until <= began {
            return Err(no_answer());
        }
        if let Ok(done) = tokio::time::timeout_at(until, work).await {
            return done;
        }
        let error = no_answer();
        // Others of the same call may have left little time for this one.
        if until - began >= *timeout / 2 {
            clients.timed_out(began);
            if let Some(breaker) = self.breaker() {
                breaker.failed(began, &error);
            }
        }
        Err(error)
    }

    async fn repeat<T, W>(&self, send: impl Fn(Attempt<C>) -> W) -> Result<Sent<T>>
    where
        W: Future<Output = Result<T, Failure>>,
    {
        let Shared {
            clients, counters, ..
        } = &*self.shared;
        let mut is_repeated = false;
        let mut tried = Tried::default();
        let mut attempts = 1;
        loop {
            let (watch, client) = clients.begin();
            let attempt = Attempt {
                client,
                is_repeated,
            };
            let began = watch.began();
            let failure = match send(attempt).await {
                Ok(answer) => {
                    if watch.answered() {
                        self.note_answer();
                    }
                    return Ok(Sent {
                        answer,
                        is_repeated,
                    });
                }
                Err(failure) => failure,
            };
            watch.failed(&failure);
            let remedy = failure.remedy;
            let remedy = remedy.filter(|remedy| *tried.of(*remedy) < self.shared.repeats);
            let Some(remedy) = remedy else {
                self.note_failure(began, &failure);
                return Err(failure.error);
            };
            attempts += 1;
            counters.repeated();
            tell_attempts(attempts);
            let times = tried.of(remedy);
            is_repeated |= failure.may_be_done;
            if remedy == Remedy::Prepare {
                self.prepare().await?;
            } else {
                BACKOFF.wait(*times).await;
            }
            *times += 1;
        }
    }

    #[cold]
    fn note_answer(&self) {
        if let Some(breaker) = self.breaker() {
            breaker.answered();
        }
    }

    #[cold]
    fn note_failure(&self, began: Instant, failure: &Failure) {
        let Some(breaker) = self.breaker() else {
            return;
        };
        if failure.is_unanswered() {
            breaker.failed(began, &failure.error);
        } else if failure.is_answer() && self.shared.trouble.is_any() {
            breaker.answered();
        }
    }

    /// Where the connection is lost or replaced meanwhile, what the server lacks is missing still:
    /// the next answer says so.
    async fn prepare(&self) -> Result<()> {
        let clients = &self.shared.clients;
        let (watch, client) = clients.begin();
        match clients.connector.prepare(client, self.name()).await {
            Ok(()) => {
                watch.answered();
            }
            Err(failure) => {
                watch.failed(&failure);
                if failure.remedy.is_none() {
                    return Err(failure.error);
                }
            }
        }
        Ok(())
    }
}

impl<C: Client> Clone for Call<C> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            operation: self.operation,
            timer: self.timer,
            queue: self.queue,
            bytes: self.bytes,
        }
    }
}

impl<C: Client> std::fmt::Debug for Call<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("operation", &self.operation)
            .field("place", &self.shared.place)
            .finish_non_exhaustive()
    }
}
