//! The client in use, and when another takes its place.
//!
//! A driver replaces connections that it sees break. It does not see one that stays open while no
//! answer comes any more, nor one to a server that has become the wrong one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::Trouble;
use super::counters::Counters;
use super::failure::{Failure, Remedy};
use super::{Client, Connector};

/// The clients of one store, of which one is in use.
pub(super) struct Clients<C: Client> {
    pub(super) connector: Box<dyn Connector<Client = C>>,
    timeout: Duration,
    current: Mutex<Current<C>>,
    trouble: Arc<Trouble>,
    counters: Arc<Counters>,
}

struct Current<C> {
    client: C,
    /// How many there were before it.
    number: u64,
    made: Instant,
    /// Whether a call over it was given up, and no answer has come since.
    is_silent: bool,
    /// When the first of the calls began that were given up.
    silent_since: Option<Instant>,
    /// Whether the next call needs another client.
    is_suspect: bool,
}

/// One attempt to send a command. Dropped without an outcome, its caller has given up.
pub(super) struct Watch<'a, C: Client> {
    clients: &'a Clients<C>,
    number: u64,
    began: Instant,
    is_over: bool,
}

impl<C: Client> Clients<C> {
    pub(super) fn new(
        connector: Box<dyn Connector<Client = C>>,
        first: C,
        timeout: Duration,
        counters: Arc<Counters>,
        trouble: Arc<Trouble>,
    ) -> Self {
        Self {
            connector,
            timeout,
            current: Mutex::new(Current {
                client: first,
                number: 0,
                made: Instant::now(),
                is_silent: false,
                silent_since: None,
                is_suspect: false,
            }),
            trouble,
            counters,
        }
    }

    /// Begins an attempt, with the client to use.
    pub(super) fn begin(&self) -> (Watch<'_, C>, C) {
        let mut current = self.current();
        if current.is_suspect {
            self.replace(&mut current, "it is silent");
        } else if self.connector.is_spent(&current.client) {
            self.replace(&mut current, "it can't be used any more");
        }
        let watch = Watch {
            clients: self,
            number: current.number,
            began: Instant::now(),
            is_over: false,
        };
        (watch, current.client.clone())
    }

    /// A caller has waited since `began`, for as long as it may, while its batch goes on. A client
    /// that has been there for long is suspect, unless an answer comes over it after all.
    pub(super) fn timed_out(&self, began: Instant) {
        let mut current = self.current();
        if current.made.elapsed() >= self.timeout / 2 {
            self.suspect(&mut current, began);
        }
    }

    fn current(&self) -> MutexGuard<'_, Current<C>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls that began at `since` were not answered. The next call makes another client: here
    /// there may be no runtime any more.
    fn suspect(&self, current: &mut Current<C>, since: Instant) {
        if self
            .connector
            .replaces_silent(&current.client, since.into_std())
        {
            current.is_suspect = true;
            self.note_silence(current, true);
        } else {
            current.silent_since = None;
        }
    }

    fn replace(&self, current: &mut Current<C>, why: &str) {
        let Some(client) = self.connector.connect() else {
            return;
        };
        tracing::debug!(
            place = self.connector.place(),
            why,
            "another client takes the place of the one in use"
        );
        self.counters.replaced();
        self.note_silence(current, false);
        *current = Current {
            client,
            number: current.number + 1,
            made: Instant::now(),
            is_silent: false,
            silent_since: None,
            is_suspect: false,
        };
    }

    fn note_silence(&self, current: &mut Current<C>, is_silent: bool) {
        match (current.is_silent, is_silent) {
            (false, true) => self.trouble.begins(),
            (true, false) => self.trouble.ends(),
            _ => {}
        }
        current.is_silent = is_silent;
    }
}

impl<C: Client> Watch<'_, C> {
    /// When the attempt began.
    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// An answer has come. If it came over the client in use, that is not silent. Whether there is
    /// trouble that it may end.
    #[inline]
    pub(super) fn answered(mut self) -> bool {
        self.is_over = true;
        let is_troubled = self.clients.trouble.is_any();
        if is_troubled {
            self.end_silence();
        }
        is_troubled
    }

    #[cold]
    fn end_silence(&self) {
        let clients = self.clients;
        let mut current = clients.current();
        if current.number == self.number && current.is_silent {
            clients.note_silence(&mut current, false);
            current.silent_since = None;
            current.is_suspect &= !clients.connector.is_one_connection();
        }
    }

    /// The attempt has failed so; another client takes the place of this one if that may help.
    pub(super) fn failed(mut self, failure: &Failure) {
        if failure.is_silence {
            // Dropping it says since when.
            return;
        }
        self.is_over = true;
        if failure.remedy != Some(Remedy::Replace) {
            return;
        }
        let clients = self.clients;
        let mut current = clients.current();
        let is_recent = current.number > 0 && current.made.elapsed() < clients.connector.min_age();
        if current.number == self.number && !is_recent {
            clients.replace(&mut current, "it leads to a server that does not serve");
        }
    }
}

impl<C: Client> Drop for Watch<'_, C> {
    /// A caller that gave up early proves nothing. Several do that have waited for long together,
    /// without an answer in between.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let clients = self.clients;
        let mut current = clients.current();
        if current.number != self.number {
            return;
        }
        let since = current.silent_since.unwrap_or(self.began).min(self.began);
        current.silent_since = Some(since);
        clients.note_silence(&mut current, true);
        if since.elapsed() < clients.timeout / 2 {
            return;
        }
        clients.suspect(&mut current, since);
    }
}
