//! The site on Dioxus: pages that the server renders, and server functions that forms call without
//! a script.

use axum::response::IntoResponse;
use dioxus::fullstack::{Form, FullstackContext, Redirect};
use dioxus::prelude::*;
use serde::{Deserialize, Serialize};
use session_web::{CrossOriginProtection, Error, Owner, Session};

#[derive(Serialize, Deserialize)]
struct Name {
    name: String,
}

/// The error's status, and a line in the log. Its text may name hosts, so it is not for the client.
fn refused(error: Error) -> ServerFnError {
    let status = error.into_response().status();
    ServerFnError::ServerError {
        message: status.to_string(),
        code: status.as_u16(),
        details: None,
    }
}

#[get("/api/greeting", session: Session)]
async fn greeting() -> Result<String, ServerFnError> {
    Ok(site::home(session).await)
}

#[get("/api/account", owner: Owner)]
async fn account() -> Result<String, ServerFnError> {
    Ok(site::account(owner).await)
}

#[post("/api/sign-in", session: Session)]
async fn sign_in(form: Form<Name>) -> Result<Redirect, ServerFnError> {
    let signed_in = site::sign_in(session, &form.0.name).await;
    signed_in.map(|_| Redirect::to("/")).map_err(refused)
}

#[post("/api/sign-out", session: Session)]
async fn sign_out() -> Result<Redirect, ServerFnError> {
    let signed_out = site::sign_out(session).await;
    signed_out.map(|_| Redirect::to("/")).map_err(refused)
}

#[derive(Clone, PartialEq, Routable)]
enum Page {
    #[route("/")]
    Home {},
    #[route("/account")]
    Account {},
}

fn app() -> Element {
    rsx! { Router::<Page> {} }
}

#[component]
fn Home() -> Element {
    let greeting = use_server_future(greeting)?;
    let text = shown(greeting());
    rsx! {
        p { "{text}" }
        form { action: "/api/sign-in", method: "post",
            input { name: "name" }
            button { "Sign in" }
        }
        form { action: "/api/sign-out", method: "post",
            button { "Sign out" }
        }
    }
}

#[component]
fn Account() -> Element {
    let account = use_server_future(account)?;
    let text = shown(account());
    rsx! { p { "{text}" } }
}

/// The text of a server function, or its error, whose status the page gets.
fn shown(answer: Option<Result<String, ServerFnError>>) -> String {
    match answer {
        Some(Ok(text)) => text,
        Some(Err(error)) => FullstackContext::commit_error_status(error)
            .status
            .to_string(),
        None => String::new(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `dioxus::server::router` also serves what the `dx` tool has built for the client.
    let app = axum::Router::new()
        .serve_api_application(ServeConfig::new(), app)
        .layer(CrossOriginProtection::new())
        .layer(site::sessions()?);
    let listener = tokio::net::TcpListener::bind(site::address()).await?;
    Ok(axum::serve(listener, app).await?)
}
