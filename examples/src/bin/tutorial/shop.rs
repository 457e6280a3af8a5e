//! The shop: a visit counter and a cart.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, Redirect};
use serde::{Deserialize, Serialize};
use session_store::{Result, Session};
use session_web::{CsrfForm, SessionValue, Typed};

use crate::code::code;
use crate::html::{Page, button, escape, page};
use crate::site::Site;

const HATS: [&str; 4] = ["Bicorne", "Bowler", "Fez", "Panama"];

// code: cart
/// What is in the cart: a key of the session, with a type.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cart {
    items: Vec<String>,
}

impl SessionValue for Cart {
    const KEY: &'static str = "cart";
}

#[derive(Deserialize)]
pub(crate) struct Change {
    add: Option<String>,
    remove: Option<String>,
}

pub(crate) async fn change(
    mut cart: Typed<Cart>,
    CsrfForm(form): CsrfForm<Change>,
) -> Result<Redirect> {
    let known = form.add.filter(|hat| HATS.contains(&hat.as_str()));
    // Atomic: of two tabs that add at the same time, both get their hat.
    cart.update(|cart| {
        cart.items.extend(known.clone());
        let mut items = cart.items.iter();
        if let Some(at) = items.position(|item| Some(item) == form.remove.as_ref()) {
            cart.items.remove(at);
        }
    })
    .await?;
    Ok(Redirect::to("/"))
}
// end

// code: home
pub(crate) async fn home(
    State(site): State<Arc<Site>>,
    session: Session,
    cart: Typed<Cart>,
) -> Result<Html<String>> {
    // Plain memory, no await: the session is saved before the page is sent.
    let visits = session.get("visits")?.unwrap_or(0_u32) + 1;
    session.insert("visits", visits)?;
    let content = format!(
        "<p>This is visit <b id=\"visits\">{visits}</b> of this session.</p>{}{}",
        hats(&session),
        in_cart(&session, &cart)
    );
    let page_of_shop = Page {
        path: "/",
        title: "Shop",
        content,
        code: &[
            code!("shop.rs", "home"),
            code!("shop.rs", "cart"),
            code!("site.rs", "layer"),
            code!("panel.rs", "panel"),
        ],
    };
    page(&site, &session, page_of_shop).await
}
// end

fn hats(session: &Session) -> String {
    let hats = HATS.map(|hat| {
        let add = button(session, "/cart", &format!("Add a {hat}"), &[("add", hat)]);
        format!("<li>{hat} {add}</li>")
    });
    format!("<section><h2>Hats</h2><ul>{}</ul></section>", hats.concat())
}

fn in_cart(session: &Session, cart: &Cart) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for item in &cart.items {
        *counts.entry(item).or_default() += 1;
    }
    let items: String = counts
        .into_iter()
        .map(|(item, count)| {
            let label = format!("Remove a {item}");
            let remove = button(session, "/cart", &label, &[("remove", item)]);
            format!("<li>{count} × {} {remove}</li>", escape(item))
        })
        .collect();
    let content = match cart.items.len() {
        0 => "<p id=\"cart\">Your cart is empty.</p>".to_owned(),
        n => format!("<p id=\"cart\">{n} in your cart:</p><ul>{items}</ul>"),
    };
    format!("<section><h2>Cart</h2>{content}</section>")
}
