//! The owners' indexes: which ids may be sessions of an owner.
//!
//! An index may name too much, and never too little: an id is added before its session is written,
//! and leaves when that has ended or when its time has passed by an hour, never because the session
//! has another owner. Whoever reads an index checks each session.

use std::time::Duration;

use futures_util::FutureExt;
use redis::{Cmd, Pipeline, Value};
use session_core::backend::{Call, Sent};
use session_core::{Cursor, Draft, Error, ErrorKind, Owner, Result, SessionId, Timeout, Ttl};

use crate::command::{convert, eval, send, send_all, unexpected};
use crate::envelope::millis;
use crate::scan::{self, STEP};
use crate::{RedisBackend, RedisClient};

/// What the cursors of walks over the whole store begin with.
const STORE: &str = "*";

/// Where a walk over an index is.
///
/// It goes by `ZSCAN`, which gives every id that is there throughout at least once, in whatever way
/// others come, go and get other scores. By rank or score it would not: where one goes the ranks of
/// others change, and a session that is used gets a higher score, perhaps from before the walk's
/// place to behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IndexPosition {
    Index {
        at: u64,
        /// A small index comes as a whole, so pages are cut from it: this one after this id.
        after: Option<SessionId>,
    },
    /// Among all sessions of the store, since the key of the index holds something else.
    Store(Option<Cursor>),
}

impl Default for IndexPosition {
    fn default() -> Self {
        let (at, after) = (0, None);
        Self::Index { at, after }
    }
}

impl IndexPosition {
    pub(crate) fn cursor(&self) -> Cursor {
        match self {
            Self::Index { at, after } => {
                let after = after.as_ref().map_or("", SessionId::as_str);
                Cursor::new(format!("{at}>{after}"))
            }
            Self::Store(at) => {
                let at = at.as_ref().map_or("", Cursor::as_str);
                Cursor::new(format!("{STORE}{at}"))
            }
        }
    }

    pub(crate) fn read(cursor: &Cursor) -> Result<Self> {
        if let Some(at) = cursor.as_str().strip_prefix(STORE) {
            return Ok(Self::Store((!at.is_empty()).then(|| Cursor::new(at))));
        }
        let place = cursor.as_str().split_once('>');
        place
            .and_then(|(at, after)| {
                let at = at.parse().ok()?;
                let after = match after {
                    "" => None,
                    id => Some(SessionId::from_stored(id).ok()?),
                };
                Some(Self::Index { at, after })
            })
            .ok_or_else(|| Error::misconfigured("this cursor is not of an owner in a Redis store"))
    }

    /// About `limit` of `ids`, which are what the index has from `at` to `next`, and where the next
    /// page starts: this one is after the id `after`.
    fn cut(
        at: u64,
        after: Option<&SessionId>,
        mut ids: Vec<SessionId>,
        next: u64,
        limit: usize,
    ) -> (Vec<SessionId>, Option<Self>) {
        ids.sort();
        ids.dedup();
        if next != 0 {
            // Large, or larger than it was at the last page: then from its start again.
            let (at, after) = (next, None);
            return (ids, Some(Self::Index { at, after }));
        }
        if at == 0 {
            ids.retain(|id| after < Some(id));
            if ids.len() > limit {
                ids.truncate(limit);
                let (at, after) = (0, ids.last().cloned());
                return (ids, Some(Self::Index { at, after }));
            }
        }
        (ids, None)
    }
}

impl RedisBackend {
    /// Has the owner's index name the session `id`, if `draft` has an owner, for as long as it may
    /// live.
    pub(crate) fn index(&self, id: &SessionId, draft: &Draft) -> Option<Cmd> {
        let longest = draft.lifetime.left_after_use(Duration::ZERO);
        let owner = draft.owner.as_ref()?;
        Some(self.index_for(owner, id, longest))
    }

    /// Has the index of `owner` name `id` for so long.
    pub(crate) fn index_for(&self, owner: &Owner, id: &SessionId, longest: Ttl) -> Cmd {
        let longest = Timeout::from_millis(longest.left().map(|left| {
            // At least 1, for 0 is never.
            u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1)
        }));
        let mut command = eval(&self.scripts.index, &[self.keys.owner(owner)]);
        command.arg(id.as_str()).arg(millis(longest));
        command
    }

    /// Sends `command`, which makes a session live for some time, after `index`, which has the
    /// owner's index name it for as long.
    ///
    /// On one server that is one round trip. In a cluster the index is on another node, so its
    /// answer is waited for: an index that lacks a session would hide it from "log out everywhere".
    pub(crate) async fn send_indexed(
        &self,
        call: &Call<RedisClient>,
        index: Option<Cmd>,
        command: Cmd,
    ) -> Result<Sent<Value>> {
        let Some(index) = index else {
            return send(call, &command).await;
        };
        if self.is_cluster {
            send(call, &index).await?;
            return send(call, &command).await;
        }
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(index).add_command(command);
        let mut sent = send_all(call, &commands).await?;
        let answer = sent.answer.pop().ok_or_else(unexpected)?;
        Ok(sent.map(|_| answer))
    }

    /// Takes `ids`, whose sessions have ended, out of the index of `owner`. The caller does not wait
    /// for it: it is sent in front of whatever this connection sends from now on, and where it fails
    /// the index names too much for a while.
    pub(crate) fn remove_from_owner_index<'a>(
        &self,
        call: &Call<RedisClient>,
        owner: &Owner,
        ids: impl Iterator<Item = &'a SessionId>,
    ) {
        let mut command = redis::cmd("ZREM");
        command.arg(self.keys.owner(owner));
        for id in ids {
            command.arg(id.as_str());
        }
        let call = call.detached();
        let mut removal = Box::pin(async move {
            if let Err(error) = send(&call, &command).await {
                tracing::debug!(%error, "ended sessions stay in their owner's index");
            }
        });
        // What the first poll does not send, a task does.
        if (&mut removal).now_or_never().is_none() {
            tokio::spawn(removal);
        }
    }

    /// About `limit` ids of sessions that may be of `owner`, dead ones and others' among them, and
    /// where the next are. From the index or, where its key holds something else, of all sessions.
    ///
    /// If it `ends` them, the primary has to answer: an index that an old one has may lack some.
    pub(crate) async fn index_page(
        &self,
        call: &Call<RedisClient>,
        owner: &Owner,
        position: &IndexPosition,
        limit: usize,
        ends: bool,
    ) -> Result<(Vec<SessionId>, Option<IndexPosition>)> {
        let limit = limit.clamp(1, STEP);
        let (at, after) = match position {
            IndexPosition::Index { at, after } => (*at, after.as_ref()),
            IndexPosition::Store(at) => return self.store_page(call, at.as_ref(), limit).await,
        };
        let key = self.keys.owner(owner);
        let mut command = redis::cmd("ZSCAN");
        command.arg(&key).arg(at).arg("COUNT").arg(limit);
        let found = match self.ask(call, command, ends).await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(
                    key,
                    "an owner's index holds something else: all sessions are read"
                );
                return self.store_page(call, None, limit).await;
            }
            Err(error) => return Err(error),
        };
        let (next, entries): (u64, Vec<Vec<u8>>) = convert(found)?;
        // Ids and scores in turns.
        let ids = entries.iter().step_by(2).filter_map(|id| {
            let id = std::str::from_utf8(id).ok()?;
            SessionId::from_stored(id).ok()
        });
        Ok(IndexPosition::cut(at, after, ids.collect(), next, limit))
    }

    /// The answer to `command`; if it has to be the primary's, with a write in front.
    async fn ask(
        &self,
        call: &Call<RedisClient>,
        command: Cmd,
        has_to_be_primary: bool,
    ) -> Result<Option<Value>> {
        if !has_to_be_primary || self.is_cluster {
            return Ok(Some(send(call, &command).await?.answer));
        }
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(self.keys.harmless_write());
        commands.add_command(command);
        Ok(send_all(call, &commands).await?.answer.pop())
    }

    /// About `limit` ids of all sessions, and where the next are.
    async fn store_page(
        &self,
        call: &Call<RedisClient>,
        at: Option<&Cursor>,
        limit: usize,
    ) -> Result<(Vec<SessionId>, Option<IndexPosition>)> {
        let pattern = self.keys.pattern();
        let (keys, next) = scan::page(call, &pattern, at, limit).await?;
        let ids = keys.iter().filter_map(|key| self.keys.session_in(key));
        let next = next.map(|next| IndexPosition::Store(Some(next)));
        Ok((ids.collect(), next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(texts: &[&str]) -> Vec<SessionId> {
        let id = |text: &&str| SessionId::from_stored(text).expect("valid");
        texts.iter().map(id).collect()
    }

    #[test]
    fn a_cursor_is_read_back_and_others_are_refused() {
        let after = |text| SessionId::from_stored(text).ok();
        for (at, after) in [(0, after("a")), (0, after("0>b")), (u64::MAX, None)] {
            let place = IndexPosition::Index { at, after };
            assert_eq!(IndexPosition::read(&place.cursor()).ok(), Some(place));
        }
        for place in [None, Some(Cursor::new("0:7"))].map(IndexPosition::Store) {
            assert_eq!(IndexPosition::read(&place.cursor()).ok(), Some(place));
        }
        for text in ["", ">", "x>", "-1>", "0:0", "7", "99999999999999999999>"] {
            IndexPosition::read(&Cursor::new(text)).expect_err(text);
        }
    }

    #[test]
    fn a_small_index_is_cut_into_pages() {
        let all = || ids(&["c", "a", "b", "a", "e", "d"]);
        let (mut place, mut pages) = (Some(IndexPosition::default()), Vec::new());
        while let Some(at) = place {
            let IndexPosition::Index { at, after } = at else {
                panic!("{at:?}");
            };
            let (page, next) = IndexPosition::cut(at, after.as_ref(), all(), 0, 2);
            pages.push(page);
            place = next;
        }
        assert_eq!(pages, [ids(&["a", "b"]), ids(&["c", "d"]), ids(&["e"])]);
    }

    #[test]
    fn an_index_that_has_grown_is_walked_from_its_start() {
        let after = ids(&["b"]).pop();
        let (page, next) = IndexPosition::cut(0, after.as_ref(), ids(&["b", "a"]), 8, 1);
        assert_eq!(page, ids(&["a", "b"]), "as much as comes at a time");
        let (at, after) = (8, None);
        assert_eq!(next, Some(IndexPosition::Index { at, after }));
        let (page, next) = IndexPosition::cut(8, None, ids(&["d", "c"]), 0, 1);
        assert_eq!((page, next), (ids(&["c", "d"]), None), "its end");
    }
}
