//! The site without a socket and a browser.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::extract::connect_info::MockConnectInfo;
use http::{Method, Request, StatusCode};
use session_web::testing::TestClient;

use crate::options::Options;
use crate::users::USERS;
use crate::{routes, site};

type Browser = TestClient<Router>;

/// The site with these options, in memory if they name no store.
async fn app(options: &[&str]) -> Router {
    let options = [&["--store", "memory:"], options].concat();
    let words = options.iter().map(|word| (*word).to_owned());
    let options = Options::parse(words)
        .expect("good options")
        .expect("no help");
    let (site, layer) = site::open(&options).await.expect("a site");
    let app = routes::app(site, layer).expect("good routes");
    app.layer(MockConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))))
}

/// A browser at plain http, as the tutorial is served.
fn browser(app: &Router) -> Browser {
    TestClient::new(app.clone()).at("http://localhost/")
}

/// Sends a form as a page of the site does.
async fn send(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> http::Response<String> {
    let session = browser.session().await.expect("a session");
    let token = session.csrf_token().expect("a token");
    let fields = [fields, &[("_csrf", token.as_str())]].concat();
    browser.post(path, &fields).await
}

async fn shows(browser: &Browser, path: &str, text: &str) -> bool {
    browser.get(path).await.body().contains(text)
}

async fn sign_in(
    browser: &Browser,
    path: &str,
    name: &str,
    password: &str,
) -> http::Response<String> {
    send(browser, path, &[("name", name), ("password", password)]).await
}

fn location(response: &http::Response<String>) -> &str {
    response.headers()["location"].to_str().expect("text")
}

#[tokio::test]
async fn a_guest_is_sent_to_the_sign_in_page_and_back() {
    let browser = browser(&app(&[]).await);
    let guarded = browser.get("/devices").await;
    assert_eq!(guarded.status(), StatusCode::SEE_OTHER);
    let page = location(&guarded).to_owned();
    assert!(shows(&browser, &page, "<code>/devices</code>").await);
    let wrong = sign_in(&browser, &page, "ada", "built of cardboard").await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.body().contains("id=\"password-error\""));
    let right = sign_in(&browser, &page, "ada", USERS[0].1).await;
    assert_eq!(location(&right), "/devices");
    assert!(shows(&browser, "/devices", "signed in as <b>ada</b>").await);
}

#[tokio::test]
async fn a_blank_name_is_told_beside_its_field() {
    let browser = browser(&app(&[]).await);
    let page = sign_in(&browser, "/sign-in", "  ", "x").await;
    assert_eq!(page.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.body().contains("aria-describedby=\"name-error\""));
    assert!(page.body().contains("Please enter your name."));
}

#[tokio::test]
async fn no_page_shows_the_token_or_the_secret_of_forms() {
    let browser = browser(&app(&[]).await);
    sign_in(&browser, "/sign-in", "bob", USERS[1].1).await;
    browser.get("/").await;
    let session = browser.session().await.expect("a session");
    let token = session.token().expect("it is stored");
    let secret = session
        .get::<Vec<String>>("_csrf")
        .expect("a list")
        .expect("made");
    for path in [
        "/",
        "/account",
        "/account/password",
        "/devices",
        "/session",
        "/race",
        "/express",
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        assert!(page.body().contains("id=\"hash\""), "{path}");
        assert!(!page.body().contains(token.expose()), "{path}");
        assert!(!page.body().contains(&secret[0]), "{path}");
        let code = page.body().split("<pre><code>").skip(1);
        assert!(code.clone().count() > 0, "{path} shows its code");
        for part in code {
            assert!(!part.starts_with("(not found)"), "{path}");
            assert!(part.contains("fn "), "{path}");
        }
    }
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions() {
    let app = app(&[]).await;
    let (here, there) = (browser(&app), browser(&app));
    for browser in [&here, &there] {
        sign_in(browser, "/sign-in", "ada", USERS[0].1).await;
        assert_eq!(browser.get("/account").await.status(), StatusCode::OK);
    }
    let new = "a brand new password";
    let short = send(
        &here,
        "/account/password",
        &[("current", USERS[0].1), ("new", "short")],
    )
    .await;
    assert!(short.body().contains("id=\"new-error\""));
    let done = send(
        &here,
        "/account/password",
        &[("current", USERS[0].1), ("new", new)],
    )
    .await;
    assert_eq!(location(&done), "/account");
    assert!(
        here.get("/account")
            .await
            .body()
            .contains("1 other session has ended")
    );
    assert_eq!(there.get("/account").await.status(), StatusCode::SEE_OTHER);
    let old = sign_in(&there, "/sign-in", "ada", USERS[0].1).await;
    assert_eq!(old.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let right = sign_in(&there, "/sign-in", "ada", new).await;
    assert_eq!(right.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn no_user_ends_the_session_of_another() {
    let app = app(&[]).await;
    let (ada, bob) = (browser(&app), browser(&app));
    sign_in(&ada, "/sign-in", "ada", USERS[0].1).await;
    sign_in(&bob, "/sign-in", "bob", USERS[1].1).await;
    let id = ada
        .session()
        .await
        .expect("a session")
        .id()
        .expect("stored");
    send(&bob, "/devices/revoke", &[("id", id.as_str())]).await;
    assert_eq!(ada.get("/account").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn errors_have_the_sites_own_pages() {
    let browser = browser(&app(&[]).await);
    let page = browser.get("/nowhere").await;
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
    assert!(page.body().contains("<h1>Page not found</h1>"));
    let page = browser.post("/express", &[]).await;
    assert_eq!(page.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(page.body().contains("<h1>Wrong method</h1>"));
    let page = browser.post("/sign-out", &[("_csrf", "made up")]).await;
    assert_eq!(page.status(), StatusCode::FORBIDDEN);
    assert!(page.body().contains("<h1>No cookie came back</h1>"));
    browser.get("/").await;
    let page = browser.post("/sign-out", &[("_csrf", "made up")]).await;
    assert_eq!(page.status(), StatusCode::FORBIDDEN);
    assert!(page.body().contains("<h1>This form is out of date</h1>"));
}

#[tokio::test]
async fn a_script_gets_401_and_another_sites_form_403() {
    let browser = browser(&app(&[]).await);
    let request = Request::get("/account").header("sec-fetch-mode", "cors");
    let response = browser
        .send(request.body(String::new()).expect("good"))
        .await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(response.body().contains("<h1>Please sign in</h1>"));
    // It has the right token, which another site's page can't have; its origin is enough to tell.
    let session = browser.session().await.expect("a session");
    let form = format!("add=Fez&_csrf={}", session.csrf_token().expect("a token"));
    for (site, status) in [("cross-site", 403), ("same-origin", 303)] {
        let request = Request::builder().method(Method::POST).uri("/cart");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("sec-fetch-site", site);
        let response = browser
            .send(request.body(form.clone()).expect("good"))
            .await;
        assert_eq!(response.status(), status, "{site}");
    }
}

#[tokio::test]
async fn cookie_only_says_what_it_can_not_do() {
    let browser = browser(&app(&["--cookie-only"]).await);
    sign_in(&browser, "/sign-in", "ada", USERS[0].1).await;
    for (path, told) in [
        ("/devices", "There is nothing to list"),
        ("/account/password", "your other sessions do not end"),
        ("/race", "This is what --cookie-only can&#39;t do."),
        ("/", "there is none. So the site can't list sessions"),
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        let told = told.replace("&#39;", "'");
        assert!(page.body().contains(&told), "{path}");
    }
    let new = [("current", USERS[0].1), ("new", "a brand new password")];
    let done = send(&browser, "/account/password", &new).await;
    assert_eq!(location(&done), "/account");
    assert!(shows(&browser, "/account", "live on in their cookies").await);
}

#[tokio::test]
async fn the_first_page_begins_a_session_and_expire_now_ends_it() {
    let browser = browser(&app(&[]).await);
    assert!(shows(&browser, "/", "<b id=\"visits\">1</b>").await);
    assert!(shows(&browser, "/", "<b id=\"visits\">2</b>").await);
    let response = send(&browser, "/session/expire", &[]).await;
    assert_eq!(location(&response), "/session");
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert!(shows(&browser, "/", "<b id=\"visits\">1</b>").await);
}

#[tokio::test]
async fn a_sign_in_in_a_file_survives_a_restart() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let url = format!("sqlite:{}/sessions.db", folder.path().display());
    let before = browser(&app(&["--store", &url]).await);
    sign_in(&before, "/sign-in", "ada", USERS[0].1).await;
    let cookies = before.cookies().await.expect("nothing to save");
    drop(before);

    let after = browser(&app(&["--store", &url]).await);
    let request = Request::get("/devices").header("cookie", cookies);
    let page = after
        .send(request.body(String::new()).expect("a request"))
        .await;
    assert!(page.body().contains("signed in as <b>ada</b>"));
}

#[test]
fn help_is_no_error_and_unknown_options_are() {
    let parse = |words: &[&str]| Options::parse(words.iter().map(|word| (*word).to_owned()));
    assert!(parse(&["--help"]).expect("good").is_none());
    let options = parse(&["--addr", "127.0.0.1:0"])
        .expect("good")
        .expect("no help");
    assert_eq!(options.address.port(), 0);
    assert_eq!(options.store, None);
    assert!(parse(&["--addr", "nowhere"]).is_err());
    assert!(parse(&["--port", "3000"]).is_err());
    assert!(parse(&["--store"]).is_err());
}
