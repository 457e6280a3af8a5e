//! A request by which a test reaches the session: a layer answers it in the place of the handler.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use http::request::Parts;
use session_core::{RequestSession, Result, Session};
use tokio::sync::oneshot;

use crate::config::{Config, Transport};

/// What a [`TestClient`](super::TestClient) puts into the extensions of its requests.
#[derive(Clone, Default)]
pub(super) struct TestRequest {
    /// How far the client's clock is ahead.
    pub(super) millis_ahead: u64,
    /// How the outermost layer takes tokens, once the request has met one.
    pub(super) transport: Arc<OnceLock<Transport>>,
    visit: Arc<Mutex<Option<Visit>>>,
}

/// The layer's end of a visit.
pub(crate) struct Visit {
    session: oneshot::Sender<Result<Session>>,
    is_over: oneshot::Receiver<()>,
}

/// The test's end of a visit. Once it is dropped, the layer goes on: it saves the session and
/// answers.
pub(super) struct Visitor {
    session: oneshot::Receiver<Result<Session>>,
    _end: oneshot::Sender<()>,
}

impl TestRequest {
    /// Makes it a visit.
    pub(super) fn visiting(mut self) -> (Self, Visitor) {
        let (session, received) = oneshot::channel();
        let (end, is_over) = oneshot::channel();
        let visit = Visit { session, is_over };
        self.visit = Arc::new(Mutex::new(Some(visit)));
        let visitor = Visitor {
            session: received,
            _end: end,
        };
        (self, visitor)
    }
}

impl Visitor {
    /// The session, once a layer has opened it; `None` if none will.
    pub(super) fn poll_session(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Session>>> {
        Pin::new(&mut self.session).poll(context).map(Result::ok)
    }
}

impl Visit {
    /// Gives the test the session, and waits until the test is done with it.
    pub(crate) async fn hand_over(self, request: &dyn RequestSession) {
        let session = request.session().await;
        if self.session.send(session).is_ok() {
            // An error says that the test has dropped its end, which ends the visit too.
            let _ = self.is_over.await;
        }
    }
}

/// Says that a request has met a layer. Gives the visit that the layer is to answer, if it is one
/// and no layer further out has taken it.
pub(crate) fn met(config: &Config, parts: &Parts) -> Option<Visit> {
    let request = parts.extensions.get::<TestRequest>()?;
    // Only the first layer that a request meets sets it.
    let _ = request.transport.set(config.transport.clone());
    let mut visit = request.visit.lock().unwrap_or_else(PoisonError::into_inner);
    visit.take()
}

/// How many milliseconds the clock of a test is ahead of the system's.
pub(crate) fn millis_ahead(parts: &Parts) -> u64 {
    let request = parts.extensions.get::<TestRequest>();
    request.map_or(0, |request| request.millis_ahead)
}
