//! What a request has brought: kept as it came, and read when the session is asked for.

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use session_core::{SessionToken, Sessions, Unreadable};

use crate::config::{Backing, Config, Transport};
use crate::cookie_header;
use crate::sealed::{CookieCodec, SIGNATURE_SEPARATOR};

/// The headers that may hold something of the layer's.
pub(crate) struct Received {
    /// The lines of `Cookie`.
    cookies: Vec<HeaderValue>,
    /// The header of a layer that takes tokens from another.
    field: Option<HeaderValue>,
}

/// What the client has presented.
pub(crate) struct Presented {
    pub(crate) credentials: Credentials,
    /// What was presented besides and can't be read.
    pub(crate) unreadable: Vec<Unread>,
    /// Whether the credentials came in the cookie of an app that this one follows.
    pub(crate) is_previous_app: bool,
}

/// What may open a session.
pub(crate) enum Credentials {
    /// Nothing that could be a session's.
    Nothing,
    /// Well-formed tokens, signed if tokens are: one, unless there are several cookies.
    Tokens(Vec<SessionToken>),
    /// Cookies whose values may be sessions.
    Values(Vec<String>),
}

/// A cookie, or a header, of this name that can't be read.
pub(crate) struct Unread {
    name: String,
    why: Unreadable,
    /// Whether there is another one of the same name that can.
    pub(crate) is_beside: bool,
}

impl Received {
    pub(crate) fn new(config: &Config, parts: &Parts) -> Self {
        let header = |name: &HeaderName| parts.headers.get(name).cloned();
        let field = match &config.transport {
            Transport::Cookie => None,
            Transport::Bearer => header(&AUTHORIZATION),
            Transport::Header(name) => header(name),
        };
        let needs_cookies = config.transport == Transport::Cookie || config.has_previous_app();
        let cookies = needs_cookies.then(|| parts.headers.get_all(COOKIE).into_iter().cloned());
        Self {
            cookies: cookies.into_iter().flatten().collect(),
            field,
        }
    }

    /// What the client has presented.
    pub(crate) fn read(&self, config: &Config, secure: bool) -> Presented {
        let (credentials, unread) = read(self, config, secure);
        let mut presented = Presented {
            credentials,
            unreadable: Vec::from_iter(unread),
            is_previous_app: false,
        };
        if presented.is_nothing() {
            let (credentials, unread) = previous_app(self, config);
            presented.is_previous_app = matches!(credentials, Credentials::Tokens(_));
            presented.credentials = credentials;
            presented.unreadable.extend(unread);
        }
        presented
    }
}

impl Presented {
    /// Whether there is nothing that could open a session.
    pub(crate) const fn is_nothing(&self) -> bool {
        matches!(self.credentials, Credentials::Nothing)
    }
}

impl Unread {
    pub(crate) fn new(name: impl Into<String>, why: Unreadable) -> Self {
        Self {
            name: name.into(),
            why,
            is_beside: false,
        }
    }

    pub(crate) fn report(&self, rules: &Sessions) {
        match self.is_beside {
            true => rules.report_unreadable_beside(&self.name, self.why),
            false => rules.report_unreadable(&self.name, self.why),
        }
    }
}

fn read(received: &Received, config: &Config, secure: bool) -> (Credentials, Option<Unread>) {
    let (cookies, name) = (&received.cookies[..], config.set_cookie.name(secure));
    if let Backing::Cookie(_, codec) = &config.backing {
        return in_cookies(codec, cookies, name);
    }
    let field = received.field.as_ref();
    let (header, text) = match &config.transport {
        Transport::Cookie => {
            let (tokens, unreadable) = config.format.find(cookies, name);
            let is_beside = !tokens.is_empty();
            let unread = unreadable.map(|why| Unread {
                name: name.to_owned(),
                why,
                is_beside,
            });
            return match is_beside {
                true => (Credentials::Tokens(tokens), unread),
                false => (Credentials::Nothing, unread),
            };
        }
        Transport::Bearer => (&AUTHORIZATION, field.and_then(bearer)),
        Transport::Header(header) => (header, field.map(HeaderValue::as_bytes)),
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return (Credentials::Nothing, None);
    };
    let text = std::str::from_utf8(text).ok();
    // A signature is for the cookie's name, whatever carries it.
    let token = text.and_then(|text| config.format.read(name, text));
    match token {
        Some(token) => (Credentials::Tokens(vec![token]), None),
        None => {
            let unread = Unread::new(header.as_str(), config.format.unreadable());
            (Credentials::Nothing, Some(unread))
        }
    }
}

/// What a header of the scheme `Bearer` presents.
fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let bytes = header.as_bytes();
    let (scheme, text) = bytes.split_at_checked("bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| text.trim_ascii())
}

/// The cookies that may be sessions. Those of Express' packages have a second one, which signs the
/// first of that name.
fn in_cookies(
    codec: &CookieCodec,
    cookies: &[HeaderValue],
    name: &str,
) -> (Credentials, Option<Unread>) {
    let mut sent = cookie_header::values(cookies, name).filter(|value| !value.is_empty());
    let values: Vec<String> = if codec.is_plain() {
        let signature = codec.signature_name();
        let signed = |value: &str| match &signature {
            Some(name) => {
                let signature = cookie_header::first(cookies, name).unwrap_or_default();
                format!("{value}{SIGNATURE_SEPARATOR}{signature}")
            }
            None => value.to_owned(),
        };
        cookie_header::first(cookies, name)
            .map(signed)
            .into_iter()
            .collect()
    } else {
        // What is no text opens nothing, as it is and as it is here.
        let text = |value| String::from_utf8_lossy(value).into_owned();
        sent.by_ref().map(text).collect()
    };
    if values.is_empty() {
        let unread = || Unread::new(name, Unreadable::UnknownSecret);
        return (Credentials::Nothing, sent.next().map(|_| unread()));
    }
    (Credentials::Values(values), None)
}

/// What the cookie of the app that this one follows presents, if there is one.
#[cfg(feature = "express")]
fn previous_app(received: &Received, config: &Config) -> (Credentials, Option<Unread>) {
    let Some(previous_app) = config.previous_app.as_ref() else {
        return (Credentials::Nothing, None);
    };
    let name = previous_app.tokens.express().cookie_name();
    let Some(cookie) = cookie_header::first(&received.cookies, name) else {
        return (Credentials::Nothing, None);
    };
    match previous_app.tokens.read(cookie) {
        Some(token) => (Credentials::Tokens(vec![token]), None),
        None => {
            let unread = Unread::new(name, Unreadable::UnknownSecret);
            (Credentials::Nothing, Some(unread))
        }
    }
}

#[cfg(not(feature = "express"))]
fn previous_app(_: &Received, _: &Config) -> (Credentials, Option<Unread>) {
    (Credentials::Nothing, None)
}
