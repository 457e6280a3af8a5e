//! What stands in the native store in the place of a session that was destroyed while it moved.

use std::time::Duration;

use session_core::{Bytes, Draft, Lifetime, Record, Stamp, Timeout};

/// A tombstone's data. No session has it: a session's is JSON.
const DATA: &[u8] = b"\0ended";
/// The shortest time that a tombstone stands: longer than any request takes.
const SHORTEST: Duration = Duration::from_secs(600);

/// Whether `record` is a tombstone.
pub(crate) fn is_tombstone(record: &Record) -> bool {
    record.data == DATA
}

/// A tombstone, written by the write `stamp`, in the place of the native record `replaced`. It
/// stands as long as a record in an Express layout of this lifetime can live, or one that became
/// `replaced` when it moved.
pub(crate) fn tombstone(stamp: Stamp, express: Lifetime, replaced: Option<&Record>) -> Draft {
    let limits = replaced.map(|record| record.lifetime);
    let limits = [Some(express), limits].into_iter().flatten();
    let longest = limits.fold(SHORTEST, |longest, lifetime| longest.max(limit(lifetime)));
    let mut tombstone = Draft::new(Bytes::from_static(DATA), Lifetime::fixed(longest));
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
    fn a_tombstone_stands_as_long_as_the_record_in_express_layout_can_live() {
        let stamp = Stamp::generate();
        let stands = |express, replaced: Option<Lifetime>| {
            let replaced = replaced.map(record);
            let tombstone = tombstone(stamp, express, replaced.as_ref());
            assert_eq!(tombstone.stamp, stamp);
            tombstone.lifetime
        };
        let (day, minute) = (Lifetime::idle(DAY), Lifetime::idle(DAY / 1_440));
        assert_eq!(stands(minute, None), Lifetime::fixed(SHORTEST));
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
