//! The cost of a whole request without its store: cookie, session, handler, response.
//!
//! `request CASE TIMES` serves `TIMES` requests of one kind, with a store that answers at once. To
//! count instructions, run it under `valgrind --tool=callgrind` with two numbers of requests. The
//! difference, less that of the case `bare`, is the cost of the requests.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use http::header::{COOKIE, SET_COOKIE};
use http::{Request, Response};
use session_core::{
    Capabilities, Draft, Ended, Lifetime, Record, Result, Saved, SessionDirectory, SessionHandle,
    SessionId, SessionStore, Sessions, Timeout, Ttl, Version,
};
use session_web::SessionLayer;
use tower_layer::Layer;
use tower_service::Service;

/// A store of one session, which saves do not change.
#[derive(Debug, Default)]
struct Canned(Mutex<Option<Draft>>);

#[async_trait]
impl SessionStore for Canned {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        None
    }

    async fn create(&self, _: &SessionId, draft: &Draft) -> Result<Saved> {
        *self.0.lock().expect("whole") = Some(draft.clone());
        Ok(Saved::done(draft))
    }

    async fn load(&self, _: &SessionId) -> Result<Option<Record>> {
        let draft = self.0.lock().expect("whole").clone();
        let ttl = Ttl::Left(Duration::from_secs(1_700));
        Ok(draft.map(|draft| Record::of(&draft, ttl, Duration::from_secs(100))))
    }

    async fn save(&self, _: &SessionId, draft: &Draft, _: &Version) -> Result<Saved> {
        Ok(Saved::done(draft))
    }

    async fn touch(&self, _: &SessionId, _: Timeout) -> Result<Option<Ttl>> {
        Ok(Some(Ttl::Left(Duration::from_secs(1_800))))
    }

    async fn destroy(&self, _: &SessionId, _: Option<&Version>) -> Result<Option<Ended>> {
        Ok(None)
    }
}

/// What the handler does with the session.
#[derive(Clone, Copy)]
enum Case {
    /// Nothing, without the layer: the cost of the measurement itself.
    Bare,
    /// Nothing with its session.
    Unasked,
    /// Reads two keys.
    Read,
    /// Reads two keys and changes a third.
    Change,
    /// Puts six keys into a new session.
    Create,
}

#[derive(Clone)]
struct Handler(Case);

impl Service<Request<()>> for Handler {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<()>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let case = self.0;
        Box::pin(async move {
            handle(case, &request).await.expect("the store answers");
            Ok(Response::new(()))
        })
    }
}

async fn handle(case: Case, request: &Request<()>) -> Result<()> {
    let session = async || {
        let handle: &SessionHandle = request.extensions().get().expect("the layer's");
        handle.session().await
    };
    match case {
        Case::Bare | Case::Unasked => {}
        Case::Read | Case::Change => {
            let session = session().await?;
            let user: Option<u64> = session.get("user_id")?;
            let theme: Option<String> = session.get("theme")?;
            assert!(user.is_some() && theme.is_some());
            if let Case::Change = case {
                let page: u64 = session.get("page")?.unwrap_or_default();
                session.insert("page", page + 1)?;
            }
        }
        Case::Create => {
            let session = session().await?;
            session.insert("user_id", 1_234_567_u64)?;
            session.insert("theme", "dark")?;
            session.insert("page", 17_u64)?;
            session.insert("cart", vec![11, 22, 33, 44])?;
            session.insert("locale", "de-CH")?;
            session.insert("name", "Napoleon Bonaparte")?;
        }
    }
    Ok(())
}

/// Runs a future that never suspends.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("the store answers at once"),
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let case = match arguments.next().as_deref() {
        Some("bare") => Case::Bare,
        Some("unasked") => Case::Unasked,
        Some("read") => Case::Read,
        Some("change") => Case::Change,
        Some("create") => Case::Create,
        _ => panic!("request bare|unasked|read|change|create TIMES"),
    };
    let times: u32 = arguments
        .next()
        .map_or(1_000, |times| times.parse().expect("a number"));
    let lifetime = Lifetime::new(Duration::from_secs(1_800), Duration::from_secs(43_200));
    let sessions = Sessions::builder(Arc::new(Canned::default())).lifetime(lifetime);
    let layer = SessionLayer::builder(sessions.build().expect("good")).build();
    let layer = layer.expect("good");
    let serve = |case, cookie: Option<&str>| {
        let mut request = Request::builder()
            .uri("/page")
            .header("host", "shop.example");
        if let Some(cookie) = cookie {
            request = request.header(COOKIE, format!("_ga=GA1.2.3; {cookie}; lang=de"));
        }
        let request = request.body(()).expect("good");
        match case {
            Case::Bare => at_once(Handler(case).call(request)),
            case => at_once(layer.layer(Handler(case)).call(request)),
        }
        .expect("infallible")
    };
    let created = serve(Case::Create, None);
    let cookie = created.headers()[SET_COOKIE].to_str().expect("ASCII");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    for _ in 0..times {
        let cookie = (!matches!(case, Case::Create)).then_some(&*cookie);
        std::hint::black_box(serve(case, cookie));
    }
}
