//! The site on Leptos: pages that the server renders, and server functions that forms call without
//! a script.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http::request::Parts;
use leptos::prelude::*;
use leptos_axum::{ResponseOptions, handle_server_fns, redirect, render_app_async};
use session_web::{CrossOriginProtection, Error, RequireOwner, Result, Session, SessionHandle};

/// The session of the request that renders a page or calls a server function.
async fn session() -> Result<Session> {
    let request = use_context::<Parts>();
    let handle = request.and_then(|parts| parts.extensions.get::<SessionHandle>().cloned());
    let handle = handle.ok_or_else(|| Error::misconfigured("there is no SessionLayer"))?;
    handle.session().await
}

/// Gives the response the error's status, and logs the error. Its text may name hosts, so it is not
/// for the client.
fn refused(error: Error) -> ServerFnError {
    let status = error.into_response().status();
    expect_context::<ResponseOptions>().set_status(status);
    ServerFnError::new("the session can't be used")
}

#[server(endpoint = "sign-in")]
async fn sign_in(name: String) -> Result<(), ServerFnError> {
    let session = session().await.map_err(refused)?;
    site::sign_in(session, &name).await.map_err(refused)?;
    redirect("/");
    Ok(())
}

#[server(endpoint = "sign-out")]
async fn sign_out() -> Result<(), ServerFnError> {
    let session = session().await.map_err(refused)?;
    site::sign_out(session).await.map_err(refused)?;
    redirect("/");
    Ok(())
}

async fn greeting() -> Result<String, ServerFnError> {
    let session = session().await.map_err(refused)?;
    Ok(site::home(session).await)
}

async fn account() -> Result<String, ServerFnError> {
    let session = session().await.map_err(refused)?;
    let owner = session.require_owner().map_err(refused)?;
    Ok(site::account(owner).await)
}

#[component]
fn Document(children: Children) -> impl IntoView {
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8" />
                <title>"The site"</title>
            </head>
            <body>{children()}</body>
        </html>
    }
}

#[component]
fn Home() -> impl IntoView {
    let signing_in = ServerAction::<SignIn>::new();
    let signing_out = ServerAction::<SignOut>::new();
    view! {
        <Document>
            <p>{Suspend::new(greeting())}</p>
            <ActionForm action=signing_in>
                <input name="name" />
                <button>"Sign in"</button>
            </ActionForm>
            <ActionForm action=signing_out>
                <button>"Sign out"</button>
            </ActionForm>
        </Document>
    }
}

#[component]
fn Account() -> impl IntoView {
    view! {
        <Document>
            <p>{Suspend::new(account())}</p>
        </Document>
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `generate_route_list` does it, where pages have the routes of `leptos_router`.
    any_spawner::Executor::init_tokio()?;
    let signed_in = RequireOwner::new().redirect_to("/")?;
    // Each page is rendered whole before its headers are sent, so that a page, too, can change the
    // session.
    let app = Router::new()
        .route("/account", get(render_app_async(Account)))
        .route_layer(signed_in)
        .route("/", get(render_app_async(Home)))
        .route("/api/{*function}", post(handle_server_fns))
        .layer(CrossOriginProtection::new())
        .layer(site::sessions()?);
    let listener = tokio::net::TcpListener::bind(site::address()).await?;
    Ok(axum::serve(listener, app).await?)
}
