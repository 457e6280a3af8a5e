//! Sessions shared with an Express app: what the layer takes over from it.

use std::sync::Arc;

use session_core::{Result, Sessions};
use session_express::{Priority as TheirPriority, SameSite as TheirSameSite};

use crate::config::{Persistence, Rolling};
use crate::cookie::{CookieTemplate, NamePrefix, Priority, SameSite};
use crate::format::TokenFormat;
use crate::layer::{CookieOnlyBuilder, Kind, SessionLayer, SessionLayerBuilder};
use crate::request::Secure;

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
    /// store on the way. `docs/express.md` is the guide.
    ///
    /// # Errors
    /// [`Error::InvalidLifetime`](session_core::Error::InvalidLifetime) for a `max_age` or `ttl`
    /// that is over the limit.
    pub fn express_compatible(store: impl ExpressLayout) -> Result<SessionLayerBuilder> {
        let (express, lifetime) = (store.express().clone(), store.lifetime());
        let sessions = Sessions::builder(Arc::new(store)).lifetime(lifetime);
        Ok(Self::builder(sessions.build()?).express(&express))
    }

    /// Shares sessions in cookies with an Express app: those of [`CookieSession`], or the old one of
    /// [`ConnectSess`]. Their values can be read by whoever holds them, and nothing in them says
    /// when they end: [`lifetime`](CookieOnlyBuilder::lifetime), by default without limits, is what
    /// the browser is told. A session in them can have no owner.
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

impl SessionLayerBuilder {
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
        self.config.format = TokenFormat::Express(Box::new(express.clone()));
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
    /// on to this library's own cookie without logging anybody out. The response then brings the
    /// new cookie and ends the old one; a session whose id the app made in a way of its own gets a
    /// new one.
    ///
    /// The store must have the sessions already, see [`MovingStore`](session_express::MovingStore).
    pub fn accept_express(mut self, express: &Express) -> Self {
        self.config.former = Some(Arc::new(express.clone()));
        self
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
