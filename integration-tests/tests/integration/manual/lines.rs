//! The log lines that docs/troubleshooting.md quotes are written in the situations that it names.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::header::{COOKIE, HOST, SET_COOKIE};
use http::{Request, Response};
use integration_tests::servers::{self, Kind, Private};
use session_core::{LogObserver, SessionStore, Sessions};
use session_memory::MemoryStore;
use session_redis::RedisStore;
use session_sealed::SealedStore;
use session_web::{KeyRing, Proxy, Result, Secret, Secure, Session, SessionLayer};
use tower::ServiceExt;

use super::{is_like, read};
use crate::log::{Log, Rule};

/// Events of our crates, of all levels, as `LEVEL target: message field=value`.
const OURS: Rule = Rule {
    keeps: |metadata| metadata.target().starts_with("session"),
    head: |metadata| format!("{} {}:", metadata.level(), metadata.target()),
};

/// The lines in blocks of text that begin with a level. Lines that are indented further belong to
/// the one before them.
fn quoted() -> Vec<String> {
    let page = read("docs/troubleshooting.md");
    let mut lines: Vec<String> = Vec::new();
    for block in page.split("```text\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let indent = block.len() - block.trim_start().len();
        for line in block.lines().filter(|line| line.len() > indent) {
            match line[indent..].strip_prefix("  ") {
                Some(more) => {
                    let last = lines.last_mut().expect("a line before it");
                    last.push(' ');
                    last.push_str(more.trim_start());
                }
                None => lines.push(line[indent..].to_owned()),
            }
        }
    }
    lines
}

async fn ask(app: &Router, host: &str, path: &str, cookie: &str) -> Response<Body> {
    let request = Request::get(path).header(HOST, host).header(COOKIE, cookie);
    let request = request.body(Body::empty()).expect("a good request");
    app.clone().oneshot(request).await.expect("infallible")
}

/// The cookie that the page sets.
async fn cookie_of(app: &Router, path: &str) -> String {
    let response = ask(app, "example.org", path, "").await;
    let cookie = response.headers()[SET_COOKIE].to_str().expect("ASCII");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

async fn put(session: Session) -> Result<()> {
    session.insert("n", 1)
}

async fn read_it(session: Session) -> Result<String> {
    Ok(format!("{:?}", session.get::<u32>("n")?))
}

fn routes() -> Router {
    Router::new()
        .route("/put", get(put))
        .route("/read", get(read_it))
        .route("/large", get(large))
        .route(
            "/sign-in",
            get(|session: Session| async move { session.sign_in("ann").await }),
        )
        .route(
            "/sign-out",
            get(|session: Session| async move { session.destroy().await }),
        )
}

async fn large(session: Session) -> Result<()> {
    session.insert("text", "x".repeat(5_000))
}

fn ring() -> KeyRing {
    KeyRing::new(Secret::generate())
}

fn with_log(store: impl SessionStore) -> Sessions {
    let sessions = Sessions::builder(store).observer(LogObserver);
    sessions.build().expect("good rules")
}

async fn plain_http() {
    let app = routes().layer(SessionLayer::new(MemoryStore::new()));
    ask(&app, "192.168.1.5:3000", "/put", "").await;
    ask(&app, "localhost:3000", "/put", "").await;
    let layer = SessionLayer::builder(MemoryStore::new()).secure(Secure::Development);
    layer.build().expect("good options");
    let networks = vec!["10.0.0.0/8".parse().expect("a network")];
    let layer = SessionLayer::builder(MemoryStore::new()).proxy(Proxy::From(networks));
    let app = routes().layer(layer.build().expect("good options"));
    ask(&app, "example.org", "/put", "").await;
}

async fn lost_sessions() {
    let one = routes().layer(SessionLayer::new(with_log(MemoryStore::new())));
    let other = routes().layer(SessionLayer::new(with_log(MemoryStore::new())));
    let cookie = cookie_of(&one, "/put").await;
    ask(&other, "example.org", "/read", &cookie).await;
    ask(
        &other,
        "example.org",
        "/read",
        "__Host-id=of-another-program",
    )
    .await;

    let in_cookie = || {
        SessionLayer::cookie_only(&ring())
            .build()
            .expect("good options")
    };
    let cookie = cookie_of(&routes().layer(in_cookie()), "/put").await;
    ask(
        &routes().layer(in_cookie()),
        "example.org",
        "/read",
        &cookie,
    )
    .await;

    let store = MemoryStore::new();
    let sealed = || SessionLayer::new(SealedStore::new(store.clone(), &ring()));
    let cookie = cookie_of(&routes().layer(sealed()), "/put").await;
    ask(&routes().layer(sealed()), "example.org", "/read", &cookie).await;
}

async fn refusals() {
    let response = ask(&routes(), "example.org", "/put", "").await;
    assert_eq!(response.status(), 500, "there is no layer");
    let layer = SessionLayer::cookie_only(&ring()).build();
    let app = routes().layer(layer.expect("good options"));
    let response = ask(&app, "example.org", "/large", "").await;
    assert_eq!(response.status(), 413);
}

/// The status is the one of the heading under which the line is quoted.
async fn store_is_down() {
    let mut server = Private::start(Kind::Redis, &[]);
    let store = RedisStore::builder().timeout(Duration::from_millis(500));
    let url = format!("redis://127.0.0.1:{}/", server.port);
    let store = store.connect(&url).await.expect("it is up");
    let app = routes().layer(SessionLayer::new(store));
    let cookie = cookie_of(&app, "/put").await;
    server.kill();
    let response = ask(&app, "example.org", "/read", &cookie).await;
    assert_eq!(response.status(), 503);
}

async fn conflict() {
    let store = MemoryStore::new();
    let sessions = with_log(store.clone());
    let slow = {
        let sessions = sessions.clone();
        |session: Session| async move {
            let id = session.id().expect("stored");
            sessions.destroy(&id).await?;
            session.insert("late", 1)
        }
    };
    let app = routes()
        .route("/slow", get(slow))
        .layer(SessionLayer::new(sessions));
    let cookie = cookie_of(&app, "/put").await;
    let response = ask(&app, "example.org", "/slow", &cookie).await;
    assert_eq!(response.status(), 409);
}

async fn ends() {
    let sessions = Sessions::builder(MemoryStore::new()).observer(LogObserver);
    let renewing = sessions
        .renew_after(Duration::from_millis(40))
        .grace(Duration::from_millis(10));
    let app = routes().layer(SessionLayer::new(renewing.build().expect("good rules")));
    let first = cookie_of(&app, "/sign-in").await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    let response = ask(&app, "example.org", "/read", &first).await;
    let renewed = response.headers()[SET_COOKIE]
        .to_str()
        .expect("ASCII")
        .to_owned();
    let renewed = renewed.split(';').next().unwrap_or_default();
    ask(&app, "example.org", "/read", renewed).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    ask(&app, "example.org", "/read", &first).await;

    let cookie = cookie_of(&app, "/sign-in").await;
    ask(&app, "example.org", "/sign-out", &cookie).await;
}

async fn late_changes() {
    let session = Sessions::new(MemoryStore::new()).start();
    session.insert("finished", true).expect("JSON");
}

#[tokio::test]
async fn every_quoted_line_is_written() {
    let quoted = quoted();
    assert!(quoted.len() > 10, "{quoted:?}");
    let log = Log::of(OURS);
    plain_http().await;
    lost_sessions().await;
    refusals().await;
    conflict().await;
    ends().await;
    late_changes().await;
    let with_redis = !servers::is_skipped(Kind::Redis);
    if with_redis {
        store_is_down().await;
    }
    let written = log.take();
    for line in &quoted {
        if !with_redis && line.contains("Redis at") {
            continue;
        }
        let is_written = written.iter().any(|written| is_like(line, written));
        assert!(is_written, "{line:?} is not in {written:#?}");
    }
}

/// The bound that the page gives for data in a cookie.
#[tokio::test]
async fn a_little_over_2_800_bytes_fit_into_a_cookie() {
    for (size, fits) in [(2_800, true), (2_950, false)] {
        let layer = SessionLayer::cookie_only(&ring())
            .build()
            .expect("good options");
        let fill = move |session: Session| async move {
            // The key, quotes, colon and braces are 8 bytes.
            session.insert("t", "x".repeat(size - 8))
        };
        let app = Router::new().route("/", get(fill)).layer(layer);
        let response = ask(&app, "example.org", "/", "").await;
        assert_eq!(response.status().is_success(), fits, "{size}");
    }
}
