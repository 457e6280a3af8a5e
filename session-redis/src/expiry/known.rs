//! What the index knows of a session: all that is left of it when its key has expired.

use std::time::Duration;

use session_core::{Ended, Owner, SessionId};

use crate::record::read_owner;

const VERSION: u8 = 1;

/// As stored: the version, eight bytes, big-endian, of when the session began, in milliseconds of Unix
/// time, and the owner.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) born: u64,
    pub(super) owner: Option<Owner>,
}

impl Known {
    pub(super) fn encode(born: u64, owner: Option<&Owner>) -> Vec<u8> {
        let owner = owner.map_or("", Owner::as_str);
        [&[VERSION][..], &born.to_be_bytes(), owner.as_bytes()].concat()
    }

    pub(super) fn decode(stored: &[u8]) -> Option<Self> {
        let (born, owner) = stored.strip_prefix(&[VERSION])?.split_first_chunk()?;
        Some(Self {
            born: u64::from_be_bytes(*born),
            owner: read_owner(owner).ok()?,
        })
    }

    /// The end of the session `id`, as it is told at server time `now`.
    pub(super) fn ended(self, id: SessionId, now: u64) -> Ended {
        let age = Duration::from_millis(now.saturating_sub(self.born));
        Ended::new(id, self.owner, age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_index_knows_has_exactly_these_bytes() {
        for owner in [None, Owner::new("ü").ok()] {
            let stored = Known::encode(0x0102, owner.as_ref());
            assert_eq!(stored[..9], [1, 0, 0, 0, 0, 0, 0, 1, 2]);
            let name = owner.as_ref().map_or("", Owner::as_str);
            assert_eq!(stored[9..], *name.as_bytes());
            let known = Known::decode(&stored);
            assert_eq!(
                known,
                Some(Known {
                    born: 0x0102,
                    owner
                })
            );
        }
        assert_eq!(Known::decode(&[1; 8]), None, "too short");
        assert_eq!(Known::decode(&[2; 9]), None, "another version");
        assert_eq!(Known::decode(b"\x0112345678\xff"), None, "no owner's name");
    }
}
