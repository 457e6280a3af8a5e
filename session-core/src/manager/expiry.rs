//! When one session ends, in other words than its lifetime: at a date, and with the browser.

use std::time::{Duration, SystemTime};

use crate::manager::reserved::PERSISTENT;
use crate::{Error, Lifetime, Result, Session, Timeout, Ttl};

impl Session {
    /// Ends the session `time` from now at the latest, however much it is used: an exam's, a
    /// rental's. Sets the absolute limit to its age and that, and an idle limit that is longer to
    /// the same; saved with the session. It never moves the end to a later time than the absolute
    /// limit has it already: [`set_lifetime`](Self::set_lifetime) does that.
    ///
    /// An application that has a date gives what is left until then:
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use session_core::{Result, Session};
    /// fn begin_exam(session: &Session, closes: SystemTime) -> Result<()> {
    ///     let left = closes.duration_since(SystemTime::now()).unwrap_or_default();
    ///     session.end_in(left.max(Duration::from_secs(1)))
    /// }
    /// ```
    ///
    /// The store's clock counts, from what it has said of the age: the end is early by what a load
    /// takes, and never late. That of a session that is not stored yet counts from its first save.
    /// A [`sign_in`](Self::sign_in) or [`reauthenticated`](Self::reauthenticated) counts the limit
    /// anew, so call this again after one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidLifetime`](crate::ErrorKind::InvalidLifetime) for under 1 ms, or if the
    /// session has no absolute limit, and age and `time` are over
    /// [`Limits::lifetime`](crate::Limits::lifetime) together.
    pub fn end_in(&self, time: Duration) -> Result<()> {
        if time < Lifetime::MIN {
            return Err(Error::lifetime("absolute", time.into(), "is under 1 ms"));
        }
        let now = self.lifetime();
        let absolute = Timeout::After(self.age().saturating_add(time)).min(now.absolute);
        let idle = match now.idle {
            Timeout::After(idle) => Timeout::After(idle).min(absolute),
            Timeout::Never => Timeout::Never,
        };
        self.set_lifetime(Lifetime::new(idle, absolute))
    }

    /// When the session will end if it isn't used again, by this machine's clock: to be shown, and
    /// for nothing else. The store's clock decides, and [`expires_in`](Self::expires_in) is what it
    /// has said. Limits that are not saved yet count if they make the end earlier. `None` for a
    /// session without a deadline.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        let by_limits = self.lifetime().left_after_use(self.age());
        match self.expires_in().min(by_limits) {
            Ttl::Left(left) => SystemTime::now().checked_add(left),
            Ttl::Never => None,
        }
    }

    /// Says whether the client keeps the session's cookie when it closes ("keep me signed in"),
    /// whatever the middleware's own rule is; saved with the session, under the reserved key
    /// `_persistent`. The session's limits are the same either way: a browser that restores its
    /// tabs restores the cookie too. An Express app that shares the session does not read it.
    ///
    /// In the last [grace](crate::SessionsBuilder::grace) before a renewal a middleware does not
    /// send the cookie again: the client is told with the renewed token then.
    ///
    /// # Errors
    /// None: it is plain memory.
    pub fn set_persistent(&self, persistent: bool) -> Result<()> {
        match self.persistent() == Some(persistent) {
            true => Ok(()),
            false => self.insert(PERSISTENT.name, persistent),
        }
    }

    /// What [`set_persistent`](Self::set_persistent) was given; `None` if the middleware's rule
    /// decides.
    #[must_use]
    pub fn persistent(&self) -> Option<bool> {
        self.get(PERSISTENT.name).unwrap_or_default()
    }
}
