//! What a response says of its session: the session is saved, and then the client told.

use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderName};
use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE, VARY, WWW_AUTHENTICATE};
use http::{Extensions, Response, StatusCode};
use session_core::{Error, ErrorKind, Result, SessionToken};

use crate::caching;
use crate::config::{Backing, OnFailure, Rolling, Transport};
use crate::cookie_store::Change;
use crate::handle::{Inner, Opened};
use crate::sealed::SIGNATURE_SEPARATOR;

/// The header in which a client that presents its token as a bearer gets a new one.
pub(crate) const X_SESSION: HeaderName = HeaderName::from_static("x-session");

/// Saves the session if it was used, and adds and gives the headers that its client must get.
///
/// # Errors
/// The store's, unless the layer [goes on all the same](OnFailure).
pub(crate) async fn conclude(handle: &Inner, headers: &mut HeaderMap) -> Result<NewHeaders> {
    let opened = match handle.opened.get() {
        None if handle.config.rolling == Rolling::Always => handle.open_unasked().await,
        opened => opened,
    };
    let new_headers = match opened {
        Some(opened) => commit(handle, opened).await,
        None => match handle.answered_unopened() {
            Some(late) => close_and_report(handle, late, Ok(Written::default())).await,
            None => return Ok(NewHeaders::new()),
        },
    };
    let new_headers = match new_headers {
        Ok(new_headers) => new_headers,
        Err(error) => {
            tracing::error!(%error, "a session could not be saved");
            if handle.config.on_failure == OnFailure::Refuse {
                return Err(error);
            }
            NewHeaders::new()
        }
    };
    if new_headers.iter().any(|(name, _)| name == SET_COOKIE)
        && let Some(host) = handle.plain_host()
    {
        handle.config.plain_http.warn(host);
    }
    add_vary(headers, &handle.config.transport);
    if !new_headers.is_empty() {
        caching::forbid(headers);
    }
    for (name, value) in &new_headers {
        headers.append(name, value.clone());
    }
    Ok(new_headers)
}

pub(crate) type NewHeaders = Vec<(HeaderName, HeaderValue)>;

/// What the layers further in have told the client of their sessions, which are saved. It is among
/// the extensions of a response.
#[derive(Clone, Default)]
pub(crate) struct Told(NewHeaders);

impl Told {
    pub(crate) fn add(response: &mut Extensions, headers: NewHeaders) {
        let told: &mut Self = response.get_or_insert_default();
        told.0.extend(headers);
    }

    /// Has the page of an error tell what the response has told that it replaces.
    pub(crate) fn pass_on<B>(response: &mut Extensions, page: &mut Response<B>) {
        if let Some(Self(headers)) = response.remove() {
            for (name, value) in &headers {
                page.headers_mut().append(name, value.clone());
            }
            page.extensions_mut().insert(Self(headers));
        }
    }
}

/// Writes what there is to write, and gives the headers that the client must get.
async fn commit(handle: &Inner, opened: &Opened) -> Result<NewHeaders> {
    let written = write(handle, opened).await;
    close_and_report(handle, opened, written).await
}

/// Gives the headers that the client must get. The session is closed before they are made, so that
/// no other task changes it in between and gets a success for it.
async fn close_and_report(
    handle: &Inner,
    opened: &Opened,
    written: Result<Written>,
) -> Result<NewHeaders> {
    opened.close_after_writes().await;
    let written = written?;
    match &opened.in_cookie {
        Some(store) => {
            if handle.config.rolling == Rolling::Always && opened.token.is_some() {
                store.roll()?;
            }
            let change = store.change();
            change.map_or(Ok(NewHeaders::new()), |change| {
                cookie_change_headers(handle, opened, change)
            })
        }
        None => token_headers(handle, opened, written),
    }
}

/// What was written.
#[derive(Default)]
struct Written {
    /// Whether that has moved the session's deadline.
    has_moved: bool,
    /// Whether the token in the cookie of the app before this one could not be replaced. An
    /// attacker who planted it may know the one that the session has.
    keeps_previous_cookie: bool,
}

/// Writes what there is to write: one round trip at most where no other request writes the session.
async fn write(handle: &Inner, opened: &Opened) -> Result<Written> {
    let session = &opened.session;
    let replaced = match &opened.token {
        Some(token) if handle.presented().is_previous_app => {
            replace_previous_token(opened, token).await
        }
        _ => Ok(false),
    };
    let keeps_previous_cookie = replaced.is_err();
    let is_replaced = done_or_warned(replaced, "a session could not get a new token");
    let mut has_moved = is_replaced;
    if session.is_changed() {
        session.save().await?;
        has_moved = true;
    } else if opened.token.is_some() {
        has_moved = is_replaced || renew_or_touch(session).await;
    } else if session.is_new() && handle.config.save_uninitialized {
        session.save_unchanged().await?;
    }
    Ok(Written {
        has_moved,
        keeps_previous_cookie,
    })
}

/// Gives a session another token than the cookie of the app before this one has, which an attacker
/// may have planted; whether it did. What was changed is written with it.
///
/// If that fails, the client keeps that cookie, and its next request tries again.
async fn replace_previous_token(opened: &Opened, presented: &SessionToken) -> Result<bool> {
    let session = &opened.session;
    if !presented.is_native() {
        return session.replace_foreign_token().await;
    }
    // The handler has given it a new one, by a sign-in for example.
    let is_new = session.binding() != opened.previous_binding;
    // Of a late request, whose client has a newer token, nothing is to be replaced.
    let is_late = session.token().is_none();
    match is_new || is_late {
        true => Ok(false),
        false => session.cycle_id().await.map(|()| true),
    }
}

/// Renews the token of a session that its user has only read, if it is due, or else extends the
/// session; whether that has moved its deadline.
///
/// It is no reason to refuse what the handler has done if that fails: the client keeps its token.
async fn renew_or_touch(session: &session_core::Session) -> bool {
    match session.renew_if_due().await {
        Ok(false) => touch(session).await,
        renewed => done_or_warned(renewed, "a session could not be renewed"),
    }
}

async fn touch(session: &session_core::Session) -> bool {
    let before = session.expires_in();
    let touched = session.touch().await;
    let touched = touched.map(|()| session.expires_in() > before);
    done_or_warned(touched, "a session could not be extended")
}

/// Whether something was done that the next request can do as well.
fn done_or_warned(done: Result<bool>, warning: &str) -> bool {
    done.unwrap_or_else(|error| {
        // That a session has ended is nothing to warn of.
        if error.kind() != ErrorKind::Gone {
            tracing::warn!(%error, "{warning}");
        }
        false
    })
}

/// The headers for a session in a store.
fn token_headers(handle: &Inner, opened: &Opened, written: Written) -> Result<NewHeaders> {
    let (config, session) = (&handle.config, &opened.session);
    let Some(token) = session.token() else {
        // A cookie is removed only if this request itself has ended its session. The client may
        // have a newer one by now if another has, or if it has presented a replaced token.
        let ended = opened.token.is_some() && session.is_new();
        return if ended {
            end(handle)
        } else {
            Ok(NewHeaders::new())
        };
    };
    if written.keeps_previous_cookie {
        return Ok(NewHeaders::new());
    }
    let lifetime = session.lifetime();
    let max_age = config.max_age(session, session.expires_in());
    let rolls = match config.rolling {
        Rolling::Always => true,
        Rolling::WithDeadline => written.has_moved && max_age.is_some(),
        Rolling::Never => false,
    };
    let is_new = opened.token.as_ref() != Some(&token);
    let is_other = lifetime != opened.lifetime || session.persistent() != opened.persistent;
    let is_stale = is_other || rolls;
    // The token in the cookie of the app before this one, which may be planted, is never sent on;
    // and one that another request may just be renewing is not sent over the new one.
    let is_sendable = !handle.presented().is_previous_app && !session.is_renewal_near();
    let is_told = is_new || (is_stale && is_sendable);
    if !is_told {
        return Ok(NewHeaders::new());
    }
    let cookie = &config.set_cookie;
    let value = config.format.write(cookie.name(handle.secure), &token);
    let header = |value: &str| {
        HeaderValue::try_from(value).map_err(|_| Error::misconfigured("a token is header text"))
    };
    let mut new_headers = vec![match &config.transport {
        Transport::Cookie => (SET_COOKIE, cookie.header(&value, handle.secure, max_age)?),
        Transport::Bearer => (X_SESSION, header(&value)?),
        Transport::Header(name) => (name.clone(), header(&value)?),
    }];
    new_headers.extend(removal_of_previous_cookie(handle)?);
    Ok(new_headers)
}

/// The headers for a session in the cookie.
fn cookie_change_headers(handle: &Inner, opened: &Opened, change: Change) -> Result<NewHeaders> {
    let config = &handle.config;
    match change {
        Change::Value(value, left) => {
            let max_age = config.max_age(&opened.session, left);
            set_in_cookie(handle, &value, max_age)
        }
        Change::Ended if !handle.presented().is_nothing() => end(handle),
        Change::Ended => Ok(NewHeaders::new()),
    }
}

/// The cookie that holds a session, and the one that holds its signature if there is such a one.
fn set_in_cookie(handle: &Inner, value: &str, max_age: Option<Duration>) -> Result<NewHeaders> {
    let (cookie, secure) = (&handle.config.set_cookie, handle.secure);
    let signature_name = match &handle.config.backing {
        Backing::Cookie(_, codec) => codec.signature_name(),
        Backing::Store(_) => None,
    };
    let Some(signature_name) = signature_name else {
        return Ok(vec![(SET_COOKIE, cookie.header(value, secure, max_age)?)]);
    };
    let (value, signature) = value.split_once(SIGNATURE_SEPARATOR).unwrap_or((value, ""));
    let signature = cookie.header_named(&signature_name, signature, secure, max_age)?;
    let value = cookie.header(value, secure, max_age)?;
    Ok(vec![(SET_COOKIE, value), (SET_COOKIE, signature)])
}

/// The headers that make the client forget its token.
fn end(handle: &Inner) -> Result<NewHeaders> {
    let mut new_headers = match &handle.config.transport {
        Transport::Cookie => set_in_cookie(handle, "", Some(Duration::ZERO))?,
        Transport::Bearer => vec![(X_SESSION, HeaderValue::from_static(""))],
        Transport::Header(name) => vec![(name.clone(), HeaderValue::from_static(""))],
    };
    new_headers.extend(removal_of_previous_cookie(handle)?);
    Ok(new_headers)
}

/// The header that makes the client forget the cookie of the app that this one follows.
#[cfg(feature = "express")]
fn removal_of_previous_cookie(handle: &Inner) -> Result<Option<(HeaderName, HeaderValue)>> {
    let Some(previous_app) = &handle.config.previous_app else {
        return Ok(None);
    };
    if !handle.presented().is_previous_app {
        return Ok(None);
    }
    let ended = (previous_app.set_cookie).header("", handle.secure, Some(Duration::ZERO))?;
    Ok(Some((SET_COOKIE, ended)))
}

#[cfg(not(feature = "express"))]
fn removal_of_previous_cookie(_: &Inner) -> Result<Option<(HeaderName, HeaderValue)>> {
    Ok(None)
}

/// Names the scheme to sign in by, where HTTP has one, in a refusal of the session's (RFC 9110
/// §15.5.2, RFC 6750 §3).
pub(crate) fn add_challenge<B>(transport: &Transport, response: &mut Response<B>) {
    let is_refusal = response.status() == StatusCode::UNAUTHORIZED
        && response.extensions().get::<Error>().is_some();
    if is_refusal && *transport == Transport::Bearer {
        let challenge = HeaderValue::from_static("Bearer");
        let headers = response.headers_mut();
        headers.entry(WWW_AUTHENTICATE).or_insert(challenge);
    }
}

/// Says that the response depends on the session.
fn add_vary(headers: &mut HeaderMap, transport: &Transport) {
    let name = match transport {
        Transport::Cookie => COOKIE,
        Transport::Bearer => AUTHORIZATION,
        Transport::Header(name) => name.clone(),
    };
    let lists = |value: &HeaderValue| {
        let mut names = value.to_str().unwrap_or_default().split(',');
        names
            .any(|listed| listed.trim().eq_ignore_ascii_case(name.as_str()) || listed.trim() == "*")
    };
    if !headers.get_all(VARY).iter().any(lists) {
        headers.append(VARY, HeaderValue::from(name));
    }
}
