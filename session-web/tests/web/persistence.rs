//! Cookies that end with the browser, and such that don't, by what their session says.

use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use session_memory::MemoryStore;
use session_web::{KeyRing, Lifetime, Persistence, Result, Secret, Session, SessionLayer};

use crate::browser::Browser;

const HOUR: Duration = Duration::from_secs(3_600);

async fn sign_in(session: Session, Path(persistent): Path<bool>) -> Result<()> {
    session.set_persistent(persistent)?;
    session.insert("n", 1)
}

async fn change(session: Session, Path(persistent): Path<bool>) -> Result<()> {
    session.set_persistent(persistent)
}

async fn work(session: Session) -> Result<()> {
    let n = session.get("n")?.unwrap_or(0_u32);
    session.insert("n", n + 1)
}

async fn exam(session: Session) -> Result<()> {
    session.end_in(HOUR)?;
    session.insert("n", 1)
}

async fn limits(session: Session, Path((idle, absolute)): Path<(u32, u32)>) -> Result<()> {
    session.set_lifetime(Lifetime::new(idle * HOUR, absolute * HOUR))?;
    session.insert("n", 1)
}

fn app(layer: SessionLayer) -> Router {
    Router::new()
        .route("/sign-in/{persistent}", get(sign_in))
        .route("/change/{persistent}", get(change))
        .route("/work", get(work))
        .route("/exam", get(exam))
        .route("/limits/{idle}/{absolute}", get(limits))
        .layer(layer)
}

/// Layers of each rule, with sessions in a store and in the cookie.
fn layers() -> Vec<(Persistence, SessionLayer)> {
    let rules = [
        Persistence::Remembered,
        Persistence::Always,
        Persistence::Never,
    ];
    let stored = rules.map(|rule| {
        let layer = SessionLayer::builder(MemoryStore::new()).persistence(rule);
        (rule, layer.build().expect("good"))
    });
    let in_cookie = rules.map(|rule| {
        let ring = KeyRing::new(Secret::generate());
        let options = SessionLayer::cookie_only(&ring).options().expect("good");
        (rule, options.persistence(rule).build().expect("good"))
    });
    stored.into_iter().chain(in_cookie).collect()
}

#[tokio::test]
async fn what_a_session_says_of_its_cookie_comes_before_the_layers_rule() {
    for (rule, layer) in layers() {
        let app = app(layer);
        for persistent in [true, false] {
            let browser = Browser::new();
            let page = browser.get(&app, &format!("/sign-in/{persistent}")).await;
            let attributes = page.attributes();
            assert_eq!(
                attributes.contains("Max-Age"),
                persistent,
                "{rule:?}: {attributes}"
            );
            let page = browser.get(&app, &format!("/change/{}", !persistent)).await;
            let attributes = page.attributes();
            assert_eq!(
                attributes.contains("Max-Age"),
                !persistent,
                "{rule:?}: {attributes}"
            );
            // Later requests keep to it.
            let page = browser.get(&app, "/work").await;
            let kept = page.set_cookies();
            assert!(
                kept.iter()
                    .all(|cookie| cookie.contains("Max-Age") != persistent),
                "{kept:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_earlier_end_makes_no_cookie_outlive_the_browser() {
    let app = app(SessionLayer::new(MemoryStore::new()));
    let page = Browser::new().get(&app, "/exam").await;
    assert!(!page.attributes().contains("Max-Age"), "{page:?}");
}

#[tokio::test]
async fn a_session_with_a_longer_limit_is_remembered() {
    let layer = SessionLayer::builder(MemoryStore::new())
        .lifetime(Lifetime::new(2 * HOUR, 12 * HOUR))
        .build();
    let app = app(layer.expect("good"));
    for (limits, is_remembered) in [
        ("2/12", false),
        ("1/12", false),
        ("2/11", false),
        ("3/12", true),
        ("2/13", true),
        ("1/13", true),
    ] {
        let page = Browser::new().get(&app, &format!("/limits/{limits}")).await;
        assert_eq!(
            page.attributes().contains("Max-Age"),
            is_remembered,
            "{limits}"
        );
    }
}
