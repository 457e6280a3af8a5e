//! A wrong secret is told, and not only seen as signed-out users.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use session_core::{Error, Observer, SessionId, SessionStore, SessionToken, Sessions, Unreadable};
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
        let store =
            ExpressStore::with_client(records.clone(), Express::new(secret), ()).expect("good");
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

#[tokio::test]
async fn a_cookie_of_ours_that_is_unreadable_is_told_beside_one_of_express_too() {
    let (told, express) = (Told::default(), Express::new("b"));
    let layer = SessionLayer::builder(sessions(MemoryStore::new(), &told)).sign(ring());
    let app = app(layer.accept_express(&express));
    let good = express.write_cookie(&SessionToken::foreign("their id").expect("any text"));
    let ours = "__Host-id: UnknownSecret";
    for (theirs, heard) in [
        (good.as_str(), &[ours][..]),
        ("s%3Aforged.x", &[ours, "connect.sid: UnknownSecret"]),
    ] {
        let log = Log::start();
        let cookies = format!("__Host-id=forged.x; connect.sid={theirs}");
        let browser = Browser::new().with("cookie", &cookies);
        browser.get(&app, "/").await;
        assert_eq!(told.take(), heard, "{theirs}");
        let told = log.take();
        // The second one comes within a minute.
        let warned = told
            .iter()
            .filter(|line| line.contains("name=\"__Host-id\""));
        assert_eq!(warned.count(), usize::from(theirs == good), "{told:?}");
    }
}

#[tokio::test]
async fn junk_does_not_hide_the_warning_of_a_wrong_secret() {
    let told = Told::default();
    let layer = SessionLayer::builder(sessions(MemoryStore::new(), &told));
    let app = app(layer.accept_express(&Express::new("b")));
    let log = Log::start();
    for (cookie, why) in [
        ("__Host-id=junk", "does not have the form"),
        ("connect.sid=s%3Aid.signature", "secret"),
    ] {
        let browser = Browser::new().with("cookie", cookie);
        browser.get(&app, "/").await;
        let line = warned(&log);
        assert!(line.contains(why), "{line}");
        browser.get(&app, "/").await;
        assert_eq!(log.take(), [""; 0], "once a minute: {cookie}");
    }
}

#[tokio::test]
async fn an_unreadable_cookie_beside_a_readable_one_is_told_to_observers() {
    let (told, store) = (Told::default(), MemoryStore::new());
    let plain = || SessionLayer::builder(sessions(store.clone(), &told));
    let sealed = SessionLayer::cookie_only(&ring()).observer(told.clone());
    for (layer, why) in [
        (plain(), "Malformed"),
        (plain().sign(ring()), "UnknownSecret"),
        (sealed.options().expect("good"), "UnknownSecret"),
    ] {
        let app = app(layer);
        let browser = Browser::new();
        browser.get(&app, "/set").await;
        let live = browser.cookies();
        for cookies in [
            format!("__Host-id=junk; {live}"),
            format!("{live}; __Host-id=junk"),
            format!("__Host-id=\u{e4}; {live}; __Host-id=junk"),
        ] {
            let log = Log::start();
            let browser = Browser::new().with("cookie", &cookies);
            assert_eq!(browser.get(&app, "/").await.text, "true", "{why}");
            assert_eq!(told.take(), [format!("__Host-id: {why}")]);
            assert_eq!(log.take(), [""; 0], "{why}");
        }
    }
}
