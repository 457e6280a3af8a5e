//! The rules around a request without tower: what a framework's middleware is made of.

use http::request::Parts;
use http::{Request, Response, StatusCode};
use session_core::{ErrorKind, SessionHandle, error_response};
use session_memory::MemoryStore;
use session_web::{CrossOriginProtection, RespondToError, SessionLayer};

use crate::probe::Probe;

fn request(cookie: &str) -> Parts {
    let request = Request::get("/").header("host", "example.org");
    let request = request.header("cookie", cookie).body(());
    request.expect("good").into_parts().0
}

fn cookie<B>(response: &Response<B>) -> String {
    let set = response.headers()["set-cookie"].to_str().expect("ASCII");
    set.split(';').next().expect("a pair").to_owned()
}

/// One request that counts.
async fn count<E: RespondToError<String>>(
    layer: &SessionLayer<E>,
    cookie: &str,
) -> Response<String> {
    let exchange = layer.begin(&mut request(cookie));
    let session = exchange.session().await.expect("up");
    let n = session.get("n").expect("a number").unwrap_or(0_u32) + 1;
    session.insert("n", n).expect("JSON");
    exchange.finish(Response::new(n.to_string())).await
}

#[tokio::test]
async fn an_exchange_saves_and_sets_the_cookie_as_the_layer_does() {
    let store = Probe::default();
    let layer = SessionLayer::new(store.clone());
    let response = count(&layer, "").await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["vary"], "cookie");
    let cookie = cookie(&response);
    store.taken();
    assert_eq!(count(&layer, &cookie).await.body(), "2");
    assert_eq!(store.taken(), (1, 1, 0));
    let unused = layer.begin(&mut request(&cookie));
    let response = unused.finish(Response::new(String::new())).await;
    assert!(response.headers().is_empty());
    assert_eq!(store.taken(), (0, 0, 0));
}

#[tokio::test]
async fn an_exchange_that_is_dropped_saves_nothing() {
    let store = Probe::default();
    let layer = SessionLayer::new(store.clone());
    let exchange = layer.begin(&mut request(""));
    let session = exchange.session().await.expect("up");
    session.insert("n", 1).expect("JSON");
    drop(exchange);
    let error = session.save().await.expect_err("there is no response");
    assert_eq!(error.kind(), ErrorKind::TooLate);
    assert_eq!(store.taken(), (0, 0, 0));
}

#[tokio::test]
async fn a_framework_with_bodies_of_its_own_gets_headers_or_a_page() {
    let store = Probe::default();
    let layer = SessionLayer::builder(store.clone())
        .on_error(|error, _| Response::new(format!("{:?}", error.kind())))
        .build()
        .expect("good");
    let exchange = layer.begin(&mut request(""));
    exchange
        .session()
        .await
        .expect("up")
        .insert("n", 1)
        .expect("JSON");
    let head = exchange.try_finish(Response::new(7)).await.expect("saved");
    assert_eq!(head.body(), &7, "the framework's body");
    let cookie = cookie(&head);

    let exchange = layer.begin(&mut request(&cookie));
    exchange
        .session()
        .await
        .expect("up")
        .insert("n", 2)
        .expect("JSON");
    store.fail_writes(true);
    let page = exchange.try_finish(Response::new(7)).await;
    assert_eq!(page.expect_err("not saved").body(), "Unavailable");

    let exchange = layer.begin(&mut request(&cookie));
    let refused = session_core::Session::require_owner(&exchange.session().await.expect("up"));
    let refused = error_response::<u32>(&refused.expect_err("a guest's"));
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let page = exchange.try_finish(refused).await;
    assert_eq!(page.expect_err("refused").body(), "Unauthenticated");
}

#[tokio::test]
async fn exchanges_of_one_request_are_nested_by_its_extensions() {
    let admin = SessionLayer::builder(MemoryStore::new()).name("admin");
    let admin = admin.build().expect("good");
    let inner = SessionLayer::new(MemoryStore::new());
    let mut parts = request("");
    let (outer, inner) = (admin.begin(&mut parts), inner.begin(&mut parts));
    let handle: &SessionHandle = parts.extensions.get().expect("put there");
    let named = handle.named("admin").expect("further out");
    named
        .session()
        .await
        .expect("up")
        .insert("a", 1)
        .expect("JSON");
    let response = inner.finish(Response::new(String::new())).await;
    assert!(
        response.headers().is_empty(),
        "its session was not asked for"
    );
    let response = outer.finish(response).await;
    assert!(cookie(&response).starts_with("__Host-admin="));
}

#[tokio::test]
async fn a_request_that_another_site_forges_is_told_by_its_head() {
    let (mut forged, ()) = Request::post("/").body(()).expect("good").into_parts();
    let layer = SessionLayer::new(MemoryStore::new());
    let _exchange = layer.begin(&mut forged);
    let rules = CrossOriginProtection::new();
    assert!(rules.check(&forged).await.is_ok(), "it opens no session");
    let site = http::HeaderValue::from_static("cross-site");
    forged.headers.insert("sec-fetch-site", site);
    let error = rules.check(&forged).await.expect_err("forged");
    assert_eq!(error.kind(), ErrorKind::Forged);
}
