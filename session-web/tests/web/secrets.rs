//! A wrong secret is told, and not only seen as signed-out users.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use session_core::{Error, Observer, SessionId, SessionStore, Sessions, Unreadable};
use session_memory::MemoryStore;
use session_sealed::SealedStore;
use session_web::express::{CookieSession, Express, ExpressStore};
use session_web::{KeyRing, Secret, Session, SessionLayer, SessionLayerBuilder, Transport};

use crate::browser::Browser;
use crate::express_records::Memory;
use crate::log::Log;

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("whole"))
    }
}

impl Observer for Told {
    fn unreadable(&self, name: &str, why: Unreadable) {
        let line = format!("{name}: {why:?}");
        self.0.lock().expect("whole").push(line);
    }

    fn corrupt(&self, _: &SessionId, error: &Error) {
        self.0.lock().expect("whole").push(error.to_string());
    }
}

fn app(layer: SessionLayerBuilder) -> Router {
    Router::new()
        .route(
            "/set",
            get(|session: Session| async move { session.insert("n", 1).expect("JSON") }),
        )
        .route(
            "/",
            get(|session: Session| async move { session.contains_key("n").to_string() }),
        )
        .route("/static", get(|| async {}))
        .layer(layer.build().expect("good options"))
}

fn sessions(store: impl SessionStore, told: &Told) -> Sessions {
    let sessions = Sessions::builder(Arc::new(store)).observer(told.clone());
    sessions.build().expect("good rules")
}

fn ring() -> KeyRing {
    KeyRing::new(Secret::generate())
}

/// What the log says of cookies and sessions, in one line.
fn warned(log: &Log) -> String {
    let lines = log.take().into_iter();
    let lines: Vec<String> = lines.filter(|line| line.starts_with("WARN")).collect();
    let [line] = &lines[..] else {
        panic!("one line: {lines:?}");
    };
    line.clone()
}

#[tokio::test]
async fn a_cookie_of_another_secret_is_told_to_observers_and_seldom_to_the_log() {
    let told = Told::default();
    let store = MemoryStore::new();
    let records = Memory::default();
    let express = |secret: &str| {
        let store = ExpressStore::new(records.clone(), Express::new(secret)).expect("good");
        let layer = SessionLayer::builder(sessions(store, &told));
        layer.express(&Express::new(secret))
    };
    let signed = || SessionLayer::builder(sessions(store.clone(), &told)).sign(ring());
    let native = |secret: &str| {
        let layer = SessionLayer::builder(sessions(store.clone(), &told));
        layer.express(&Express::new(secret))
    };
    let follower = SessionLayer::builder(sessions(store.clone(), &told));
    let follower = follower.accept_express(&Express::new("b"));
    let header = |secret| signed_header(&store, &told, secret);
    let secret = Secret::generate;
    let sealed = || SessionLayer::cookie_only(&ring()).observer(told.clone());
    let cookie_session = |key: &str| {
        let layer = SessionLayer::express_cookie_only(CookieSession::new(key));
        layer.observer(told.clone()).options().expect("good")
    };
    for (name, before, after) in [
        ("__Host-id", signed(), signed()),
        ("connect.sid", express("a"), express("b")),
        ("connect.sid", native("a"), native("b")),
        ("connect.sid", native("a"), follower),
        ("x-token", header(secret()), header(secret())),
        (
            "__Host-id",
            sealed().options().expect("good"),
            sealed().options().expect("good"),
        ),
        (
            "__Host-id",
            sealed().readable().options().expect("good"),
            sealed().readable().options().expect("good"),
        ),
        ("session", cookie_session("a"), cookie_session("b")),
    ] {
        let (before, after) = (app(before), app(after));
        let browser = Browser::new();
        let page = browser.get(&before, "/set").await;
        let browser = match page.header("x-token") {
            Some(token) => Browser::new().with("x-token", token),
            None => browser,
        };
        assert_eq!(browser.get(&before, "/").await.text, "true", "{name}");
        assert_eq!(told.take(), [""; 0], "{name}");
        let log = Log::start();
        browser.get(&after, "/static").await;
        for _ in 0..3 {
            assert_eq!(browser.get(&after, "/").await.text, "false", "{name}");
        }
        let line = format!("{name}: UnknownSecret");
        assert_eq!(told.take(), [&line[..]; 3]);
        let line = warned(&log);
        for part in [name, "secret"] {
            assert!(line.contains(part), "{line} says {part}");
        }
        let value = browser.cookies();
        let value = value.split_once('=').map_or("", |(_, value)| value);
        assert!(value.is_empty() || !line.contains(value), "{line}");
    }
}

fn signed_header(store: &MemoryStore, told: &Told, secret: Secret) -> SessionLayerBuilder {
    let name = http::HeaderName::from_static("x-token");
    SessionLayer::builder(sessions(store.clone(), told))
        .sign(KeyRing::new(secret))
        .transport(Transport::Header(name))
}

#[tokio::test]
async fn a_store_sealed_with_another_secret_is_told_to_observers_and_seldom_to_the_log() {
    let (store, told) = (MemoryStore::new(), Told::default());
    let sealed = |ring: &KeyRing| {
        let store = SealedStore::new(store.clone(), ring);
        app(SessionLayer::builder(sessions(store, &told)))
    };
    let (one, two) = (sealed(&ring()), sealed(&ring()));
    let browser = Browser::new();
    browser.get(&one, "/set").await;
    let log = Log::start();
    for _ in 0..3 {
        assert_eq!(browser.get(&two, "/").await.text, "false");
    }
    let heard = told.take();
    assert_eq!(heard.len(), 3);
    assert!(heard[0].contains("no secret of the ring"), "{heard:?}");
    let line = warned(&log);
    assert!(line.contains("no secret of the ring"), "{line}");
}

#[tokio::test]
async fn what_is_no_token_is_told_as_that_and_what_has_expired_is_not() {
    let told = Told::default();
    let app = app(SessionLayer::builder(sessions(MemoryStore::new(), &told)));
    let log = Log::start();
    let junk = Browser::new().with("cookie", "__Host-id=junk; a=\u{ff}; __Host-id=");
    assert_eq!(junk.get(&app, "/").await.text, "false");
    assert_eq!(told.take(), ["__Host-id: Malformed"]);
    assert!(!warned(&log).contains("junk"));
    for cookies in ["__Host-id=", "id=junk", "a=b"] {
        let browser = Browser::new().with("cookie", cookies);
        browser.get(&app, "/").await;
        assert_eq!(told.take(), [""; 0], "{cookies}");
    }
    let dead = Browser::new().with("cookie", &format!("__Host-id={}", "A".repeat(54)));
    dead.get(&app, "/").await;
    assert_eq!(
        told.take(),
        [""; 0],
        "it is unknown, which is told otherwise"
    );
}
