//! The store's notices, asked for again when they break off.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

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
    /// Whether nothing was given yet.
    is_opening: bool,
}

enum State {
    Open(NoticeStream, Instant),
    Broken {
        until: Pin<Box<Sleep>>,
    },
    /// The store has no notices, or this server does not.
    Absent,
}

impl Bus {
    /// Those that the store is asked for at `from`.
    pub(super) fn new(store: Arc<dyn SessionStore>, from: Instant) -> Self {
        Self {
            store,
            state: State::broken(from),
            failures: 0,
            is_opening: true,
        }
    }

    /// The next notice. The first is always `Missed`: when the store has begun to give notices, or
    /// as soon as it is known that it can't.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Notice> {
        loop {
            let failed = match &mut self.state {
                State::Absent => return Poll::Pending,
                State::Broken { until } => {
                    ready!(until.as_mut().poll(cx));
                    self.state = match self.store.notices() {
                        Some(notices) => State::Open(notices, Instant::now()),
                        None => State::Absent,
                    };
                    matches!(self.state, State::Absent)
                }
                State::Open(notices, since) => match ready!(notices.as_mut().poll_next(cx)) {
                    Some(Ok(notice)) => {
                        if since.elapsed() >= STEADY {
                            self.failures = 0;
                        }
                        self.is_opening = false;
                        return Poll::Ready(notice);
                    }
                    end => {
                        self.fail(end.and_then(Result::err).as_ref());
                        true
                    }
                },
            };
            if failed && std::mem::take(&mut self.is_opening) {
                return Poll::Ready(Notice::Missed);
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
        self.state = State::broken(Instant::now() + pause);
        self.failures = self.failures.saturating_add(1);
    }
}

impl State {
    fn broken(until: Instant) -> Self {
        let until = Box::pin(sleep_until(until));
        Self::Broken { until }
    }
}
