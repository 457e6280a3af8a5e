//! The site on axum.

use axum::routing::{get, post};
use axum::{Form, Router};
use session_web::{CrossOriginProtection, Result, Session};

#[derive(serde::Deserialize)]
struct SignIn {
    name: String,
}

async fn sign_in(session: Session, Form(form): Form<SignIn>) -> Result<String> {
    site::sign_in(session, &form.name).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Router::new()
        .route("/", get(site::home))
        .route("/account", get(site::account))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(site::sign_out))
        .layer(CrossOriginProtection::new())
        .layer(site::sessions()?);
    let listener = tokio::net::TcpListener::bind(site::address()).await?;
    Ok(axum::serve(listener, app).await?)
}
