//! Sessions shared with an Express app: what the layer takes over from it.

use std::sync::Arc;

use session_core::{Result, SessionToken, Sessions};
use session_express::{Priority as TheirPriority, SameSite as TheirSameSite};

use crate::config::{Persistence, Rolling};
use crate::cookie::{CookieTemplate, NamePrefix, Priority, SameSite};
use crate::cookie_only::{CookieOnlyBuilder, Kind};
use crate::format::TokenFormat;
use crate::layer::{SessionLayer, SessionLayerBuilder};
use crate::request::Secure;
use crate::set_cookie::SetCookie;

pub use crate::express_cookies::ExpressCookies;
pub use session_express::{
    ConnectSess, CookieSession, Express, ExpressLayout, ExpressStore, KeygripHash, MovingStore,
};

impl SessionLayer {
    /// Shares sessions with an Express app: the cookie is its cookie, `store` has its records.
    ///
    /// ```no_run
    /// # async fn example() -> session_core::Result<()> {
    /// use session_redis::express::ExpressStore;
    /// use session_web::SessionLayer;
    /// use session_web::express::Express;
    ///
    /// // session({ secret: 'keyboard cat', store: new RedisStore({ client }) })
    /// let express = Express::new("keyboard cat");
    /// let store = ExpressStore::builder(express).connect("redis://127.0.0.1/").await?;
    /// let layer = SessionLayer::express_compatible(store)?.build()?;
    /// # Ok(()) }
    /// ```
    ///
    /// With a [`MovingStore`](session_express::MovingStore) around it, sessions move to a native
    /// store on the way. [docs/express.md][manual] is the guide.
    ///
    #[doc = concat!("[manual]: ", env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/express.md")]
    ///
    /// # Errors
    /// [`ErrorKind::InvalidLifetime`](session_core::ErrorKind::InvalidLifetime) for a `max_age` or
    /// `ttl` that is over the limit.
    pub fn express_compatible(store: impl ExpressLayout) -> Result<SessionLayerBuilder> {
        let (express, lifetime) = (store.express().clone(), store.lifetime());
        let sessions = Sessions::builder(store).lifetime(lifetime);
        Ok(Self::builder(sessions.build()?).express(&express))
    }

    /// Shares sessions in cookies with an Express app: those of [`CookieSession`], or the old one
    /// of [`ConnectSess`]. A client that has such a cookie can read its values, and nothing in them
    /// says when they end: [`lifetime`](CookieOnlyBuilder::lifetime), by default without limits, is
    /// what the browser is told. A session in them can have no owner.
    ///
    /// ```
    /// # fn example() -> session_core::Result<()> {
    /// use session_web::SessionLayer;
    /// use session_web::express::CookieSession;
    ///
    /// // cookieSession({ keys: ['new', 'old'] })
    /// let cookies = CookieSession::new("new").with_previous("old");
    /// let layer = SessionLayer::express_cookie_only(cookies).build()?;
    /// # Ok(()) }
    /// ```
    pub fn express_cookie_only(cookies: impl Into<ExpressCookies>) -> CookieOnlyBuilder {
        CookieOnlyBuilder::new(Kind::Express(cookies.into()))
    }
}

impl<E> SessionLayerBuilder<E> {
    /// Speaks the cookie of an Express app: its name, signature and attributes, and when it is
    /// sent. For a [`Sessions`] with rules of its own, which should have the
    /// [`lifetime`](ExpressLayout::lifetime) of its store; otherwise
    /// [`SessionLayer::express_compatible`] does all of it.
    ///
    /// What Express says by `Expires` is said by `Max-Age` here, and a cookie of no `sameSite` has
    /// `SameSite=Lax`, which browsers take that for.
    pub fn express(mut self, express: &Express) -> Self {
        let cookie = express.cookie();
        self.config.cookie = CookieTemplate::of_express(express);
        let tokens = ExpressTokens::new(express.clone(), self.config.backing.rules());
        self.config.format = TokenFormat::Express(Box::new(tokens));
        self.secure(match cookie.secure {
            true => Secure::Always,
            false => Secure::AsRequest,
        })
        .persistence(match cookie.max_age {
            Some(_) => Persistence::Always,
            None => Persistence::Remembered,
        })
        .rolling(match express.is_rolling() {
            true => Rolling::Always,
            false => Rolling::WithDeadline,
        })
    }

    /// Takes the cookie of an Express app too, where a request has none of this layer's: for moving
    /// on to this library's own cookie without logging users out. The response then brings the
    /// new cookie and ends the old one.
    ///
    /// The new cookie always has a new token. Requests that bring the Express cookie within a
    /// minute (the [grace](session_core::SessionsBuilder::grace)) of the first one get the same new
    /// cookie. If no client has presented that by then, the next request with the Express cookie
    /// gets another one, by which the one before opens nothing. The Express cookie opens nothing
    /// from then on, or once a grace has passed since the new one was first presented. If the token
    /// in the Express cookie is one of this library's, only one request gets a new cookie. Others
    /// that come at the same time, and those that are late for a second new cookie, get an empty
    /// session that can't be saved, for a grace. One write, once for each session.
    ///
    /// **What a planted cookie is worth:** an attacker who plants an Express cookie on a visitor,
    /// and presents it within a minute before or after the visitor's first request with it, can get
    /// the visitor's new cookie, and shares that guest's session until it gets a token of a new
    /// lineage ([`sign_in`](session_core::Session::sign_in),
    /// [`cycle_id`](session_core::Session::cycle_id)). Earlier or later, the cookie gives the
    /// attacker nothing of the visitor's.
    ///
    /// The store must have the sessions already, see [`MovingStore`](session_express::MovingStore).
    pub fn accept_express(mut self, express: &Express) -> Self {
        let tokens = ExpressTokens::new(express.clone(), self.config.backing.rules());
        let set_cookie = SetCookie::new(&CookieTemplate::of_express(express));
        self.config.previous_app = Some(Arc::new(PreviousApp { tokens, set_cookie }));
        self
    }
}

/// The Express app that a layer takes over from.
#[derive(Clone, Debug)]
pub(crate) struct PreviousApp {
    pub(crate) tokens: ExpressTokens,
    /// Its cookie, to be ended.
    pub(crate) set_cookie: SetCookie,
}

/// The tokens in the cookies of an Express app, for sessions in one store.
#[derive(Clone, Debug)]
pub(crate) struct ExpressTokens {
    express: Express,
    /// Whether the store files sessions under those very texts.
    is_plain: bool,
}

impl ExpressTokens {
    fn new(express: Express, sessions: &Sessions) -> Self {
        let is_plain = sessions.store().capabilities().plain_ids;
        Self { express, is_plain }
    }

    /// Refuses what can't be right.
    pub(crate) fn check(&self) -> Result<()> {
        self.express.check()
    }

    /// The app.
    pub(crate) fn express(&self) -> &Express {
        &self.express
    }

    /// The cookie's value for this token.
    pub(crate) fn write(&self, token: &SessionToken) -> String {
        self.express.write_cookie(token)
    }

    /// The token in a cookie's value, if the app has signed it.
    pub(crate) fn read(&self, value: &str) -> Option<SessionToken> {
        let text = self.express.read_cookie(value)?;
        match self.is_plain {
            true => SessionToken::plain(&text),
            false => SessionToken::parse(&text).or_else(|| SessionToken::foreign(&text)),
        }
    }
}

impl CookieTemplate {
    /// The cookie of an Express app.
    pub(crate) fn of_express(express: &Express) -> Self {
        let cookie = express.cookie();
        let domain = cookie.domain.as_deref();
        Self {
            name: express.cookie_name().to_owned(),
            prefix: NamePrefix::None,
            path: cookie.path.clone(),
            domain: domain.map(|domain| domain.trim_start_matches('.').to_owned()),
            http_only: cookie.http_only,
            same_site: cookie.same_site.map_or(SameSite::Lax, SameSite::from),
            partitioned: cookie.partitioned,
            priority: cookie.priority.map(Priority::from),
        }
    }
}

impl From<TheirSameSite> for SameSite {
    fn from(theirs: TheirSameSite) -> Self {
        match theirs {
            TheirSameSite::Strict => Self::Strict,
            TheirSameSite::Lax => Self::Lax,
            TheirSameSite::None => Self::None,
        }
    }
}

impl From<TheirPriority> for Priority {
    fn from(theirs: TheirPriority) -> Self {
        match theirs {
            TheirPriority::Low => Self::Low,
            TheirPriority::Medium => Self::Medium,
            TheirPriority::High => Self::High,
        }
    }
}
