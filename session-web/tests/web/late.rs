//! What handlers do once their response has begun: in streams, sockets and spawned tasks.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use axum::{Extension, response::Response};
use futures_util::stream;
use session_core::{ErrorKind, SessionDirectory};
use session_memory::MemoryStore;
use session_web::{KeyRing, Secret, Session, SessionHandle, SessionLayer};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::browser::Browser;
use crate::log::Log;

type Done = Option<ErrorKind>;

/// Tasks that handlers have spawned: each begins when it is let on, after the response.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<Vec<Task>>>);

/// A task, and what lets it on.
type Task = (oneshot::Sender<()>, JoinHandle<Done>);

impl Tasks {
    fn spawn<F>(&self, work: F)
    where
        F: Future<Output = session_core::Result<()>> + Send + 'static,
    {
        let (begin, begun) = oneshot::channel();
        let task = tokio::spawn(async move {
            begun.await.expect("let on");
            work.await.err().map(|error| error.kind())
        });
        self.0.lock().expect("whole").push((begin, task));
    }

    /// Lets the one task on, and says how it ended.
    async fn finish(&self) -> Done {
        let task = self.0.lock().expect("whole").pop();
        let (begin, task) = task.expect("spawned");
        begin.send(()).expect("it waits");
        task.await.expect("no panic")
    }
}

async fn change(session: Session, State(tasks): State<Tasks>) {
    tasks.spawn(async move { session.insert("late", "hunter2") });
}

async fn save(session: Session, State(tasks): State<Tasks>) {
    tasks.spawn(async move {
        session.insert("late", "hunter2")?;
        session.save().await
    });
}

async fn sign_in(session: Session, State(tasks): State<Tasks>) {
    tasks.spawn(async move { session.sign_in("u").await });
}

async fn destroy(session: Session, State(tasks): State<Tasks>) {
    tasks.spawn(async move { session.destroy().await });
}

/// Asks for the session for the first time once the response has begun.
async fn open(Extension(handle): Extension<SessionHandle>, State(tasks): State<Tasks>) {
    tasks.spawn(async move {
        let session = handle.session().await?;
        session.insert("late", "hunter2")?;
        session.save().await
    });
}

/// Changes the session while the body is read.
async fn stream(session: Session) -> Response {
    let chunks = stream::unfold(0, move |n| {
        let inserted = session.insert("late", "hunter2");
        async move {
            inserted.expect("JSON");
            (n < 3).then_some((Ok::<_, std::io::Error>("chunk"), n + 1))
        }
    });
    Response::new(Body::from_stream(chunks))
}

fn app(tasks: &Tasks, layer: SessionLayer) -> Router {
    Router::new()
        .route(
            "/",
            get(|session: Session| async move { session.insert("n", 1).expect("JSON") }),
        )
        .route(
            "/keys",
            get(|session: Session| async move { session.keys().join(",") }),
        )
        .route("/change", get(change))
        .route("/save", get(save))
        .route("/sign-in", get(sign_in))
        .route("/destroy", get(destroy))
        .route("/open", get(open))
        .route("/stream", get(stream))
        .layer(layer)
        .with_state(tasks.clone())
}

fn warned_once(log: &Log, key: &str) {
    let lines = log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("WARN"), "{lines:?}");
    assert!(lines[0].contains(&format!("keys=[\"{key}\"]")), "{lines:?}");
    assert!(!lines[0].contains("hunter2"), "{lines:?}");
}

#[tokio::test]
async fn a_change_after_the_response_has_begun_is_warned_of_once() {
    let log = Log::start();
    let tasks = Tasks::default();
    let app = app(&tasks, SessionLayer::new(MemoryStore::new()));
    let browser = Browser::new();
    browser.get(&app, "/").await;
    for _ in 0..2 {
        browser.get(&app, "/change").await;
        assert_eq!(log.take(), [""; 0], "there is nothing to warn of yet");
        assert_eq!(tasks.finish().await, None);
        warned_once(&log, "late");
    }
    assert_eq!(browser.get(&app, "/stream").await.text, "chunkchunkchunk");
    warned_once(&log, "late");
    assert_eq!(
        browser.get(&app, "/keys").await.text,
        "n",
        "it is not saved"
    );
    assert_eq!(
        Browser::new().get(&app, "/stream").await.text,
        "chunkchunkchunk"
    );
    warned_once(&log, "late");

    // Whoever saves it is not warned.
    browser.get(&app, "/save").await;
    assert_eq!(tasks.finish().await, None);
    browser.get(&app, "/open").await;
    assert_eq!(tasks.finish().await, None);
    assert_eq!(browser.get(&app, "/keys").await.text, "n,late");
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test]
async fn a_visitor_without_a_token_gets_none_once_the_headers_are_gone() {
    let log = Log::start();
    let (tasks, store) = (Tasks::default(), MemoryStore::new());
    let app = app(&tasks, SessionLayer::new(store.clone()));
    for page in ["/save", "/open", "/sign-in"] {
        Browser::new().get(&app, page).await;
        assert_eq!(tasks.finish().await, Some(ErrorKind::TooLate), "{page}");
        assert_eq!(store.count().await.expect("up"), 0, "{page}: no orphan");
    }
    let browser = Browser::new();
    browser.get(&app, "/").await;
    browser.get(&app, "/sign-in").await;
    assert_eq!(tasks.finish().await, Some(ErrorKind::TooLate));
    assert_eq!(
        browser.get(&app, "/keys").await.text,
        "n",
        "it is not signed out"
    );
    browser.get(&app, "/destroy").await;
    assert_eq!(tasks.finish().await, None, "the store can do that");
    assert_eq!(browser.get(&app, "/keys").await.text, "");
    assert_eq!(log.take(), [""; 0], "the errors have told");
}

#[tokio::test]
async fn a_session_in_the_cookie_can_not_be_changed_once_the_headers_are_gone() {
    let tasks = Tasks::default();
    let ring = KeyRing::new(Secret::generate());
    let layer = SessionLayer::cookie_only(&ring).build().expect("good");
    let app = app(&tasks, layer);
    let browser = Browser::new();
    browser.get(&app, "/").await;
    for page in ["/save", "/open", "/sign-in", "/destroy"] {
        browser.get(&app, page).await;
        assert_eq!(tasks.finish().await, Some(ErrorKind::TooLate), "{page}");
    }
    assert_eq!(browser.get(&app, "/keys").await.text, "n");
}
