//! What becomes of a request that fails: its store, its handler, middleware, or its client.

use std::time::Duration;

use actix_web::App;
use actix_web::http::StatusCode;
use http::Response;
use session_actix::{SessionLayer, SessionMiddleware};

use crate::app::{probed, routes, site};
use crate::browser::{Browser, served};
use crate::log::Log;
use crate::probe::Probe;

#[actix_web::test]
async fn the_store_down_is_503_and_never_a_fresh_session() {
    let (site, store) = probed().await;
    let browser = Browser::new();
    browser.get(&site, "/count").await;
    let cookies = browser.cookies();
    store.fail_loads(true);
    for path in ["/read", "/count", "/sign-in", "/account"] {
        let page = browser.get(&site, path).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(page.header("retry-after"), Some("1"), "{path}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(page.text, "", "{path}: it would name hosts");
    }
    assert_eq!(browser.get(&site, "/optional").await.text, "false");
    assert_eq!(browser.get(&site, "/owner").await.text, "refused false");
    assert_eq!(browser.get(&site, "/static").await.status, StatusCode::OK);
    store.fail_loads(false);
    store.fail_writes(true);
    for path in ["/count", "/sign-in"] {
        let page = browser.get(&site, path).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(page.set_cookies().is_empty(), "{path}");
        assert_eq!(page.text, "", "what the handler has said is not sent");
    }
    store.fail_writes(false);
    assert_eq!(browser.cookies(), cookies, "the browser has what it had");
    assert_eq!(browser.get(&site, "/read").await.text, "Some(1) new false");
}

#[actix_web::test]
async fn each_failure_is_logged_once_with_its_cause() {
    let (site, store) = probed().await;
    let browser = Browser::new();
    browser.get(&site, "/count").await;
    for (loads, what) in [
        (true, "a request failed because of its session"),
        (false, "a session could not be saved"),
    ] {
        store.fail_loads(loads);
        store.fail_writes(!loads);
        let log = Log::start();
        browser.get(&site, "/count").await;
        let told = log.take();
        let of_it: Vec<_> = told.iter().filter(|line| line.contains(what)).collect();
        assert_eq!(of_it.len(), 1, "{told:?}");
        assert!(of_it[0].contains("it is down"), "{told:?}");
        let errors = told.iter().filter(|line| line.starts_with("ERROR"));
        assert_eq!(errors.count(), 1, "{told:?}");
    }
}

#[actix_web::test]
async fn nested_middleware_logs_a_failure_once() {
    let store = Probe::default();
    let outer = SessionLayer::builder(store.clone()).name("outer").build();
    let site = served!(
        App::new()
            .configure(routes)
            .wrap(SessionMiddleware::new(SessionLayer::new(store.clone())))
            .wrap(SessionMiddleware::new(outer.expect("good")))
    );
    let browser = Browser::new();
    browser.get(&site, "/count").await;
    store.fail_loads(true);
    let log = Log::start();
    let page = browser.get(&site, "/read").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    let told = log.take();
    let errors = told.iter().filter(|line| line.starts_with("ERROR"));
    assert_eq!(errors.count(), 1, "{told:?}");
}

#[actix_web::test]
async fn a_handler_that_answers_with_an_error_has_its_session_saved() {
    let (site, _) = probed().await;
    let browser = Browser::new();
    let page = browser.get(&site, "/fails").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.get(&site, "/read").await.text, "Some(7) new false");
}

#[actix_web::test]
async fn middleware_that_fails_has_its_session_saved_and_its_response_kept() {
    let (site, store) = probed().await;
    let browser = Browser::new();
    let page = browser.get(&site, "/guarded").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert_eq!(page.text, "sign in first");
    assert_eq!(page.set_cookies().len(), 1);
    assert_eq!(browser.get(&site, "/read").await.text, "Some(8) new false");
    store.fail_writes(true);
    let page = Browser::new().get(&site, "/guarded").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "not counted");
    assert_eq!(page.text, "");
}

#[actix_web::test]
async fn a_panic_saves_nothing() {
    let (site, _) = probed().await;
    let browser = Browser::new();
    browser.get(&site, "/count").await;
    let (same, tab) = (site.clone(), browser.clone());
    let panicked = actix_web::rt::spawn(async move { tab.get(&same, "/panic").await }).await;
    assert!(panicked.is_err());
    assert_eq!(browser.get(&site, "/read").await.text, "Some(1) new false");
}

#[actix_web::test]
async fn a_client_that_goes_away_leaves_the_session_usable() {
    let (site, store) = probed().await;
    let browser = Browser::new();
    browser.get(&site, "/count").await;
    store.taken();
    let soon = Duration::from_millis(20);
    let gone = actix_web::rt::time::timeout(soon, browser.get(&site, "/slow")).await;
    assert!(gone.is_err());
    actix_web::rt::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(store.taken().1, 0, "nothing was saved");
    assert_eq!(browser.get(&site, "/count").await.text, "2");
}

#[actix_web::test]
async fn a_site_has_its_own_pages_for_sessions_that_fail() {
    let store = Probe::default();
    let layer = SessionLayer::builder(store.clone()).on_error(|error, request| {
        let text = format!("{:?} at {}", error.kind(), request.uri.path());
        let mut page = Response::new(text);
        *page.status_mut() = http::StatusCode::BAD_GATEWAY;
        page.headers_mut()
            .insert("x-page", http::HeaderValue::from_static("own"));
        page
    });
    let site = site(layer.build().expect("good")).await;
    let browser = Browser::new();
    browser.get(&site, "/count").await;
    let page = browser.get(&site, "/account").await;
    assert_eq!(
        page.text, "Unauthenticated at /account",
        "a handler's error"
    );
    store.fail_loads(true);
    assert_eq!(
        browser.get(&site, "/read").await.text,
        "Unavailable at /read"
    );
    store.fail_loads(false);
    store.fail_writes(true);
    let page = browser.get(&site, "/count").await;
    assert_eq!(page.text, "Unavailable at /count", "of the save");
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert_eq!(page.header("x-page"), Some("own"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let page = browser.get(&site, "/guarded").await;
    assert_eq!(page.text, "Unavailable at /guarded", "of middleware");
    let page = browser.get(&site, "/static").await;
    assert_eq!(page.text, "nothing to see");
}
