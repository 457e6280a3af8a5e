//! Signing in and out, and the pages that only a signed-in user sees.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use session_store::{Lifetime, Owner, Result, Session};
use session_web::{CsrfForm, ReturnTo, UserAgent};

use crate::code::code;
use crate::html::{Field, Page, escape, page, token};
use crate::panel::hash;
use crate::site::Site;
use crate::users::USERS;
use crate::words::in_words;

const DAY: Duration = Duration::from_secs(86_400);

/// What is wrong with a form: the field, and the message beside it.
type Wrong = (&'static str, &'static str);

// code: sign-in
#[derive(Default, Deserialize)]
pub(crate) struct SignIn {
    name: String,
    password: String,
    remember: Option<String>,
}

pub(crate) async fn sign_in_page(
    State(site): State<Arc<Site>>,
    session: Session,
    to: ReturnTo,
) -> Result<Html<String>> {
    sign_in_form(&site, &session, &to, &SignIn::default(), None).await
}

pub(crate) async fn sign_in(
    State(site): State<Arc<Site>>,
    session: Session,
    to: ReturnTo, // of the form's URL: where the user wanted to go
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    CsrfForm(form): CsrfForm<SignIn>,
) -> Result<Response> {
    let name = form.name.trim();
    let Some(account) = site.users.account(name, form.password.clone()).await else {
        let wrong = match name.is_empty() {
            true => ("name", "Please enter your name."),
            false => ("password", "The name or the password is wrong."),
        };
        let again = sign_in_form(&site, &session, &to, &form, Some(wrong)).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, again).into_response());
    };
    if form.remember.is_some() {
        session.set_lifetime(Lifetime::new(30 * DAY, 90 * DAY))?;
    }
    // What the page of devices shows: the browser, the system, and the network of the address.
    let client = UserAgent::from_headers(&headers).description();
    session.describe(client.with_shortened_address(peer.ip()))?;
    let before = session.token();
    // One write: the owner, a new token, the guest's data. The old token opens nothing from now on.
    session.sign_in(account).await?;
    let now = match (before, session.token(), &site.sessions) {
        (Some(before), Some(after), Some(_)) => format!(
            " Your token is new: its SHA-256 began with {}, and begins with {} now. The session's id is the same.",
            hash(&before),
            hash(&after)
        ),
        _ => String::new(),
    };
    session.flash("info", format!("Welcome, {name}!{now}"))?;
    Ok(to.into_response())
}

pub(crate) async fn sign_out(session: Session, CsrfForm(()): CsrfForm<()>) -> Result<Redirect> {
    session.destroy().await?;
    Ok(Redirect::to("/"))
}
// end

/// The page with the form, and what was wrong with it.
async fn sign_in_form(
    site: &Site,
    session: &Session,
    to: &ReturnTo,
    form: &SignIn,
    wrong: Option<Wrong>,
) -> Result<Html<String>> {
    let wrong_with = |name| {
        wrong
            .filter(|(field, _)| *field == name)
            .map(|(_, text)| text)
    };
    let name = Field {
        name: "name",
        label: "Name",
        kind: "text",
        autocomplete: "username",
        value: &form.name,
        wrong: wrong_with("name"),
    };
    let password = Field {
        name: "password",
        label: "Password",
        kind: "password",
        autocomplete: "current-password",
        value: "",
        wrong: wrong_with("password"),
    };
    let users =
        USERS.map(|(name, password)| format!("<li><b>{name}</b> <code>{password}</code></li>"));
    let reason = match to == &ReturnTo::default() {
        true => String::new(),
        false => format!(
            "<p>Sign in to go on to <code>{}</code>.</p>",
            escape(to.as_str())
        ),
    };
    let remember = if form.remember.is_some() {
        " checked"
    } else {
        ""
    };
    let content = format!(
        "{reason}<section><h2>Who are you?</h2><form method=\"post\" id=\"sign-in\" class=\"tall\">{}{}{}\
         <label><input type=\"checkbox\" name=\"remember\" value=\"yes\"{remember}> Remember me for 30 days</label>\
         <button>Sign in with a password</button></form></section>\
         <section><h2>The users and their passwords</h2><ul>{}</ul><p>They are these until somebody changes them, and again \
         when the site starts anew.</p></section>",
        token(session),
        name.html(),
        password.html(),
        users.concat()
    );
    let shown = Page {
        path: "/sign-in",
        title: "Sign in",
        content,
        code: &[code!("account.rs", "sign-in"), code!("users.rs", "users")],
    };
    page(site, session, shown).await
}

// code: account
/// `RequireOwner` is around it: a guest is sent to the sign-in page, and back from there.
pub(crate) async fn account(
    State(site): State<Arc<Site>>,
    session: Session,
    owner: Owner,
) -> Result<Html<String>> {
    let content = format!(
        "<section><h2>{}</h2><p>You signed in {} ago.</p><p><a href=\"/account/password\">Change your \
         password</a></p></section>",
        escape(owner.as_str()),
        in_words(session.age())
    );
    let shown = Page {
        path: "/account",
        title: "Account",
        content,
        code: &[code!("account.rs", "account"), code!("routes.rs", "routes")],
    };
    page(&site, &session, shown).await
}
// end
