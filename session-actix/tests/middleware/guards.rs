//! What only signed-in users may do, and where others are sent.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use actix_web::{App, web};
use http::Response;
use session_actix::{
    Error, GuardMiddleware, Owner, RequireOwner, Result, ReturnTo, Session, SessionLayer,
    SessionMiddleware, Transport,
};
use session_web::RespondToError;

use crate::browser::{Browser, Page, Site, served};
use crate::probe::Probe;

const MOMENT: Duration = Duration::from_millis(50);

async fn account(owner: Owner) -> String {
    owner.as_str().to_owned()
}

async fn sign_in(session: Session, to: ReturnTo) -> Result<ReturnTo> {
    session.sign_in("ann").await?;
    Ok(to)
}

/// A site with an account behind `guard`, and the same in a scope of its own.
async fn guarded<E: RespondToError<String>>(layer: SessionLayer<E>, guard: RequireOwner) -> Site {
    let guard = GuardMiddleware::new(guard);
    let resource = web::resource("/account").route(web::route().to(account));
    let scope = web::scope("/nested").route("/account", web::get().to(account));
    served!(
        App::new()
            .service(resource.wrap(guard.clone()))
            .service(scope.wrap(guard))
            .route("/self", web::get().to(account))
            .route("/sign-in", web::get().to(sign_in))
            .wrap(SessionMiddleware::new(layer))
    )
}

async fn site(store: &Probe, guard: RequireOwner) -> Site {
    guarded(SessionLayer::new(store.clone()), guard).await
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

#[actix_web::test]
async fn a_guest_is_refused_and_a_user_is_let_through() {
    let (store, browser) = (Probe::default(), Browser::new());
    let site = site(&store, RequireOwner::new()).await;
    for path in ["/account", "/nested/account", "/self"] {
        let page = browser.get(&site, path).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!((page.text.as_str(), page.set_cookies().len()), ("", 0));
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
    browser.get(&site, "/sign-in").await;
    store.taken();
    for path in ["/account", "/nested/account", "/self"] {
        assert_eq!(browser.get(&site, path).await.text, "ann", "{path}");
        assert_eq!(store.taken().0, 1, "one load, guarded or not: {path}");
    }
    store.fail_loads(true);
    for path in ["/account", "/self"] {
        let page = browser.get(&site, path).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
}

#[actix_web::test]
async fn a_guest_signs_in_and_goes_on() {
    let (store, browser) = (Probe::default(), Browser::new());
    let site = site(&store, redirecting()).await;
    let page = browser.get(&site, "/nested/account?tab=2&x=%26").await;
    let to = leads_to(&page).to_owned();
    assert_eq!(
        to,
        "/sign-in?return_to=%2Fnested%2Faccount%3Ftab%3D2%26x%3D%2526"
    );
    let page = browser.get(&site, &to).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    let to = page.header("location").expect("on").to_owned();
    assert_eq!(to, "/nested/account?tab=2&x=%26");
    assert_eq!(browser.get(&site, &to).await.text, "ann");
}

#[actix_web::test]
async fn a_link_to_the_sign_in_page_leads_to_no_other_site() {
    let site = site(&Probe::default(), redirecting()).await;
    for hostile in [
        "//evil.example",
        "https://evil.example",
        "/%5Cevil.example",
        "/%09/evil.example",
    ] {
        let path = format!("/sign-in?return_to={hostile}");
        let page = Browser::new().get(&site, &path).await;
        assert_eq!(page.header("location"), Some("/"), "{hostile}");
    }
}

#[actix_web::test]
async fn forms_are_not_returned_to_and_scripts_are_not_sent_away() {
    let (store, browser) = (Probe::default(), Browser::new());
    let site = site(&store, redirecting()).await;
    let form = TestRequest::post().uri("/account").set_payload("a=b");
    assert_eq!(leads_to(&browser.send(&site, form).await), "/sign-in");
    let asked = |mode: &str| {
        let request = TestRequest::get().uri("/account");
        request.insert_header(("sec-fetch-mode", mode))
    };
    let page = browser.send(&site, asked("cors")).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    let page = browser.send(&site, asked("navigate")).await;
    assert_eq!(leads_to(&page), "/sign-in?return_to=%2Faccount");
    store.fail_loads(true);
    let broken = Browser::with_cookie("__Host-id", &"A".repeat(54));
    let page = broken.get(&site, "/account").await;
    assert_eq!(
        page.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "it may be signed in"
    );
}

#[actix_web::test]
async fn a_user_who_signed_in_long_ago_does_so_again() {
    let (store, browser) = (Probe::default(), Browser::new());
    let soon = site(&store, redirecting().within(MOMENT)).await;
    browser.get(&soon, "/sign-in").await;
    actix_web::rt::time::sleep(2 * MOMENT).await;
    let page = browser.get(&soon, "/account").await;
    assert_eq!(leads_to(&page), "/sign-in?return_to=%2Faccount");
    assert_eq!(browser.get(&soon, "/self").await.text, "ann");
    let long = site(&store, redirecting().within(1_000 * MOMENT)).await;
    assert_eq!(browser.get(&long, "/account").await.text, "ann");
}

#[actix_web::test]
async fn the_sites_page_is_shown_for_a_refusal_and_not_for_a_redirect() {
    let guarded = async |guard| {
        let layer = SessionLayer::builder(Probe::default())
            .on_error(|error: &Error, _| {
                let mut page = Response::new("please sign in".to_owned());
                *page.status_mut() =
                    session_actix::session_core::error_response::<()>(error).status();
                page
            })
            .build();
        guarded(layer.expect("good"), guard).await
    };
    let refusing = guarded(RequireOwner::new()).await;
    let page = Browser::new().get(&refusing, "/account").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert_eq!(page.text, "please sign in");
    let sending = guarded(redirecting()).await;
    let page = Browser::new().get(&sending, "/account").await;
    assert_eq!(leads_to(&page), "/sign-in?return_to=%2Faccount");
    assert_eq!(page.text, "");
}

#[actix_web::test]
async fn a_refusal_names_the_scheme_where_there_is_one() {
    for (transport, scheme) in [
        (Transport::Bearer, Some("Bearer")),
        (Transport::Cookie, None),
    ] {
        let layer = SessionLayer::builder(Probe::default()).transport(transport);
        let site = guarded(layer.build().expect("good"), RequireOwner::new()).await;
        let page = Browser::new().get(&site, "/account").await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED);
        assert_eq!(page.header("www-authenticate"), scheme);
    }
}

#[actix_web::test]
async fn a_guard_without_the_session_middleware_says_what_is_missing() {
    let account = web::resource("/account").route(web::get().to(account));
    let site = served!(App::new().service(account.wrap(GuardMiddleware::new(redirecting()))));
    let log = crate::log::Log::start();
    let page = Browser::new().get(&site, "/account").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    let told = log.take();
    let [line] = &told[..] else {
        panic!("one line: {told:?}");
    };
    assert!(
        line.contains("`.wrap(SessionMiddleware::new(layer))`"),
        "{line}"
    );
}
