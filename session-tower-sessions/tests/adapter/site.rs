//! What a browser sees of a site on tower-sessions, with the adapter in the place of its stores.

use std::time::Duration;

use http::header::SET_COOKIE;
use http::{Request, Response};
use session_memory::{MemoryStore, SessionDirectory};
use session_tower_sessions::TowerSessionsStore;
use session_web::testing::TestClient;

use crate::app::app;

const HOUR: Duration = Duration::from_secs(3_600);

fn site() -> (axum::Router, MemoryStore) {
    let store = MemoryStore::new();
    let adapter = TowerSessionsStore::new(store.clone()).expect("a native store");
    (app(adapter), store)
}

fn set_cookie(page: &Response<String>) -> &str {
    let cookie = page.headers().get(SET_COOKIE).expect("a cookie");
    cookie.to_str().expect("ASCII")
}

/// The page as a browser with this cookie alone gets it.
async fn with_cookie(app: &axum::Router, path: &str, cookies: &str) -> Response<String> {
    let request = Request::get(path).header("cookie", cookies);
    let request = request.body(String::new()).expect("a good request");
    TestClient::new(app.clone()).send(request).await
}

#[tokio::test]
async fn a_visitor_who_leaves_nothing_gets_no_cookie_and_no_record() {
    let (app, store) = site();
    let page = TestClient::new(app).get("/").await;
    assert!(!page.headers().contains_key(SET_COOKIE));
    assert_eq!(store.count().await.expect("up"), 0);
}

#[tokio::test]
async fn values_are_kept_from_request_to_request_and_removed() {
    let (app, _) = site();
    let client = TestClient::new(app);
    let page = client.get("/count").await;
    let cookie = set_cookie(&page);
    for attribute in [
        "id=",
        "HttpOnly",
        "Secure",
        "SameSite=Strict",
        "Path=/",
        "Max-Age=3",
    ] {
        assert!(cookie.contains(attribute), "{attribute} of {cookie}");
    }
    assert_eq!(client.get("/count").await.body(), "2");
    assert_eq!(client.get("/read").await.body(), "Some(2)");
    client.get("/remove").await;
    assert_eq!(client.get("/read").await.body(), "None");
}

#[tokio::test]
async fn an_id_that_the_server_has_not_made_is_not_adopted() {
    let (app, _) = site();
    for made_up in ["AAAAAAAAAAAAAAAAAAAAAA", "malformed"] {
        let page = with_cookie(&app, "/count", &format!("id={made_up}")).await;
        assert_eq!(page.body(), "1");
        assert!(!set_cookie(&page).contains(made_up));
    }
}

#[tokio::test]
async fn a_new_id_keeps_the_values_and_the_old_one_opens_nothing() {
    let (app, _) = site();
    let client = TestClient::new(app.clone());
    client.get("/count").await;
    let before = client.cookies().await.expect("none open");
    client.get("/cycle").await;
    let after = client.cookies().await.expect("none open");
    assert_ne!(before, after);
    assert_eq!(client.get("/read").await.body(), "Some(1)");
    assert_eq!(with_cookie(&app, "/read", &before).await.body(), "None");
}

#[tokio::test]
async fn a_flush_ends_the_session_for_every_copy_of_the_cookie() {
    let (app, store) = site();
    let client = TestClient::new(app.clone());
    client.get("/count").await;
    let copy = client.cookies().await.expect("none open");
    client.get("/flush").await;
    assert_eq!(client.cookies().await.expect("none open"), "");
    assert_eq!(with_cookie(&app, "/read", &copy).await.body(), "None");
    assert_eq!(store.count().await.expect("up"), 0);
}

#[tokio::test]
async fn a_second_click_on_sign_out_is_no_error() {
    let (app, _) = site();
    let client = TestClient::new(app.clone());
    client.get("/count").await;
    let copy = client.cookies().await.expect("none open");
    client.get("/flush").await;
    let page = with_cookie(&app, "/flush", &copy).await;
    assert!(page.status().is_success(), "{}", page.status());
}

/// tower-sessions deletes a session before it knows whether there was one: of a visitor who signs
/// in first, it deletes an id that was never stored.
#[tokio::test]
async fn a_visitor_without_a_session_may_be_given_a_new_id() {
    let (app, store) = site();
    let client = TestClient::new(app);
    let page = client.get("/cycle").await;
    assert!(page.status().is_success(), "{}", page.status());
    client.get("/count").await;
    assert_eq!(client.get("/read").await.body(), "Some(1)");
    assert_eq!(store.count().await.expect("up"), 1);
}

#[tokio::test]
async fn a_session_ends_an_hour_after_its_last_write() {
    let (app, store) = site();
    let client = TestClient::new(app);
    client.get("/count").await;
    store.advance(HOUR / 2);
    assert_eq!(client.get("/count").await.body(), "2");
    store.advance(HOUR - Duration::from_secs(60));
    assert_eq!(client.get("/read").await.body(), "Some(2)");
    store.advance(Duration::from_secs(60));
    assert_eq!(client.get("/read").await.body(), "None");
}
