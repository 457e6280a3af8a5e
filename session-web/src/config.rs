//! What a layer was told.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use session_core::{Lifetime, Session, Sessions, Ttl};

use crate::cookie::{CookieTemplate, is_below};
use crate::format::TokenFormat;
use crate::plain_http::PlainHttp;
use crate::request::{Proxy, ProxyHeader, Secure};
use crate::sealed::CookieCodec;
use crate::set_cookie::SetCookie;

/// Where sessions are kept.
#[derive(Clone, Debug)]
pub(crate) enum Backing {
    /// In a store; the client holds a token.
    Store(Sessions),
    /// In the cookie. The manager holds the rules; its store is replaced for each request.
    Cookie(Sessions, CookieCodec),
}

impl Backing {
    pub(crate) fn rules(&self) -> &Sessions {
        match self {
            Self::Store(sessions) | Self::Cookie(sessions, _) => sessions,
        }
    }

    /// Takes other rules, for the same store.
    pub(crate) fn set_rules(&mut self, rules: Sessions) {
        match self {
            Self::Store(sessions) => *sessions = rules,
            Self::Cookie(sessions, codec) => {
                codec.set_lifetime(rules.lifetime());
                *sessions = rules;
            }
        }
    }
}

/// How the client presents its token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// In a cookie.
    #[default]
    Cookie,
    /// In the header `Authorization: Bearer …` (RFC 6750); a new token is answered in the header
    /// `X-Session`.
    Bearer,
    /// In a header of this name, in both directions. A session that has ended is answered by an
    /// empty one.
    Header(HeaderName),
}

/// Which cookies outlive the browser, if their sessions don't
/// [say so](session_core::Session::set_persistent) themselves. Express: `cookie.maxAge`, which is one
/// for all sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Persistence {
    /// Those of sessions one of whose limits is longer than the layer's ("remember me"): they have a
    /// `Max-Age`, which is what the session has left. The others are gone when the browser closes,
    /// if it does. With the cookie of an Express app, as there, those of sessions whose lifetime is
    /// another than the layer's.
    #[default]
    Remembered,
    /// All.
    Always,
    /// None.
    Never,
}

/// When a cookie that has a `Max-Age` is sent again though nothing else has changed. Express:
/// `rolling`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rolling {
    /// Whenever the session's deadline has moved, so that browser and store agree about it.
    #[default]
    WithDeadline,
    /// With every response to a request that has brought one: Express' `true`. The session of such
    /// a request is loaded and extended even if its handler does not ask for it (one round trip,
    /// and another where [`touch_after`](session_core::SessionsBuilder::touch_after) says so), and
    /// the response must not be cached, so keep static files outside of the layer. If that fails,
    /// the response goes out without. Within a grace of its renewal a token is not sent again.
    Always,
    /// Never: Express' `false`. The browser drops it while the session lives on.
    Never,
}

/// What becomes of a request whose session can't be loaded or saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// It is refused: 503 if the store is unavailable or others were faster at every attempt, 409
    /// if the session has ended or another request has signed in with it meanwhile, 413 if it is too
    /// large, 500 otherwise, also if the outcome of the save is unknown. The handler's response is
    /// discarded.
    #[default]
    Refuse,
    /// If it can't be loaded, it is refused; if it can't be saved, that is logged, and the client
    /// is told of success.
    LogSaves,
    /// If it can't be loaded, the handler gets a new, empty session; if it can't be saved, that is
    /// logged.
    Anonymous,
}

/// All settings of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) backing: Backing,
    pub(crate) transport: Transport,
    pub(crate) cookie: CookieTemplate,
    /// The cookie as it is written, once the layer is built.
    pub(crate) set_cookie: SetCookie,
    pub(crate) secure: Secure,
    pub(crate) proxy: Proxy,
    pub(crate) proxy_header: ProxyHeader,
    pub(crate) plain_http: Arc<PlainHttp>,
    /// Below which path requests arrive, if that is not the cookie's.
    pub(crate) served_path: Option<String>,
    pub(crate) format: TokenFormat,
    /// The Express app whose cookie is taken where a request has none of ours.
    #[cfg(feature = "express")]
    pub(crate) previous_app: Option<Arc<crate::express::PreviousApp>>,
    pub(crate) persistence: Persistence,
    pub(crate) rolling: Rolling,
    pub(crate) save_uninitialized: bool,
    pub(crate) on_failure: OnFailure,
}

impl Config {
    /// Whether the cookie of another app is taken too.
    pub(crate) const fn has_previous_app(&self) -> bool {
        #[cfg(feature = "express")]
        return self.previous_app.is_some();
        #[cfg(not(feature = "express"))]
        false
    }

    /// The `Max-Age` of the cookie of a session that has this much left.
    pub(crate) fn max_age(&self, session: &Session, left: Ttl) -> Option<Duration> {
        let persists = session
            .persistent()
            .unwrap_or_else(|| match self.persistence {
                Persistence::Remembered => self.is_remembered(session.lifetime()),
                Persistence::Always => true,
                Persistence::Never => false,
            });
        // At least a second, for zero would remove the cookie.
        let seconds = |left: Duration| left.as_millis().div_ceil(1000).max(1) as u64;
        let left = left.left().unwrap_or(Lifetime::MAX).min(Lifetime::MAX);
        persists.then(|| Duration::from_secs(seconds(left)))
    }

    fn is_remembered(&self, own: Lifetime) -> bool {
        let default = self.backing.rules().lifetime();
        match self.format.is_express() {
            // A `cookie.maxAge` of the session's own, however long.
            true => own != default,
            false => own.idle > default.idle || own.absolute > default.absolute,
        }
    }

    /// Whether browsers send what the client presents by themselves.
    pub(crate) fn is_ambient(&self) -> bool {
        self.transport == Transport::Cookie || self.has_previous_app()
    }

    /// Whether requests of this path have a session: a browser sends the cookie to no others.
    pub(crate) fn serves(&self, path: &str) -> bool {
        let served = self.served_path.as_ref().unwrap_or(&self.cookie.path);
        is_below(served, path)
    }
}
