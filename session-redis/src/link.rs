//! The link to a server: a connection that is opened when it is needed, and again when it breaks.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use redis::RedisResult;

use crate::opener::Opener;
use crate::server::Server;

/// How long after a connection could not be opened the second attempt begins.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection to a server that is opened when it is needed, and again when it breaks. Clones share
/// it.
#[derive(Clone)]
pub(crate) struct Link(Arc<Inner>);

struct Inner {
    opener: Opener,
    state: Mutex<State>,
}

enum State {
    Closed,
    Opening(Opening),
    Open(Arc<Server>),
}

/// All callers wait for the same connection.
type Opening = Shared<BoxFuture<'static, RedisResult<Arc<Server>>>>;

impl Link {
    pub(crate) fn new(opener: Opener) -> Self {
        let state = Mutex::new(State::Closed);
        Self(Arc::new(Inner { opener, state }))
    }

    /// The server, over the open connection or a new one.
    pub(crate) async fn server(&self) -> RedisResult<Arc<Server>> {
        let opening = match self.current() {
            Ok(server) => return Ok(server),
            Err(opening) => opening,
        };
        let opened = opening.clone().await;
        if opened.is_err() {
            self.forget(&opening);
        }
        opened
    }

    /// Opens the connection if it is not open, without waiting for it.
    pub(crate) fn prepare(&self) {
        if let Err(opening) = self.current()
            && let Some(Err(_)) = opening.clone().now_or_never()
        {
            self.forget(&opening);
        }
    }

    /// The next caller tries again, even if the task has ended with its runtime.
    fn forget(&self, opening: &Opening) {
        let mut state = self.0.state();
        if matches!(&*state, State::Opening(current) if current.ptr_eq(opening)) {
            *state = State::Closed;
        }
    }

    /// The server over the open connection, or the attempt to open one.
    fn current(&self) -> Result<Arc<Server>, Opening> {
        let mut state = self.0.state();
        match &*state {
            State::Open(server) if !server.is_lost() => Ok(Arc::clone(server)),
            State::Opening(opening) => Err(opening.clone()),
            _ => {
                let opening = self.open();
                *state = State::Opening(opening.clone());
                Err(opening)
            }
        }
    }

    /// The server over the open connection, if that has not broken.
    pub(crate) fn ready(&self) -> Option<Arc<Server>> {
        self.opened().filter(|server| !server.is_lost())
    }

    /// The server over the connection that was opened last, if it was.
    pub(crate) fn opened(&self) -> Option<Arc<Server>> {
        match &*self.0.state() {
            State::Open(server) => Some(Arc::clone(server)),
            _ => None,
        }
    }

    /// Opens a connection in a task: a caller that goes away does not end it for others.
    fn open(&self) -> Opening {
        let link = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let opened = match link.opener.open().await {
                // A server that restarts is there again soon.
                Err(error) if error.is_connection_dropped() && !link.opener.tries_again() => {
                    tokio::time::sleep(PAUSE).await;
                    link.opener.open().await
                }
                opened => opened,
            };
            let opened = opened.map(Arc::new);
            *link.state() = match &opened {
                Ok(server) => State::Open(Arc::clone(server)),
                Err(_) => State::Closed,
            };
            opened
        });
        let opened = task.map(|opened| {
            opened.unwrap_or_else(|ended| Err(io::Error::other(ended.to_string()).into()))
        });
        opened.boxed().shared()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
