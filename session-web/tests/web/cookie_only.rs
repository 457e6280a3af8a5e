//! Sessions in the cookie itself.

use std::time::Duration;

use crate::browser::Browser;
use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use http::StatusCode;
use session_core::{ErrorKind, Lifetime};
use session_web::{
    KeyRing, MAX_COOKIE_BYTES, Rolling, Secret, Session, SessionLayer, SessionLayerBuilder,
    Transport,
};

async fn count(session: Session) -> String {
    let n = session.get("n").expect("a number").unwrap_or(0_u32) + 1;
    session.insert("n", n).expect("JSON");
    n.to_string()
}

async fn read(session: Session) -> String {
    let n: Option<u32> = session.get("n").expect("a number");
    format!("{n:?} new {}", session.is_new())
}

async fn fill(session: Session, Path(size): Path<usize>) {
    session.insert("big", "x".repeat(size)).expect("JSON");
}

async fn too_big(session: Session) -> String {
    session.insert("big", "x".repeat(5_000)).expect("JSON");
    let error = session.save().await.expect_err("it does not fit");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    session.remove("big");
    error.to_string()
}

fn app(layer: SessionLayer) -> Router {
    Router::new()
        .route("/count", get(count))
        .route("/read", get(read))
        .route("/fill/{size}", get(fill))
        .route("/too-big", get(too_big))
        .route("/static", get(|| async {}))
        .route(
            "/sign-in",
            get(|session: Session| async move {
                session.sign_in("ann").await.expect("saved");
            }),
        )
        .route(
            "/binding",
            get(|session: Session| async move { session.binding().expect("it is stored") }),
        )
        .route(
            "/form",
            get(|session: Session| async move { session.csrf_token().expect("ours") }),
        )
        .route(
            "/post/{token}",
            get(|session: Session, Path(token): Path<String>| async move {
                session.is_csrf_token(&token).to_string()
            }),
        )
        .route(
            "/sign-out",
            get(|session: Session| async move {
                session.destroy().await.expect("ended");
            }),
        )
        .route(
            "/remember",
            get(|session: Session| async move {
                let day = Duration::from_secs(86_400);
                session
                    .set_lifetime(Lifetime::new(30 * day, 90 * day))
                    .expect("good");
            }),
        )
        .layer(layer)
}

fn sealed() -> Router {
    let layer = SessionLayer::cookie_only(&KeyRing::new(Secret::generate()));
    app(layer.build().expect("good"))
}

fn options(ring: &KeyRing) -> SessionLayerBuilder {
    SessionLayer::cookie_only(ring).options().expect("good")
}

#[tokio::test]
async fn a_session_lives_from_request_to_request() {
    let ring = KeyRing::new(Secret::generate());
    for layer in [
        SessionLayer::cookie_only(&ring),
        SessionLayer::cookie_only(&ring).readable(),
    ] {
        let app = app(layer.build().expect("good"));
        let browser = Browser::new();
        for n in 1..=3 {
            assert_eq!(browser.get(&app, "/count").await.text, n.to_string());
        }
        let page = browser.get(&app, "/read").await;
        assert_eq!(page.text, "Some(3) new false");
        assert!(page.set_cookies().is_empty(), "nothing has changed");
        assert_eq!(
            Browser::new().get(&app, "/read").await.text,
            "None new true"
        );
        let page = browser.get(&app, "/static").await;
        assert!(page.set_cookies().is_empty());
    }
}

#[tokio::test]
async fn the_cookie_is_as_safe_as_a_tokens() {
    let page = Browser::new().get(&sealed(), "/count").await;
    assert_eq!(page.attributes(), "Path=/; Secure; HttpOnly; SameSite=Lax");
    assert!(page.set_cookies()[0].starts_with("__Host-id="));
    assert_eq!(page.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn expiry_is_enforced_by_the_server() {
    let ring = KeyRing::new(Secret::generate());
    let brief = Lifetime::new(Duration::from_millis(400), Duration::from_millis(1_000));
    let layer = SessionLayer::cookie_only(&ring).lifetime(brief).build();
    let app = app(layer.expect("good"));
    let (browser, idle) = (Browser::new(), Browser::new());
    browser.get(&app, "/count").await;
    idle.get(&app, "/count").await;
    let began = std::time::Instant::now();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if began.elapsed() < Duration::from_millis(800) {
            let page = browser.get(&app, "/read").await;
            assert_eq!(page.set_cookies().len(), 1, "extended, in the cookie");
        }
    }
    // The browser has kept the cookie, as a thief would.
    assert_eq!(idle.get(&app, "/read").await.text, "None new true", "idle");
    tokio::time::sleep(Duration::from_millis(420)).await;
    assert_eq!(
        browser.get(&app, "/read").await.text,
        "None new true",
        "absolute"
    );
}

#[tokio::test]
async fn signing_out_expires_the_cookie() {
    let app = sealed();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let page = browser.get(&app, "/sign-out").await;
    assert!(page.attributes().contains("Max-Age=0"), "{page:?}");
    assert_eq!(browser.cookies(), "");
    assert!(
        Browser::new()
            .get(&app, "/sign-out")
            .await
            .set_cookies()
            .is_empty()
    );
}

#[tokio::test]
async fn remember_me_and_sign_in_work_as_with_a_store() {
    let app = sealed();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let page = browser.get(&app, "/remember").await;
    assert!(page.attributes().contains("Max-Age=2592000"), "{page:?}");
    let before = browser.cookies();
    browser.get(&app, "/sign-in").await;
    assert_ne!(browser.cookies(), before);
    assert_eq!(browser.get(&app, "/read").await.text, "Some(1) new false");
}

#[tokio::test]
async fn a_sign_in_is_the_same_one_from_request_to_request() {
    let app = sealed();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let guest = browser.get(&app, "/binding").await.text;
    let form = browser.get(&app, "/form").await.text;
    let post = format!("/post/{form}");
    assert_eq!(browser.get(&app, &post).await.text, "true");
    browser.get(&app, "/sign-in").await;
    let binding = browser.get(&app, "/binding").await.text;
    assert_ne!(binding, guest);
    assert_eq!(browser.get(&app, &post).await.text, "false");
    for _ in 0..12 {
        browser.get(&app, "/count").await;
        assert_eq!(browser.get(&app, "/binding").await.text, binding);
    }
}

/// What the documentation warns of: there is no store that could say no.
#[tokio::test]
async fn a_copy_of_the_cookie_opens_the_session_until_its_deadline() {
    let app = sealed();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    for path in ["/sign-in", "/sign-out"] {
        let copy = browser.copied();
        browser.get(&app, path).await;
        assert_eq!(copy.get(&app, "/read").await.text, "Some(1) new false");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_and_loses_nothing() {
    let app = sealed();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    assert_eq!(browser.get(&app, "/fill/2500").await.status, StatusCode::OK);
    let cookies = browser.cookies();
    assert!(cookies.len() <= MAX_COOKIE_BYTES, "{}", cookies.len());
    let page = browser.get(&app, "/fill/4000").await;
    assert_eq!(page.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(page.set_cookies().is_empty());
    assert_eq!(browser.cookies(), cookies, "the browser has what it had");
    assert_eq!(browser.get(&app, "/count").await.text, "2");
    let text = browser.get(&app, "/too-big").await.text;
    assert!(
        text.contains("session cookie") && text.contains("4096"),
        "{text}"
    );
}

#[tokio::test]
async fn what_was_tampered_with_is_no_session() {
    let app = sealed();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let cookie = browser.cookies();
    for n in ["__Host-id=".len(), cookie.len() / 2, cookie.len() - 2] {
        let mut wrong = cookie.clone().into_bytes();
        wrong[n] = if wrong[n] == b'A' { b'B' } else { b'A' };
        let wrong = String::from_utf8(wrong).expect("ASCII");
        let forger = Browser::new().with("cookie", &wrong);
        let page = forger.get(&app, "/read").await;
        assert_eq!(page.text, "None new true", "changed at {n}");
        assert!(page.set_cookies().is_empty());
    }
    // Another layer's, with the same secret and another name, is none either.
    let ring = KeyRing::new(Secret::generate());
    let one = app_named(&ring, "one");
    let two = app_named(&ring, "two");
    let browser = Browser::new();
    browser.get(&one, "/count").await;
    let moved = browser.cookies().replace("one", "two");
    let forger = Browser::new().with("cookie", &moved);
    assert_eq!(forger.get(&two, "/read").await.text, "None new true");
}

fn app_named(ring: &KeyRing, name: &str) -> Router {
    app(options(ring).name(name).build().expect("good"))
}

#[tokio::test]
async fn secrets_rotate() {
    let (old, new) = (Secret::generate(), Secret::generate());
    let before = app(options(&KeyRing::new(old.clone())).build().expect("good"));
    let ring = KeyRing::of([new.clone(), old]).expect("two");
    let during = app(options(&ring).build().expect("good"));
    let after = app(options(&KeyRing::new(new)).build().expect("good"));
    let browser = Browser::new();
    browser.get(&before, "/count").await;
    let stale = browser.copied();
    assert_eq!(browser.get(&during, "/count").await.text, "2");
    assert_eq!(browser.get(&after, "/count").await.text, "3");
    assert_eq!(
        stale.get(&after, "/count").await.text,
        "1",
        "the old secret is out"
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let ring = KeyRing::new(Secret::generate());
    let error = options(&ring)
        .sign(ring.clone())
        .build()
        .expect_err("twice");
    assert!(error.to_string().contains("sign"), "{error}");
    let error = options(&ring)
        .transport(Transport::Bearer)
        .build()
        .expect_err("no cookie");
    assert!(error.to_string().contains("transport"), "{error}");
    let backwards = Lifetime::new(Duration::from_secs(2), Duration::from_secs(1));
    let error = SessionLayer::cookie_only(&ring).lifetime(backwards).build();
    assert!(
        error
            .expect_err("idle over absolute")
            .to_string()
            .contains("idle")
    );
}

#[tokio::test]
async fn rolling_always_answers_each_request_that_brings_a_session() {
    let ring = KeyRing::new(Secret::generate());
    let brief = Lifetime::new(Duration::from_millis(400), Duration::from_secs(3_600));
    for layer in [
        SessionLayer::cookie_only(&ring),
        SessionLayer::cookie_only(&ring).readable(),
    ] {
        let options = layer.lifetime(brief).options().expect("good");
        let rolling = options.rolling(Rolling::Always).build();
        let app = app(rolling.expect("good"));
        let browser = Browser::new();
        let page = browser.get(&app, "/static").await;
        assert!(page.set_cookies().is_empty(), "there is no session");
        browser.get(&app, "/count").await;
        for _ in 0..3 {
            for path in ["/static", "/read"] {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let page = browser.get(&app, path).await;
                assert_eq!(page.new_cookies().len(), 1, "{path}");
            }
        }
        assert_eq!(browser.get(&app, "/read").await.text, "Some(1) new false");
        // Also within the same millisecond, when there is nothing to extend.
        for _ in 0..3 {
            assert_eq!(browser.get(&app, "/static").await.set_cookies().len(), 1);
        }
        let page = browser.get(&app, "/sign-out").await;
        assert!(page.attributes().contains("Max-Age=0"));
        let garbage = Browser::new().with("cookie", "__Host-id=garbage");
        let page = garbage.get(&app, "/static").await;
        assert!(page.set_cookies().is_empty());
    }
}

#[tokio::test]
async fn cookies_that_no_secret_has_made_do_not_hide_the_session() {
    let ring = KeyRing::new(Secret::generate());
    let app = app(SessionLayer::cookie_only(&ring).build().expect("good"));
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let live = browser.cookies();
    let wrong = [
        live.replace("__Host-id=A", "__Host-id=B"),
        format!("{}x", live),
        "__Host-id=junk".to_owned(),
        "__Host-id=\u{e4}".to_owned(),
        "__Host-id=".to_owned(),
    ];
    let cookies = [&wrong[..], &wrong[..], &[live]].concat().join("; ");
    let browser = Browser::new().with("cookie", &cookies);
    let page = browser.get(&app, "/read").await;
    assert_eq!(page.text, "Some(1) new false");
}
