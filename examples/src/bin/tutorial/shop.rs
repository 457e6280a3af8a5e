//! The shop: a visit counter and a cart.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};
use session_store::{Result, Session};
use session_web::{SessionValue, Typed};

use crate::Site;
use crate::html::{button, escape, page, token};

const HATS: [&str; 4] = ["Bicorne", "Bowler", "Fez", "Panama"];

/// What is in the cart: a key of the session, with a type.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cart {
    items: Vec<String>,
}

impl SessionValue for Cart {
    const KEY: &'static str = "cart";
}

pub(crate) async fn home(
    State(site): State<Arc<Site>>,
    session: Session,
    cart: Typed<Cart>,
) -> Html<String> {
    // Plain memory: the layer saves it before the page is sent.
    let visits = session.get("visits").ok().flatten().unwrap_or(0_u32) + 1;
    let saved = session.insert("visits", visits);
    debug_assert!(saved.is_ok(), "a number is JSON");
    let hats: String = HATS
        .iter()
        .map(|hat| {
            format!(
                "<li>{hat} {}</li>",
                button(&session, "/cart", "Add", &[("add", hat)])
            )
        })
        .collect();
    let items: String = cart
        .items
        .iter()
        .map(|item| {
            let remove = button(&session, "/cart", "Remove", &[("remove", item)]);
            format!("<li>{} {remove}</li>", escape(item))
        })
        .collect();
    let cart = match cart.items.len() {
        0 => "<p id=\"cart\">Your cart is empty.</p>".to_owned(),
        n => format!("<p id=\"cart\">{n} in your cart:</p><ul>{items}</ul>"),
    };
    let account = match session.owner() {
        Some(_) => button(&session, "/sign-out", "Sign out", &[]),
        None => format!(
            "<form method=\"post\" action=\"/sign-in\">{}<label>Name <input name=\"name\" required maxlength=\"100\" \
             autocomplete=\"username\"></label> <label><input type=\"checkbox\" name=\"remember\" value=\"yes\"> \
             Remember me for 30 days</label> <button>Sign in</button></form>",
            token(&session)
        ),
    };
    let content = format!(
        "<p>This is visit <b id=\"visits\">{visits}</b> of this session.</p>\
         <section><h2>Account</h2>{account}</section>\
         <section><h2>Hats</h2><ul>{hats}</ul></section><section><h2>Cart</h2>{cart}</section>"
    );
    page(&site, &session, "Shop", &content)
}

#[derive(Deserialize)]
pub(crate) struct Change {
    token: String,
    add: Option<String>,
    remove: Option<String>,
}

pub(crate) async fn change(mut cart: Typed<Cart>, Form(form): Form<Change>) -> Result<Response> {
    if !cart.session().is_csrf_token(&form.token) {
        return Ok(forged());
    }
    let known = form.add.filter(|hat| HATS.contains(&hat.as_str()));
    // Atomic: of two tabs that add at the same time, both get their hat.
    cart.update(|cart| {
        cart.items.extend(known.clone());
        if let Some(at) = cart
            .items
            .iter()
            .position(|item| Some(item) == form.remove.as_ref())
        {
            cart.items.remove(at);
        }
    })
    .await?;
    Ok(Redirect::to("/").into_response())
}

#[derive(Deserialize)]
pub(crate) struct Slow {
    #[serde(default)]
    ms: u64,
}

/// A request that takes its time and then writes: open it in one tab and sign out in another.
pub(crate) async fn slow(session: Session, Query(slow): Query<Slow>) -> String {
    tokio::time::sleep(Duration::from_millis(slow.ms.min(10_000))).await;
    let slow = session.get("slow").ok().flatten().unwrap_or(0_u32) + 1;
    match session.insert("slow", slow) {
        Ok(()) => format!("{slow} slow requests in this session"),
        Err(error) => error.to_string(),
    }
}

/// The answer to a form that is not this site's.
pub(crate) fn forged() -> Response {
    (
        StatusCode::FORBIDDEN,
        "This form is not from here, or its session has ended. Go back and try again.",
    )
        .into_response()
}
