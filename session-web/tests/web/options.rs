//! What the layer's options change.

use std::time::Duration;

use crate::app::{HOUR, app, count, read, routes};
use crate::browser::Browser;
use crate::log::Log;
use crate::probe::Probe;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::StatusCode;
use session_core::{Lifetime, Sessions};
use session_memory::MemoryStore;
use session_web::{OnFailure, Persistence, Rolling, SameSite, Secure, SessionLayer, Transport};

#[tokio::test]
async fn other_policies_are_what_they_say() {
    for (policy, load, save) in [
        (
            OnFailure::LogSaves,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::OK,
        ),
        (OnFailure::Anonymous, StatusCode::OK, StatusCode::OK),
    ] {
        let store = Probe::default();
        let layer = SessionLayer::builder(store.clone())
            .on_failure(policy)
            .build();
        let app = routes().layer(layer.expect("good"));
        let browser = Browser::new();
        browser.get(&app, "/count").await;
        store.fail_writes(true);
        assert_eq!(browser.get(&app, "/count").await.status, save, "{policy:?}");
        store.fail_loads(true);
        let page = browser.get(&app, "/read").await;
        assert_eq!(page.status, load, "{policy:?}");
        assert!(page.set_cookies().is_empty(), "{policy:?}");
    }
}

#[tokio::test]
async fn the_path_is_a_real_prefix() {
    let layer = SessionLayer::builder(MemoryStore::new())
        .path("/foo")
        .build();
    let app = Router::new()
        .route("/foo/count", get(count))
        .route("/foobar", get(count))
        .layer(layer.expect("good"));
    let browser = Browser::new();
    let page = browser.get(&app, "/foo/count").await;
    assert_eq!(
        page.attributes(),
        "Path=/foo; Secure; HttpOnly; SameSite=Lax"
    );
    assert!(browser.cookies().starts_with("__Secure-id="));
    let page = browser.get(&app, "/foobar").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(page.set_cookies().is_empty());
}

#[tokio::test]
async fn remember_me_makes_this_cookie_last_and_no_other() {
    let (app, _) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let page = browser.get(&app, "/remember").await;
    assert_eq!(
        page.attributes(),
        "Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax"
    );
    assert!(browser.get(&app, "/read").await.set_cookies().is_empty());
    let page = browser.get(&app, "/count").await;
    assert_eq!(
        page.set_cookies().len(),
        1,
        "the deadline has moved with the save"
    );
    let page = Browser::new().get(&app, "/count").await;
    assert!(!page.attributes().contains("Max-Age"), "another's");
}

#[tokio::test]
async fn persistence_and_rolling_are_what_they_say() {
    let lifetime = Lifetime::new(HOUR, 12 * HOUR);
    for (persistence, rolling, first, read, changed) in [
        (Persistence::Never, Rolling::WithDeadline, false, 0, 0),
        (Persistence::Always, Rolling::WithDeadline, true, 0, 1),
        (Persistence::Always, Rolling::Always, true, 1, 1),
        (Persistence::Always, Rolling::Never, true, 0, 0),
        (Persistence::Never, Rolling::Always, false, 1, 1),
    ] {
        let sessions = Sessions::builder(std::sync::Arc::new(MemoryStore::new()));
        let sessions = sessions.lifetime(lifetime).build().expect("good");
        let layer = SessionLayer::builder(sessions)
            .persistence(persistence)
            .rolling(rolling);
        let app = routes().layer(layer.build().expect("good"));
        let browser = Browser::new();
        let page = browser.get(&app, "/count").await;
        let what = format!("{persistence:?} {rolling:?}");
        assert_eq!(page.attributes().contains("Max-Age=3600"), first, "{what}");
        assert_eq!(
            browser.get(&app, "/read").await.set_cookies().len(),
            read,
            "{what}"
        );
        assert_eq!(
            browser.get(&app, "/count").await.set_cookies().len(),
            changed,
            "{what}"
        );
    }
}

#[tokio::test]
async fn reading_extends_the_session_and_its_cookie() {
    let store = Probe::default();
    let lifetime = Lifetime::new(Duration::from_millis(400), HOUR);
    let sessions = Sessions::builder(std::sync::Arc::new(store.clone())).lifetime(lifetime);
    let layer = SessionLayer::builder(sessions.build().expect("good"));
    let layer = layer.persistence(Persistence::Always).build();
    let app = routes().layer(layer.expect("good"));
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let page = browser.get(&app, "/read").await;
        assert_eq!(page.text, "Some(1) new false");
        assert_eq!(
            page.set_cookies().len(),
            1,
            "Max-Age moves with the deadline"
        );
    }
    assert_eq!(store.taken().2, 6, "touches");
    tokio::time::sleep(Duration::from_millis(410)).await;
    assert_eq!(browser.get(&app, "/read").await.text, "None new true");
}

#[tokio::test]
async fn uninitialized_sessions_are_stored_only_if_asked_for() {
    let layer = SessionLayer::builder(MemoryStore::new())
        .save_uninitialized(true)
        .build();
    let app = routes().layer(layer.expect("good"));
    let browser = Browser::new();
    assert_eq!(browser.get(&app, "/read").await.set_cookies().len(), 1);
    assert_eq!(browser.get(&app, "/read").await.text, "None new false");
}

#[tokio::test]
async fn a_header_carries_the_token_as_well() {
    for (transport, sent, answered) in [
        (Transport::Bearer, "authorization", "x-session"),
        (
            Transport::Header(http::HeaderName::from_static("x-my-session")),
            "x-my-session",
            "x-my-session",
        ),
    ] {
        let layer = SessionLayer::builder(MemoryStore::new())
            .transport(transport.clone())
            .build();
        let app = routes().layer(layer.expect("good"));
        let page = Browser::new().get(&app, "/count").await;
        assert!(page.set_cookies().is_empty());
        let token = page.header(answered).expect("a token").to_owned();
        let value = match transport {
            Transport::Bearer => format!("Bearer {token}"),
            _ => token,
        };
        let client = Browser::new().with(sent, &value);
        assert_eq!(client.get(&app, "/read").await.text, "Some(1) new false");
        let page = client.get(&app, "/sign-out").await;
        assert_eq!(page.header(answered), Some(""), "it has ended");
        assert_eq!(client.get(&app, "/read").await.text, "None new true");
    }
}

#[tokio::test]
async fn a_token_in_the_url_or_the_body_is_not_read() {
    let (app, probe) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let cookies = browser.cookies();
    let (_, token) = cookies.split_once('=').expect("a pair");
    probe.taken();
    for name in ["id", "__Host-id", "session", "token", "jsessionid"] {
        for path in [
            format!("/read?{name}={token}"),
            format!("/read?{name}=__Host-id={token}"),
        ] {
            let page = Browser::new().get(&app, &path).await;
            assert_eq!(page.text, "None new true", "{path}");
        }
        let request = http::Request::post("/read")
            .header("host", "example.org")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(format!("{name}={token}")))
            .expect("a good request");
        let app = app.clone().route("/read", axum::routing::post(read));
        tower::ServiceExt::oneshot(app, request).await.expect("up");
    }
    assert_eq!(probe.taken(), (0, 0, 0), "nothing was even looked up");
}

#[tokio::test]
async fn contradictions_are_refused_when_the_layer_is_built() {
    let builder = || SessionLayer::builder(MemoryStore::new());
    for (builder, says) in [
        (
            builder().secure(Secure::Never).same_site(SameSite::None),
            "SameSite=None",
        ),
        (
            builder()
                .secure(Secure::Always)
                .name("__Host-id")
                .domain("example.org"),
            "domain",
        ),
        (builder().path("/app").serves_below("app"), "serves_below"),
        (
            builder().transport(Transport::Header(http::header::SET_COOKIE)),
            "set-cookie",
        ),
        (
            builder().transport(Transport::Header(http::header::CONTENT_LENGTH)),
            "content-length",
        ),
        (builder().name("a;b"), "cookie name"),
        (builder().path("/a\r\nSet-Cookie: b=c"), "cookie path"),
        (builder().domain("a\r\nb"), "cookie domain"),
    ] {
        let error = builder.build().expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn behind_a_proxy_that_strips_the_path_the_cookie_has_the_browsers() {
    let layer = SessionLayer::builder(MemoryStore::new()).path("/app");
    let app = routes().layer(layer.serves_below("/").build().expect("good"));
    let browser = Browser::new();
    let page = browser.get(&app, "/count").await;
    let attributes = "Path=/app; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(page.attributes(), attributes);
    assert_eq!(browser.get(&app, "/count").await.text, "2");
    let layer = SessionLayer::builder(MemoryStore::new()).path("/app");
    let app = routes().layer(layer.build().expect("good"));
    let log = Log::start();
    let page = Browser::new().get(&app, "/count").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    let told = log.take();
    assert!(told[0].contains("serves_below"), "{told:?}");
}

#[tokio::test]
async fn rolling_always_answers_each_request_that_brings_a_cookie() {
    let store = Probe::default();
    let lifetime = Lifetime::new(Duration::from_millis(400), HOUR);
    let sessions = Sessions::builder(std::sync::Arc::new(store.clone())).lifetime(lifetime);
    let layer = SessionLayer::builder(sessions.build().expect("good"))
        .persistence(Persistence::Always)
        .rolling(Rolling::Always);
    let app = routes().layer(layer.build().expect("good"));
    let browser = Browser::new();
    let page = browser.get(&app, "/static").await;
    assert!(page.set_cookies().is_empty(), "there is no session");
    browser.get(&app, "/count").await;
    store.taken();
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let page = browser.get(&app, "/static").await;
        assert_eq!(page.text, "nothing to see");
        assert_eq!(page.new_cookies(), [browser.cookies()]);
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(store.taken(), (1, 0, 1), "loaded and touched");
    }
    assert_eq!(browser.get(&app, "/read").await.text, "Some(1) new false");
    store.taken();
    store.fail_loads(true);
    let page = browser.get(&app, "/static").await;
    assert_eq!(
        (page.status, page.text.as_str()),
        (StatusCode::OK, "nothing to see")
    );
    assert!(page.set_cookies().is_empty());
    let page = browser.get(&app, "/read").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(store.taken().0, 2, "a failed load is not repeated");
    store.fail_loads(false);
    browser.get(&app, "/sign-out").await;
    let dead = format!("__Host-id={}", "A".repeat(54));
    let page = Browser::holding(&dead).get(&app, "/static").await;
    assert!(page.set_cookies().is_empty(), "it opens nothing");
}

#[tokio::test]
async fn within_a_nested_router_the_path_is_the_whole_one() {
    let layer = SessionLayer::builder(MemoryStore::new())
        .path("/foo/bar")
        .build();
    let inner = Router::new()
        .route("/bar", get(count))
        .route("/bar/baz", get(count))
        .route("/foo/bar", get(count))
        .layer(layer.expect("good"));
    let app = Router::new().nest("/foo", inner);
    for (path, status) in [
        ("/foo/bar", StatusCode::OK),
        ("/foo/bar/baz?x=/", StatusCode::OK),
        ("/foo/foo/bar", StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let page = Browser::new().get(&app, path).await;
        assert_eq!(page.status, status, "{path}");
        assert_eq!(
            page.set_cookies().len(),
            usize::from(status == 200),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_long_max_age_is_kept_and_a_browser_keeps_at_most_400_days() {
    for (days, seconds) in [(35, 35 * 86_400), (400, 400 * 86_400)] {
        let lifetime = Lifetime::fixed(days * 24 * HOUR);
        let sessions = Sessions::builder(std::sync::Arc::new(MemoryStore::new()));
        let sessions = sessions.lifetime(lifetime).build().expect("good");
        let layer = SessionLayer::builder(sessions)
            .persistence(Persistence::Always)
            .build();
        let page = Browser::new()
            .get(&routes().layer(layer.expect("good")), "/count")
            .await;
        assert!(
            page.attributes().contains(&format!("Max-Age={seconds};")),
            "{page:?}"
        );
    }
    let forever = Lifetime::idle(session_core::Timeout::Never);
    let sessions = Sessions::builder(std::sync::Arc::new(MemoryStore::new()));
    let sessions = sessions.lifetime(forever).build().expect("good");
    let layer = SessionLayer::builder(sessions)
        .persistence(Persistence::Always)
        .build();
    let page = Browser::new()
        .get(&routes().layer(layer.expect("good")), "/count")
        .await;
    assert!(page.attributes().contains("Max-Age=34560000;"), "{page:?}");
}
