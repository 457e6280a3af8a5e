//! Sessions and their cookies, from request to request.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use actix_web::{App, HttpMessage, HttpRequest, web};
use session_actix::session_core::SessionDirectory;
use session_actix::{Session, SessionHandle, SessionLayer, SessionMiddleware};
use session_memory::MemoryStore;

use crate::app::{probed, routes};
use crate::browser::{Browser, served};

#[actix_web::test]
async fn no_cookie_is_set_until_something_is_stored() {
    let (site, store) = probed().await;
    let browser = Browser::new();
    for path in ["/read", "/optional", "/static"] {
        let page = browser.get(&site, path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.set_cookies().is_empty(), "{path}");
    }
    assert_eq!(store.taken(), (0, 0, 0), "no store was asked");
    let page = browser.get(&site, "/static").await;
    assert_eq!(page.header("vary"), None);
    assert_eq!(page.header("cache-control"), None);
}

#[actix_web::test]
async fn a_session_lives_from_request_to_request_under_the_default_cookie() {
    let (site, store) = probed().await;
    let browser = Browser::new();
    let page = browser.get(&site, "/count").await;
    let [cookie] = page.set_cookies()[..] else {
        panic!("one cookie")
    };
    let (value, attributes) = cookie.split_once("; ").expect("attributes");
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Lax");
    assert_eq!(value.len(), "__Host-id=".len() + 54);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("vary"), Some("cookie"));
    store.taken();
    let page = browser.get(&site, "/count").await;
    assert_eq!(page.text, "2");
    assert!(page.set_cookies().is_empty(), "nothing new to tell");
    assert_eq!(store.taken(), (1, 1, 0), "a load and a save");
    assert_eq!(Browser::new().get(&site, "/count").await.text, "1");
}

#[actix_web::test]
async fn a_tampered_cookie_opens_nothing_and_is_not_adopted() {
    let (site, _) = probed().await;
    let browser = Browser::new();
    browser.get(&site, "/count").await;
    let cookies = browser.cookies();
    let (name, token) = cookies.split_once('=').expect("a pair");
    let first = if token.starts_with('A') { "B" } else { "A" };
    let tampered = format!("{first}{}", &token[1..]);
    let thief = Browser::with_cookie(name, &tampered);
    let page = thief.get(&site, "/read").await;
    assert_eq!(page.text.split(' ').next(), Some("None"));
    assert!(page.set_cookies().is_empty());
    let stranger = Browser::with_cookie(name, &"A".repeat(54));
    let page = stranger.get(&site, "/count").await;
    assert_eq!(page.text, "1");
    assert!(!page.set_cookies()[0].contains(&"A".repeat(54)));
    assert_eq!(browser.get(&site, "/count").await.text, "2");
}

#[actix_web::test]
async fn signing_in_changes_the_token_and_signing_out_removes_it() {
    let (site, store) = probed().await;
    let browser = Browser::new();
    browser.get(&site, "/count").await;
    let thief = browser.clone();
    assert_eq!(browser.get(&site, "/owner").await.text, "refused true");
    let page = browser.get(&site, "/account").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert_eq!(page.text, "");
    browser.get(&site, "/sign-in").await;
    assert_ne!(browser.cookies(), thief.cookies());
    assert_eq!(browser.get(&site, "/account").await.text, "ann");
    assert_eq!(browser.get(&site, "/read").await.text, "Some(1) new false");
    let page = thief.get(&site, "/account").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    let page = browser.get(&site, "/sign-out").await;
    assert!(page.set_cookies()[0].starts_with("__Host-id=; Path=/; Max-Age=0"));
    assert_eq!(browser.cookies(), "");
    assert_eq!(store.store().count().await.expect("up"), 0);
}

#[actix_web::test]
async fn a_request_under_way_does_not_undo_a_sign_out() {
    let (site, _) = probed().await;
    let browser = Browser::new();
    browser.get(&site, "/count").await;
    let other = browser.clone();
    let (slow, ()) = futures_util::future::join(other.get(&site, "/slow"), async {
        actix_web::rt::time::sleep(Duration::from_millis(30)).await;
        browser.get(&site, "/sign-out").await;
    })
    .await;
    assert_eq!(slow.status, StatusCode::CONFLICT, "it is not stored");
    assert_eq!(slow.text, "", "what the handler has said is not sent");
    assert!(slow.set_cookies().is_empty());
}

#[actix_web::test]
async fn headers_of_the_handler_are_kept_but_for_those_that_store_the_response() {
    let (site, _) = probed().await;
    let page = Browser::new().get(&site, "/cached").await;
    let [theirs, ours] = page.set_cookies()[..] else {
        panic!("two cookies")
    };
    assert_eq!(theirs, "theme=dark; Path=/");
    assert!(ours.starts_with("__Host-id="));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("cdn-cache-control"), None);
    assert_eq!(page.header("x-other"), Some("kept"));
    let vary: Vec<_> = page.headers.get_all("vary").collect();
    assert_eq!(vary, ["accept-encoding", "cookie"]);
}

#[actix_web::test]
async fn nested_middleware_each_has_a_session() {
    async fn both(session: Session, request: HttpRequest) -> actix_web::Result<String> {
        let handle = request.extensions().get::<SessionHandle>().cloned();
        let handle = handle.expect("the middleware's");
        let admin = handle
            .named("admin")
            .expect("further out")
            .session()
            .await?;
        admin.insert("a", 1)?;
        session.insert("b", 1)?;
        Ok(format!("{:?} {:?}", admin.keys(), session.keys()))
    }
    let admin = SessionLayer::builder(MemoryStore::new()).name("admin");
    let admin = SessionMiddleware::new(admin.build().expect("good"));
    let inner = SessionMiddleware::new(SessionLayer::new(MemoryStore::new()));
    let site = served!(
        App::new()
            .route("/both", web::get().to(both))
            .configure(routes)
            .wrap(inner)
            .wrap(admin)
    );
    let browser = Browser::new();
    let page = browser.get(&site, "/both").await;
    assert_eq!(page.set_cookies().len(), 2);
    assert_eq!(page.text, r#"["a"] ["b"]"#);
    assert_eq!(browser.get(&site, "/both").await.text, page.text);
}

#[actix_web::test]
async fn a_scope_may_have_its_own_middleware() {
    let sessions = SessionMiddleware::new(SessionLayer::new(MemoryStore::new()));
    let scope = web::scope("/shop").configure(routes).wrap(sessions);
    let site = served!(App::new().configure(routes).service(scope));
    let browser = Browser::new();
    for n in ["1", "2"] {
        assert_eq!(browser.get(&site, "/shop/count").await.text, n);
    }
    let page = browser.get(&site, "/count").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR, "none there");
    let page = browser
        .send(&site, TestRequest::get().uri("/optional"))
        .await;
    assert_eq!(page.text, "false");
}
