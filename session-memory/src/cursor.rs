//! Where a listing goes on, and the cursor's text for it.

use session_core::{Cursor, Error, Result};

/// A place among all sessions: those from this slot of this shard on are still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InAll {
    pub(crate) shard: usize,
    pub(crate) slot: u32,
}

/// A place among an owner's sessions: those after the marked one in this shard are still to come,
/// and all of the shards that follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InOwned {
    pub(crate) shard: usize,
    /// `None` at the shard's beginning.
    pub(crate) after: Option<Mark>,
}

/// A session at its place in its owner's list. The place is lost when the session ends, and when
/// it gets another owner: if it comes back, it is at the list's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) slot: u32,
    /// Of the id, by the store's keyed hash: the slot may belong to another session by now.
    pub(crate) hash: u32,
    pub(crate) adoptions: u16,
}

impl InAll {
    pub(crate) fn cursor(self) -> Cursor {
        Cursor::new(format!("all:{}:{}", self.shard, self.slot))
    }

    /// The place of `cursor`, in a store of so many shards.
    pub(crate) fn of(cursor: &Cursor, shards: usize) -> Result<Self> {
        let place = || {
            let [shard, slot] = numbers(cursor, "all:")?;
            Some(Self {
                shard: within(shard, shards)?,
                slot,
            })
        };
        place().ok_or_else(foreign)
    }
}

impl InOwned {
    pub(crate) fn cursor(self) -> Cursor {
        let shard = self.shard;
        Cursor::new(match self.after {
            Some(Mark {
                slot,
                hash,
                adoptions,
            }) => format!("owned:{shard}:{slot}:{hash}:{adoptions}"),
            None => format!("owned:{shard}"),
        })
    }

    /// The place of `cursor`, in a store of so many shards.
    pub(crate) fn of(cursor: &Cursor, shards: usize) -> Result<Self> {
        let start = || {
            let [shard] = numbers(cursor, "owned:")?;
            Some((shard, None))
        };
        let inside = || {
            let [shard, slot, hash, adoptions] = numbers(cursor, "owned:")?;
            let adoptions = u16::try_from(adoptions).ok()?;
            let mark = Mark {
                slot,
                hash,
                adoptions,
            };
            Some((shard, Some(mark)))
        };
        let place = start().or_else(inside);
        let place = place.and_then(|(shard, after)| {
            let shard = within(shard, shards)?;
            Some(Self { shard, after })
        });
        place.ok_or_else(foreign)
    }
}

fn within(shard: u32, shards: usize) -> Option<usize> {
    let shard = usize::try_from(shard).ok();
    shard.filter(|shard| *shard < shards)
}

/// Exactly `N` numbers after `kind`.
fn numbers<const N: usize>(cursor: &Cursor, kind: &str) -> Option<[u32; N]> {
    let text = cursor.as_str().strip_prefix(kind)?;
    let numbers: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
    numbers.ok()?.try_into().ok()
}

fn foreign() -> Error {
    Error::misconfigured("invalid cursor: this listing of a memory store did not give it")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARDS: usize = 64;

    #[test]
    fn a_place_comes_back_from_its_cursor() {
        for (shard, slot) in [(0, 0), (63, u32::MAX)] {
            let all = InAll { shard, slot };
            assert_eq!(InAll::of(&all.cursor(), SHARDS).ok(), Some(all));
            let mark = Mark {
                slot,
                hash: u32::MAX,
                adoptions: u16::MAX,
            };
            for after in [None, Some(mark)] {
                let owned = InOwned { shard, after };
                assert_eq!(InOwned::of(&owned.cursor(), SHARDS).ok(), Some(owned));
                InAll::of(&owned.cursor(), SHARDS).expect_err("of another listing");
            }
            InOwned::of(&all.cursor(), SHARDS).expect_err("of another listing");
        }
    }

    #[test]
    fn a_cursor_of_another_store_is_refused() {
        for text in [
            "",
            "1",
            "all:",
            "all:64:0",
            "all:1:2:3",
            "all:1:x",
            "after:1",
        ] {
            let cursor = Cursor::new(text);
            let error = InAll::of(&cursor, SHARDS).expect_err("not ours");
            assert!(error.to_string().contains("invalid cursor"), "{error}");
        }
        for text in [
            "owned:",
            "owned:64",
            "owned:1:2",
            "owned:1:2:3:65536",
            "1:2:3:4",
        ] {
            InOwned::of(&Cursor::new(text), SHARDS).expect_err("not ours");
        }
    }
}
