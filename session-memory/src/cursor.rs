//! The position at which a listing continues, and its text in a cursor.

use session_core::{Cursor, Error, Owner, Result};

/// The sessions that a listing shows.
#[derive(Clone, Copy)]
pub(crate) enum Listing<'a> {
    All,
    Of(&'a Owner),
}

/// The first slot that a listing has not yet shown. A session keeps its slot as long as it lives,
/// so a listing misses no session that lives throughout it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) shard: usize,
    pub(crate) slot: u32,
}

impl Listing<'_> {
    /// The cursor for a position in this listing.
    pub(crate) fn cursor(self, position: Position) -> Cursor {
        Cursor::new(format!(
            "{}:{}:{}",
            self.name(),
            position.shard,
            position.slot
        ))
    }

    /// The position in `cursor`, in a store of `shards` shards.
    pub(crate) fn position(self, cursor: &Cursor, shards: usize) -> Result<Position> {
        let position = || {
            let (name, position) = cursor.as_str().split_once(':')?;
            let (shard, slot) = position.split_once(':')?;
            let position = Position {
                shard: shard.parse().ok()?,
                slot: slot.parse().ok()?,
            };
            (name == self.name() && position.shard < shards).then_some(position)
        };
        position().ok_or_else(|| {
            Error::misconfigured("invalid cursor: this listing of a memory store did not give it")
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Of(_) => "owned",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARDS: usize = 64;

    #[test]
    fn a_cursor_keeps_its_position() {
        let owner = Owner::new("ann").expect("valid");
        let (all, owned) = (Listing::All, Listing::Of(&owner));
        for (shard, slot) in [(0, 0), (63, u32::MAX)] {
            let position = Position { shard, slot };
            for (listing, other) in [(all, owned), (owned, all)] {
                let cursor = listing.cursor(position);
                assert_eq!(listing.position(&cursor, SHARDS).ok(), Some(position));
                other
                    .position(&cursor, SHARDS)
                    .expect_err("of another listing");
            }
        }
    }

    #[test]
    fn a_cursor_of_another_store_is_refused() {
        for text in [
            "",
            "1",
            "all:",
            "all:1",
            "all:64:0",
            "all:1:2:3",
            "all:1:x",
            "all:1:4294967296",
            "after:1",
        ] {
            let error = Listing::All.position(&Cursor::new(text), SHARDS);
            let error = error.expect_err("not ours");
            assert!(error.to_string().contains("invalid cursor"), "{error}");
        }
    }
}
