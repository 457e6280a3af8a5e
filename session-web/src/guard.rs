//! Layers inside of the session's own that let a request through or refuse it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use session_core::{Error, Result, Session, SessionHandle, error_response};
use tower_service::Service;

/// What such a layer decides by.
pub(crate) trait Guard: Clone + Send + Sync + 'static {
    /// Lets the request through, or says why not.
    fn check(&self, request: &Parts) -> impl Future<Output = Result<()>> + Send;

    /// The response to a request that is not let through.
    fn refuse<B: Default>(&self, error: &Error, _request: &Parts) -> Response<B> {
        response(error)
    }
}

/// What [`RequireOwner`](crate::RequireOwner) and
/// [`CrossOriginProtection`](crate::CrossOriginProtection) make of a service.
#[derive(Clone, Debug)]
pub struct GuardService<S, G> {
    inner: S,
    guard: G,
}

impl<S, G> GuardService<S, G> {
    pub(crate) const fn new(inner: S, guard: G) -> Self {
        Self { inner, guard }
    }
}

impl<S, G, RequestBody, ResponseBody> Service<Request<RequestBody>> for GuardService<S, G>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>> + Clone + Send + 'static,
    S::Future: Send,
    G: Guard,
    RequestBody: Send + 'static,
    ResponseBody: Default + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        // What is ready is this one, not its clone.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let guard = self.guard.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            match guard.check(&parts).await {
                Ok(()) => inner.call(Request::from_parts(parts, body)).await,
                Err(error) => Ok(guard.refuse(&error, &parts)),
            }
        })
    }
}

/// The request's session, for the guard of this name.
pub(crate) async fn session(parts: &Parts, layer: &str) -> Result<Session> {
    handle(parts, layer)?.session().await
}

/// The handle of the innermost session layer around the guard of this name.
pub(crate) fn handle<'p>(parts: &'p Parts, layer: &str) -> Result<&'p SessionHandle> {
    parts.extensions.get().ok_or_else(|| {
        Error::misconfigured(format!(
            "there is no SessionLayer around {layer}: add `.layer(SessionLayer::new(store))` to the router \
             after it, or `.wrap(SessionMiddleware::new(layer))` to an application on actix-web"
        ))
    })
}

/// The response to a request that a guard refuses. It is logged as an extractor's is.
pub(crate) fn response<B: Default>(error: &Error) -> Response<B> {
    match error.is_refusal() {
        true => tracing::debug!(%error, "a request was refused"),
        false => tracing::error!(%error, "a request failed because of its session"),
    }
    error_response(error)
}
