//! Which page is where, and what is around it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::routing::{MethodRouter, get, post};
use session_store::Result;
use session_web::{CrossOriginProtection, RequireOwner};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::site::{Layer, Site};
use crate::{account, devices, errors, express, live, password, race, shop, this_session};

// code: routes
pub(crate) fn app(site: Site, sessions: Layer) -> Result<Router> {
    let signed_in = RequireOwner::new().redirect_to("/sign-in")?;
    let just_signed_in = signed_in.clone().within(Duration::from_secs(10 * 60));
    let app = Router::new()
        .route(
            "/account/password",
            get(password::form).post(password::change),
        )
        .route_layer(just_signed_in)
        .route("/account", get(account::account))
        .route("/devices", get(devices::devices))
        .route("/devices/name", post(devices::name_device))
        .route("/devices/revoke", post(devices::revoke))
        .route("/devices/others", post(devices::sign_out_others))
        .route_layer(signed_in) // around all routes above
        .route(
            "/sign-in",
            get(account::sign_in_page).post(account::sign_in),
        )
        .route("/sign-out", post(account::sign_out))
        .route("/", get(shop::home))
        .route("/cart", post(shop::change))
        .route("/session", get(this_session::show))
        .route("/session/live", get(live::live))
        .route("/session/expire", post(this_session::expire))
        .route("/race", get(race::show))
        .route("/race/slow", post(race::slow))
        .route("/express", get(express::show))
        // Each form has a token too, so browsers that send neither of its headers are let in.
        .layer(CrossOriginProtection::new().allow_missing_headers())
        .layer(sessions)
        // Outside of the sessions' layer: these ask for none.
        .route(
            "/style.css",
            file("text/css; charset=utf-8", include_str!("style.css")),
        )
        .route(
            "/site.js",
            file("text/javascript; charset=utf-8", include_str!("site.js")),
        )
        .fallback(errors::not_found)
        .method_not_allowed_fallback(errors::wrong_method);
    Ok(with_headers(app).with_state(Arc::new(site)))
}
// end

/// A file that is part of this program.
fn file(kind: &'static str, text: &'static str) -> MethodRouter<Arc<Site>> {
    get(move || async move { ([(CONTENT_TYPE, kind)], text) })
}

/// Headers of all responses.
fn with_headers(app: Router<Arc<Site>>) -> Router<Arc<Site>> {
    let header = |name, value| {
        SetResponseHeaderLayer::overriding(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    app.layer(header(
        "content-security-policy",
        "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    ))
    .layer(header("x-content-type-options", "nosniff"))
    .layer(header("referrer-policy", "same-origin"))
}
