//! An application whose handlers use their session in each way that the tests ask for.

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpResponse, web};
use session_actix::{Owner, Result, Session, SessionLayer, SessionMiddleware};
use session_web::RespondToError;

use crate::browser::{Site, served};
use crate::probe::Probe;

pub(crate) async fn count(session: Session) -> actix_web::Result<String> {
    let n = session.get("n")?.unwrap_or(0_u32) + 1;
    session.insert("n", n)?;
    Ok(n.to_string())
}

async fn read(session: Session) -> Result<String> {
    let n: Option<u32> = session.get("n")?;
    Ok(format!("{n:?} new {}", session.is_new()))
}

async fn sign_in(session: Session) -> Result<&'static str> {
    session.sign_in("ann").await?;
    Ok("signed in")
}

async fn sign_out(session: Session) -> Result<&'static str> {
    session.destroy().await?;
    Ok("signed out")
}

async fn account(owner: Owner) -> String {
    owner.as_str().to_owned()
}

async fn owner(owner: Result<Owner>) -> String {
    match owner {
        Ok(owner) => owner.as_str().to_owned(),
        Err(error) => format!("refused {}", error.is_refusal()),
    }
}

async fn slow(session: Session) -> actix_web::Result<String> {
    actix_web::rt::time::sleep(Duration::from_millis(100)).await;
    count(session).await
}

async fn panics(session: Session) -> &'static str {
    session.insert("n", 99).expect("JSON");
    panic!("a handler's mistake")
}

async fn fails(session: Session) -> HttpResponse {
    session.insert("n", 7).expect("JSON");
    HttpResponse::new(StatusCode::UNAUTHORIZED)
}

async fn cached(session: Session) -> HttpResponse {
    session.insert("n", 1).expect("JSON");
    HttpResponse::Ok()
        .append_header(("set-cookie", "theme=dark; Path=/"))
        .insert_header(("cache-control", "public, max-age=60"))
        .insert_header(("cdn-cache-control", "max-age=60"))
        .insert_header(("vary", "accept-encoding"))
        .insert_header(("x-other", "kept"))
        .finish()
}

/// Middleware that changes the session and fails, as authentication does.
async fn refuses(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> actix_web::Result<ServiceResponse<impl MessageBody>> {
    let session = request.extract::<Session>().await?;
    session.insert("n", 8)?;
    if request.path() == "/guarded" {
        return Err(actix_web::error::ErrorUnauthorized("sign in first"));
    }
    next.call(request).await
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let optional = |session: Option<Session>| async move { session.is_some().to_string() };
    config
        .route("/count", web::get().to(count))
        .route("/read", web::get().to(read))
        .route("/sign-in", web::get().to(sign_in))
        .route("/sign-out", web::get().to(sign_out))
        .route("/account", web::get().to(account))
        .route("/owner", web::get().to(owner))
        .route("/slow", web::get().to(slow))
        .route("/panic", web::get().to(panics))
        .route("/fails", web::get().to(fails))
        .route("/cached", web::get().to(cached))
        .route("/static", web::get().to(|| async { "nothing to see" }))
        .route("/optional", web::get().to(optional))
        .service(
            web::resource("/guarded")
                .wrap(from_fn(refuses))
                .to(|| async { "never" }),
        );
}

pub(crate) async fn site<E: RespondToError<String>>(layer: SessionLayer<E>) -> Site {
    served!(
        App::new()
            .configure(routes)
            .wrap(SessionMiddleware::new(layer))
    )
}

pub(crate) async fn probed() -> (Site, Probe) {
    let store = Probe::default();
    (site(SessionLayer::new(store.clone())).await, store)
}
