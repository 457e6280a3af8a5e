//! One request's session: opened when a handler asks for it, and not before.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, OnceLock};

use http::request::Parts;
use http::{HeaderValue, Uri};
use session_core::{
    Error, Lifetime, RequestSession, Result, Session, SessionHandle, SessionToken, Unreadable,
    async_trait,
};
use tokio::sync::OnceCell;

use crate::config::{Backing, Config, OnFailure};
use crate::cookie_store::CookieStore;
use crate::presented::{Credentials, Presented, Received, Unread};
use crate::{plain_http, request};

/// One request's session, around which the layer puts a [`SessionHandle`] into the request.
pub(crate) struct Inner {
    pub(crate) config: Arc<Config>,
    received: Received,
    /// What was received, once it is read: not before the session is asked for.
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
    /// How far a test's clock is ahead of the system's, for a session in the cookie.
    millis_ahead: u64,
    outer: Option<SessionHandle>,
}

/// A session that a handler has asked for.
pub(crate) struct Opened {
    pub(crate) session: Session,
    /// The token that the request has presented, if that has opened the session.
    pub(crate) token: Option<SessionToken>,
    pub(crate) lifetime: Lifetime,
    /// Whether it said then that its cookie outlives the browser.
    pub(crate) persistent: Option<bool>,
    /// Its [`binding`](session_core::Session::binding) when it was opened, if that was by the
    /// cookie of an app that this one follows.
    pub(crate) previous_binding: Option<String>,
    /// The store of a session in the cookie.
    pub(crate) in_cookie: Option<Arc<CookieStore>>,
}

impl Inner {
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
        Self {
            received: Received::new(&config, parts),
            presented: OnceLock::new(),
            secure,
            plain_host,
            is_served: config.serves(path(parts)),
            is_asked: AtomicBool::new(false),
            config,
            opened: OnceCell::new(),
            is_answered: AtomicBool::new(false),
            millis_ahead: millis_ahead(parts),
            outer: parts.extensions.get().cloned(),
        }
    }

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

    pub(crate) const fn has_outer(&self) -> bool {
        self.outer.is_some()
    }

    /// The headers of the response are made, or there will be no response.
    pub(crate) fn answered(&self) {
        self.is_answered.store(true, SeqCst);
        if let Some(opened) = self.opened.get() {
            opened.close();
        }
    }

    /// The headers of the response are made of no session: a task that asks for it from now on
    /// can't have the client told. Gives the session that another task has opened just before.
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
                    .is_previous_app
                    .then(|| session.binding())
                    .flatten();
                let mut opened = Opened::new(session, token.as_ref(), None);
                opened.previous_binding = binding;
                Ok(opened)
            }
            Backing::Cookie(rules, codec) => {
                let token = codec.new_token();
                let values: &[String] = match &self.presented().credentials {
                    Credentials::Values(values) => values,
                    _ => &[],
                };
                let name = self.config.set_cookie.name(self.secure);
                let ahead = self.millis_ahead;
                let store = CookieStore::new(codec.clone(), name.to_owned(), values, &token, ahead);
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

#[async_trait]
impl RequestSession for Inner {
    async fn session(&self) -> Result<Session> {
        self.is_asked.store(true, Relaxed);
        let opened = self.opened.get_or_try_init(|| self.open()).await?;
        if self.is_answered.load(SeqCst) {
            opened.close_after_writes().await;
        }
        Ok(opened.session.clone())
    }

    fn name(&self) -> &str {
        &self.config.cookie.name
    }

    fn outer(&self) -> Option<&SessionHandle> {
        self.outer.as_ref()
    }

    fn is_ambient(&self) -> bool {
        self.is_served && self.config.is_ambient()
    }
}

impl Opened {
    /// Refuses from now on what its client would have to be told. A write that another task has
    /// under way is done before, so that what the session says of its token then is what to tell.
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
        session: Session,
        presented: Option<&SessionToken>,
        in_cookie: Option<Arc<CookieStore>>,
    ) -> Self {
        Self {
            lifetime: session.lifetime(),
            persistent: session.persistent(),
            token: presented.filter(|_| session.id().is_some()).cloned(),
            session,
            previous_binding: None,
            in_cookie,
        }
    }
}

#[cfg(feature = "testing")]
fn millis_ahead(parts: &Parts) -> u64 {
    crate::testing::millis_ahead(parts)
}

#[cfg(not(feature = "testing"))]
const fn millis_ahead(_: &Parts) -> u64 {
    0
}

/// The path that the browser has asked for.
fn path(parts: &Parts) -> &str {
    original_uri(parts).path()
}

/// What the browser has asked for: within a router that is nested in another, the request has only
/// the rest of the path.
pub(crate) fn original_uri(parts: &Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(original) = parts.extensions.get::<axum::extract::OriginalUri>() {
        return &original.0;
    }
    &parts.uri
}
