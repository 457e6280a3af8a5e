//! The latest writes that were replaced, so that a writer without an answer learns what became of
//! its own.

use crate::Stamp;

/// How many replaced writes are known.
const LONGEST: usize = 8;
/// Bytes kept of each stamp. A stamp is random, so an unrelated one is taken for it once in 2^32.
pub(super) const MARK: usize = 4;

/// Parts of the stamps that were replaced, latest first. The record's own is not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trail {
    marks: [[u8; MARK]; LONGEST],
    known: u8,
}

impl Trail {
    /// The trail stored as these bytes; `None` if they are none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (marks, rest) = bytes.as_chunks::<MARK>();
        if !rest.is_empty() || marks.len() > LONGEST {
            return None;
        }
        let mut trail = Self::default();
        trail.marks[..marks.len()].copy_from_slice(marks);
        trail.known = marks.len() as u8;
        Some(trail)
    }

    /// The bytes to store.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.marks[..usize::from(self.known)].as_flattened()
    }

    /// The trail of a record that replaces the write `replaced`.
    pub(super) fn after(mut self, replaced: Stamp) -> Self {
        self.marks.copy_within(..LONGEST - 1, 1);
        self.marks[0] = replaced.mark();
        self.known = (self.known + 1).min(LONGEST as u8);
        self
    }

    /// Whether the write `stamp` is among the latest that were replaced.
    pub(super) fn has(&self, stamp: Stamp) -> bool {
        self.marks[..usize::from(self.known)].contains(&stamp.mark())
    }
}
