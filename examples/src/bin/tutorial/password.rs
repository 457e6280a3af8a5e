//! Changing the password, which ends all other sessions of its user.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use session_store::{Owner, Result, Session};
use session_web::CsrfForm;

use crate::code::code;
use crate::html::{Field, Page, page, token};
use crate::site::Site;
use crate::users::{LONGEST, SHORTEST};

/// What is wrong with the form: the field, and the message beside it.
type Wrong = (&'static str, &'static str);

// code: password
#[derive(Deserialize)]
pub(crate) struct Change {
    current: String,
    new: String,
}

/// `RequireOwner::within` is around both: the user has signed in within the last 10 minutes.
pub(crate) async fn form(State(site): State<Arc<Site>>, session: Session) -> Result<Html<String>> {
    change_form(&site, &session, None).await
}

pub(crate) async fn change(
    State(site): State<Arc<Site>>,
    session: Session,
    owner: Owner,
    CsrfForm(form): CsrfForm<Change>,
) -> Result<Response> {
    let wrong = if site
        .users
        .account(owner.as_str(), form.current)
        .await
        .is_none()
    {
        Some(("current", "That is not your password."))
    } else if form.new.chars().count() < SHORTEST || form.new.len() > LONGEST {
        Some((
            "new",
            "A password needs 15 characters or more, and at most 1,000 bytes.",
        ))
    } else {
        None
    };
    if wrong.is_some() {
        let again = change_form(&site, &session, wrong).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, again).into_response());
    }
    // First the password, so that the old one begins no more sessions.
    if let Err(error) = site.users.set_password(owner.as_str(), form.new).await {
        tracing::error!(error, "the password is not changed");
        return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    }
    let told = match &site.sessions {
        // A new token here, and the end of the user's other sessions.
        Some(_) => match session.password_changed().await? {
            1 => "Your password is changed; 1 other session has ended.".to_owned(),
            n => format!("Your password is changed; {n} other sessions have ended."),
        },
        // Cookies can't be ended from here.
        None => {
            session.reauthenticated().await?;
            "Your password is changed. Other sessions live on in their cookies.".to_owned()
        }
    };
    session.flash("info", told)?;
    Ok(Redirect::to("/account").into_response())
}
// end

async fn change_form(site: &Site, session: &Session, wrong: Option<Wrong>) -> Result<Html<String>> {
    let field = |name, label, autocomplete| {
        let wrong = wrong.filter(|(field, _)| *field == name);
        let field = Field {
            name,
            label,
            kind: "password",
            autocomplete,
            value: "",
            wrong: wrong.map(|(_, text)| text),
        };
        field.html()
    };
    let about = match site.sessions {
        Some(_) => {
            "All your other sessions end, so a thief who knew the old password is signed out."
        }
        None => {
            "With --cookie-only your other sessions do not end: they are in their browsers' cookies, and the site \
             can't reach them."
        }
    };
    let content = format!(
        "<section><h2>A new one</h2><p>{about} The password is kept until the site stops.</p>\
         <form method=\"post\" id=\"password\" class=\"tall\">{}{}{}<button>Change the password</button></form></section>",
        token(session),
        field("current", "Your password", "current-password"),
        field("new", "The new password", "new-password"),
    );
    let shown = Page {
        path: "/account/password",
        title: "Change your password",
        content,
        code: &[
            code!("password.rs", "password"),
            code!("routes.rs", "routes"),
        ],
    };
    page(site, session, shown).await
}
