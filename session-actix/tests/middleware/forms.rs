//! Forms with their token.

use actix_multipart::Multipart;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use actix_web::web::Bytes;
use actix_web::{App, web};
use futures_util::{StreamExt, TryStreamExt, stream};
use session_actix::{CsrfForm, CsrfMultipart, Result, Session, SessionLayer, SessionMiddleware};

use crate::browser::{Browser, Page, Site, served};
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

/// The names and lengths of a form's fields.
async fn upload(CsrfMultipart(mut form): CsrfMultipart<Multipart>) -> actix_web::Result<String> {
    let mut fields = Vec::new();
    while let Some(mut field) = form.try_next().await? {
        let name = field.name().unwrap_or_default().to_owned();
        let mut length = 0;
        while let Some(bytes) = field.try_next().await? {
            length += bytes.len();
        }
        fields.push(format!("{name}:{length}"));
    }
    Ok(fields.join(" "))
}

async fn token(session: Session) -> Result<String> {
    session.csrf_token()
}

async fn site() -> Site {
    served!(
        App::new()
            .app_data(web::PayloadConfig::new(1_000))
            .route("/pay", web::post().to(pay))
            .route("/upload", web::post().to(upload))
            .route("/token", web::get().to(token))
            .wrap(SessionMiddleware::new(SessionLayer::new(Probe::default())))
    )
}

fn form(path: &str, fields: &str) -> TestRequest {
    TestRequest::post()
        .uri(path)
        .insert_header(("content-type", "application/x-www-form-urlencoded"))
        .set_payload(fields.to_owned())
}

async fn send_form(browser: &Browser, site: &Site, fields: &str) -> Page {
    browser.send(site, form("/pay", fields)).await
}

#[actix_web::test]
async fn a_form_needs_a_token_of_its_session_and_reads_as_if_it_had_none() {
    let site = site().await;
    let (browser, stranger) = (Browser::new(), Browser::new());
    let token = browser.get(&site, "/token").await.text;
    let strangers = stranger.get(&site, "/token").await.text;
    for (fields, status) in [
        ("amount=5".to_owned(), StatusCode::FORBIDDEN),
        ("amount=5&_csrf=".to_owned(), StatusCode::FORBIDDEN),
        (format!("amount=5&_csrf={strangers}"), StatusCode::FORBIDDEN),
        (format!("amount=5&_csrf={token}"), StatusCode::OK),
        // The first counts.
        (
            format!("_csrf={strangers}&amount=5&_csrf={token}"),
            StatusCode::FORBIDDEN,
        ),
        (format!("_csrf={token}&amount=5"), StatusCode::OK),
        (
            format!("_csrf={token}&amount=five"),
            StatusCode::BAD_REQUEST,
        ),
        (format!("_csrf={token}&other=5"), StatusCode::BAD_REQUEST),
    ] {
        let page = send_form(&browser, &site, &fields).await;
        assert_eq!(page.status, status, "{fields}: {}", page.text);
    }
    let url = form(&format!("/pay?_csrf={token}"), "amount=5");
    let page = browser.send(&site, url).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "URLs are logged");
    let script = form("/pay", "amount=5").insert_header(("x-csrf-token", token.as_str()));
    assert_eq!(browser.send(&site, script).await.text, "5");
    let page = send_form(&Browser::new(), &site, &format!("amount=5&_csrf={token}")).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "it has no session");
}

#[actix_web::test]
async fn a_wrong_token_in_the_header_is_refused_before_the_body_is_read() {
    let site = site().await;
    let browser = Browser::new();
    let token = browser.get(&site, "/token").await.text;
    let long = format!("amount={}", "5".repeat(2_000));
    for (header, status) in [
        (token.as_str(), StatusCode::PAYLOAD_TOO_LARGE),
        ("wrong", StatusCode::FORBIDDEN),
        ("", StatusCode::FORBIDDEN),
    ] {
        let script = form("/pay", &long).insert_header(("x-csrf-token", header));
        let page = browser.send(&site, script).await;
        assert_eq!(page.status, status, "{header}");
    }
}

fn upload_to(path: &str, fields: &[(&str, &str)]) -> TestRequest {
    TestRequest::post()
        .uri(path)
        .insert_header(("content-type", multipart::content_type()))
        .set_payload(multipart::form(fields, 5_000))
}

#[actix_web::test]
async fn a_multipart_form_needs_the_token_first_and_reads_as_if_it_had_none() {
    let site = site().await;
    let (browser, stranger) = (Browser::new(), Browser::new());
    let token = browser.get(&site, "/token").await.text;
    let strangers = stranger.get(&site, "/token").await.text;
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
        let page = browser.send(&site, upload_to("/upload", &fields)).await;
        let given = match page.status {
            StatusCode::OK => Ok(page.text.as_str()),
            status => Err(status),
        };
        assert_eq!(given, answer, "{fields:?}");
    }
    let script = upload_to("/upload", &[]).insert_header(("x-csrf-token", token.as_str()));
    assert_eq!(browser.send(&site, script).await.text, "photo:5000");
}

/// The first byte of a form arrives, and then perhaps an error, by the header `x-then`. The body
/// panics if it is polled after its end.
fn arrives_in_part(request: &mut ServiceRequest) {
    let then = request
        .headers()
        .get("x-then")
        .map(|value| value.as_bytes());
    let error = match then {
        Some(b"incomplete") => Some(PayloadError::Incomplete(None)),
        Some(b"overflow") => Some(PayloadError::Overflow),
        _ => None,
    };
    let pieces = [Ok(Bytes::from_static(b"-"))].into_iter();
    let pieces = pieces.chain(error.map(Err));
    let body = stream::unfold(pieces, |mut pieces| async move {
        pieces.next().map(|piece| (piece, pieces))
    });
    request.set_payload(Payload::from(body.boxed_local()));
}

#[actix_web::test]
async fn a_body_that_fails_in_its_first_field_is_not_taken_for_a_whole_one() {
    async fn length(CsrfMultipart(body): CsrfMultipart<Bytes>) -> String {
        body.len().to_string()
    }
    let site = served!(
        App::new()
            .route("/length", web::post().to(length))
            .route("/token", web::get().to(token))
            .wrap(SessionMiddleware::new(SessionLayer::new(Probe::default())))
            .wrap_fn(|mut request, service| {
                arrives_in_part(&mut request);
                service.call(request)
            })
    );
    let browser = Browser::new();
    let token = browser.get(&site, "/token").await.text;
    for (then, token, status) in [
        ("incomplete", &*token, StatusCode::BAD_REQUEST),
        ("overflow", &token, StatusCode::PAYLOAD_TOO_LARGE),
        ("end", &token, StatusCode::OK),
        ("incomplete", "", StatusCode::FORBIDDEN),
        ("end", "", StatusCode::FORBIDDEN),
    ] {
        let request = upload_to("/length", &[])
            .insert_header(("x-then", then))
            .insert_header(("x-csrf-token", token));
        let page = browser.send(&site, request).await;
        assert_eq!(page.status, status, "{then}: {}", page.text);
        if status == StatusCode::OK {
            assert_eq!(page.text, "1");
        }
    }
}

#[actix_web::test]
async fn a_multipart_form_is_told_which_extractor_takes_it() {
    let site = site().await;
    let browser = Browser::new();
    let token = browser.get(&site, "/token").await.text;
    let fields = [("_csrf", token.as_str()), ("amount", "5")];
    let page = browser.send(&site, upload_to("/pay", &fields)).await;
    assert_eq!(page.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(page.text.contains("take CsrfMultipart"), "{}", page.text);
}
