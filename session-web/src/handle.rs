//! One request's session: opened when a handler asks for it, and not before.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use http::request::Parts;
use session_core::{Error, Lifetime, Result, SessionToken, Unreadable};
use tokio::sync::OnceCell;

use crate::config::{Backing, Config, OnFailure};
use crate::cookie_store::CookieStore;
use crate::presented::{Credentials, Presented, Received, Unread};
use crate::{plain_http, request};

/// One request's session. The layer puts it into the request's extensions; axum's extractors take
/// it from there, and other frameworks can.
///
/// Clones are the same session.
#[derive(Clone)]
pub struct SessionHandle(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Arc<Config>,
    received: Received,
    /// What was received, once it is read: not before somebody asks for the session.
    presented: OnceLock<Presented>,
    pub(crate) secure: bool,
    /// The host of a request by plain http, whose browser drops a `Secure` cookie.
    plain_host: Option<HeaderValue>,
    is_served: bool,
    /// Whether a handler has asked for the session, got or not.
    is_asked: AtomicBool,
    pub(crate) opened: OnceCell<Opened>,
    /// Whether the response's headers are made, so that the client can be told nothing any more.
    is_answered: AtomicBool,
    outer: Option<SessionHandle>,
}

/// A session that a handler has asked for.
pub(crate) struct Opened {
    pub(crate) session: session_core::Session,
    /// The token that the request has presented, if that has opened the session.
    pub(crate) token: Option<SessionToken>,
    pub(crate) lifetime: Lifetime,
    /// Its [`binding`](session_core::Session::binding) when it was opened, if that was by the cookie
    /// of an app that this one follows.
    pub(crate) former_binding: Option<String>,
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
        let plain_host = match secure && !is_https {
            true => plain_http::host(parts),
            false => None,
        };
        Self(Arc::new(Inner {
            received: Received::new(&config, parts),
            presented: OnceLock::new(),
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
    /// Once the response has begun (in a stream, a socket, a spawned task), or there will be none
    /// because the inner service has failed or the client has gone away, nothing saves by itself, and
    /// what the client would have to be told is [`ErrorKind::TooLate`](session_core::ErrorKind::TooLate).
    ///
    /// # Errors
    /// The store's; [`ErrorKind::Misconfigured`] if the request's path is not below the cookie's.
    pub async fn session(&self) -> Result<session_core::Session> {
        self.0.is_asked.store(true, Relaxed);
        let opened = self.0.opened.get_or_try_init(|| self.0.open()).await?;
        if self.0.is_answered.load(SeqCst) {
            opened.close_after_writes().await;
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
    /// What the client has presented.
    pub(crate) fn presented(&self) -> &Presented {
        self.presented
            .get_or_init(|| self.received.read(&self.config, self.secure))
    }

    /// The host of a request whose browser drops the cookie that it is sent.
    pub(crate) fn plain_host(&self) -> Option<&HeaderValue> {
        let host = self.plain_host.as_ref()?;
        // A browser that has brought a cookie keeps it.
        let presented = self.presented();
        let brought_none = presented.is_nothing() && presented.unreadable.is_empty();
        brought_none.then_some(host)
    }

    /// The headers of the response are made, or there will be no response.
    pub(crate) fn answered(&self) {
        self.is_answered.store(true, SeqCst);
        if let Some(opened) = self.opened.get() {
            opened.close();
        }
    }

    /// The headers of the response are made of no session: whoever asks for it from now on can't have
    /// the client told. Gives the session that another task has opened just before.
    pub(crate) fn answered_unopened(&self) -> Option<&Opened> {
        self.is_answered.store(true, SeqCst);
        self.opened.get()
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
        for unread in &self.presented().unreadable {
            unread.report(self.config.backing.rules());
        }
        match &self.config.backing {
            Backing::Store(sessions) => {
                let Credentials::Tokens(tokens) = &self.presented().credentials else {
                    return Ok(Opened::new(sessions.start(), None, None));
                };
                let (session, token) = sessions.open_first(tokens).await?;
                let binding = self
                    .presented()
                    .is_former
                    .then(|| session.binding())
                    .flatten();
                let mut opened = Opened::new(session, token.as_ref(), None);
                opened.former_binding = binding;
                Ok(opened)
            }
            Backing::Cookie(rules, closer) => {
                let token = closer.new_token();
                let values: &[String] = match &self.presented().credentials {
                    Credentials::Values(values) => values,
                    _ => &[],
                };
                let name = self.config.set_cookie.name(self.secure);
                let store = CookieStore::new(closer.clone(), name.to_owned(), values, &token);
                if store.has_unreadable() {
                    let mut unread = Unread::new(name, Unreadable::UnknownSecret);
                    unread.is_beside = store.is_readable();
                    unread.report(rules);
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
        if !self.is_served || self.is_asked.load(Relaxed) || self.presented().is_nothing() {
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
    /// Refuses from now on what its client would have to be told. A write that another task has under
    /// way is done before, so that what the session says of its token then is what to tell.
    pub(crate) async fn close_after_writes(&self) {
        match self.in_cookie {
            Some(_) => self.session.forbid_change_after_writes().await,
            None => self.session.forbid_new_token_after_writes().await,
        }
    }

    /// The same, without waiting: for a response that is told nothing any more.
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
            former_binding: None,
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

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionHandle")
            .field("cookie", &self.0.config.cookie.name)
            .field("opened", &self.0.opened.initialized())
            .finish_non_exhaustive()
    }
}
