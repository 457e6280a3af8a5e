//! Requests that other sites' pages send.

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use actix_web::{App, web};
use session_actix::{
    CrossOriginProtection, GuardMiddleware, Session, SessionLayer, SessionMiddleware,
};
use session_memory::MemoryStore;

use crate::app::{count, routes};
use crate::browser::{Browser, Site, served};

async fn token(session: Session) -> session_actix::Result<String> {
    session.csrf_token()
}

async fn protected() -> Site {
    served!(
        App::new()
            .route("/pay", web::post().to(count))
            .route("/token", web::get().to(token))
            .configure(routes)
            .wrap(GuardMiddleware::new(CrossOriginProtection::new()))
            .wrap(SessionMiddleware::new(
                SessionLayer::new(MemoryStore::new())
            ))
    )
}

fn pay(header: &'static str, value: &str) -> TestRequest {
    TestRequest::post()
        .uri("/pay")
        .insert_header((header, value))
}

#[actix_web::test]
async fn other_sites_pages_change_nothing() {
    let site = protected().await;
    let browser = Browser::new();
    browser.get(&site, "/count").await;
    for (header, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("x-csrf-token", "made up"),
    ] {
        let page = browser.send(&site, pay(header, value)).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{header}: {value}");
    }
    let token = browser.get(&site, "/token").await.text;
    for (n, (header, value)) in [
        ("sec-fetch-site", "same-origin"),
        ("origin", "https://example.org"),
        ("x-csrf-token", &token),
    ]
    .into_iter()
    .enumerate()
    {
        let page = browser.send(&site, pay(header, value)).await;
        assert_eq!(page.text, (n + 2).to_string(), "{header}: {value}");
    }
}
