//! One operation under way.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::clients::Clients;
use super::counters::Counters;
use super::failure::{Failure, Remedy};
use super::{Client, Operation};
use crate::backoff::Backoff;
use crate::{Error, Result};

/// Before a command is sent again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(4), Duration::from_millis(100));

/// One operation under way: the way to the database, with the time that it may take and the repeats
/// that may help. Cheap to clone, for work in a task of its own.
pub struct Call<C: Client> {
    pub(super) shared: Arc<Shared<C>>,
    operation: Operation,
    timer: Timer,
}

/// What the calls of one store share.
pub(super) struct Shared<C: Client> {
    pub(super) clients: Clients<C>,
    pub(super) timeout: Duration,
    pub(super) repeats: u32,
    pub(super) place: Arc<str>,
    pub(super) counters: Arc<Counters>,
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
    pub(super) fn new(shared: &Arc<Shared<C>>, operation: Operation, timer: Timer) -> Self {
        Self {
            shared: Arc::clone(shared),
            operation,
            timer,
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
        let sent = self.repeat(send);
        match self.timer {
            Timer::Operation => sent.await,
            Timer::Command => self.within_timeout(sent).await,
        }
    }

    /// Runs `work` within the time limit.
    pub(super) async fn within_timeout<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Shared {
            clients, timeout, ..
        } = &*self.shared;
        match tokio::time::timeout(*timeout, work).await {
            Ok(done) => done,
            Err(_) => {
                clients.timed_out();
                Err(Error::no_answer(self.name(), self.place(), *timeout))
            }
        }
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
        loop {
            let (watch, client) = clients.begin();
            let attempt = Attempt {
                client,
                is_repeated,
            };
            let failure = match send(attempt).await {
                Ok(answer) => {
                    watch.answered();
                    return Ok(Sent {
                        answer,
                        is_repeated,
                    });
                }
                Err(failure) => failure,
            };
            watch.failed(&failure);
            let Some(remedy) = failure.remedy else {
                return Err(failure.error);
            };
            let times = tried.of(remedy);
            if *times == self.shared.repeats {
                return Err(failure.error);
            }
            counters.repeated();
            is_repeated |= failure.may_be_done;
            if remedy == Remedy::Prepare {
                self.prepare().await?;
            } else {
                BACKOFF.wait(*times).await;
            }
            *times += 1;
        }
    }

    /// Where the connection is lost or replaced meanwhile, what the server lacks is missing still:
    /// the next answer says so.
    async fn prepare(&self) -> Result<()> {
        let clients = &self.shared.clients;
        let (watch, client) = clients.begin();
        match clients.connector.prepare(client, self.name()).await {
            Ok(()) => watch.answered(),
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
