//! One request's session: opened when a handler asks for it, and not before.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use session_core::{Error, Lifetime, Result, SessionToken, Unreadable};
use tokio::sync::OnceCell;

use crate::config::{Backing, Config, OnFailure, Transport};
use crate::cookie_header;
use crate::cookie_store::CookieStore;
use crate::format::MOST_TOKENS;
use crate::sealed::{BETWEEN, Closer};
use crate::{plain_http, request};

/// One request's session. The layer puts it into the request's extensions; axum's extractors take
/// it from there, and other frameworks can.
///
/// Clones are the same session.
#[derive(Clone)]
pub struct SessionHandle(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Arc<Config>,
    pub(crate) presented: Presented,
    /// Whether that came in the cookie of an app that this one follows.
    pub(crate) is_former: bool,
    pub(crate) secure: bool,
    /// The host of a request whose browser drops a `Secure` cookie.
    pub(crate) plain_host: Option<HeaderValue>,
    is_served: bool,
    /// Whether a handler has asked for the session, got or not.
    is_asked: AtomicBool,
    pub(crate) opened: OnceCell<Opened>,
    /// Whether the response's headers are made, so that the client can be told nothing any more.
    is_answered: AtomicBool,
    outer: Option<SessionHandle>,
}

/// What the client has presented.
pub(crate) enum Presented {
    /// Nothing that could be a session's.
    Nothing,
    /// A cookie, or a header, of this name that can't be read.
    Unreadable(String, Unreadable),
    /// Well-formed tokens, signed if tokens are: one, unless there are several cookies.
    Tokens(Vec<SessionToken>),
    /// Cookies whose values may be sessions.
    Values(Vec<String>),
}

/// A session that a handler has asked for.
pub(crate) struct Opened {
    pub(crate) session: session_core::Session,
    /// The token that the request has presented, if that has opened the session.
    pub(crate) token: Option<SessionToken>,
    pub(crate) lifetime: Lifetime,
    /// The store of a session in the cookie.
    pub(crate) in_cookie: Option<Arc<CookieStore>>,
}

impl SessionHandle {
    pub(crate) fn new(config: Arc<Config>, parts: &Parts) -> Self {
        let is_https = request::is_https(parts, &config.proxy, config.proxy_header);
        let secure = config.secure.applies(is_https);
        if !is_https && request::lacks_peer(parts, &config.proxy) {
            config.plain_http.warn_of_missing_peer();
        }
        let mut presented = presented(&config, parts, secure);
        let mut is_former = false;
        if let Presented::Nothing | Presented::Unreadable(..) = presented
            && let Some(former) = former(&config, parts)
        {
            is_former = matches!(former, Presented::Tokens(_));
            presented = former;
        }
        let plain_host = match presented {
            Presented::Nothing if secure && !is_https => plain_http::host(parts),
            // The browser keeps the cookie.
            _ => None,
        };
        Self(Arc::new(Inner {
            presented,
            is_former,
            secure,
            plain_host,
            is_served: config.serves(path(parts)),
            is_asked: AtomicBool::new(false),
            config,
            opened: OnceCell::new(),
            is_answered: AtomicBool::new(false),
            outer: parts.extensions.get().cloned(),
        }))
    }

    /// The session: loaded at the first call, one round trip, and the same one from then on. If
    /// the client has presented nothing, or what it has presented opens nothing, a new one.
    ///
    /// A request whose token was replaced a moment ago by a sign-in, or was used before (see
    /// [`OnReuse`](session_core::OnReuse)), gets an empty session that can't be saved
    /// ([`is_gone`](session_core::Session::is_gone)), and its response sets no cookie unless the
    /// handler signs in.
    ///
    /// Once the response has begun (in a stream, a socket, a spawned task) nothing saves by itself,
    /// and what the client would have to be told is
    /// [`Error::TooLate`](session_core::Error::TooLate).
    ///
    /// # Errors
    /// The store's; [`Error::Misconfigured`] if the request's path is not below the cookie's.
    pub async fn session(&self) -> Result<session_core::Session> {
        self.0.is_asked.store(true, Relaxed);
        let opened = self.0.opened.get_or_try_init(|| self.0.open()).await?;
        if self.0.is_answered.load(SeqCst) {
            opened.close();
        }
        Ok(opened.session.clone())
    }

    /// The handle of the layer whose cookie has this name, where layers are nested: this one or
    /// one further out. The name is the one given to the layer, without a prefix.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Self> {
        if self.0.config.cookie.name == name {
            return Some(self);
        }
        self.0.outer.as_ref()?.named(name)
    }
}

impl Inner {
    /// The headers of the response are made.
    pub(crate) fn answered(&self) {
        self.is_answered.store(true, SeqCst);
        if let Some(opened) = self.opened.get() {
            opened.close();
        }
    }

    async fn open(&self) -> Result<Opened> {
        if !self.is_served {
            let served = self.config.served_path.as_ref();
            return Err(Error::misconfigured(format!(
                "this request's path is not below {:?}, where browsers send the session cookie: move the \
                 handler, or change `path`; if a proxy strips the beginning of the path, say below which \
                 path requests arrive here with `serves_below(\"/\")`",
                served.unwrap_or(&self.config.cookie.path)
            )));
        }
        match self.load().await {
            Err(error) if self.config.on_failure == OnFailure::Anonymous => {
                tracing::error!(%error, "a session could not be loaded; the request goes on without");
                let session = self.config.backing.rules().start();
                Ok(Opened::new(session, None, None))
            }
            loaded => loaded,
        }
    }

    async fn load(&self) -> Result<Opened> {
        if let Presented::Unreadable(name, why) = &self.presented {
            self.config.backing.rules().report_unreadable(name, *why);
        }
        match &self.config.backing {
            Backing::Store(sessions) => {
                let Presented::Tokens(tokens) = &self.presented else {
                    return Ok(Opened::new(sessions.start(), None, None));
                };
                let (session, token) = sessions.open_first(tokens).await?;
                Ok(Opened::new(session, token, None))
            }
            Backing::Cookie(rules, closer) => {
                let token = closer.new_token();
                let values: &[String] = match &self.presented {
                    Presented::Values(values) => values,
                    _ => &[],
                };
                let name = self.config.cookie.name(self.secure);
                let store = CookieStore::new(closer.clone(), name.clone(), values, &token);
                if !store.is_readable() {
                    rules.report_unreadable(&name, Unreadable::UnknownSecret);
                }
                // A visitor who has presented no such cookie has presented no unknown token either.
                let presented = (store.is_readable() && !values.is_empty()).then_some(&token);
                let store = Arc::new(store);
                let sessions = rules.with_store(Arc::clone(&store) as Arc<_>);
                let session = sessions.open(presented).await?;
                Ok(Opened::new(session, presented, Some(store)))
            }
        }
    }

    /// The session of a request whose handler did not ask for it, if it has one.
    pub(crate) async fn open_unasked(&self) -> Option<&Opened> {
        let is_presented = matches!(self.presented, Presented::Tokens(_) | Presented::Values(_));
        if !is_presented || !self.is_served || self.is_asked.load(Relaxed) {
            return None;
        }
        let opened = self.opened.get_or_try_init(|| self.load()).await;
        let opened = opened.inspect_err(|error| {
            tracing::warn!(%error, "a session could not be extended");
        });
        opened.ok().filter(|opened| opened.token.is_some())
    }
}

impl Opened {
    /// Refuses from now on what its client would have to be told.
    fn close(&self) {
        match self.in_cookie {
            Some(_) => self.session.forbid_change(),
            None => self.session.forbid_new_token(),
        }
    }

    fn new(
        session: session_core::Session,
        presented: Option<&SessionToken>,
        in_cookie: Option<Arc<CookieStore>>,
    ) -> Self {
        Self {
            lifetime: session.lifetime(),
            token: presented.filter(|_| session.id().is_some()).cloned(),
            session,
            in_cookie,
        }
    }
}

/// The path that the browser has asked for: within a router that is nested in another, the request
/// has only the rest of it.
fn path(parts: &Parts) -> &str {
    #[cfg(feature = "axum")]
    if let Some(original) = parts.extensions.get::<axum::extract::OriginalUri>() {
        return original.0.path();
    }
    parts.uri.path()
}

fn presented(config: &Config, parts: &Parts, secure: bool) -> Presented {
    let (headers, name) = (&parts.headers, config.cookie.name(secure));
    if let Backing::Cookie(_, closer) = &config.backing {
        return in_cookies(closer, headers, &name);
    }
    let header = |name: &HeaderName| parts.headers.get(name);
    let (name, text) = match &config.transport {
        Transport::Cookie => {
            return match config.format.find(headers, &name) {
                Ok(tokens) if tokens.is_empty() => Presented::Nothing,
                Ok(tokens) => Presented::Tokens(tokens),
                Err(why) => Presented::Unreadable(name, why),
            };
        }
        Transport::Bearer => (&AUTHORIZATION, header(&AUTHORIZATION).and_then(bearer)),
        Transport::Header(name) => (name, header(name).map(HeaderValue::as_bytes)),
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Presented::Nothing;
    };
    let text = std::str::from_utf8(text).ok();
    // A signature is for the cookie's name, whatever carries it.
    let token = text.and_then(|text| config.format.read(&config.cookie.name(secure), text));
    token.map_or_else(
        || Presented::Unreadable(name.to_string(), config.format.unreadable()),
        |token| Presented::Tokens(vec![token]),
    )
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
fn in_cookies(closer: &Closer, headers: &HeaderMap, name: &str) -> Presented {
    let values: Vec<String> = if closer.is_plain() {
        let signature = closer.signature_name();
        let signed = |value: &str| match &signature {
            Some(name) => {
                let signature = cookie_header::first(headers, name).unwrap_or_default();
                format!("{value}{BETWEEN}{signature}")
            }
            None => value.to_owned(),
        };
        cookie_header::first(headers, name)
            .map(signed)
            .into_iter()
            .collect()
    } else {
        let texts = cookie_header::texts(headers, name).take(MOST_TOKENS);
        texts.map(str::to_owned).collect()
    };
    if values.is_empty() && cookie_header::values(headers, name).any(|value| !value.is_empty()) {
        return Presented::Unreadable(name.to_owned(), Unreadable::UnknownSecret);
    }
    match values.is_empty() {
        true => Presented::Nothing,
        false => Presented::Values(values),
    }
}

/// What the cookie of the app that this one follows presents, if there is one.
#[cfg(feature = "express")]
fn former(config: &Config, parts: &Parts) -> Option<Presented> {
    let former = config.former.as_ref()?;
    let name = former.express().cookie_name();
    let cookie = cookie_header::first(&parts.headers, name)?;
    Some(match former.read(cookie) {
        Some(token) => Presented::Tokens(vec![token]),
        None => Presented::Unreadable(name.to_owned(), Unreadable::UnknownSecret),
    })
}

#[cfg(not(feature = "express"))]
fn former(_: &Config, _: &Parts) -> Option<Presented> {
    None
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionHandle")
            .field("cookie", &self.0.config.cookie.name)
            .field("opened", &self.0.opened.initialized())
            .finish_non_exhaustive()
    }
}
