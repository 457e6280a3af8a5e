//! The middleware: each request is an [`Exchange`] of a layer.

use std::future::{Future, Ready, ready};
use std::pin::Pin;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::InternalError;
use actix_web::{HttpMessage, HttpResponse};
use http::Response;
use session_web::{Error, Exchange, PlainErrors, RespondToError, SessionLayer};

use crate::convert;

/// Gives the handlers of an application or a scope their session, and saves it before the first byte
/// of the response.
///
/// ```
/// # fn example(store: session_memory::MemoryStore) -> session_actix::Result<()> {
/// use actix_web::{App, web};
/// use session_actix::{Owner, Secure, Session, SessionLayer, SessionMiddleware};
///
/// async fn sign_in(session: Session, name: String) -> session_actix::Result<&'static str> {
///     session.sign_in(name).await?;
///     Ok("welcome")
/// }
///
/// async fn account(owner: Owner) -> String {           // 401 if no user is signed in
///     format!("signed in as {}", owner.as_str())
/// }
///
/// let layer = SessionLayer::builder(store).secure(Secure::Development).build()?;
/// let app = App::new()
///     .route("/sign-in", web::post().to(sign_in))
///     .route("/account", web::get().to(account))
///     .wrap(SessionMiddleware::new(layer));
/// # let _ = app;
/// # Ok(()) }
/// ```
///
/// The options are those of [`SessionLayerBuilder`](crate::SessionLayerBuilder). The peer's address
/// ([`Proxy::From`](crate::Proxy::From)) and TLS are taken from the server. A page of
/// [`on_error`](crate::SessionLayerBuilder::on_error) has a `String` as its body, and its response
/// is of [`http`] 1, which actix-web itself does not use yet.
#[derive(Clone, Debug)]
pub struct SessionMiddleware<E = PlainErrors> {
    layer: SessionLayer<E>,
}

impl<E> SessionMiddleware<E> {
    /// The middleware that follows the rules of `layer`.
    #[must_use]
    pub const fn new(layer: SessionLayer<E>) -> Self {
        Self { layer }
    }
}

impl<S, B, E> Transform<S, ServiceRequest> for SessionMiddleware<E>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
    E: RespondToError<String>,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Transform = SessionService<S, E>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        let layer = self.layer.clone();
        ready(Ok(SessionService { inner, layer }))
    }
}

/// What [`SessionMiddleware`] makes of a service.
#[derive(Clone, Debug)]
pub struct SessionService<S, E = PlainErrors> {
    inner: S,
    layer: SessionLayer<E>,
}

impl<S, B, E> Service<ServiceRequest> for SessionService<S, E>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
    E: RespondToError<String>,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let exchange = self.layer.begin(&mut convert::request(&request));
        #[cfg(feature = "testing")]
        if exchange.is_visit() {
            return Box::pin(async move {
                let page = convert::page(exchange.answer_visit().await);
                Ok(request.into_response(page).map_into_right_body())
            });
        }
        request.extensions_mut().insert(exchange.handle());
        let answer = self.inner.call(request);
        Box::pin(async move {
            match answer.await {
                Ok(response) => Ok(finish(exchange, response).await),
                Err(error) => Err(finish_error(exchange, error).await),
            }
        })
    }
}

/// Saves the session, and gives the response with what its client must be told, or the one to send
/// in its place.
async fn finish<B, E>(
    exchange: Exchange<E>,
    mut response: ServiceResponse<B>,
) -> ServiceResponse<EitherBody<B>>
where
    B: MessageBody,
    E: RespondToError<String>,
{
    let error = response.response().error().and_then(of_session);
    let is_logged = response.response().extensions().contains::<Logged>();
    if let Some(error) = error.filter(|_| !is_logged) {
        log(error);
    }
    let has_error = error.is_some();
    let head = convert::response(response.response(), error);
    match exchange.try_finish(head).await {
        Ok(head) => {
            convert::write_back(head.headers(), response.headers_mut());
            if has_error {
                response.response_mut().extensions_mut().insert(Logged);
            }
            response.map_into_left_body()
        }
        Err(page) => {
            let (request, _) = response.into_parts();
            let page = HttpResponse::from_error(page_as_error(page));
            ServiceResponse::new(request, page).map_into_right_body()
        }
    }
}

/// Saves the session of a request that middleware has failed, and gives the error whose response
/// tells the client.
async fn finish_error<E>(exchange: Exchange<E>, mut error: actix_web::Error) -> actix_web::Error
where
    E: RespondToError<String>,
{
    let of_session = of_session(&error);
    if let Some(error) = of_session {
        log(error);
    }
    let head = convert::response(&error.error_response(), of_session);
    match exchange.try_finish(head).await {
        Ok(head) => {
            error.add_response_mapper(move |mut response| {
                convert::write_back(head.headers(), response.headers_mut());
                response
            });
            error
        }
        Err(page) => page_as_error(page),
    }
}

/// Marks a response whose error, if it has one, was logged by a middleware further in.
struct Logged;

fn of_session(error: &actix_web::Error) -> Option<&Error> {
    error.as_error()
}

pub(crate) fn log(error: &Error) {
    match error.is_refusal() {
        true => tracing::debug!(%error, "a request was refused"),
        false => tracing::error!(%error, "a request failed because of its session"),
    }
}

/// The page, with the error that it tells of as its cause, for middleware further out.
fn page_as_error(page: Response<String>) -> actix_web::Error {
    let error = page.extensions().get::<Error>();
    let error = error.map(ToString::to_string).unwrap_or_default();
    InternalError::from_response(error, convert::page(page)).into()
}
