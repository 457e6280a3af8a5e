//! What other tasks do to a session while the headers of its response are made, and once there will
//! be none.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::{Request, Response};
use session_core::{ErrorKind, SessionDirectory};
use session_memory::MemoryStore;
use session_web::{
    KeyRing, Rolling, Secret, Session, SessionHandle, SessionLayer, SessionLayerBuilder,
};
use tokio::sync::oneshot;
use tower::{Layer, Service, service_fn};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::browser::Browser;
use crate::probe::Probe;

type Done = Option<ErrorKind>;

/// A task that a handler spawns. It works on another thread, and ends, while the layer writes a
/// line of the log.
#[derive(Clone)]
struct Rival(Arc<Mutex<Option<Lead>>>);

/// What lets the task on, and what it says then.
type Lead = (oneshot::Receiver<()>, mpsc::Sender<Done>);

/// The log that lets it on.
struct Line {
    says: &'static str,
    begin: Mutex<Option<oneshot::Sender<()>>>,
    done: Mutex<mpsc::Receiver<Done>>,
    outcome: Arc<Mutex<Option<Done>>>,
}

impl Rival {
    /// A task for the line that `says` this, and how it ends.
    fn at(says: &'static str) -> (Self, Line, Arc<Mutex<Option<Done>>>) {
        let (begin, begun) = oneshot::channel();
        let (tell, done) = mpsc::channel();
        let outcome = Arc::default();
        let line = Line {
            says,
            begin: Mutex::new(Some(begin)),
            done: Mutex::new(done),
            outcome: Arc::clone(&outcome),
        };
        let lead = Arc::new(Mutex::new(Some((begun, tell))));
        (Self(lead), line, outcome)
    }

    /// Has the task do this, if it has nothing to do yet.
    fn works<F>(&self, work: F)
    where
        F: Future<Output = session_core::Result<()>> + Send + 'static,
    {
        let Some((begun, tell)) = self.0.lock().expect("whole").take() else {
            return;
        };
        tokio::spawn(async move {
            begun.await.expect("let on");
            let done = work.await.err().map(|error| error.kind());
            tell.send(done).expect("heard");
        });
    }
}

impl Subscriber for Line {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        if !message.0.contains(self.says) {
            return;
        }
        let Some(begin) = self.begin.lock().expect("whole").take() else {
            return;
        };
        begin.send(()).expect("it waits");
        let done = self.done.lock().expect("whole");
        let done = done.recv_timeout(Duration::from_secs(20));
        *self.outcome.lock().expect("whole") = Some(done.expect("it ends"));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

fn app(rival: &Rival, layer: SessionLayerBuilder) -> Router {
    Router::new()
        .route(
            "/sign-in",
            get(|session: Session, State(rival): State<Rival>| async move {
                session.insert("n", 1).expect("JSON");
                rival.works(async move { session.sign_in("u").await });
            }),
        )
        .route(
            "/save",
            get(|session: Session, State(rival): State<Rival>| async move {
                session.insert("n", 1).expect("JSON");
                rival.works(async move {
                    session.insert("late", 1)?;
                    session.save().await
                });
            }),
        )
        .route(
            "/keys",
            get(|session: Session| async move { session.keys().join(",") }),
        )
        .layer(layer.build().expect("good options"))
        .with_state(rival.clone())
}

/// The line that tells of a cookie by plain http is written once the headers are made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_changes_a_session_whose_cookie_is_made() {
    let sealed = || {
        let layer = SessionLayer::cookie_only(&KeyRing::new(Secret::generate()));
        layer.options().expect("good options")
    };
    for (page, layer) in [
        ("/sign-in", SessionLayer::builder(MemoryStore::new())),
        ("/sign-in", sealed()),
        ("/save", sealed()),
    ] {
        let (rival, line, outcome) = Rival::at("plain http");
        let app = app(&rival, layer);
        let browser = Browser::by_http();
        let guard = tracing::subscriber::set_default(line);
        browser.get(&app, page).await;
        drop(guard);
        let outcome = *outcome.lock().expect("whole");
        assert_eq!(outcome, Some(Some(ErrorKind::TooLate)), "{page}");
        assert_eq!(browser.get(&app, "/keys").await.text, "n", "{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_opened_while_the_headers_are_made_leaves_no_orphan() {
    let store = Probe::default();
    let (rival, line, outcome) = Rival::at("could not be extended");
    let layer = SessionLayer::builder(store.clone()).rolling(Rolling::Always);
    let app = Router::new()
        .route(
            "/",
            get(
                |Extension(handle): Extension<SessionHandle>,
                 State((rival, store)): State<(Rival, Probe)>| async move {
                    rival.works(async move {
                        store.fail_loads(false);
                        let session = handle.session().await?;
                        session.insert("n", 1)?;
                        session.save().await
                    });
                },
            ),
        )
        .route(
            "/keys",
            get(|session: Session| async move { session.keys().join(",") }),
        )
        .layer(layer.build().expect("good options"))
        .with_state((rival, store.clone()));
    let browser = Browser::holding(&format!("__Host-id={}", "A".repeat(54)));
    store.fail_loads(true);
    let guard = tracing::subscriber::set_default(line);
    let page = browser.get(&app, "/").await;
    drop(guard);
    let outcome = *outcome.lock().expect("whole");
    assert_eq!(outcome, Some(None), "it is in time");
    assert_eq!(page.new_cookies().len(), 1, "so the client is told");
    assert_eq!(browser.get(&app, "/keys").await.text, "n");
    assert_eq!(store.store().count().await.expect("up"), 1);
}

#[tokio::test]
async fn no_session_is_stored_once_a_service_has_failed_or_was_dropped() {
    for fails in [true, false] {
        let store = MemoryStore::new();
        let kept = Arc::new(Mutex::new(None));
        let is_reached = Arc::new(AtomicBool::new(false));
        let inner = {
            let (kept, is_reached) = (Arc::clone(&kept), Arc::clone(&is_reached));
            service_fn(move |request: Request<()>| {
                let (kept, is_reached) = (Arc::clone(&kept), Arc::clone(&is_reached));
                async move {
                    let handle = request
                        .extensions()
                        .get::<SessionHandle>()
                        .expect("a layer");
                    let session = handle.session().await.expect("up");
                    *kept.lock().expect("whole") = Some(session);
                    is_reached.store(true, SeqCst);
                    if !fails {
                        std::future::pending::<()>().await;
                    }
                    Err::<Response<String>, &str>("it failed")
                }
            })
        };
        let mut service = SessionLayer::new(store.clone()).layer(inner);
        let answer = service.call(Request::new(()));
        let answer = tokio::time::timeout(Duration::from_millis(50), answer).await;
        assert_eq!(answer.is_ok(), fails);
        assert!(is_reached.load(SeqCst));
        let session = kept.lock().expect("whole").take().expect("it was opened");
        session.insert("n", 1).expect("JSON");
        let error = session.save().await.expect_err("no client has its token");
        assert_eq!(error.kind(), ErrorKind::TooLate, "fails: {fails}");
        assert_eq!(store.count().await.expect("up"), 0);
    }
}
