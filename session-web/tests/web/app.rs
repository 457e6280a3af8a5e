//! An application whose handlers use their session in each way that the tests ask for.

use std::time::Duration;

use crate::probe::Probe;
use axum::Router;
use axum::routing::get;
use http::StatusCode;
use session_core::Lifetime;
use session_web::{Session, SessionLayer};

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) async fn count(session: Session) -> String {
    let n = session.get("n").expect("a number").unwrap_or(0_u32) + 1;
    session.insert("n", n).expect("JSON");
    n.to_string()
}

pub(crate) async fn read(session: Session) -> String {
    let n: Option<u32> = session.get("n").expect("a number");
    format!("{n:?} new {}", session.is_new())
}

pub(crate) async fn sign_in(session: Session) -> Result<&'static str, StatusCode> {
    let signed_in = session.sign_in("ann").await;
    signed_in.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok("signed in")
}

pub(crate) async fn remember(session: Session) {
    let long = Lifetime::new(30 * 24 * HOUR, 90 * 24 * HOUR);
    session.set_lifetime(long).expect("a good lifetime");
}

pub(crate) async fn sign_out(session: Session) {
    session.destroy().await.expect("it is up");
}

pub(crate) async fn slow(session: Session) -> String {
    tokio::time::sleep(Duration::from_millis(100)).await;
    count(session).await
}

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/count", get(count))
        .route("/read", get(read))
        .route("/sign-in", get(sign_in))
        .route("/remember", get(remember))
        .route("/sign-out", get(sign_out))
        .route("/slow", get(slow))
        .route("/static", get(|| async { "nothing to see" }))
        .route(
            "/optional",
            get(|session: Option<Session>| async move { session.is_some().to_string() }),
        )
        .route("/panic", get(panics))
        .route(
            "/error",
            get(|session: Session| async move {
                session.insert("failures", 1).expect("JSON");
                StatusCode::UNAUTHORIZED
            }),
        )
}

pub(crate) async fn panics(session: Session) -> &'static str {
    session.insert("n", 99).expect("JSON");
    panic!("a handler's mistake")
}

pub(crate) fn app() -> (Router, Probe) {
    let store = Probe::default();
    (routes().layer(SessionLayer::new(store.clone())), store)
}
