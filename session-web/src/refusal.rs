//! What layers inside of the session's own have in common: the session, and a refusal.

use http::Response;
use http::request::Parts;
use session_core::{Error, Result, Session, SessionHandle, error_response};

/// The request's session, for the layer of this name.
pub(crate) async fn session(parts: &Parts, layer: &str) -> Result<Session> {
    handle(parts, layer)?.session().await
}

/// The handle of the innermost session layer around the layer of this name.
pub(crate) fn handle<'p>(parts: &'p Parts, layer: &str) -> Result<&'p SessionHandle> {
    parts.extensions.get().ok_or_else(|| {
        Error::misconfigured(format!(
            "there is no SessionLayer around {layer}: add `.layer(SessionLayer::new(store))` to the router \
             after it"
        ))
    })
}

/// The response to a request that such a layer refuses. It is logged as an extractor's is.
pub(crate) fn response<B: Default>(error: &Error) -> Response<B> {
    match error.is_refusal() {
        true => tracing::debug!(%error, "a request was refused"),
        false => tracing::error!(%error, "a request failed because of its session"),
    }
    error_response(error)
}
