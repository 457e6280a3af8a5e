//! Requests that other sites forge, and forms with their token.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Multipart};
use axum::routing::{get, post};
use futures_util::stream;
use http::{HeaderName, StatusCode};
use http_body_util::Limited;
use session_web::{
    CrossOriginProtection, CsrfForm, CsrfMultipart, Result, Session, SessionLayer,
    SessionLayerBuilder, Transport,
};

use crate::browser::Browser;
use crate::multipart;
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

/// The names and lengths of a form's fields.
async fn upload(CsrfMultipart(mut form): CsrfMultipart<Multipart>) -> String {
    let mut fields = Vec::new();
    loop {
        let field = match form.next_field().await {
            Ok(Some(field)) => field,
            Ok(None) => return fields.join(" "),
            Err(error) => return error.status().to_string(),
        };
        let name = field.name().unwrap_or_default().to_owned();
        match field.bytes().await {
            Ok(bytes) => fields.push(format!("{name}:{}", bytes.len())),
            Err(error) => return error.status().to_string(),
        }
    }
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
        .route("/upload", post(upload))
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

fn inner(store: &Probe) -> SessionLayerBuilder {
    SessionLayer::builder(store.clone()).name("inner")
}

/// A handler may act for the outer session, whose cookie a forged request carries.
#[tokio::test]
async fn a_request_with_an_outer_session_alone_needs_its_token_too() {
    let stores = [Probe::default(), Probe::default()];
    let protected = |inner: SessionLayer| {
        routes()
            .layer(CrossOriginProtection::new())
            .layer(inner)
            .layer(SessionLayer::new(stores[0].clone()))
    };
    let nested = protected(inner(&stores[1]).build().expect("good"));
    let site = routes().layer(SessionLayer::new(stores[0].clone()));
    let old = Browser::new();
    assert_eq!(old.post(&nested, "/count", "a", "b").await.text, "1");
    let old = Browser::new();
    let outer_token = token_in(&old.get(&site, "/form").await.text);
    let page = old.post(&nested, "/count", "a", "b").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "the site's session");
    let script = old.copied().with("x-csrf-token", &outer_token);
    assert_eq!(script.post(&nested, "/count", "a", "b").await.text, "1");
    // Now there is an inner session too, whose token counts.
    let inner_token = token_in(&script.get(&nested, "/form").await.text);
    for (token, status) in [
        (&outer_token, StatusCode::FORBIDDEN),
        (&inner_token, StatusCode::OK),
    ] {
        let mut script = script.copied();
        script.headers = vec![("x-csrf-token", token.clone())];
        let page = script.post(&nested, "/count", "a", "b").await;
        assert_eq!(page.status, status);
    }
    // A cookie of another path is not sent here.
    let elsewhere = inner(&stores[1]).path("/else").build().expect("good");
    let app = Router::new()
        .route("/count", post(|| async { "done" }))
        .layer(CrossOriginProtection::new())
        .layer(elsewhere)
        .layer(SessionLayer::new(stores[0].clone()));
    assert_eq!(
        Browser::new().post(&app, "/count", "a", "b").await.text,
        "done"
    );
    let page = old.post(&app, "/count", "a", "b").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
}

/// No browser adds such a header by itself.
#[tokio::test]
async fn a_token_in_a_header_is_no_browsers_doing() {
    for (transport, header, before) in [
        (Transport::Bearer, "authorization", "Bearer "),
        (
            Transport::Header(HeaderName::from_static("x-session")),
            "x-session",
            "",
        ),
    ] {
        let layer = SessionLayer::builder(Probe::default()).transport(transport);
        let app = routes()
            .layer(CrossOriginProtection::new())
            .layer(layer.build().expect("good"));
        let page = Browser::new().post(&app, "/count", "a", "b").await;
        let token = page.header("x-session").expect("a new session");
        let client = Browser::new().with(header, &format!("{before}{token}"));
        assert_eq!(client.post(&app, "/count", "a", "b").await.text, "2");
        let page = client.with("origin", "https://evil.example");
        let page = page.post(&app, "/count", "a", "b").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "rule 4 holds");
    }
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

/// What is written for the second reading is never longer than what was sent.
#[tokio::test]
async fn a_form_may_be_as_long_as_any_body() {
    #[derive(serde::Deserialize)]
    struct Text {
        text: String,
    }
    async fn length(CsrfForm(form): CsrfForm<Text>) -> String {
        form.text.chars().count().to_string()
    }
    let app = routes()
        .route("/length", post(length))
        .layer(DefaultBodyLimit::max(1_000))
        .layer(SessionLayer::new(Probe::default()));
    let browser = Browser::new();
    let token = token_in(&browser.get(&app, "/form").await.text);
    let length = async |text: &str| {
        let name = format!("_csrf={token}&text");
        let page = browser.post(&app, "/length", &name, text).await;
        (page.status, page.text)
    };
    let (status, text) = length(&"é".repeat(400)).await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "400"));
    let (status, _) = length(&"é".repeat(500)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (_, text) = length("a+b%26_csrf%3Dc&&other=d").await;
    assert_eq!(text, "11", "fields stay as they were written");
}

#[tokio::test]
async fn a_wrong_token_in_the_header_is_refused_before_the_body_is_read() {
    let app = routes()
        .layer(DefaultBodyLimit::max(10))
        .layer(SessionLayer::new(Probe::default()));
    let browser = Browser::new();
    let token = token_in(&browser.get(&app, "/form").await.text);
    let long = "5".repeat(100);
    for (header, status) in [
        (&*token, StatusCode::PAYLOAD_TOO_LARGE),
        ("wrong", StatusCode::FORBIDDEN),
        ("", StatusCode::FORBIDDEN),
    ] {
        let script = browser.copied().with("x-csrf-token", header);
        let page = script.post(&app, "/pay", "amount", &long).await;
        assert_eq!(page.status, status, "{header}");
    }
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

#[tokio::test]
async fn a_multipart_form_needs_the_token_first_and_reads_as_if_it_had_none() {
    let app = routes()
        .layer(DefaultBodyLimit::max(10_000))
        .layer(SessionLayer::new(Probe::default()));
    let (browser, stranger) = (Browser::new(), Browser::new());
    let token = token_in(&browser.get(&app, "/form").await.text);
    let strangers = token_in(&stranger.get(&app, "/form").await.text);
    for (fields, answer) in [
        (vec![("_csrf", &*token)], Ok("photo:5000")),
        (
            vec![("_csrf", &token), ("amount", "5")],
            Ok("amount:1 photo:5000"),
        ),
        (
            vec![("amount", "5"), ("_csrf", &token)],
            Err(StatusCode::FORBIDDEN),
        ),
        (vec![("_csrf", &strangers)], Err(StatusCode::FORBIDDEN)),
        (vec![], Err(StatusCode::FORBIDDEN)),
    ] {
        let page = browser.upload(&app, multipart::form(&fields, 5_000)).await;
        let given = match page.status {
            StatusCode::OK => Ok(page.text.as_str()),
            status => Err(status),
        };
        assert_eq!(given, answer, "{fields:?}");
    }
    let script = browser.copied().with("x-csrf-token", &token);
    let page = script.upload(&app, multipart::form(&[], 5_000)).await;
    assert_eq!(page.text, "photo:5000");
    let long = multipart::form(&[("_csrf", &token)], 20_000);
    let page = browser.upload(&app, long).await;
    assert!(
        page.text.starts_with("413"),
        "axum's limit holds: {}",
        page.text
    );
    let guest = Browser::new();
    let page = guest
        .upload(&app, multipart::form(&[("_csrf", &token)], 1))
        .await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "it has no session");
}

/// A body that arrives in these pieces. It panics if it is polled after its end.
fn arriving<const N: usize>(pieces: [std::io::Result<String>; N]) -> Body {
    let pieces = pieces.into_iter();
    Body::from_stream(stream::unfold(pieces, |mut pieces| async move {
        pieces.next().map(|piece| (piece, pieces))
    }))
}

#[tokio::test]
async fn a_body_that_fails_in_its_first_field_is_not_taken_for_a_whole_one() {
    async fn length(CsrfMultipart(body): CsrfMultipart<Bytes>) -> String {
        body.len().to_string()
    }
    let app = Router::new()
        .route("/upload", post(length))
        .merge(Router::new().route("/form", get(form)))
        .layer(SessionLayer::new(Probe::default()));
    let browser = Browser::new();
    let token = token_in(&browser.get(&app, "/form").await.text);
    let script = browser.copied().with("x-csrf-token", &token);
    let form = multipart::form(&[("_csrf", &token)], 5);
    let part = || Ok(form[..form.find(&token).expect("it has it")].to_owned());
    let broken = || arriving([part(), Err(std::io::ErrorKind::ConnectionReset.into())]);

    let page = script.upload(&app, broken()).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.text);
    let page = browser.upload(&app, broken()).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let limited = Body::new(Limited::new(Body::from(form.clone()), 50));
    let page = script.upload(&app, limited).await;
    assert_eq!(page.status, StatusCode::PAYLOAD_TOO_LARGE);
    let page = script.upload(&app, arriving([part()])).await;
    let length = part().map(|part| part.len().to_string());
    assert_eq!(Some(page.text), length.ok(), "it has ended");
}

#[tokio::test]
async fn a_multipart_form_is_told_which_extractor_takes_it() {
    let app = Router::new()
        .route("/upload", post(pay))
        .merge(Router::new().route("/form", get(form)))
        .layer(SessionLayer::new(Probe::default()));
    let browser = Browser::new();
    let token = token_in(&browser.get(&app, "/form").await.text);
    for browser in [browser.copied(), browser.with("x-csrf-token", &token)] {
        let body = multipart::form(&[("_csrf", &token), ("amount", "5")], 1);
        let page = browser.upload(&app, body).await;
        assert_eq!(page.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(page.text.contains("take CsrfMultipart"), "{}", page.text);
    }
}
