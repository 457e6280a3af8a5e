//! A site's own pages for requests that fail because of their session.

use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::StatusCode;
use http::request::Parts;
use session_memory::MemoryStore;
use session_web::{
    Error, Limits, Result, Session, SessionHandle, SessionLayer, SessionLayerBuilder,
};

use crate::app::routes;
use crate::browser::{Browser, Page};
use crate::probe::Probe;

/// What the site shows: the kind of the error, and what was asked for.
fn page(error: &Error, request: &Parts) -> Response {
    let status = session_core::error_response::<()>(error).status();
    let text = format!("{:?} {}", error.kind(), request.uri.path());
    (status, [("x-page", "ours")], text).into_response()
}

/// A handler that fails by an error of its session.
async fn mismatch(session: Session) -> Result<String> {
    session.insert("n", "a text")?;
    session.get::<u32>("n").map(|n| format!("{n:?}"))
}

fn app(store: &Probe) -> Router {
    let layer = SessionLayer::builder(store.clone()).on_error(page).build();
    routes()
        .route("/mismatch", get(mismatch))
        .route("/busy", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .layer(layer.expect("good"))
}

fn assert_is(shown: &Page, status: StatusCode, text: &str) {
    assert_eq!((shown.status, shown.text.as_str()), (status, text));
    assert_eq!(shown.header("x-page"), Some("ours"), "{text}");
    assert_eq!(shown.header("cache-control"), Some("no-store"), "{text}");
}

#[tokio::test]
async fn each_failure_of_a_session_shows_the_sites_page() {
    let store = Probe::default();
    let (app, browser) = (app(&store), Browser::new());
    browser.get(&app, "/count").await;
    let down = StatusCode::SERVICE_UNAVAILABLE;
    store.fail_loads(true);
    let shown = browser.get(&app, "/read").await;
    assert_is(&shown, down, "Unavailable /read");
    assert_eq!(shown.header("retry-after"), Some("1"), "nothing was done");
    store.fail_loads(false);
    store.fail_writes(true);
    let shown = browser.get(&app, "/count").await;
    assert_is(&shown, down, "Unavailable /count");
    store.fail_writes(false);
    let shown = browser.get(&app, "/mismatch").await;
    assert_is(&shown, StatusCode::INTERNAL_SERVER_ERROR, "Value /mismatch");
}

#[tokio::test]
async fn a_handlers_own_failure_is_its_own() {
    let (app, browser) = (app(&Probe::default()), Browser::new());
    let shown = browser.get(&app, "/busy").await;
    assert_eq!(shown.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((shown.text.as_str(), shown.header("x-page")), ("", None));
    let shown = browser.get(&app, "/error").await;
    assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
    assert_eq!(shown.header("x-page"), None);
}

/// The page's layer tells of the session what the default's does.
#[tokio::test]
async fn a_failed_handlers_session_is_saved_behind_a_page_too() {
    let (app, browser) = (app(&Probe::default()), Browser::new());
    let shown = browser.get(&app, "/mismatch").await;
    assert_eq!(shown.header("x-page"), Some("ours"));
    assert_eq!(shown.set_cookies().len(), 1);
    let again = browser.get(&app, "/mismatch").await;
    assert!(again.set_cookies().is_empty(), "it has its session");
}

#[tokio::test]
async fn what_a_page_says_itself_is_kept() {
    let own = |_: &Error, _: &Parts| {
        let headers = [("cache-control", "private"), ("retry-after", "60")];
        (StatusCode::SERVICE_UNAVAILABLE, headers).into_response()
    };
    let fine = |_: &Error, _: &Parts| StatusCode::OK.into_response();
    let store = Probe::default();
    store.fail_loads(true);
    let builder = || SessionLayer::builder(store.clone());
    let own = routes().layer(builder().on_error(own).build().expect("good"));
    let fine = routes().layer(builder().on_error(fine).build().expect("good"));
    let token = "A".repeat(54);
    let browser = Browser::holding(&format!("__Host-id={token}"));
    let shown = browser.get(&own, "/read").await;
    assert_eq!(shown.header("cache-control"), Some("private"));
    assert_eq!(shown.header("retry-after"), Some("60"));
    let shown = browser.get(&fine, "/read").await;
    assert_eq!(shown.header("retry-after"), None, "it is no 503");
}

#[tokio::test]
async fn a_save_that_may_have_happened_asks_for_no_repeat() {
    async fn unanswered() -> Result<()> {
        Err(Error::unavailable("save", "the connection broke"))
    }
    let layer = named("id").on_error(page).build();
    let app = Router::new()
        .route("/", get(unanswered))
        .layer(layer.expect("good"));
    let shown = Browser::new().get(&app, "/").await;
    assert_is(&shown, StatusCode::SERVICE_UNAVAILABLE, "Unavailable /");
    assert_eq!(shown.header("retry-after"), None);
}

/// The layer of another cookie, named `name`.
fn named(name: &str) -> SessionLayerBuilder {
    SessionLayer::builder(MemoryStore::new()).name(name)
}

#[tokio::test]
async fn the_innermost_page_is_shown_and_no_layers_cookie_is_lost() {
    let outer_page = |_: &Error, _: &Parts| (StatusCode::IM_A_TEAPOT, "outer").into_response();
    let outer = || named("outer").on_error(outer_page).build().expect("good");
    let inner = named("inner").on_error(page).build().expect("good");
    let plain = named("inner").build().expect("good");
    let router = || Router::new().route("/", get(mismatch));
    for (app, text) in [
        (router().layer(inner).layer(outer()), "Value /"),
        (router().layer(plain).layer(outer()), "outer"),
    ] {
        let shown = Browser::new().get(&app, "/").await;
        assert_eq!(shown.text, text);
        let [cookie] = shown.set_cookies()[..] else {
            panic!("the inner session was saved: {:?}", shown.set_cookies());
        };
        assert!(cookie.starts_with("__Host-inner="), "{cookie}");
    }
}

/// An outer layer whose save fails discards what the handler has said, and not what an inner layer
/// has: that session is saved.
#[tokio::test]
async fn a_failed_save_loses_no_cookie_of_an_inner_layer() {
    async fn both(inner: Session, handle: Extension<SessionHandle>) -> Result<impl IntoResponse> {
        inner.insert("n", 1)?;
        let outer = handle.named("outer").expect("nested").session().await?;
        outer.insert("n", 1)?;
        Ok([("set-cookie", "own=1"), ("x-own", "1")])
    }
    let store = Probe::default();
    store.fail_writes(true);
    let outer = || SessionLayer::builder(store.clone()).name("outer");
    let inner = || named("inner").build().expect("good");
    let router = || Router::new().route("/", get(both)).layer(inner());
    for app in [
        router().layer(outer().on_error(page).build().expect("good")),
        router().layer(outer().build().expect("good")),
    ] {
        let shown = Browser::new().get(&app, "/").await;
        assert_eq!(shown.status, StatusCode::SERVICE_UNAVAILABLE);
        let [cookie] = shown.set_cookies()[..] else {
            panic!("the inner layer's: {:?}", shown.set_cookies());
        };
        assert!(cookie.starts_with("__Host-inner="), "{cookie}");
        assert_eq!(shown.header("x-own"), None, "the handler's is discarded");
    }
}

#[tokio::test]
async fn a_page_keeps_the_headers_in_between_that_say_nothing_of_the_body() {
    async fn between(response: Response) -> Response {
        let headers = [
            ("content-security-policy", "default-src 'self'"),
            ("content-type", "application/json"),
            ("content-language", "la"),
            ("etag", "\"1\""),
            ("repr-digest", "sha-256=:AA==:"),
            ("x-page", "theirs"),
            ("x-frame-options", "DENY"),
            ("vary", "accept"),
        ];
        (headers, response).into_response()
    }
    let own = |error: &Error, request: &Parts| {
        let vary = [("vary", "accept-language"), ("set-cookie", "own=1")];
        (vary, page(error, request)).into_response()
    };
    let app = Router::new()
        .route("/", get(mismatch))
        .layer(map_response(between))
        .layer(named("id").on_error(own).build().expect("good"));
    let shown = Browser::new().get(&app, "/").await;
    assert_is(&shown, StatusCode::INTERNAL_SERVER_ERROR, "Value /");
    let header = |name| shown.header(name);
    assert_eq!(
        header("content-security-policy"),
        Some("default-src 'self'")
    );
    assert_eq!(header("x-frame-options"), Some("DENY"));
    assert_eq!(header("content-type"), Some("text/plain; charset=utf-8"));
    for of_body in ["content-language", "etag", "repr-digest"] {
        assert_eq!(header(of_body), None, "{of_body}");
    }
    let all = |name| shown.headers.get_all(name).iter().count();
    assert_eq!((all("x-page"), all("content-type")), (1, 1));
    assert_eq!(all("vary"), 3, "the page's, the middleware's, the layer's");
    assert_eq!(shown.set_cookies().len(), 2);
}

#[tokio::test]
async fn middleware_further_out_knows_the_error() {
    async fn tell(response: Response) -> Response {
        let error: Option<&Error> = response.extensions().get();
        let kind = error.map(Error::kind);
        ([("x-kind", format!("{kind:?}"))], response).into_response()
    }
    let store = Probe::default();
    store.fail_writes(true);
    let builder = || SessionLayer::builder(store.clone());
    let plain = routes().layer(builder().build().expect("good"));
    let pages = routes().layer(builder().on_error(page).build().expect("good"));
    for app in [plain, pages].map(|app| app.layer(map_response(tell))) {
        for (path, kind) in [("/count", "Some(Unavailable)"), ("/static", "None")] {
            let shown = Browser::new().get(&app, path).await;
            assert_eq!(shown.header("x-kind"), Some(kind), "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_too_large_is_413() {
    async fn fill(session: Session) -> Result<()> {
        session.insert("a longer key", 1)
    }
    let limits = Limits::default().with_key_bytes(8);
    let layer = named("id").limits(limits);
    let app = Router::new()
        .route("/", get(fill))
        .layer(layer.build().expect("good"));
    let shown = Browser::new().get(&app, "/").await;
    assert_eq!(shown.status, StatusCode::PAYLOAD_TOO_LARGE);
}
