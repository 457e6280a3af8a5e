//! How long a session lives: idle and absolute limits, and what is left of them.

use std::fmt;
use std::time::Duration;

use crate::{Error, Result};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is asked for: a limit in time, or none. A type apart from [`Ttl`], what is left: a limit is
/// set and stored, what is left is measured, and neither may be taken for the other. `Never` is
/// greater than every duration, so the earlier of two limits is `a.min(b)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timeout {
    /// After this long. Stores count whole milliseconds; a fraction of one is cut off, so that a
    /// session never outlives its limit.
    After(Duration),
    /// No limit.
    Never,
}

impl Timeout {
    /// The limit as a duration, `None` for [`Never`](Self::Never).
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::After(duration) => Some(duration),
            Self::Never => None,
        }
    }

    /// The limit in whole milliseconds, `None` for [`Never`](Self::Never).
    #[must_use]
    pub fn millis(self) -> Option<u64> {
        self.duration()
            .map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// The same without a fraction of a millisecond.
    #[must_use]
    pub const fn whole_millis(self) -> Self {
        match self {
            Self::After(limit) => {
                let fraction = limit.subsec_nanos() % 1_000_000;
                Self::After(limit.saturating_sub(Duration::from_nanos(fraction as u64)))
            }
            Self::Never => Self::Never,
        }
    }

    /// The limit of so many milliseconds; `None` is [`Never`](Self::Never).
    #[must_use]
    pub fn from_millis(millis: Option<u64>) -> Self {
        millis.map_or(Self::Never, |millis| {
            Self::After(Duration::from_millis(millis))
        })
    }
}

impl From<Duration> for Timeout {
    fn from(duration: Duration) -> Self {
        Self::After(duration)
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(duration) => write!(f, "{duration:?}"),
            Self::Never => f.write_str("never"),
        }
    }
}

/// What is left of a session's life, by the store's clock, when it was read. See [`Timeout`] for
/// why it is a type of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ttl {
    /// The session ends after this long unless it is used, and at the latest then if its absolute
    /// limit is what is left.
    Left(Duration),
    /// The session has no deadline.
    Never,
}

impl Ttl {
    /// The time left, `None` for [`Never`](Self::Never).
    #[must_use]
    pub const fn left(self) -> Option<Duration> {
        match self {
            Self::Left(duration) => Some(duration),
            Self::Never => None,
        }
    }
}

impl From<Timeout> for Ttl {
    fn from(timeout: Timeout) -> Self {
        timeout.duration().map_or(Self::Never, Self::Left)
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left(duration) => write!(f, "{duration:?}"),
            Self::Never => f.write_str("never"),
        }
    }
}

/// How long one session lives. Every session has its own, so "remember me" is one call.
///
/// A session ends at the earlier of two deadlines: `idle` after its last use (a save or a touch)
/// and `absolute` after it began (or after its owner last signed in, see
/// [`Anchor`](crate::Anchor)). The store checks both on every read.
///
/// The default is 30 minutes idle, 12 hours absolute: the limits of NIST SP 800-63B AAL2 in its
/// third revision and of OWASP ASVS 4.0.3 level 2.
///
/// ```
/// use std::time::Duration;
/// use session_core::{Lifetime, Timeout};
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// let remembered = Lifetime::new(14 * DAY, 90 * DAY);          // 14 days unused, 90 days in all
/// let while_in_use = Lifetime::idle(DAY);                      // as long as it is used once a day
/// assert_eq!(while_in_use.absolute, Timeout::Never);
/// assert!(remembered.idle > Lifetime::default().idle);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetime {
    /// How long the session lives unused.
    pub idle: Timeout,
    /// How long the session may live at all.
    pub absolute: Timeout,
}

impl Lifetime {
    /// The longest finite limit: 400 days, which is also the longest `Max-Age` that browsers keep
    /// (RFC 6265bis §5.5).
    pub const MAX: Duration = Duration::from_secs(400 * 24 * 60 * 60);
    /// The shortest limit: stores count whole milliseconds.
    pub const MIN: Duration = Duration::from_millis(1);

    /// A lifetime of at most `idle` unused and at most `absolute` in all.
    pub fn new(idle: impl Into<Timeout>, absolute: impl Into<Timeout>) -> Self {
        Self {
            idle: idle.into(),
            absolute: absolute.into(),
        }
    }

    /// The same, with limits of whole milliseconds.
    #[must_use]
    pub const fn whole_millis(self) -> Self {
        Self {
            idle: self.idle.whole_millis(),
            absolute: self.absolute.whole_millis(),
        }
    }

    /// A lifetime limited only by disuse.
    pub fn idle(idle: impl Into<Timeout>) -> Self {
        Self::new(idle, Timeout::Never)
    }

    /// A lifetime that use does not extend: both limits are `duration`.
    #[must_use]
    pub fn fixed(duration: Duration) -> Self {
        Self::new(duration, duration)
    }

    /// The limits of NIST SP 800-63B-4 §2.1.3 for authenticator assurance level 1: 30 days in all.
    #[must_use]
    pub fn aal1() -> Self {
        Self::new(Timeout::Never, 30 * DAY)
    }

    /// The limits of NIST SP 800-63B-4 §2.2.3 for level 2: an hour idle, 24 hours in all.
    #[must_use]
    pub fn aal2() -> Self {
        Self::new(HOUR, DAY)
    }

    /// The limits of NIST SP 800-63B-4 §2.3.3 for level 3: 15 minutes idle, 12 hours in all.
    #[must_use]
    pub fn aal3() -> Self {
        Self::new(HOUR / 4, 12 * HOUR)
    }

    /// What is left, just after it was used, to a session that began `age` ago.
    #[must_use]
    pub fn left_after_use(&self, age: Duration) -> Ttl {
        let absolute = match self.absolute {
            Timeout::After(limit) => Timeout::After(limit.saturating_sub(age)),
            Timeout::Never => Timeout::Never,
        };
        self.idle.min(absolute).into()
    }

    /// Checks both limits against [`MIN`](Self::MIN), `max` and each other.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidLifetime`](crate::ErrorKind::InvalidLifetime), which names the limit and
    /// its value.
    pub fn check(&self, max: Duration) -> Result<()> {
        for (limit, timeout) in [("idle", self.idle), ("absolute", self.absolute)] {
            if let Timeout::After(value) = timeout {
                if value < Self::MIN {
                    return Err(Error::lifetime(limit, timeout, "is under 1 ms"));
                }
                if value > max {
                    let rule = format!("is over the limit of {max:?}");
                    return Err(Error::lifetime(limit, timeout, rule));
                }
            }
        }
        if self.idle > self.absolute && self.idle != Timeout::Never {
            let rule = format!("is longer than the absolute limit of {}", self.absolute);
            return Err(Error::lifetime("idle", self.idle, rule));
        }
        Ok(())
    }
}

impl Default for Lifetime {
    fn default() -> Self {
        Self::new(
            Duration::from_secs(30 * 60),
            Duration::from_secs(12 * 60 * 60),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn never_is_later_than_every_deadline() {
        assert!(Timeout::Never > Timeout::After(Duration::MAX));
        assert_eq!(
            Timeout::Never.min(SECOND.into()),
            Timeout::After(SECOND),
            "the earlier of the two"
        );
        assert!(Ttl::Never > Ttl::Left(Duration::MAX));
    }

    #[test]
    fn wrong_lifetimes_name_the_limit_and_the_value() {
        let day = Duration::from_secs(86_400);
        for (lifetime, says) in [
            (Lifetime::new(Duration::ZERO, SECOND), "idle"),
            (Lifetime::new(SECOND, Duration::ZERO), "absolute"),
            (Lifetime::new(Duration::from_micros(999), SECOND), "999µs"),
            (Lifetime::new(SECOND, 401 * day), "34646400s"),
            (
                Lifetime::new(2 * SECOND, SECOND),
                "longer than the absolute",
            ),
        ] {
            let error = lifetime.check(Lifetime::MAX).expect_err("must be refused");
            assert!(error.to_string().contains(says), "{error} names {says}");
        }
    }

    #[test]
    fn presets_are_nists() {
        let minutes = |timeout: Timeout| timeout.duration().map(|limit| limit.as_secs() / 60);
        for (lifetime, idle, absolute) in [
            (Lifetime::aal1(), None, 30 * 24 * 60),
            (Lifetime::aal2(), Some(60), 24 * 60),
            (Lifetime::aal3(), Some(15), 12 * 60),
            (Lifetime::default(), Some(30), 12 * 60),
        ] {
            lifetime.check(Lifetime::MAX).expect("allowed");
            assert_eq!(minutes(lifetime.idle), idle);
            assert_eq!(minutes(lifetime.absolute), Some(absolute));
        }
    }

    #[test]
    fn good_lifetimes_pass() {
        for lifetime in [
            Lifetime::default(),
            Lifetime::fixed(SECOND),
            Lifetime::idle(SECOND),
            Lifetime::new(Timeout::Never, Timeout::Never),
            Lifetime::new(Timeout::Never, SECOND),
            Lifetime::new(Lifetime::MIN, Lifetime::MAX),
        ] {
            lifetime.check(Lifetime::MAX).expect("allowed");
        }
    }
}
