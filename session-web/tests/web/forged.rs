//! Requests that other sites forge, and forms with their token.

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;
use session_web::{CrossOriginProtection, CsrfForm, Result, Session, SessionLayer};

use crate::browser::Browser;
use crate::probe::Probe;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Payment {
    amount: u32,
}

async fn pay(CsrfForm(payment): CsrfForm<Payment>) -> String {
    payment.amount.to_string()
}

async fn count(session: Session) -> Result<String> {
    let n = session.get("n")?.unwrap_or(0_u32) + 1;
    session.insert("n", n)?;
    Ok(n.to_string())
}

/// The token in the hidden field of a form.
async fn form(session: Session) -> Result<String> {
    session.csrf_input()
}

fn token_in(input: &str) -> String {
    let (head, value) = input.split_once("value=\"").expect("a value");
    assert_eq!(head, "<input type=\"hidden\" name=\"_csrf\" ");
    value.trim_end_matches("\">").to_owned()
}

fn routes() -> Router {
    Router::new()
        .route("/pay", post(pay))
        .route("/count", get(count).post(count))
        .route("/form", get(form))
}

fn app(store: &Probe, rules: CrossOriginProtection) -> Router {
    routes()
        .layer(rules)
        .layer(SessionLayer::new(store.clone()))
}

#[tokio::test]
async fn what_another_site_sends_reaches_no_handler() {
    let store = Probe::default();
    let app = app(&store, CrossOriginProtection::new());
    let browser = Browser::new().with("sec-fetch-site", "same-origin");
    assert_eq!(browser.get(&app, "/count").await.text, "1");
    assert_eq!(browser.post(&app, "/count", "a", "b").await.text, "2");
    store.taken();
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let mut forged = browser.copied();
        forged.headers = vec![(name, value.to_owned())];
        let page = forged.post(&app, "/count", "a", "b").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert_eq!((page.text.as_str(), page.set_cookies().len()), ("", 0));
        assert_eq!(store.taken(), (0, 0, 0), "it costs nothing");
        assert_eq!(forged.get(&app, "/form").await.status, StatusCode::OK);
        store.taken();
    }
    assert_eq!(browser.get(&app, "/count").await.text, "3");
    let mut own = browser.copied();
    own.headers = vec![("origin", "https://example.org".to_owned())];
    assert_eq!(own.post(&app, "/count", "a", "b").await.text, "4");
}

#[tokio::test]
async fn a_request_with_neither_header_needs_a_token_if_it_has_a_session() {
    let store = Probe::default();
    let app = app(&store, CrossOriginProtection::new());
    let old = Browser::new();
    assert_eq!(
        old.post(&app, "/count", "a", "b").await.text,
        "1",
        "no session"
    );
    let token = token_in(&old.get(&app, "/form").await.text);
    let page = old.post(&app, "/count", "a", "b").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let stranger = Browser::new();
    let strangers = token_in(&stranger.get(&app, "/form").await.text);
    for (token, status) in [
        (strangers.as_str(), StatusCode::FORBIDDEN),
        ("", StatusCode::FORBIDDEN),
        (&token, StatusCode::OK),
    ] {
        let script = old.copied().with("x-csrf-token", token);
        let page = script.post(&app, "/count", "a", "b").await;
        assert_eq!(page.status, status);
    }
    let made_up = Browser::holding(&format!("__Host-id={}", "A".repeat(54)));
    assert_eq!(made_up.post(&app, "/count", "a", "b").await.text, "1");
}

#[tokio::test]
async fn a_site_with_tokens_in_all_forms_may_take_such_requests() {
    let store = Probe::default();
    let app = app(&store, CrossOriginProtection::new().allow_missing_headers());
    let old = Browser::new();
    let token = token_in(&old.get(&app, "/form").await.text);
    let page = old.post(&app, "/pay", "amount=5&_csrf", &token).await;
    assert_eq!(page.text, "5");
    let page = old.post(&app, "/pay", "amount", "5").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_needs_a_token_of_its_session_and_reads_as_if_it_had_none() {
    let store = Probe::default();
    let app = routes().layer(SessionLayer::new(store));
    let (browser, stranger) = (Browser::new(), Browser::new());
    let token = token_in(&browser.get(&app, "/form").await.text);
    let strangers = token_in(&stranger.get(&app, "/form").await.text);
    for (name, value, status) in [
        ("amount", "5", StatusCode::FORBIDDEN),
        ("amount=5&_csrf", "", StatusCode::FORBIDDEN),
        ("amount=5&_csrf", &strangers, StatusCode::FORBIDDEN),
        ("amount=5&_csrf", &token, StatusCode::OK),
        // The first counts.
        (
            &format!("_csrf={strangers}&amount=5&_csrf"),
            &token,
            StatusCode::FORBIDDEN,
        ),
        (&format!("_csrf={token}&amount"), "5", StatusCode::OK),
        (
            &format!("_csrf={token}&amount"),
            "five",
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            &format!("_csrf={token}&other"),
            "5",
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let page = browser.post(&app, "/pay", name, value).await;
        assert_eq!(page.status, status, "{name} {value}: {}", page.text);
    }
    let url = format!("/pay?_csrf={token}");
    let page = browser.post(&app, &url, "amount", "5").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "URLs are logged");
    let script = browser.copied().with("x-csrf-token", &token);
    assert_eq!(script.post(&app, "/pay", "amount", "5").await.text, "5");
    let guest = Browser::new();
    let page = guest.post(&app, "/pay", "amount=5&_csrf", &token).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "it has no session");
}

#[tokio::test]
async fn the_guard_asks_for_its_layer_only_if_it_needs_a_session() {
    let app = Router::new()
        .route("/", post(|| async { "done" }))
        .layer(CrossOriginProtection::new());
    let page = Browser::new().post(&app, "/", "a", "b").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    let own = Browser::new().with("origin", "https://example.org");
    assert_eq!(own.post(&app, "/", "a", "b").await.text, "done");
}
