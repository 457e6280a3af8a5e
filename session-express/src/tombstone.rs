//! The record that replaces a destroyed session in the native store, so that no request moves it.

use std::time::Duration;

use session_core::{Anchor, Bytes, Draft, Lifetime, Record, Stamp, Timeout};

/// A tombstone's data, which differs from every session's because it is not JSON.
const DATA: &[u8] = b"\0ended";
/// The shortest life of a tombstone, which is longer than any request takes.
const MIN_LIFETIME: Duration = Duration::from_secs(600);

/// Whether `record` is a tombstone.
pub(crate) fn is_tombstone(record: &Record) -> bool {
    record.data == DATA
}

/// The tombstone that the write `stamp` leaves in place of the native record `replaced`. It lives
/// as long as an Express record of the lifetime `express` can, or of the lifetime of `replaced`,
/// counted from now. As a new anchor does, it has the native store tell other processes at once.
pub(crate) fn tombstone(stamp: Stamp, express: Lifetime, replaced: Option<&Record>) -> Draft {
    let limits = replaced.map(|record| record.lifetime);
    let limits = [Some(express), limits].into_iter().flatten();
    let longest = limits.fold(MIN_LIFETIME, |longest, lifetime| {
        longest.max(limit(lifetime))
    });
    let tombstone = Draft::new(Bytes::from_static(DATA), Lifetime::fixed(longest));
    let mut tombstone = tombstone.with_anchor(Anchor::Restart);
    tombstone.stamp = stamp;
    tombstone
}

/// How long an Express record of this lifetime lives unused, at most 400 days.
fn limit(lifetime: Lifetime) -> Duration {
    let limit = lifetime.idle.min(lifetime.absolute);
    let longest = Timeout::After(Lifetime::MAX);
    limit.min(longest).duration().unwrap_or(Lifetime::MAX)
}

#[cfg(test)]
mod tests {
    use session_core::{Ttl, Version};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn record(lifetime: Lifetime) -> Record {
        Record::new(
            Bytes::from_static(b"{}"),
            Version::new(Stamp::generate()),
            lifetime,
            Ttl::Never,
            Duration::ZERO,
        )
    }

    #[test]
    fn a_tombstone_lives_as_long_as_an_express_record_can() {
        let stamp = Stamp::generate();
        let stands = |express, replaced: Option<Lifetime>| {
            let replaced = replaced.map(record);
            let tombstone = tombstone(stamp, express, replaced.as_ref());
            assert_eq!(tombstone.stamp, stamp);
            tombstone.lifetime
        };
        let (day, minute) = (Lifetime::idle(DAY), Lifetime::idle(DAY / 1_440));
        assert_eq!(stands(minute, None), Lifetime::fixed(MIN_LIFETIME));
        assert_eq!(stands(day, None), Lifetime::fixed(DAY));
        assert_eq!(stands(day, Some(minute)), Lifetime::fixed(DAY));
        let month = Lifetime::idle(30 * DAY);
        assert_eq!(stands(day, Some(month)), Lifetime::fixed(30 * DAY));
        let brief = Lifetime::new(Timeout::Never, DAY / 24);
        assert_eq!(stands(minute, Some(brief)), Lifetime::fixed(DAY / 24));
        let endless = Lifetime::idle(Timeout::Never);
        assert_eq!(stands(day, Some(endless)), Lifetime::fixed(Lifetime::MAX));
    }

    #[test]
    fn no_session_is_taken_for_a_tombstone() {
        let mut found = record(Lifetime::default());
        assert!(!is_tombstone(&found));
        found.data = Bytes::from_static(br#""\u0000ended""#);
        assert!(!is_tombstone(&found));
        found.data = tombstone(Stamp::generate(), Lifetime::default(), None).data;
        assert!(is_tombstone(&found));
        session_core::Data::decode(&found.data).expect_err("no session");
    }
}
