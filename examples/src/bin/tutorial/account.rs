//! Signing in and out, and a user's sessions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Form, State};
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use session_store::{ErrorKind, Lifetime, Result, Session, SessionId, SessionInfo};
use session_web::UserAgent;

use crate::html::{button, escape, page, token};
use crate::shop::forged;
use crate::{Site, in_words};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Deserialize)]
pub(crate) struct SignIn {
    token: String,
    name: String,
    remember: Option<String>,
}

pub(crate) async fn sign_in(
    session: Session,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(form): Form<SignIn>,
) -> Result<Response> {
    if !session.is_csrf_token(&form.token) {
        return Ok(forged());
    }
    // A real site checks a password here.
    let name = form.name.trim();
    if form.remember.is_some() {
        session.set_lifetime(Lifetime::new(30 * DAY, 90 * DAY))?;
    }
    session.flash("info", format!("Welcome, {name}!"))?;
    // What the page of devices shows: the browser, the system, and the network of the address.
    let client = UserAgent::from_headers(&headers).description();
    session.describe(client.with_shortened_address(peer.ip()))?;
    // The data stays, the token is new: one that was known before is worth nothing now.
    session.sign_in(name).await?;
    Ok(Redirect::to("/").into_response())
}

#[derive(Deserialize)]
pub(crate) struct Confirmed {
    token: String,
}

pub(crate) async fn sign_out(session: Session, Form(form): Form<Confirmed>) -> Result<Response> {
    if !session.is_csrf_token(&form.token) {
        return Ok(forged());
    }
    session.destroy().await?;
    Ok(Redirect::to("/").into_response())
}

pub(crate) async fn devices(
    State(site): State<Arc<Site>>,
    session: Session,
) -> Result<Html<String>> {
    let content = match (&site.sessions, session.owner()) {
        (None, _) => "<p>Sessions in cookies are known to nobody but their browsers: there is nothing to list, and \
                      none can be ended from elsewhere.</p>"
            .to_owned(),
        (_, None) => "<p>Sign in to see your devices.</p>".to_owned(),
        (Some(sessions), Some(owner)) => {
            // Each with its description and without its data.
            let mut devices = sessions.owned_by(&owner).await?;
            devices.sort_by_key(|device| device.last_used().unwrap_or(device.age));
            let rows: String = devices.iter().map(|device| row(&session, device)).collect();
            format!(
                "<table id=\"devices\"><tr><th>Device</th><th>Network</th><th>Signed in</th><th>Last used</th><th></th>\
                 </tr>{rows}</table>{}{}",
                name_form(&session),
                button(&session, "/devices/others", "Sign out everywhere else", &[])
            )
        }
    };
    Ok(page(&site, &session, "My devices", &content))
}

/// One device in the table.
fn row(session: &Session, device: &SessionInfo) -> String {
    let is_here = Some(&device.id) == session.id().as_ref();
    let description = device.description.clone().unwrap_or_default();
    let browser = description.browser().unwrap_or("A browser");
    let made_of = match description.system() {
        Some(system) => format!("{browser} on {system}"),
        None => browser.to_owned(),
    };
    // A client may send any text, and a user may type any: all of it is escaped.
    let name = match description.label() {
        Some(label) => format!("<b>{}</b>, {}", escape(label), escape(&made_of)),
        None => escape(&made_of),
    };
    let last_used = match device.last_used() {
        _ if is_here => "now".to_owned(),
        Some(ago) => format!("{} ago", in_words(ago)),
        // It is so near its absolute limit that the deadline does not tell.
        None => "lately".to_owned(),
    };
    let action = if is_here {
        "this one".to_owned()
    } else {
        button(
            session,
            "/devices/revoke",
            "Sign out",
            &[("id", device.id.as_str())],
        )
    };
    format!(
        "<tr><td>{name}</td><td><code>{}</code></td><td>{} ago</td><td>{last_used}</td><td>{action}</td></tr>",
        escape(description.address().unwrap_or("unknown")),
        in_words(device.age)
    )
}

/// The form that gives this device a name.
fn name_form(session: &Session) -> String {
    format!(
        "<form method=\"post\" action=\"/devices/name\">{}<label>Name of this device \
         <input name=\"label\"></label><button>Set</button></form>",
        token(session)
    )
}

#[derive(Deserialize)]
pub(crate) struct Name {
    token: String,
    label: String,
}

pub(crate) async fn name_device(session: Session, Form(form): Form<Name>) -> Result<Response> {
    if !session.is_csrf_token(&form.token) {
        return Ok(forged());
    }
    let description = session.description().unwrap_or_default();
    match session.describe(description.with_label(form.label.trim())) {
        Err(error) if error.kind() == ErrorKind::TooLarge => {
            session.flash("error", "That name is too long.")?;
        }
        described => described?,
    }
    Ok(Redirect::to("/devices").into_response())
}

#[derive(Deserialize)]
pub(crate) struct Revoke {
    token: String,
    id: String,
}

pub(crate) async fn revoke(
    State(site): State<Arc<Site>>,
    session: Session,
    Form(form): Form<Revoke>,
) -> Result<Response> {
    if !session.is_csrf_token(&form.token) {
        return Ok(forged());
    }
    if let (Some(sessions), Some(owner)) = (&site.sessions, session.owner()) {
        let id = SessionId::from_stored(&form.id)?;
        // Nobody ends what is not theirs.
        if sessions
            .owned_by(&owner)
            .await?
            .iter()
            .any(|info| info.id == id)
        {
            sessions.destroy(&id).await?;
            session.flash("info", "That device is signed out.")?;
        }
    }
    Ok(Redirect::to("/devices").into_response())
}

pub(crate) async fn sign_out_others(
    State(site): State<Arc<Site>>,
    session: Session,
    Form(form): Form<Confirmed>,
) -> Result<Response> {
    if !session.is_csrf_token(&form.token) {
        return Ok(forged());
    }
    if let (Some(sessions), Some(owner)) = (&site.sessions, session.owner()) {
        let ended = sessions
            .destroy_owned_by(&owner, session.id().as_ref())
            .await?;
        session.flash("info", format!("Signed out on {ended} other devices."))?;
    }
    Ok(Redirect::to("/devices").into_response())
}

/// The session as the store sees it.
pub(crate) async fn show(State(site): State<Arc<Site>>, session: Session) -> Result<Html<String>> {
    // The layer does so at the end of every request; here the page shall tell what comes of it.
    session.touch().await?;
    let lifetime = session.lifetime();
    let limit =
        |timeout: session_store::Timeout| timeout.duration().map_or("none".to_owned(), in_words);
    let left = session.expires_in().left();
    let keys: String = session
        .keys()
        .iter()
        .map(|key| format!("<li><code>{}</code></li>", escape(key)))
        .collect();
    let about_id = match site.sessions {
        Some(_) => {
            "The id is the first part of the token in your cookie. The store has only a hash of the token: whoever \
             reads the store, or sees the id, can't open the session."
        }
        None => "The session is in your cookie itself. Its id lasts as long as this request.",
    };
    let content = format!(
        "<dl><dt>Id</dt><dd><code id=\"id\">{}</code></dd><dt>Began</dt><dd>{} ago</dd>\
         <dt>Ends</dt><dd>in <span id=\"ends\">{}</span></dd>\
         <dt>Idle limit</dt><dd id=\"idle\">{}</dd><dt>Absolute limit</dt><dd>{}</dd>\
         <dt>Keys</dt><dd><ul>{keys}</ul></dd></dl>\
         <p>{about_id}</p>\
         <script src=\"/countdown.js\"></script>",
        session
            .id()
            .map_or("not stored yet".to_owned(), |id| escape(id.as_str())),
        in_words(session.age()),
        left.map_or("never".to_owned(), |left| {
            format!("{} s", left.as_millis().div_ceil(1000))
        }),
        limit(lifetime.idle),
        limit(lifetime.absolute),
    );
    Ok(page(&site, &session, "This session", &content))
}
