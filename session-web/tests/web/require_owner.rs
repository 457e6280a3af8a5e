//! What only signed-in users may do, and where others are sent.

use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use http::StatusCode;
use session_web::{Error, Owner, RequireOwner, Result, ReturnTo, Session, SessionLayer, Transport};

use crate::browser::{Browser, Page};
use crate::probe::Probe;

const MOMENT: Duration = Duration::from_millis(50);

async fn account(owner: Owner) -> String {
    owner.as_str().to_owned()
}

async fn greeting(owner: Option<Owner>) -> String {
    owner.map_or("guest".to_owned(), |owner| owner.as_str().to_owned())
}

async fn sign_in(session: Session, to: ReturnTo) -> Result<ReturnTo> {
    session.sign_in("ann").await?;
    Ok(to)
}

/// A site with an account behind `guard`, and the same in a router that is nested in it.
fn site(store: &Probe, guard: RequireOwner) -> Router {
    let account = || {
        Router::new()
            .route("/account", any(account))
            .route_layer(guard.clone())
    };
    account()
        .nest("/nested", account())
        .route("/self", get(account_of_extractor))
        .route("/greeting", get(greeting))
        .route("/sign-in", get(sign_in))
        .layer(SessionLayer::new(store.clone()))
}

async fn account_of_extractor(owner: Owner) -> String {
    account(owner).await
}

fn redirecting() -> RequireOwner {
    RequireOwner::new().redirect_to("/sign-in").expect("a path")
}

/// Where the page leads, if it does.
fn leads_to(page: &Page) -> &str {
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{page:?}");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    page.header("location").expect("it leads somewhere")
}

#[tokio::test]
async fn a_guest_is_refused_and_a_user_is_let_through() {
    let (store, browser) = (Probe::default(), Browser::new());
    let app = site(&store, RequireOwner::new());
    for path in ["/account", "/nested/account", "/self"] {
        let page = browser.get(&app, path).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!((page.text.as_str(), page.set_cookies().len()), ("", 0));
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
    assert_eq!(browser.get(&app, "/greeting").await.text, "guest");
    browser.get(&app, "/sign-in").await;
    store.taken();
    for path in ["/account", "/nested/account", "/self", "/greeting"] {
        assert_eq!(browser.get(&app, path).await.text, "ann", "{path}");
        assert_eq!(store.taken().0, 1, "one load, guarded or not: {path}");
    }
    store.fail_loads(true);
    for path in ["/account", "/self", "/greeting"] {
        let page = browser.get(&app, path).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
}

#[tokio::test]
async fn a_guest_signs_in_and_goes_on() {
    let (store, browser) = (Probe::default(), Browser::new());
    let app = site(&store, redirecting());
    let page = browser.get(&app, "/nested/account?tab=2&x=%26").await;
    let to = leads_to(&page).to_owned();
    assert_eq!(
        to,
        "/sign-in?return_to=%2Fnested%2Faccount%3Ftab%3D2%26x%3D%2526"
    );
    let page = browser.get(&app, &to).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    let to = page.header("location").expect("on").to_owned();
    assert_eq!(to, "/nested/account?tab=2&x=%26");
    assert_eq!(browser.get(&app, &to).await.text, "ann");
}

#[tokio::test]
async fn a_link_to_the_sign_in_page_leads_to_no_other_site() {
    let (store, browser) = (Probe::default(), Browser::new());
    let app = site(&store, redirecting());
    for hostile in [
        "//evil.example",
        "https://evil.example",
        "/%5Cevil.example",
        "/%09/evil.example",
    ] {
        let page = browser
            .get(&app, &format!("/sign-in?return_to={hostile}"))
            .await;
        assert_eq!(page.header("location"), Some("/"), "{hostile}");
    }
    // No guarded path leads there by way of the sign-in page either.
    let guarded = Router::new().fallback(account).layer(redirecting());
    let guarded = guarded.layer(SessionLayer::new(store));
    let page = Browser::new().get(&guarded, "//evil.example/").await;
    assert_eq!(leads_to(&page), "/sign-in");
}

#[tokio::test]
async fn forms_are_not_returned_to_and_scripts_are_not_sent_away() {
    let (store, browser) = (Probe::default(), Browser::new());
    let app = site(&store, redirecting());
    let page = browser.post(&app, "/account", "a", "b").await;
    assert_eq!(leads_to(&page), "/sign-in");
    let script = Browser::new().with("sec-fetch-mode", "cors");
    let page = script.get(&app, "/account").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    let link = Browser::new().with("sec-fetch-mode", "navigate");
    let page = link.get(&app, "/account").await;
    assert_eq!(leads_to(&page), "/sign-in?return_to=%2Faccount");
    store.fail_loads(true);
    let broken = Browser::holding(&format!("__Host-id={}", "A".repeat(54)));
    let page = broken.get(&app, "/account").await;
    assert_eq!(
        page.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "it may be signed in"
    );
}

#[tokio::test]
async fn a_user_who_signed_in_long_ago_does_so_again() {
    let (store, browser) = (Probe::default(), Browser::new());
    let app = site(&store, redirecting().within(MOMENT));
    browser.get(&app, "/sign-in").await;
    tokio::time::sleep(2 * MOMENT).await;
    let page = browser.get(&app, "/account").await;
    assert_eq!(leads_to(&page), "/sign-in?return_to=%2Faccount");
    assert_eq!(browser.get(&app, "/self").await.text, "ann");
    let long = site(&store, redirecting().within(1_000 * MOMENT));
    assert_eq!(browser.get(&long, "/account").await.text, "ann");
}

#[tokio::test]
async fn the_sign_in_page_does_not_lead_to_itself() {
    let guard = RequireOwner::new().redirect_to("/account?why=guest");
    let app = site(&Probe::default(), guard.expect("a path"));
    let page = Browser::new().get(&app, "/account").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    let page = Browser::new().get(&app, "/nested/account").await;
    let to = "/account?why=guest&return_to=%2Fnested%2Faccount";
    assert_eq!(leads_to(&page), to);
    for wrong in ["sign-in", "https://a.example/", "//a.example", "/a#b", ""] {
        assert!(RequireOwner::new().redirect_to(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn the_sites_page_is_shown_for_a_refusal_and_not_for_a_redirect() {
    let page = |error: &Error, _: &http::request::Parts| {
        let status = session_core::error_response::<()>(error).status();
        axum::response::IntoResponse::into_response((status, "please sign in"))
    };
    let app = |guard| {
        let layer = SessionLayer::builder(Probe::default())
            .on_error(page)
            .build();
        let routes = Router::new()
            .route("/account", get(account))
            .route_layer(guard);
        routes.layer(layer.expect("good"))
    };
    let shown = Browser::new()
        .get(&app(RequireOwner::new()), "/account")
        .await;
    assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
    assert_eq!(shown.text, "please sign in");
    let shown = Browser::new().get(&app(redirecting()), "/account").await;
    assert_eq!(leads_to(&shown), "/sign-in?return_to=%2Faccount");
    assert_eq!(shown.text, "");
}

#[tokio::test]
async fn a_refusal_names_the_scheme_where_there_is_one() {
    let app = |transport| {
        let layer = SessionLayer::builder(Probe::default()).transport(transport);
        let routes = Router::new()
            .route("/self", get(account))
            .route("/own", get(|| async { StatusCode::UNAUTHORIZED }))
            .route("/account", get(account).route_layer(RequireOwner::new()));
        routes.layer(layer.build().expect("good"))
    };
    for (transport, scheme) in [
        (Transport::Bearer, Some("Bearer")),
        (Transport::Cookie, None),
    ] {
        let app = app(transport);
        for (path, scheme) in [("/self", scheme), ("/account", scheme), ("/own", None)] {
            let page = Browser::new().get(&app, path).await;
            assert_eq!(page.status, StatusCode::UNAUTHORIZED);
            assert_eq!(page.header("www-authenticate"), scheme, "{path}");
        }
    }
}

#[tokio::test]
async fn a_guard_without_the_session_layer_says_what_is_missing() {
    let app = Router::new()
        .route("/account", get(account))
        .route_layer(redirecting());
    let shown = Browser::new().get(&app, "/account").await;
    assert_eq!(shown.status, StatusCode::INTERNAL_SERVER_ERROR);
}
