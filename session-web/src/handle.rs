//! One request's session: opened when a handler asks for it, and not before.

use std::fmt;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request::Parts;
use session_core::{Error, Lifetime, Result, SessionToken};
use tokio::sync::OnceCell;

use crate::config::{Backing, Config, OnFailure, Transport};
use crate::cookie;
use crate::cookie_store::CookieStore;
use crate::request::Channel;
use crate::sealed::BETWEEN;

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
    covered: bool,
    pub(crate) opened: OnceCell<Opened>,
    outer: Option<SessionHandle>,
}

/// What the client has presented.
pub(crate) enum Presented {
    /// Nothing that could be a session's.
    Nothing,
    /// A well-formed token, signed if tokens are.
    Token(SessionToken),
    /// A cookie whose value may be a session.
    Value(String),
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
        let secure = Channel::of(parts, &config.proxy).is_secure(config.secure);
        let mut presented = presented(&config, parts, secure);
        let former = match presented {
            Presented::Nothing => former_token(&config, parts),
            _ => None,
        };
        let is_former = former.is_some();
        if let Some(token) = former {
            presented = Presented::Token(token);
        }
        let covered = config.cookie.covers(path(parts));
        Self(Arc::new(Inner {
            config,
            presented,
            is_former,
            secure,
            covered,
            opened: OnceCell::new(),
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
    /// # Errors
    /// The store's; [`Error::Misconfigured`] if the request's path is not below the cookie's.
    pub async fn session(&self) -> Result<session_core::Session> {
        let opened = self.0.opened.get_or_try_init(|| self.0.open()).await?;
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
    async fn open(&self) -> Result<Opened> {
        if !self.covered {
            return Err(Error::misconfigured(format!(
                "this request's path is not below the session cookie's path {:?}",
                self.config.cookie.path
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
        match &self.config.backing {
            Backing::Store(sessions) => {
                let Presented::Token(token) = &self.presented else {
                    return Ok(Opened::new(sessions.start(), None, None));
                };
                let session = sessions.open(Some(token)).await?;
                Ok(Opened::new(session, Some(token), None))
            }
            Backing::Cookie(rules, closer) => {
                let token = closer.new_token();
                let value = match &self.presented {
                    Presented::Value(value) => Some(value.as_str()),
                    _ => None,
                };
                let name = self.config.cookie.name(self.secure);
                let store = Arc::new(CookieStore::new(closer.clone(), name, value, &token));
                let sessions = rules.with_store(Arc::clone(&store) as Arc<_>);
                // A visitor who has presented no cookie has presented no unknown token either.
                let presented = value.is_some().then_some(&token);
                let session = sessions.open(presented).await?;
                Ok(Opened::new(session, presented, Some(store)))
            }
        }
    }
}

impl Opened {
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
    let name = config.cookie.name(secure);
    let cookies = |name| cookie::values(&parts.headers, name).filter(|value| !value.is_empty());
    if let Backing::Cookie(_, closer) = &config.backing {
        let Some(value) = cookies(&name).next() else {
            return Presented::Nothing;
        };
        return Presented::Value(match closer.signature_name() {
            Some(name) => {
                let signature = cookies(&name).next().unwrap_or_default();
                format!("{value}{BETWEEN}{signature}")
            }
            None => value.to_owned(),
        });
    }
    let token = |text: &str| config.format.read(&name, text);
    let header = |name| parts.headers.get(name)?.to_str().ok();
    let found = match &config.transport {
        Transport::Cookie => config.format.find(&name, cookies(&name)),
        Transport::Bearer => header(&AUTHORIZATION)
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .and_then(|(_, text)| token(text.trim())),
        Transport::Header(name) => header(name).and_then(token),
    };
    found.map_or(Presented::Nothing, Presented::Token)
}

/// The token in the cookie of the app that this one follows.
#[cfg(feature = "express")]
fn former_token(config: &Config, parts: &Parts) -> Option<SessionToken> {
    let former = config.former.as_ref()?;
    let name = former.express().cookie_name();
    former.read(cookie::values(&parts.headers, name).next()?)
}

#[cfg(not(feature = "express"))]
fn former_token(_: &Config, _: &Parts) -> Option<SessionToken> {
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
