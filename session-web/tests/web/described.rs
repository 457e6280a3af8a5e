//! Descriptions of the clients of requests, in a store and in the cookie.

use axum::Router;
use axum::routing::get;
use http::HeaderMap;
use session_memory::MemoryStore;
use session_web::{KeyRing, Result, Secret, Session, SessionLayer, Sessions, UserAgent};

use crate::browser::Browser;

const PHONE: &str = "Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0";

async fn sign_in(session: Session, headers: HeaderMap) -> Result<()> {
    let client = UserAgent::from_headers(&headers).description();
    session.describe(client.with_shortened_address([203, 0, 113, 7]))?;
    session.sign_in("ann").await
}

async fn show(session: Session) -> String {
    let description = session.description().unwrap_or_default();
    let fields = [
        description.browser(),
        description.system(),
        description.address(),
    ];
    fields.map(Option::unwrap_or_default).join(" ")
}

fn app(layer: SessionLayer) -> Router {
    let app = Router::new()
        .route("/sign-in", get(sign_in))
        .route("/show", get(show));
    app.layer(layer)
}

#[tokio::test]
async fn a_description_lives_from_request_to_request_in_a_store_and_in_a_cookie() {
    let ring = KeyRing::new(Secret::generate());
    for layer in [
        SessionLayer::new(MemoryStore::new()),
        SessionLayer::cookie_only(&ring).build().expect("good"),
        SessionLayer::cookie_only(&ring)
            .readable()
            .build()
            .expect("good"),
    ] {
        let app = app(layer);
        let browser = Browser::new().with("user-agent", PHONE);
        assert_eq!(browser.get(&app, "/show").await.text, "  ");
        browser.get(&app, "/sign-in").await;
        let page = browser.get(&app, "/show").await;
        assert_eq!(page.text, "Firefox Android 203.0.113.0/24");
        assert!(page.set_cookies().is_empty(), "nothing has changed");
    }
}

#[tokio::test]
async fn each_device_of_a_user_is_listed_with_its_own_description() {
    let sessions = Sessions::new(MemoryStore::new());
    let app = app(SessionLayer::new(sessions.store().clone()));
    for agent in [PHONE, "curl/8.11.0"] {
        let browser = Browser::new().with("user-agent", agent);
        browser.get(&app, "/sign-in").await;
    }
    let devices = sessions.owned_by("ann").await.expect("listed");
    let mut browsers: Vec<_> = (devices.iter())
        .map(|device| device.description.clone().unwrap_or_default())
        .map(|description| description.browser().map(str::to_owned))
        .collect();
    browsers.sort();
    assert_eq!(
        browsers,
        ["Firefox", "curl"].map(|name| Some(name.to_owned()))
    );
}
