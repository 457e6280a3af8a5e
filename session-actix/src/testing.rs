//! A browser for the tests of an application (Cargo feature `testing`).
//!
//! ```
//! use actix_web::{App, test, web};
//! use session_actix::testing::{TestClient, TestSite};
//! use session_actix::{Session, SessionLayer, SessionMiddleware};
//! use session_memory::MemoryStore;
//!
//! async fn account(session: Session) -> String {
//!     match session.owner() {
//!         Some(user) => format!("Hello, {}", user.as_str()),
//!         None => "Sign in first".to_owned(),
//!     }
//! }
//!
//! # #[actix_web::main]
//! # async fn main() -> session_actix::Result<()> {
//! // In an `#[actix_web::test]`:
//! let app = App::new()
//!     .route("/account", web::get().to(account))
//!     .wrap(SessionMiddleware::new(SessionLayer::new(MemoryStore::new())));
//! let site = TestSite::new(test::init_service(app).await);
//!
//! let alice = TestClient::new(site.clone()).signed_in("alice").await?;
//! assert_eq!(alice.get("/account").await.body(), "Hello, alice");
//!
//! let guest = TestClient::new(site);
//! assert_eq!(guest.get("/account").await.body(), "Sign in first");
//! # Ok(()) }
//! ```
//!
//! [`TestClient`] is that of [`session_web::testing`], whose documentation says how it reaches the
//! session, and `docs/testing.md` is the guide. Enable the feature under `dev-dependencies` only.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_http::Request;
use actix_web::HttpMessage;
use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::Method;
use actix_web::test::TestRequest;
use actix_web::web::Bytes;
use futures_util::future::{Either, select};
use http::Response;
use tokio::sync::{mpsc, oneshot};

pub use session_web::testing::TestClient;

use crate::convert;

/// An application as a [`TestClient`] calls it. Clones call the same one.
///
/// The application stays in the thread that has made it, as actix-web's do, and its requests run
/// there. Each response is read to its end and its body converted to text: bytes that are not UTF-8
/// become U+FFFD, so test binary responses and endless streams without this.
#[derive(Clone)]
pub struct TestSite {
    calls: mpsc::UnboundedSender<Call>,
}

struct Call {
    request: http::Request<Bytes>,
    response: oneshot::Sender<Response<String>>,
}

/// The extensions of a request of another release of `http`, as an extension.
pub(crate) struct Extensions(pub(crate) http::Extensions);

impl TestSite {
    /// The site that this service is, which [`actix_web::test::init_service`] makes of an `App`.
    ///
    /// # Panics
    /// Outside of a runtime of actix-web, such as that of `#[actix_web::test]`.
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
        B: MessageBody + 'static,
    {
        let (calls, mut received) = mpsc::unbounded_channel::<Call>();
        let service = Rc::new(service);
        actix_web::rt::spawn(async move {
            while let Some(call) = received.recv().await {
                actix_web::rt::spawn(answer(Rc::clone(&service), call));
            }
        });
        Self { calls }
    }
}

/// Answers a request, unless its client goes away.
async fn answer<S, B>(service: Rc<S>, call: Call)
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody + 'static,
{
    let Call {
        request,
        mut response,
    } = call;
    let answering = pin!(respond(&*service, request));
    let answer = match select(answering, pin!(response.closed())).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => return,
    };
    if let Some(answer) = answer {
        // An error says that the client has gone away just now.
        let _ = response.send(answer);
    }
}

/// The response with its whole body; `None` if that breaks off.
async fn respond<S, B>(service: &S, request: http::Request<Bytes>) -> Option<Response<String>>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody + 'static,
{
    let ready = poll_fn(|context| service.poll_ready(context)).await;
    let response = match ready {
        Ok(()) => service.call(to_actix(request)).await,
        Err(error) => Err(error),
    };
    let response = match response {
        Ok(response) => response.into_parts().1.map_into_boxed_body(),
        Err(error) => error.error_response(),
    };
    let (head, ()) = convert::response(&response, None).into_parts();
    let body = to_bytes(response.into_body()).await.ok()?;
    let text = String::from_utf8_lossy(&body).into_owned();
    Some(Response::from_parts(head, text))
}

fn to_actix(request: http::Request<Bytes>) -> Request {
    let (head, body) = request.into_parts();
    let method = Method::from_bytes(head.method.as_str().as_bytes());
    let mut request = TestRequest::with_uri(&head.uri.to_string())
        .method(method.expect("both releases have the same methods"))
        .set_payload(body);
    for (name, value) in &head.headers {
        request = request.append_header((name.as_str(), value.as_bytes()));
    }
    let request = request.to_request();
    request.extensions_mut().insert(Extensions(head.extensions));
    request
}

impl<R: Into<Bytes>> tower_service::Service<http::Request<R>> for TestSite {
    type Response = Response<String>;
    type Error = NoResponse;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, NoResponse>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoResponse>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<R>) -> Self::Future {
        let (response, received) = oneshot::channel();
        let request = request.map(Into::into);
        let sent = self.calls.send(Call { request, response });
        Box::pin(async move {
            sent.map_err(|_| NoResponse)?;
            received.await.map_err(|_| NoResponse)
        })
    }
}

impl fmt::Debug for TestSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestSite").finish_non_exhaustive()
    }
}

/// A [`TestSite`] has not responded: a handler has panicked, the body has broken off, or the site's
/// runtime has ended.
#[derive(Clone, Copy, Debug)]
pub struct NoResponse;

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the site has not responded: a handler has panicked, the response's body has broken off, or the \
             runtime of the site has ended",
        )
    }
}

impl std::error::Error for NoResponse {}
