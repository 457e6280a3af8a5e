//! The client: requests with the cookies of a browser, and visits to its session.

use std::fmt;
use std::fmt::Debug;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use session_core::{Error, Owner, Result, Session};
use tower_service::Service;

use super::browser::{Browser, Open};
use super::origin::Origin;
use super::visit::TestRequest;

/// A browser for tests: it calls a service without a socket, and keeps cookies as browsers do.
///
/// The service is an axum `Router` or any other tower service that takes `Request<String>`. For one
/// with another body, `tower::ServiceExt::map_request` makes that of a `String`; or use
/// [`send`](Self::send) alone, which takes each body that the service takes.
///
/// Requests seem to go to `https://localhost/`; [`at`](Self::at) says otherwise.
/// Cookies that a browser would drop are dropped, and a warning in the log says why. Tokens of
/// layers with another [`Transport`](crate::Transport) are kept too, and sent in their header.
///
/// Clones are tabs of one browser: they share its cookies. For another browser make another client,
/// of a clone of the service.
#[derive(Clone)]
pub struct TestClient<S> {
    service: S,
    origin: Origin,
    browser: Browser,
}

impl<S> TestClient<S> {
    /// A browser without cookies, for this service.
    pub fn new(service: S) -> Self {
        Self {
            service,
            origin: Origin::default(),
            browser: Browser::new(),
        }
    }

    /// Has requests go to another site than `https://localhost/`: its scheme, its host, and the
    /// path of a page at which [`session`](Self::session) finds the layer, such as
    /// `http://shop.example.org/app/cart`.
    ///
    /// # Panics
    /// If `url` does not begin with `http://` or `https://` and a host.
    #[must_use]
    pub fn at(mut self, url: &str) -> Self {
        self.origin = Origin::parse(url);
        self
    }

    /// Moves the browser's clock ahead by `by`, in place of waiting: cookies with `Max-Age` or
    /// `Expires` go when their time is over, and so do sessions that are kept in the cookie.
    ///
    /// The clock of a store is its own: `MemoryStore::advance` moves that one. The browser's also
    /// goes with Tokio's, if a test has paused that.
    pub fn advance(&self, by: Duration) {
        self.browser.advance(by);
    }

    /// The `Cookie` header that the browser sends to its site: for tests that have a client of
    /// their own, such as axum-test or reqwest. Empty if there are no cookies.
    ///
    /// # Errors
    /// As [`session`](Self::session), if what a test has changed in that can't be saved.
    pub async fn cookies(&self) -> Result<String> {
        self.browser.end_visit().await?;
        Ok(self.browser.cookies(self.origin.target(self.origin.path())))
    }

    /// Sends the request with the browser's cookies, and reads the response's body to its end, as
    /// UTF-8. It adds `Host` if there is none, and changes no header that is there.
    ///
    /// # Panics
    /// If the service or the body fails, or what a test has changed in the
    /// [`session`](Self::session) can't be saved.
    pub async fn send<R, B>(&self, request: Request<R>) -> Response<String>
    where
        S: Service<Request<R>, Response = Response<B>> + Clone,
        S::Error: Debug,
        B: http_body::Body,
        B::Error: Debug,
    {
        let ended = self.browser.end_visit().await;
        ended.expect("the changes of the session that the test has are saved");
        let response = self.clone().call(request, TestRequest::default()).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the response's body is whole");
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Response::from_parts(parts, text)
    }

    async fn call<R, B>(mut self, mut request: Request<R>, test: TestRequest) -> Response<B>
    where
        S: Service<Request<R>, Response = Response<B>>,
        S::Error: Debug,
    {
        let path = request.uri().path().to_owned();
        let (headers, host) = (request.headers_mut(), self.origin.host());
        if !headers.contains_key(HOST) {
            headers.insert(HOST, host.parse().expect("a host is header text"));
        }
        if self.origin.is_https() {
            request.extensions_mut().insert(crate::Https);
        }
        let target = self.origin.target(&path);
        let transport = self.browser.prepare(&mut request, target, test);
        let ready = poll_fn(|context| self.service.poll_ready(context)).await;
        ready.expect("the service is ready");
        let response = self.service.call(request).await;
        let response = response.expect("the service answers");
        (self.browser).keep(response.headers(), target, transport.get());
        response
    }
}

impl<S, B> TestClient<S>
where
    S: Service<Request<String>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Debug + Send,
    B: http_body::Body + Send + 'static,
    B::Error: Debug,
{
    /// Gets the page at `path`, which begins with `/` and may have a query. Redirects are not
    /// followed.
    ///
    /// # Panics
    /// As [`send`](Self::send), and if `path` is none.
    pub async fn get(&self, path: &str) -> Response<String> {
        self.send(request(Method::GET, path, String::new())).await
    }

    /// Posts a form with these fields, as a page of the same site does.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response<String> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        let form = form.extend_pairs(fields).finish();
        let mut request = request(Method::POST, path, form);
        let headers = request.headers_mut();
        let content_type = "application/x-www-form-urlencoded";
        headers.insert(CONTENT_TYPE, content_type.parse().expect("header text"));
        let origin = self.origin.text().parse();
        headers.insert(ORIGIN, origin.expect("an origin is header text"));
        self.send(request).await
    }

    /// The browser's session, as the next request would find it: to read, to change, and to
    /// [`save`](Session::save).
    ///
    /// It comes from the layer, whatever that keeps sessions in; of nested layers from the
    /// outermost one. The layer treats it like that of a request whose handler still runs, until
    /// the client is used again: then it saves what is not saved yet, and sets the cookie. Ask for
    /// it again after a request, because this one stays as it is.
    ///
    /// # Errors
    /// The store's. [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) if no layer
    /// answers: if there is none for the path `/`, give [`at`](Self::at) a page that has one.
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) if the session before could not be saved.
    ///
    /// # Panics
    /// If the service fails.
    pub async fn session(&self) -> Result<Session> {
        let no_visit = self.browser.end_visit().await?;
        let (test, mut visitor) = TestRequest::default().visiting();
        let request = request(Method::GET, self.origin.path(), String::new());
        let client = self.clone();
        let mut response: Open = Box::pin(async move {
            let response = client.call(request, test).await;
            response.status()
        });
        // A request that no layer has taken may be dropped before it is answered.
        let mut is_taken = true;
        let session = poll_fn(|context| {
            if is_taken && let Poll::Ready(session) = visitor.poll_session(context) {
                match session {
                    Some(session) => return Poll::Ready(Ok(session)),
                    None => is_taken = false,
                }
            }
            response.as_mut().poll(context).map(Err)
        });
        let session = session.await.map_err(|status| {
            let path = self.origin.path();
            Error::misconfigured(format!(
                "no SessionLayer has answered a request to {path:?} (status {status}): give TestClient::at \
                 the URL of a page that the layer is around"
            ))
        })??;
        no_visit.begin(visitor, response);
        Ok(session)
    }

    /// The same browser, in which `owner` has just signed in: its session has that owner and a new
    /// token, as by [`Session::sign_in`], and the browser has the cookie.
    ///
    /// # Errors
    /// As [`session`](Self::session) and [`Session::sign_in`].
    ///
    /// # Panics
    /// If the service fails.
    pub async fn signed_in<O>(self, owner: O) -> Result<Self>
    where
        O: TryInto<Owner>,
        Error: From<O::Error>,
    {
        self.session().await?.sign_in(owner).await?;
        self.browser.end_visit().await?;
        Ok(self)
    }
}

fn request(method: Method, path: &str, body: String) -> Request<String> {
    assert!(path.starts_with('/'), "the path {path:?} begins with '/'");
    let request = Request::builder().method(method).uri(path).body(body);
    request.expect("the path is one of a URL")
}

/// Shows the site and the names of cookies.
impl<S> Debug for TestClient<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient")
            .field("origin", &self.origin.text())
            .field("cookies", &self.browser.names())
            .finish_non_exhaustive()
    }
}
