//! The rules of [`Sessions`], and which of them make no sense.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Manager, Sessions};
use crate::backoff::Backoff;
use crate::manager::identity::Grace;
use crate::manager::in_doubt::InDoubt;
use crate::manager::observer::Observers;
use crate::manager::watch::{Lease, Watch};
use crate::{Confirmation, Error, Lifetime, Limits, Observer, OnReuse, Result, SessionStore};

/// Sets the rules of [`Sessions`].
#[derive(Clone)]
#[must_use]
pub struct SessionsBuilder {
    store: Arc<dyn SessionStore>,
    lifetime: Lifetime,
    limits: Limits,
    observers: Observers,
    attempts: u32,
    touch_after: Option<Duration>,
    renew_after: Option<Duration>,
    grace: Duration,
    on_reuse: OnReuse,
    lease: Lease,
    confirmation: Confirmation,
}

impl SessionsBuilder {
    pub(super) fn new(store: Arc<dyn SessionStore>) -> Self {
        Self {
            store,
            lifetime: Lifetime::default(),
            limits: Limits::default(),
            observers: Observers::default(),
            attempts: 24,
            touch_after: None,
            renew_after: None,
            grace: Grace::DEFAULT.duration(),
            on_reuse: OnReuse::default(),
            lease: Lease::DEFAULT,
            confirmation: Confirmation::default(),
        }
    }

    /// The rules and observers of another manager.
    pub(super) fn with_rules_of(rules: &Manager, store: Arc<dyn SessionStore>) -> Self {
        Self {
            store,
            lifetime: rules.lifetime,
            limits: rules.limits,
            observers: rules.observers.clone(),
            attempts: rules.attempts,
            touch_after: rules.touch_after,
            renew_after: rules.renew_after,
            grace: rules.grace.duration(),
            on_reuse: rules.on_reuse,
            lease: rules.lease,
            confirmation: rules.confirmation,
        }
    }

    /// The lifetime of sessions that set none of their own. Default: 30 minutes idle, 12 hours
    /// absolute.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// What a session may be at most.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds an observer, which is notified when sessions begin and end.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.add(Arc::new(observer));
        self
    }

    /// Adds an observer that is shared with other managers.
    pub fn shared_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.add(observer);
        self
    }

    /// How often a save is tried while other writers are faster, before
    /// [`ErrorKind::Contention`](crate::ErrorKind::Contention). Default 24: over a second in all,
    /// with growing random pauses.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// A touch is sent only if it moves the deadline by more than this. Default: a twentieth of
    /// each session's idle limit, so that one of 30 minutes is touched every 90 seconds at most.
    /// [`Duration::ZERO`] sends each touch that moves the deadline.
    ///
    /// A session may end that much before its idle limit has passed. At most half of a session's
    /// idle limit counts, so a session that is used more often than every half of it stays alive.
    pub fn touch_after(mut self, after: Duration) -> Self {
        self.touch_after = Some(after);
        self
    }

    /// Renews the token of a signed-in session that a client has had for `after`, by itself (OWASP
    /// Session Management Cheat Sheet, "Renewal Timeout"), at least four [graces](Self::grace).
    /// Default: not.
    ///
    /// The old token opens the session until a client presents the new one, and for the grace from
    /// then on, for requests that were sent before. Later than that it opens nothing, and
    /// observers are notified of its use: see [`on_reuse`](Self::on_reuse). A copy that is used
    /// before that, or never, is not noticed. Guests' tokens are not renewed: an attacker who
    /// planted one on a visitor could end that visitor's session with it.
    ///
    /// A renewal costs two writes, one to renew and one to note the first use of the new token,
    /// each together with what a request has to write anyway or in the place of a touch.
    /// [`cycle_id`](crate::Session::cycle_id) and [`sign_in`](crate::Session::sign_in) have no
    /// grace.
    pub fn renew_after(mut self, after: Duration) -> Self {
        self.renew_after = Some(after);
        self
    }

    /// How long a replaced token is accepted once its successor has been presented: requests and
    /// responses may be delayed by as much. Later use counts as reuse. At least 1 ms, at most 4.6
    /// hours. Default 60 seconds.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What happens when a replaced token is used later than that. Default [`OnReuse::End`].
    pub fn on_reuse(mut self, on_reuse: OnReuse) -> Self {
        self.on_reuse = on_reuse;
        self
    }

    /// What the end of a session must be before [`Session::destroy`](crate::Session::destroy),
    /// [`Sessions::destroy`] and [`Sessions::destroy_owned_by`] succeed. Default
    /// [`Confirmation::Acknowledged`]: what a database answers may still be undone if it then loses
    /// power, or if a replica takes over that lacks it, and a session that was signed out would be
    /// back.
    ///
    /// More costs two round trips or more, and the time that replicas or disks take: the manager
    /// waits for the confirmation, then looks whether a failover has brought the session back, and
    /// ends it again if so. The session is ended in any case; if its end is not confirmed within the
    /// store's time limit the error is
    /// [`ErrorKind::Unconfirmed`](crate::ErrorKind::Unconfirmed), and ending it again asks only for
    /// the confirmation. [`SessionStore::confirm`] at start-up tells whether the server can confirm.
    pub fn confirm_ends(mut self, confirmation: Confirmation) -> Self {
        self.confirmation = confirmation;
        self
    }

    /// How long a stream that is to close [when its session ends](crate::Session::ended) stays open
    /// without the store's word that the session lives. The store is asked each half of it, for all
    /// streams of the manager together. Default 5 seconds, from 100 ms to 24 hours.
    ///
    /// It is the bound for what the store's [notices](crate::SessionStore::notices) miss, and where
    /// there are none: a stream closes at most this long after its session has ended.
    pub fn stream_lease(mut self, lease: Duration) -> Self {
        self.lease.lease = lease;
        self
    }

    /// How much longer such a stream stays open if the store can't be asked. At most 24 hours.
    /// Default zero: the stream then closes as
    /// [`SessionEnd::Unconfirmed`](crate::SessionEnd::Unconfirmed).
    ///
    /// A longer time keeps the streams of live sessions open through an outage of the store, and
    /// also those of sessions that end meanwhile.
    pub fn stream_outage(mut self, outage: Duration) -> Self {
        self.lease.outage = outage;
        self
    }

    /// The manager.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidLifetime`](crate::ErrorKind::InvalidLifetime) or
    /// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) for rules that make no sense.
    pub fn build(self) -> Result<Sessions> {
        self.limits.check_lifetime(&self.lifetime)?;
        self.check_renewal()?;
        if self.attempts == 0 {
            return Err(Error::misconfigured("attempts must be at least 1"));
        }
        self.check_lease()?;
        Ok(self.finish())
    }

    fn check_lease(&self) -> Result<()> {
        let Lease { lease, outage } = self.lease;
        let (min, max) = (Lease::MIN, Lease::MAX);
        if lease < min || lease > max {
            return Err(Error::misconfigured(format!(
                "the stream lease of {lease:?} must be from {min:?} to {max:?}"
            )));
        }
        if outage > max {
            return Err(Error::misconfigured(format!(
                "the stream outage of {outage:?} must be at most {max:?}"
            )));
        }
        Ok(())
    }

    fn check_renewal(&self) -> Result<()> {
        let grace = self.grace;
        if grace < Lifetime::MIN || grace > Grace::MAX {
            let message = format!(
                "the grace of {grace:?} must be from 1 ms to {:?}",
                Grace::MAX
            );
            return Err(Error::misconfigured(message));
        }
        let Some(after) = self.renew_after else {
            return Ok(());
        };
        if after < 4 * grace {
            return Err(Error::misconfigured(format!(
                "renew_after is {after:?}: it must be at least four times the grace of {grace:?}, \
                 or requests that are late are taken for a thief's"
            )));
        }
        if self.store.capabilities().plain_ids {
            return Err(Error::misconfigured(
                "renew_after needs a credential, for which the layout of this store has no room: \
                 leave it out",
            ));
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Sessions {
        Sessions(Arc::new(Manager {
            store: self.store,
            lifetime: self.lifetime,
            limits: self.limits,
            observers: self.observers,
            attempts: self.attempts,
            backoff: Backoff::new(Duration::from_millis(1), Duration::from_millis(64)),
            touch_after: self.touch_after,
            renew_after: self.renew_after,
            grace: Grace::new(self.grace),
            on_reuse: self.on_reuse,
            touching: Mutex::default(),
            lease: self.lease,
            confirmation: self.confirmation,
            watch: Watch::default(),
            in_doubt: InDoubt::default(),
        }))
    }
}

impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("store", &self.store)
            .field("lifetime", &self.lifetime)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
