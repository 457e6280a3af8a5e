//! The site on axum.

use axum::routing::{get, post};
use axum::{Form, Router};
use session_memory::MemoryStore;
use session_web::{CrossOriginProtection, Result, Secure, Session, SessionLayer};

#[derive(serde::Deserialize)]
struct SignIn {
    name: String,
}

async fn home(session: Session) -> String {
    match session.owner() {
        Some(user) => format!("signed in as {}\n", user.as_str()),
        None => "not signed in\n".to_owned(),
    }
}

async fn sign_in(session: Session, Form(form): Form<SignIn>) -> Result<String> {
    session.sign_in(&*form.name).await?;
    Ok(format!("welcome, {}\n", form.name))
}

async fn sign_out(session: Session) -> Result<&'static str> {
    session.destroy().await?;
    Ok("goodbye\n")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or("127.0.0.1:3000".to_owned());
    let layer = SessionLayer::builder(MemoryStore::new())
        .secure(Secure::Development)
        .build()?;
    let app = Router::new()
        .route("/", get(home))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .layer(CrossOriginProtection::new())
        .layer(layer);
    let listener = tokio::net::TcpListener::bind(address).await?;
    Ok(axum::serve(listener, app).await?)
}
