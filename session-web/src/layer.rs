//! The layer, and its options.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use session_core::{Error, Lifetime, Limits, Observer, Result, Sessions, SessionsBuilder};
use session_sealed::KeyRing;
use tower_layer::Layer;

use crate::config::{Backing, Config, OnFailure, Persistence, Rolling, Transport};
use crate::cookie::{CookieTemplate, NamePrefix, Priority, SameSite};
use crate::cookie_only::{CookieOnlyBuilder, Kind};
use crate::error_pages::{ErrorPages, PlainErrors};
use crate::format::TokenFormat;
use crate::request::{Proxy, ProxyHeader, Secure};
use crate::sealed::Protection;
use crate::service::SessionService;
use crate::set_cookie::SetCookie;
use crate::signature::Signer;

/// Headers that can't carry a token, because servers and clients act on them.
const RESERVED: [&str; 14] = [
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "host",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
];

/// Gives the handlers behind it their session, and saves it before the first byte of the response.
///
/// ```
/// # async fn example() -> session_core::Result<()> {
/// use axum::{Router, routing::get};
/// use session_memory::MemoryStore;
/// use session_web::{Result, Session, SessionLayer};
///
/// async fn hello(session: Session) -> Result<String> {
///     let visits = session.get("visits")?.unwrap_or(0_u32) + 1;
///     session.insert("visits", visits)?;
///     Ok(format!("visit {visits}"))
/// }
///
/// let app: Router = Router::new()
///     .route("/", get(hello))
///     .layer(SessionLayer::new(MemoryStore::new()));
/// # Ok(()) }
/// ```
///
/// A handler that does not ask for its session costs no store traffic, and its response gets no
/// header.
///
/// `E` is what responds to requests that fail, see [`on_error`](SessionLayerBuilder::on_error).
#[derive(Clone, Debug)]
pub struct SessionLayer<E = PlainErrors> {
    pub(crate) config: Arc<Config>,
    pub(crate) errors: E,
}

impl SessionLayer {
    /// Sessions in `store` (or of a [`Sessions`] with rules of its own), with the safe defaults.
    pub fn new(store: impl Into<Sessions>) -> Self {
        let config = Config::new(Backing::Store(store.into()));
        Self {
            config: Arc::new(config),
            errors: PlainErrors,
        }
    }

    /// Sets a layer up for sessions in a store.
    pub fn builder(store: impl Into<Sessions>) -> SessionLayerBuilder {
        SessionLayerBuilder::new(Backing::Store(store.into()))
    }

    /// Sets a layer up for sessions in the cookie itself, encrypted and authenticated by the
    /// secrets of `ring`, without a store.
    ///
    /// Nothing of such a session can be revoked. A copy of the cookie opens the session, as it was
    /// when the copy was made, until its deadline: after a sign-out, after a sign-in (which
    /// replaces the cookie in the browser and does not end the old value), and under "log out
    /// everywhere", which there is none of. Of two requests that change the session at the same
    /// time, one overwrites the other. See [docs/security.md][manual] before choosing this.
    ///
    #[doc = concat!("[manual]: ", env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/security.md")]
    pub fn cookie_only(ring: &KeyRing) -> CookieOnlyBuilder {
        CookieOnlyBuilder::new(Kind::Ring(ring.clone(), Protection::Sealed))
    }
}

impl<S, E: Clone> Layer<S> for SessionLayer<E> {
    type Service = SessionService<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, self.clone())
    }
}

impl Config {
    fn new(backing: Backing) -> Self {
        Self {
            backing,
            transport: Transport::default(),
            set_cookie: SetCookie::new(&CookieTemplate::default()),
            cookie: CookieTemplate::default(),
            secure: Secure::default(),
            proxy: Proxy::default(),
            proxy_header: ProxyHeader::default(),
            plain_http: Arc::default(),
            served_path: None,
            format: TokenFormat::Plain,
            #[cfg(feature = "express")]
            previous_app: None,
            persistence: Persistence::default(),
            rolling: Rolling::default(),
            save_uninitialized: false,
            on_failure: OnFailure::default(),
        }
    }

    fn check(&self) -> Result<()> {
        let (always, never) = (self.secure == Secure::Always, self.secure == Secure::Never);
        self.cookie.check(always, never)?;
        if let Some(path) = &self.served_path
            && !path.starts_with('/')
        {
            return Err(Error::misconfigured(format!(
                "the path {path:?} given to `serves_below` must begin with '/'"
            )));
        }
        self.check_transport()?;
        self.check_express()
    }

    fn check_transport(&self) -> Result<()> {
        let Transport::Header(name) = &self.transport else {
            return Ok(());
        };
        match RESERVED.contains(&name.as_str()) {
            true => Err(Error::misconfigured(format!(
                "the header {name} means something else in HTTP and can't carry a token: choose a name of \
                 your own, such as x-session"
            ))),
            false => Ok(()),
        }
    }

    #[cfg(feature = "express")]
    fn check_express(&self) -> Result<()> {
        if let TokenFormat::Express(tokens) = &self.format {
            tokens.check()?;
        }
        let Some(previous_app) = &self.previous_app else {
            return Ok(());
        };
        previous_app.tokens.check()?;
        let theirs = CookieTemplate::of_express(previous_app.tokens.express());
        theirs.check_texts("Express ")?;
        let ours = SetCookie::new(&self.cookie);
        match [true, false]
            .map(|secure| ours.name(secure))
            .contains(&&*theirs.name)
        {
            true => Err(Error::misconfigured(format!(
                "the cookie {:?} can't be this layer's and the Express app's that `accept_express` ends: \
                 give the layer another name",
                theirs.name
            ))),
            false => Ok(()),
        }
    }

    #[cfg(not(feature = "express"))]
    #[allow(
        clippy::unused_self,
        reason = "there is something to check with the feature"
    )]
    const fn check_express(&self) -> Result<()> {
        Ok(())
    }
}

/// Sets up a [`SessionLayer`].
///
/// | here | Express | default |
/// |---|---|---|
/// | [`name`](Self::name) | `name`, `key` | `id`, shown as `__Host-id` |
/// | [`sign`](Self::sign) | `secret` | not signed: a token has 216 random bits besides its id |
/// | [`transport`](Self::transport) | – | a cookie |
/// | [`proxy`](Self::proxy), [`proxy_header`](Self::proxy_header) | `proxy` | no forwarding header is trusted |
/// | [`rolling`](Self::rolling) | `rolling` | with the deadline |
/// | – | `resave` | never needed: what did not change is not written, and another's change is merged |
/// | [`save_uninitialized`](Self::save_uninitialized) | `saveUninitialized` | no |
/// | `Session::destroy` | `unset: 'destroy'` | a handler says so itself |
/// | – | `genid` | tokens are this library's: no other has a reason to be as good |
/// | [`path`](Self::path) | `cookie.path` | `/` |
/// | [`serves_below`](Self::serves_below) | – | as `path` |
/// | [`domain`](Self::domain) | `cookie.domain` | none: this host only |
/// | [`persistence`](Self::persistence) | `cookie.maxAge`, `cookie.expires` | sessions with a limit longer than the layer's |
/// | [`secure`](Self::secure) | `cookie.secure` | yes |
/// | [`http_only`](Self::http_only) | `cookie.httpOnly` | yes |
/// | [`same_site`](Self::same_site) | `cookie.sameSite` | `Lax` |
/// | [`partitioned`](Self::partitioned) | `cookie.partitioned` | no |
/// | [`priority`](Self::priority) | `cookie.priority` | none |
/// | [`prefix`](Self::prefix) | – | `__Host-` or `__Secure-` |
/// | [`on_failure`](Self::on_failure) | – | refuse |
/// | [`on_error`](Self::on_error) | `next(error)` | a response without a body |
/// | [`lifetime`](Self::lifetime) | `cookie.maxAge`, the store's `ttl` | that of the `Sessions` |
#[derive(Clone, Debug)]
#[must_use]
pub struct SessionLayerBuilder<E = PlainErrors> {
    pub(crate) config: Config,
    errors: E,
    key_ring: Option<KeyRing>,
    /// Other rules than those of the backing.
    rules: Option<SessionsBuilder>,
}

impl SessionLayerBuilder {
    pub(crate) fn new(backing: Backing) -> Self {
        Self {
            config: Config::new(backing),
            errors: PlainErrors,
            key_ring: None,
            rules: None,
        }
    }
}

impl<E> SessionLayerBuilder<E> {
    /// The lifetime of sessions that set none of their own, in the place of what the [`Sessions`]
    /// says that this layer was given. Default: that one's, which is 30 minutes idle and 12 hours
    /// absolute unless it was set. Beside an Express app, leave it as the store's.
    ///
    /// This and the next two methods are for programs that have no [`Sessions`] of their own. One
    /// that opens sessions elsewhere too sets the rules there, once.
    pub fn lifetime(self, lifetime: Lifetime) -> Self {
        self.with_rules(|rules| rules.lifetime(lifetime))
    }

    /// What a session may be at most, in the place of what the [`Sessions`] says.
    pub fn limits(self, limits: Limits) -> Self {
        self.with_rules(|rules| rules.limits(limits))
    }

    /// Adds an observer to those of the [`Sessions`]: it is notified when sessions begin and end.
    pub fn observer(self, observer: impl Observer) -> Self {
        self.with_rules(|rules| rules.observer(observer))
    }

    fn with_rules(mut self, change: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        let rules = self.rules.take();
        let rules = rules.unwrap_or_else(|| self.config.backing.rules().to_builder());
        self.rules = Some(change(rules));
        self
    }

    /// The cookie's name, to which [`prefix`](Self::prefix) adds. Default `id`: a name that tells
    /// nothing (OWASP Session Management Cheat Sheet, "Session ID Name Fingerprinting").
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.cookie.name = name.into();
        self
    }

    /// Whether the name gets `__Host-` or `__Secure-` where the cookie is `Secure`. Default
    /// [`NamePrefix::Auto`].
    pub fn prefix(mut self, prefix: NamePrefix) -> Self {
        self.config.cookie.prefix = prefix;
        self
    }

    /// Signs tokens, so that made-up ones are refused without asking the store. The first secret
    /// signs, all verify. Default: not signed, because a token can't be guessed: it has 216 random
    /// bits besides its id. A signature spares the store the load of one session for each made-up
    /// token.
    pub fn sign(mut self, ring: KeyRing) -> Self {
        self.key_ring = Some(ring);
        self
    }

    /// How the client presents its token. Default: in a cookie.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.config.transport = transport;
        self
    }

    /// Whose word is taken for a request having come by https. Default [`Proxy::None`].
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.config.proxy = proxy;
        self
    }

    /// In which header a trusted proxy says it; all others are ignored. Default
    /// [`ProxyHeader::XForwarded`].
    pub fn proxy_header(mut self, header: ProxyHeader) -> Self {
        self.config.proxy_header = header;
        self
    }

    /// Which cookies outlive the browser. Default [`Persistence::Remembered`].
    pub fn persistence(mut self, persistence: Persistence) -> Self {
        self.config.persistence = persistence;
        self
    }

    /// When a cookie with a `Max-Age` is sent again. Default [`Rolling::WithDeadline`].
    pub fn rolling(mut self, rolling: Rolling) -> Self {
        self.config.rolling = rolling;
        self
    }

    /// Whether a new session is stored though nothing was put into it. Default `false`: a visitor
    /// who leaves nothing costs nothing, and gets no cookie.
    pub fn save_uninitialized(mut self, save: bool) -> Self {
        self.config.save_uninitialized = save;
        self
    }

    /// The path below which browsers send the cookie, and the layer acts unless
    /// [`serves_below`](Self::serves_below) says otherwise. `/foo` covers `/foo/bar` and not
    /// `/foobar`; elsewhere the extractors refuse. Default `/`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.config.cookie.path = path.into();
        self
    }

    /// Below which path requests arrive here, if a proxy strips some of what the browser asks for:
    /// `.path("/app").serves_below("/")` behind a proxy that serves this application at `/app` and
    /// passes `/app/cart` on as `/cart`. Default: what [`path`](Self::path) says.
    pub fn serves_below(mut self, path: impl Into<String>) -> Self {
        self.config.served_path = Some(path.into());
        self
    }

    /// The domain whose hosts all get the cookie. Default: this host alone.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.config.cookie.domain = Some(domain.into());
        self
    }

    /// When the cookie is `Secure`. Default [`Secure::Always`].
    pub fn secure(mut self, secure: Secure) -> Self {
        self.config.secure = secure;
        self
    }

    /// Whether scripts can't read the cookie. Default `true`.
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.config.cookie.http_only = http_only;
        self
    }

    /// Whether other sites' requests carry the cookie. Default [`SameSite::Lax`].
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.config.cookie.same_site = same_site;
        self
    }

    /// Whether the cookie is kept apart for each site that embeds this one (CHIPS). Default
    /// `false`.
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.config.cookie.partitioned = partitioned;
        self
    }

    /// Which cookies Chromium drops first. Default: no word of it.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.config.cookie.priority = Some(priority);
        self
    }

    /// What becomes of a request whose session can't be loaded or saved. Default
    /// [`OnFailure::Refuse`].
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.config.on_failure = on_failure;
        self
    }

    /// Responds with a site's own page to requests that fail because of their session: where it
    /// can't be loaded or saved, and where a handler returns an [`Error`]. Default: a response
    /// without a body, see [`session_core::error_response`].
    ///
    /// ```
    /// # fn example(store: session_memory::MemoryStore) -> session_web::Result<()> {
    /// use axum::response::{Html, IntoResponse};
    /// use session_web::{ErrorKind, SessionLayer};
    ///
    /// let layer = SessionLayer::builder(store)
    ///     .on_error(|error, request| {
    ///         let status = session_core::error_response::<()>(error).status();
    ///         let text = match error.kind() {
    ///             ErrorKind::Gone => "You were signed out meanwhile.",
    ///             _ => "We could not do that. Nothing is wrong with what you did.",
    ///         };
    ///         match request.uri.path().starts_with("/api/") {
    ///             true => status.into_response(),
    ///             false => (status, Html(text)).into_response(),
    ///         }
    ///     })
    ///     .build()?;
    /// # let _: axum::Router = axum::Router::new().layer(layer);
    /// # Ok(()) }
    /// ```
    ///
    /// The function gets the request without its body. Its response gets `Cache-Control: no-store`,
    /// and with a status of 503 the default's `Retry-After`, unless it sets these itself. It takes
    /// the place of each response that has an `Error` in its extensions, unless the function of a
    /// layer further in has made that; headers of middleware in between stay, unless the page sets
    /// them too, or they describe the body. If it is this layer's save that fails, no header from
    /// further in stays, but for what session layers there tell their clients. An error may quote
    /// hosts and keys: don't show it to clients.
    pub fn on_error<F, B>(self, page: F) -> SessionLayerBuilder<ErrorPages<F>>
    where
        F: Fn(&Error, &Parts) -> Response<B> + Send + Sync + 'static,
    {
        SessionLayerBuilder {
            config: self.config,
            errors: ErrorPages::new(page),
            key_ring: self.key_ring,
            rules: self.rules,
        }
    }

    /// The layer.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for options that
    /// contradict each other or the store, or that browsers refuse; it says what to change.
    /// [`ErrorKind::InvalidLifetime`](session_core::ErrorKind::InvalidLifetime) for a
    /// [`lifetime`](Self::lifetime) that makes no sense.
    pub fn build(mut self) -> Result<SessionLayer<E>> {
        if let Some(rules) = self.rules.take() {
            self.config.backing.set_rules(rules.build()?);
        }
        self.config.check()?;
        match &self.config.backing {
            Backing::Cookie(..) => self.check_in_cookie()?,
            Backing::Store(sessions) => {
                if sessions.store().capabilities().plain_ids && !self.config.format.is_express() {
                    return Err(Error::misconfigured(
                        "this store has Express' sessions, which Express' cookie opens: set the \
                         layer up with SessionLayer::express_compatible",
                    ));
                }
            }
        }
        if let Some(ring) = &self.key_ring {
            if self.config.format.is_express() {
                return Err(Error::misconfigured(
                    "Express' cookie is signed with Express' secret: leave `sign` out",
                ));
            }
            self.config.format = TokenFormat::Signed(Signer::new(ring));
        }
        if self.config.secure == Secure::Development {
            tracing::warn!(
                cookie = self.config.cookie.name,
                "session cookies are not Secure on requests by plain http, as Secure::Development says: \
                 not for production"
            );
        }
        self.config.set_cookie = SetCookie::new(&self.config.cookie);
        Ok(SessionLayer {
            config: Arc::new(self.config),
            errors: self.errors,
        })
    }

    fn check_in_cookie(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::misconfigured(message));
        if self.key_ring.is_some() {
            return wrong("a session in the cookie is authenticated already: leave `sign` out");
        }
        if self.config.transport != Transport::Cookie {
            return wrong("a session in the cookie needs the cookie: leave `transport` out");
        }
        Ok(())
    }
}
