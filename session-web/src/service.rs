//! The layer as a tower service: each request is an [`Exchange`](crate::Exchange).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use crate::error_pages::{PlainErrors, RespondToError};
use crate::layer::SessionLayer;

/// What [`SessionLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct SessionService<S, E = PlainErrors> {
    inner: S,
    layer: SessionLayer<E>,
}

impl<S, E> SessionService<S, E> {
    pub(crate) const fn new(inner: S, layer: SessionLayer<E>) -> Self {
        Self { inner, layer }
    }
}

impl<S, E, RequestBody, ResponseBody> Service<Request<RequestBody>> for SessionService<S, E>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    RequestBody: Send + 'static,
    ResponseBody: Send + 'static,
    E: RespondToError<ResponseBody>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let exchange = self.layer.begin(&mut parts);
        // What is ready is this one, not its clone.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            #[cfg(feature = "testing")]
            if exchange.is_visit() {
                return Ok(exchange.answer_visit().await);
            }
            let response = inner.call(Request::from_parts(parts, body)).await?;
            Ok(exchange.finish(response).await)
        })
    }
}
