//! One copy of a record, and how it ages.

use std::time::Duration;

use session_core::{Credential, Description, Record, SessionId, Ttl};
use tokio::time::Instant;

/// What a copy takes besides the bytes that its record names: itself, its place in the table and in
/// the queue, and the headers of its allocations.
const OVERHEAD: usize = size_of::<Kept>() + 128;

/// Stores count whole milliseconds, of their time and of the deadline, so what they say is left may
/// be too much by as much. A copy ends so much earlier, and the store is asked.
const GRAIN: Duration = Duration::from_millis(2);

/// A copy of a session's record.
pub(crate) struct Kept {
    pub(crate) hash: u64,
    pub(crate) id: SessionId,
    record: Record,
    /// When the load that read it was sent. What is left of the session is counted from here, as
    /// the store may have measured it at once.
    asked: Instant,
    /// The end of the lease, or of the session if that comes first.
    until: Instant,
    pub(crate) bytes: usize,
    /// Tells it from earlier copies of the same session.
    pub(crate) serial: u64,
    /// Whether it was served since the queue came by.
    pub(crate) is_used: bool,
}

impl Kept {
    /// The copy of what a load that was sent at `asked` has read; `None` if it can't be served any
    /// more.
    pub(crate) fn new(
        (hash, id): (u64, &SessionId),
        record: &Record,
        asked: Instant,
        lease: Duration,
    ) -> Option<Self> {
        let left = record.ttl.left().map(|left| left.saturating_sub(GRAIN));
        let left = left.map_or(lease, |left| left.min(lease));
        let until = asked + left;
        (Instant::now() < until).then(|| Self {
            hash,
            bytes: size(id, record),
            id: id.clone(),
            record: record.clone(),
            asked,
            until,
            serial: 0,
            is_used: false,
        })
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    pub(crate) fn is_older_than(&self, other: &Self) -> bool {
        self.asked < other.asked
    }

    pub(crate) const fn record(&self) -> &Record {
        &self.record
    }

    /// The record as it is at `now`.
    pub(crate) fn record_at(&self, now: Instant) -> Record {
        let mut record = self.record.clone();
        let since = now.saturating_duration_since(self.asked);
        if let Ttl::Left(left) = &mut record.ttl {
            *left = left.saturating_sub(since);
        }
        record.age = record.age.saturating_add(since);
        record.is_copy = true;
        record
    }
}

fn size(id: &SessionId, record: &Record) -> usize {
    let credential = record.credential.as_ref();
    let owner = record.owner.as_ref();
    OVERHEAD
        + id.as_str().len()
        + bytes_of(record)
        + Credential::stored(credential).len()
        + Description::stored(record.description.as_ref()).len()
        + owner.map_or(0, |owner| owner.as_str().len())
}

/// The bytes of the data and of what is stored, of which the data may be a part.
fn bytes_of(record: &Record) -> usize {
    let (data, stored) = (&record.data, record.version.stored());
    let is_part = stored.as_ptr_range().contains(&data.as_ptr());
    match is_part {
        true => stored.len(),
        false => data.len() + stored.len(),
    }
}
