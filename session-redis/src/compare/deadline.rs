//! When a session that is written now ends, and when its key expires.

use std::time::Duration;

use redis::Cmd;
use session_core::Lifetime;

use crate::clock::Reading;
use crate::record::millis;

/// When a session ends, by its value and by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline {
    /// The deadline in the value, 0 for never. Never later than the server's time at the write and
    /// the limit: it counts from the earliest time that the write may have.
    pub(super) at: u64,
    pub(super) expiry: Expiry,
}

/// The expiry of a key. Redis keeps a key through the whole millisecond of its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    Never,
    /// So many milliseconds after the write, by the server's own clock.
    After(u64),
    /// At this time.
    At(u64),
    /// The key is removed: the server takes an expiry that has passed for a deletion.
    Passed,
}

impl Deadline {
    /// The deadline of a session that began at `born` and is used `now`, by a write that the server
    /// executes within `time_limit`.
    pub(super) fn of(lifetime: Lifetime, born: u64, now: Reading, time_limit: Duration) -> Self {
        let (earliest, latest) = (now.earliest(), now.latest());
        Self::between(
            lifetime,
            born,
            earliest,
            latest.saturating_add(whole(time_limit)),
        )
    }

    /// The same for a write that the server executes between `earliest` and `latest`.
    fn between(lifetime: Lifetime, born: u64, earliest: u64, latest: u64) -> Self {
        let (idle, absolute) = (millis(lifetime.idle), millis(lifetime.absolute));
        let (unused, in_all) = (after(earliest, idle), after(born, absolute));
        let at = earlier(unused, in_all);
        let is_idle_limit = idle > 1 && (in_all == 0 || in_all > after(latest, idle));
        let expiry = match at {
            0 => Expiry::Never,
            at if at <= earliest => Expiry::Passed,
            _ if is_idle_limit => Expiry::After(idle.unsigned_abs() - 1),
            at => Expiry::At(at - 1),
        };
        Self { at, expiry }
    }
}

impl Expiry {
    /// Adds the options of `SET`.
    pub(super) fn add_to(self, set: &mut Cmd) {
        match self {
            Self::Never => {}
            Self::After(millis) => {
                set.arg("PX").arg(millis);
            }
            Self::At(millis) => {
                set.arg("PXAT").arg(millis);
            }
            Self::Passed => {
                set.arg("PXAT").arg(1);
            }
        }
    }
}

/// The time `limit` after `start`. A limit of 0 is none, one below 0 is over already.
pub(super) fn after(start: u64, limit: i64) -> u64 {
    match limit {
        0 => 0,
        limit => start.saturating_add_signed(limit),
    }
}

/// The earlier of two times, of which 0 is never.
pub(super) fn earlier(a: u64, b: u64) -> u64 {
    match (a, b) {
        (0, other) | (other, 0) => other,
        (a, b) => a.min(b),
    }
}

fn whole(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use session_core::Timeout;

    use super::*;

    const NOW: u64 = 1_000_000;
    const LATEST: u64 = NOW + 5_002;

    fn deadline(idle: Option<u64>, absolute: Option<u64>, born: u64) -> (u64, Expiry) {
        let limit = Timeout::from_millis;
        let lifetime = Lifetime::new(limit(idle), limit(absolute));
        let Deadline { at, expiry } = Deadline::between(lifetime, born, NOW, LATEST);
        (at, expiry)
    }

    #[test]
    fn the_server_counts_the_idle_limit_and_the_value_has_the_earliest_deadline() {
        let far = Some(7_200_000);
        assert_eq!(
            deadline(Some(1_000), None, NOW),
            (NOW + 1_000, Expiry::After(999))
        );
        assert_eq!(
            deadline(Some(1_000), far, NOW),
            (NOW + 1_000, Expiry::After(999))
        );
        assert_eq!(deadline(Some(2), None, NOW), (NOW + 2, Expiry::After(1)));
        assert_eq!(deadline(Some(1), None, NOW), (NOW + 1, Expiry::At(NOW)));
        assert_eq!(deadline(None, None, NOW), (0, Expiry::Never));
    }

    #[test]
    fn a_key_never_outlives_the_absolute_limit() {
        let born = NOW - 10_000;
        for left in [1, 1_000, 1_001, 6_001, 6_002] {
            // A write that takes long must not carry the key past the limit.
            let (at, expiry) = deadline(Some(1_000), Some(10_000 + left), born);
            assert_eq!(at, NOW + left.min(1_000), "{left}");
            assert_eq!(expiry, Expiry::At(at - 1), "{left}");
        }
        let (_, expiry) = deadline(Some(1_000), Some(10_000 + 6_003), born);
        assert_eq!(expiry, Expiry::After(999));
        let only = deadline(None, Some(10_700), born);
        assert_eq!(only, (NOW + 700, Expiry::At(NOW + 699)));
    }

    #[test]
    fn a_session_without_time_left_is_ended() {
        for (idle, absolute) in [(Some(0), None), (Some(5), Some(10_000)), (None, Some(3))] {
            let (_, expiry) = deadline(idle, absolute, NOW - 10_000);
            assert_eq!(expiry, Expiry::Passed, "{idle:?} {absolute:?}");
        }
        let mut set = redis::cmd("SET");
        Expiry::Passed.add_to(&mut set);
        assert!(set.get_packed_command().ends_with(b"PXAT\r\n$1\r\n1\r\n"));
    }
}
