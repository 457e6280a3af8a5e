//! One request and its response, by the rules of a layer, whatever server has them.

use std::fmt;
use std::sync::Arc;

use http::Response;
use http::request::Parts;
use session_core::{Result, Session, SessionHandle};

use crate::conclude::{Told, add_challenge, conclude};
use crate::error_pages::{Keep, PlainErrors, RespondToError};
use crate::handle::Inner;
use crate::layer::SessionLayer;

impl<E: Keep> SessionLayer<E> {
    /// Begins to answer a request: for servers and frameworks other than those of tower. Puts the
    /// request's [`SessionHandle`] into its extensions, and loads nothing.
    ///
    /// The server says in the extensions, before, what the request does not: a [`Peer`](crate::Peer)
    /// for [`Proxy::From`](crate::Proxy::From), and [`Https`](crate::Https) if it speaks TLS itself.
    /// Of a request whose head is of other types, make one of [`http`] with the same method, URI and
    /// headers.
    ///
    /// ```
    /// use http::{Request, Response, StatusCode};
    /// use session_web::session_core::error_response;
    /// use session_web::{Result, Session, SessionLayer};
    ///
    /// async fn visit(session: Session) -> Result<Response<String>> {
    ///     let visits = session.get("visits")?.unwrap_or(0_u32) + 1;
    ///     session.insert("visits", visits)?;
    ///     Ok(Response::new(format!("visit {visits}")))
    /// }
    ///
    /// async fn respond(layer: &SessionLayer, request: Request<String>) -> Response<String> {
    ///     let (mut parts, _body) = request.into_parts();
    ///     let exchange = layer.begin(&mut parts);
    ///     let response = match exchange.session().await {
    ///         Ok(session) => visit(session).await,
    ///         Err(error) => Err(error),
    ///     };
    ///     let response = response.unwrap_or_else(|error| error_response(&error));
    ///     exchange.finish(response).await                  // saves, and adds Set-Cookie
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let layer = SessionLayer::new(session_memory::MemoryStore::new());
    /// let response = respond(&layer, Request::new(String::new())).await;
    /// assert_eq!(response.status(), StatusCode::OK);
    /// assert_eq!(response.body(), "visit 1");
    /// assert!(response.headers().contains_key("set-cookie"));
    /// # }
    /// ```
    pub fn begin(&self, request: &mut Parts) -> Exchange<E> {
        let kept = self.errors.keep(request);
        let handle = Arc::new(Inner::new(Arc::clone(&self.config), request));
        let exchange = Exchange {
            answering: Answering(handle),
            errors: self.errors.clone(),
            kept,
            #[cfg(feature = "testing")]
            visit: crate::testing::met(&self.config, request),
        };
        request.extensions.insert(exchange.handle());
        exchange
    }
}

/// A request that is being answered: [`SessionLayer::begin`] begins it, and [`finish`](Self::finish)
/// saves its session before the response is sent. All rules of the
/// [layer](crate#what-happens-to-a-request) apply.
///
/// If it is dropped instead, because the handler has failed or the client has gone away, nothing is
/// saved.
#[must_use = "`finish` saves the session"]
pub struct Exchange<E: Keep = PlainErrors> {
    answering: Answering,
    errors: E,
    kept: E::Kept,
    /// The test that has sent the request in order to reach the session.
    #[cfg(feature = "testing")]
    visit: Option<crate::testing::Visit>,
}

/// When it goes, with a response or an error or because the client has gone away, nothing can be
/// sent to the client any more.
struct Answering(Arc<Inner>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answered();
    }
}

impl<E: Keep> Exchange<E> {
    /// The request's session, see [`SessionHandle::session`]: one round trip at the first call if
    /// the client has presented a token, none otherwise and later.
    ///
    /// # Errors
    /// The store's; [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if the
    /// request's path is not below the cookie's. The response to it is
    /// [`session_core::error_response`], which [`finish`](Self::finish) takes as well as a
    /// handler's.
    pub async fn session(&self) -> Result<Session> {
        self.handle().session().await
    }

    /// What the request's extensions have, to be passed to handlers in another way.
    #[must_use]
    pub fn handle(&self) -> SessionHandle {
        SessionHandle::new(Arc::clone(&self.answering.0) as Arc<_>)
    }

    /// Saves what has changed, and gives the response to send: `response` with `Set-Cookie` and what
    /// keeps it out of caches, or the one to an error, if the session could not be saved. Call it
    /// before the first byte is sent.
    ///
    /// A response that has an [`Error`](session_core::Error) in its extensions, as that of
    /// [`session_core::error_response`] has, gets the page of
    /// [`on_error`](crate::SessionLayerBuilder::on_error).
    ///
    /// One round trip if the session has changed, or its deadline has to be moved, or its token
    /// renewed; none if the session was not asked for, and then the response stays as it is. More
    /// if other requests write the session at the same time.
    pub async fn finish<B>(self, response: Response<B>) -> Response<B>
    where
        E: RespondToError<B>,
    {
        let finished = self.try_finish(response).await;
        finished.unwrap_or_else(|page| page)
    }

    /// The same for a framework whose bodies are of another type than those of error pages. The
    /// framework gives the head of its response, with the [`Error`](session_core::Error) of a
    /// handler in its extensions, and gets it back with the headers that the response must have.
    ///
    /// # Errors
    /// The response to send in the place of the framework's.
    pub async fn try_finish<B, P>(
        self,
        response: Response<B>,
    ) -> std::result::Result<Response<B>, Response<P>>
    where
        E: RespondToError<P>,
    {
        let Self {
            answering,
            errors,
            kept,
            ..
        } = self;
        let mut response = errors.replace(&kept, response);
        let transport = &answering.0.config.transport;
        let headers = match &mut response {
            Ok(response) => {
                add_challenge(transport, response);
                response.headers_mut()
            }
            Err(page) => {
                add_challenge(transport, page);
                page.headers_mut()
            }
        };
        let concluded = conclude(&answering.0, headers).await;
        let extensions = match &mut response {
            Ok(response) => response.extensions_mut(),
            Err(page) => page.extensions_mut(),
        };
        match concluded {
            Ok(headers) => {
                if answering.0.has_outer() {
                    Told::add(extensions, headers);
                }
                response
            }
            Err(error) => {
                let mut page = errors.respond(&kept, &error);
                Told::pass_on(extensions, &mut page);
                Err(page)
            }
        }
    }

    /// Whether a test has sent the request in order to reach its session (Cargo feature `testing`):
    /// middleware then calls [`answer_visit`](Self::answer_visit) in place of a handler.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn is_visit(&self) -> bool {
        self.visit.is_some()
    }

    /// Hands the session to the test that has sent the request, waits until that is done with it,
    /// and saves it. Gives the response, as [`finish`](Self::finish) does.
    ///
    /// Only an error page has a body of type `B`. So this calls the layer's
    /// [`on_error`](crate::SessionLayerBuilder::on_error), with an error of kind
    /// [`Gone`](session_core::ErrorKind::Gone) that has not occurred, and takes the page's body.
    #[cfg(feature = "testing")]
    pub async fn answer_visit<B>(mut self) -> Response<B>
    where
        E: RespondToError<B>,
    {
        if let Some(visit) = self.visit.take() {
            visit.hand_over(&*self.answering.0).await;
        }
        let error = session_core::Error::gone();
        let page = self.errors.respond(&self.kept, &error);
        self.finish(Response::new(page.into_body())).await
    }
}

/// Shows the name of the layer's cookie.
impl<E: Keep> fmt::Debug for Exchange<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("name", &self.answering.0.config.cookie.name)
            .finish_non_exhaustive()
    }
}
