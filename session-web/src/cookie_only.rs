//! Setting up a layer whose sessions are kept in the cookie.

use std::sync::Arc;

use session_core::{Lifetime, Limits, Observer, Result, Sessions};
use session_sealed::KeyRing;

use crate::config::Backing;
#[cfg(feature = "express")]
use crate::cookie::NamePrefix;
use crate::cookie_store::CookieStore;
use crate::layer::{SessionLayer, SessionLayerBuilder};
use crate::sealed::{CookieCodec, Protection};

/// Sets up a [`SessionLayer`] for sessions in the cookie: what a [`Sessions`] says of sessions in a
/// store.
#[derive(Clone)]
#[must_use]
pub struct CookieOnlyBuilder {
    kind: Kind,
    lifetime: Lifetime,
    limits: Limits,
    observers: Vec<Arc<dyn Observer>>,
}

/// What makes the cookies.
#[derive(Clone)]
pub(crate) enum Kind {
    Ring(KeyRing, Protection),
    #[cfg(feature = "express")]
    Express(crate::express_cookies::ExpressCookies),
}

impl CookieOnlyBuilder {
    pub(crate) fn new(kind: Kind) -> Self {
        let lifetime = match &kind {
            Kind::Ring(..) => Lifetime::default(),
            #[cfg(feature = "express")]
            Kind::Express(_) => Lifetime::idle(session_core::Timeout::Never),
        };
        Self {
            kind,
            lifetime,
            limits: Limits::default(),
            observers: Vec::new(),
        }
    }

    /// Signs the cookie and does not encrypt it: a client that has it can read it, and not change
    /// it.
    pub fn readable(mut self) -> Self {
        match &mut self.kind {
            Kind::Ring(_, protection) => *protection = Protection::Signed,
            // Theirs are readable anyway.
            #[cfg(feature = "express")]
            Kind::Express(_) => {}
        }
        self
    }

    /// The lifetime of sessions that set none of their own, enforced by this server's clock.
    /// Default: 30 minutes idle, 12 hours absolute.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// What a session may be at most. Whatever this says, the cookie has at most 4,096 bytes.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds an observer, which is notified when sessions begin and end. It is not notified when one
    /// expires, because no server keeps it.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Goes on to the options of the cookie.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidLifetime`](session_core::ErrorKind::InvalidLifetime) for limits that
    /// make no sense.
    pub fn options(self) -> Result<SessionLayerBuilder> {
        let codec = match &self.kind {
            Kind::Ring(ring, protection) => CookieCodec::new(ring, *protection),
            #[cfg(feature = "express")]
            Kind::Express(cookies) => {
                cookies.check()?;
                CookieCodec::Express(cookies.clone(), self.lifetime)
            }
        };
        // It holds the rules only: each request gets a store of its own.
        let store = CookieStore::new(codec.clone(), String::new(), &[], &codec.new_token(), 0);
        let mut rules = Sessions::builder(store)
            .lifetime(self.lifetime)
            .limits(self.limits);
        for observer in self.observers {
            rules = rules.shared_observer(observer);
        }
        let builder = SessionLayerBuilder::new(Backing::Cookie(rules.build()?, codec));
        Ok(match self.kind {
            Kind::Ring(..) => builder,
            #[cfg(feature = "express")]
            Kind::Express(cookies) => builder.name(cookies.name()).prefix(NamePrefix::None),
        })
    }

    /// The layer, with the default options.
    ///
    /// # Errors
    /// As [`options`](Self::options).
    pub fn build(self) -> Result<SessionLayer> {
        self.options()?.build()
    }
}

impl std::fmt::Debug for CookieOnlyBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CookieOnlyBuilder")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}
