//! A server of this library with the pages of the Express programs.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Query, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use session_core::{Lifetime, Timeout};
use session_web::{Result, Session, SessionLayer};
use tokio::net::TcpListener;

type Body = BTreeMap<String, Box<RawValue>>;

/// Serves until the test's runtime ends; gives the port.
pub(crate) async fn serve(layer: SessionLayer) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let app = Router::new()
        .route(
            "/session",
            get(|session: Session| async move { view(&session) }),
        )
        .route("/set", post(set))
        .route("/unset", post(unset))
        .route("/maxage", post(max_age))
        .route("/regenerate", post(regenerate))
        .route("/login", post(login))
        .route("/sign-in", post(sign_in))
        .route("/recent", get(recent))
        .route("/destroy", post(destroy))
        .layer(middleware::from_fn(wait))
        .layer(layer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

/// The session as it is. Numbers are shown as they were written.
fn view(session: &Session) -> Response {
    let keys = session.keys();
    let pairs = keys.iter().map(|key| {
        let value: Option<Box<RawValue>> = session.get(key).expect("JSON");
        let value = value.as_ref().map_or("null", |value| value.get());
        format!("{}:{value}", Value::from(key.as_str()))
    });
    let data: Vec<String> = pairs.collect();
    let id = session.token().map(|token| token.expose().to_owned());
    let idle = session.lifetime().idle.millis();
    let ttl = session
        .expires_in()
        .left()
        .map(|left| left.as_millis() as u64);
    let text = format!(
        r#"{{"id":{},"owner":{},"idle":{},"ttl":{},"data":{{{}}}}}"#,
        json!(id),
        json!(session.owner().map(|owner| owner.to_string())),
        json!(idle),
        json!(ttl),
        data.join(",")
    );
    Response::new(text.into())
}

async fn wait(
    Query(query): Query<BTreeMap<String, u64>>,
    session: Session,
    request: Request,
    next: Next,
) -> Response {
    // The session is loaded; now its handler takes its time.
    drop(session);
    let millis = query.get("wait").copied().unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(millis)).await;
    next.run(request).await
}

async fn set(session: Session, Json(body): Json<Body>) -> Response {
    for (key, value) in body {
        session.insert(&key, value).expect("JSON");
    }
    view(&session)
}

async fn unset(session: Session, Json(keys): Json<Vec<String>>) -> Response {
    for key in keys {
        session.remove(&key);
    }
    view(&session)
}

async fn max_age(session: Session, Json(body): Json<BTreeMap<String, u64>>) -> Response {
    let idle = Timeout::After(Duration::from_millis(body["ms"]));
    session.set_lifetime(Lifetime::idle(idle)).expect("good");
    session.save().await.expect("saved");
    view(&session)
}

async fn regenerate(session: Session, body: Json<Body>) -> Response {
    session.clear();
    session.cycle_id().await.expect("saved");
    set(session, body).await
}

async fn login(session: Session, Json(body): Json<BTreeMap<String, String>>) -> Response {
    session.insert("user", &body["user"]).expect("JSON");
    session.cycle_id().await.expect("saved");
    view(&session)
}

async fn sign_in(session: Session, Json(body): Json<BTreeMap<String, String>>) -> Response {
    let owner = body["user"].as_str();
    session.sign_in(owner).await.expect("saved");
    view(&session)
}

async fn recent(session: Session) -> Result<Response> {
    session.require_recent_owner(Duration::from_secs(3_600))?;
    Ok(view(&session))
}

async fn destroy(session: Session) -> Response {
    session.destroy().await.expect("ended");
    view(&session)
}
