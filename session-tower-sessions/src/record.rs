//! Durations and dates: tower-sessions says when a session ends, our stores how long it lives.

use std::time::Duration;

use session_core::{Lifetime, Timeout, Ttl};
use time::{OffsetDateTime, PrimitiveDateTime};

/// The lifetime of a session that ends at `expiry`, by this server's clock; `None` if that is over.
///
/// The store ends it by its own clock, that long after the write. The absolute limit is
/// tower-sessions' own matter: each of its writes says the date anew.
pub(crate) fn lifetime_until(expiry: OffsetDateTime, now: OffsetDateTime) -> Option<Lifetime> {
    let left = Duration::try_from(expiry - now).ok()?;
    if left.is_zero() {
        return None;
    }
    let left = left.clamp(Lifetime::MIN, Lifetime::MAX);
    Some(Lifetime::new(left, Timeout::Never))
}

/// When a session ends that has this long left.
pub(crate) fn expiry_after(ttl: Ttl, now: OffsetDateTime) -> OffsetDateTime {
    let left = ttl
        .left()
        .and_then(|left| time::Duration::try_from(left).ok());
    let end = left.and_then(|left| now.checked_add(left));
    end.unwrap_or(PrimitiveDateTime::MAX.assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_becomes_a_lifetime_and_a_date_again() {
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        let hour = Duration::from_secs(3_600);
        for (left, lifetime) in [
            (time::Duration::HOUR, Some(hour)),
            (time::Duration::NANOSECOND, Some(Lifetime::MIN)),
            (time::Duration::ZERO, None),
            (-time::Duration::HOUR, None),
            (time::Duration::days(40_000), Some(Lifetime::MAX)),
        ] {
            let expected = lifetime.map(|idle| Lifetime::new(idle, Timeout::Never));
            assert_eq!(lifetime_until(now + left, now), expected, "{left}");
        }
        let in_an_hour = now + time::Duration::HOUR;
        assert_eq!(expiry_after(Ttl::Left(hour), now), in_an_hour);
        let never = expiry_after(Ttl::Never, now);
        assert_eq!(never.year(), 9_999);
        assert_eq!(expiry_after(Ttl::Left(Duration::MAX), now), never);
    }
}
