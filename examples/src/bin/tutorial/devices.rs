//! A user's sessions.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, Redirect};
use serde::Deserialize;
use session_store::{ErrorKind, Owner, Result, Session, SessionId, SessionInfo};
use session_web::CsrfForm;

use crate::code::code;
use crate::html::{Page, button, escape, page, token};
use crate::site::Site;
use crate::words::in_words;

// code: devices
pub(crate) async fn devices(
    State(site): State<Arc<Site>>,
    session: Session,
    owner: Owner,
) -> Result<Html<String>> {
    let content = match &site.sessions {
        None => "<section><h2>None to see</h2><p>With --cookie-only each session is in its browser's cookie and \
                 nowhere else. There is nothing to list, and no session can be ended from elsewhere.</p></section>"
            .to_owned(),
        Some(sessions) => {
            // Each with its description and without its data.
            let mut devices = sessions.owned_by(&owner).await?;
            devices.sort_by_key(|device| device.last_used().unwrap_or(device.age));
            let items: String = (1..)
                .zip(&devices)
                .map(|(number, device)| item(&session, number, device))
                .collect();
            format!(
                "<section><h2>Where you are signed in</h2><ol id=\"devices\">{items}</ol>{}</section>{}",
                button(&session, "/devices/others", "Sign out everywhere else", &[]),
                name_form(&session),
            )
        }
    };
    let shown = Page {
        path: "/devices",
        title: "My devices",
        content,
        code: &[
            code!("devices.rs", "devices"),
            code!("devices.rs", "ending"),
        ],
    };
    page(&site, &session, shown).await
}

/// One device.
fn item(session: &Session, number: usize, device: &SessionInfo) -> String {
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
    let used = match device.last_used() {
        _ if is_here => "used now".to_owned(),
        Some(ago) => format!("used {} ago", in_words(ago)),
        // It is so near its absolute limit that the deadline does not tell.
        None => "used lately".to_owned(),
    };
    let action = match is_here {
        true => "<b>this one</b>".to_owned(),
        false => {
            let label = format!("Sign out device {number}");
            button(
                session,
                "/devices/revoke",
                &label,
                &[("id", device.id.as_str())],
            )
        }
    };
    format!(
        "<li><span>{number}. {name}<br>network <code>{}</code>, signed in {} ago, {used}</span> {action}</li>",
        escape(description.address().unwrap_or("unknown")),
        in_words(device.age)
    )
}
// end

/// The form that gives this device a name.
fn name_form(session: &Session) -> String {
    format!(
        "<section><h2>A name for this one</h2><form method=\"post\" action=\"/devices/name\">{}<label>Name \
         <input name=\"label\" autocomplete=\"off\"></label> <button>Set the name</button></form></section>",
        token(session)
    )
}

// code: ending
#[derive(Deserialize)]
pub(crate) struct Name {
    label: String,
}

pub(crate) async fn name_device(
    session: Session,
    CsrfForm(form): CsrfForm<Name>,
) -> Result<Redirect> {
    let description = session.description().unwrap_or_default();
    match session.describe(description.with_label(form.label.trim())) {
        Err(error) if error.kind() == ErrorKind::TooLarge => {
            session.flash("error", "That name is too long.")?;
        }
        described => described?,
    }
    Ok(Redirect::to("/devices"))
}

#[derive(Deserialize)]
pub(crate) struct Revoke {
    id: String,
}

pub(crate) async fn revoke(
    State(site): State<Arc<Site>>,
    session: Session,
    owner: Owner,
    CsrfForm(form): CsrfForm<Revoke>,
) -> Result<Redirect> {
    if let Some(sessions) = &site.sessions {
        let id: SessionId = form.id.parse()?;
        // No user ends what is another's.
        let devices = sessions.owned_by(&owner).await?;
        if devices.iter().any(|device| device.id == id) {
            sessions.destroy(&id).await?;
            session.flash("info", "That device is signed out.")?;
        }
    }
    Ok(Redirect::to("/devices"))
}

pub(crate) async fn sign_out_others(
    State(site): State<Arc<Site>>,
    session: Session,
    owner: Owner,
    CsrfForm(()): CsrfForm<()>,
) -> Result<Redirect> {
    if let Some(sessions) = &site.sessions {
        let here = session.id();
        let told = match sessions.destroy_owned_by(&owner, here.as_ref()).await? {
            1 => "Signed out on 1 other device.".to_owned(),
            n => format!("Signed out on {n} other devices."),
        };
        session.flash("info", told)?;
    }
    Ok(Redirect::to("/devices"))
}
// end
