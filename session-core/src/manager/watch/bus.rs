//! The store's notices, asked for again when they break off.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::{Error, ErrorKind, Notice, NoticeStream, SessionStore};

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// The pause after the store was refused a right or a login.
const FORBIDDEN: Duration = Duration::from_secs(60);

/// Notices that hold for so long have not just come back to break off again. Each time that they
/// come back, all sessions are asked for.
const STEADY: Duration = Duration::from_secs(10);

/// The notices of a store, for as long as the task listens.
pub(super) struct Bus {
    store: Arc<dyn SessionStore>,
    state: State,
    /// How often it broke off since it last held.
    failures: u32,
}

enum State {
    Open(NoticeStream, Instant),
    Broken {
        until: Instant,
    },
    /// The store has no notices, or this server does not.
    Absent,
}

impl Bus {
    pub(super) fn new(store: Arc<dyn SessionStore>) -> Self {
        let state = State::Broken {
            until: Instant::now(),
        };
        Self {
            store,
            state,
            failures: 0,
        }
    }

    /// The next notice. May be dropped at any point.
    pub(super) async fn next(&mut self) -> Notice {
        loop {
            match &mut self.state {
                State::Absent => pending().await,
                State::Broken { until } => {
                    tokio::time::sleep_until(*until).await;
                    self.state = match self.store.notices() {
                        Some(notices) => State::Open(notices, Instant::now()),
                        None => State::Absent,
                    };
                }
                State::Open(notices, since) => match notices.next().await {
                    Some(Ok(notice)) => {
                        if since.elapsed() >= STEADY {
                            self.failures = 0;
                        }
                        return notice;
                    }
                    Some(Err(error)) => self.fail(Some(&error)),
                    None => self.fail(None),
                },
            }
        }
    }

    fn fail(&mut self, error: Option<&Error>) {
        let kind = error.map(Error::kind);
        if kind == Some(ErrorKind::Unsupported) {
            tracing::debug!(?error, "the store gives no notices of ended sessions");
            self.state = State::Absent;
            return;
        }
        let error = error.map(tracing::field::display);
        let mut pause = BACKOFF.delay(self.failures);
        if kind == Some(ErrorKind::Misconfigured) {
            pause = FORBIDDEN;
        }
        if self.failures == 0 {
            let why = "no notices of ended sessions: streams close up to a lease late";
            tracing::warn!(error, "{why}");
        }
        let until = Instant::now() + pause;
        self.state = State::Broken { until };
        self.failures = self.failures.saturating_add(1);
    }
}
