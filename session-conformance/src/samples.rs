//! Ids, owners, credentials, drafts and data for the cases.

use std::time::Duration;

use session_core::{
    Bytes, Credential, Description, Draft, Ended, Lifetime, Owner, SessionId, SessionToken,
};

/// A new id.
pub(super) fn id() -> SessionId {
    SessionToken::generate().id()
}

/// `N` new ids.
pub(super) fn ids<const N: usize>() -> [SessionId; N] {
    std::array::from_fn(|_| id())
}

/// The id of this text.
pub(super) fn id_of(text: &str) -> SessionId {
    SessionId::from_stored(text).expect("the suite's ids have 1 to 255 bytes")
}

/// The owner of this name.
pub(super) fn owner(name: &str) -> Owner {
    Owner::new(name).expect("the suite's owners have 1 to 1,024 bytes")
}

/// The credential of these bytes; `None` if there are none.
pub(super) fn credential(bytes: &[u8]) -> Option<Credential> {
    Credential::from_stored(bytes).expect("the suite's credentials have at most 192 bytes")
}

/// The description of these bytes; `None` if there are none.
pub(super) fn description(bytes: &[u8]) -> Option<Description> {
    Description::from_stored(bytes).expect("the suite's descriptions have at most 255 bytes")
}

/// The ids of ended sessions, sorted. A session that was reported twice is there twice.
pub(super) fn ended_ids(ended: &[Ended]) -> Vec<SessionId> {
    let mut ids: Vec<_> = ended.iter().map(|one| one.id.clone()).collect();
    ids.sort();
    ids
}

/// A draft of this data that lives for an hour unless it is used.
pub(super) fn draft(data: &str) -> Draft {
    Draft::new(data.to_owned(), hours(1))
}

/// A draft of this data and lifetime.
pub(super) fn draft_living(data: &str, lifetime: Lifetime) -> Draft {
    Draft::new(data.to_owned(), lifetime)
}

/// An idle limit of `hours` and an absolute limit of twelve times that, so that nothing expires
/// while a case runs.
pub(super) fn hours(hours: u64) -> Lifetime {
    let hour = Duration::from_secs(3600);
    Lifetime::new(hour * hours as u32, hour * 12 * hours as u32)
}

/// A lifetime with the same idle and absolute limit.
pub(super) fn fixed(limit: Duration) -> Lifetime {
    Lifetime::fixed(limit)
}

/// A duration in milliseconds.
pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A duration in seconds.
pub(super) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// `size` bytes that contain every value and compress badly; always the same for one size.
pub(super) fn noise(size: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ size as u64;
    (0..size)
        .map(|_| {
            // xorshift64: Marsaglia, "Xorshift RNGs", 2003.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}
