//! Where a listing goes on, and the cursor's text for it.

use session_core::{Cursor, Error, Owner, Result};

/// What a listing shows.
#[derive(Clone, Copy)]
pub(crate) enum Listing<'a> {
    All,
    Of(&'a Owner),
}

/// A place in a listing: the sessions from this slot of this shard on are still to come. A session
/// keeps its slot as long as it lives, so no listing misses one that stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: usize,
    pub(crate) slot: u32,
}

impl Listing<'_> {
    /// The cursor for a place in this listing.
    pub(crate) fn cursor(self, place: Place) -> Cursor {
        Cursor::new(format!("{}:{}:{}", self.name(), place.shard, place.slot))
    }

    /// The place of `cursor`, in a store of so many shards.
    pub(crate) fn place(self, cursor: &Cursor, shards: usize) -> Result<Place> {
        let place = || {
            let (name, place) = cursor.as_str().split_once(':')?;
            let (shard, slot) = place.split_once(':')?;
            let place = Place {
                shard: shard.parse().ok()?,
                slot: slot.parse().ok()?,
            };
            (name == self.name() && place.shard < shards).then_some(place)
        };
        place().ok_or_else(|| {
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
    fn a_place_comes_back_from_its_cursor() {
        let owner = Owner::new("ann").expect("valid");
        let (all, owned) = (Listing::All, Listing::Of(&owner));
        for (shard, slot) in [(0, 0), (63, u32::MAX)] {
            let place = Place { shard, slot };
            for (listing, other) in [(all, owned), (owned, all)] {
                let cursor = listing.cursor(place);
                assert_eq!(listing.place(&cursor, SHARDS).ok(), Some(place));
                other
                    .place(&cursor, SHARDS)
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
            let error = Listing::All.place(&Cursor::new(text), SHARDS);
            let error = error.expect_err("not ours");
            assert!(error.to_string().contains("invalid cursor"), "{error}");
        }
    }
}
