//! The owner indexes: which ids may be sessions of an owner.
//!
//! An index may name too many sessions, never too few: an id is added before its session is
//! written, and removed when the session is destroyed or its deadline has passed by an hour, never
//! because the owner changed. Readers of an index check the owner of each session.

use std::time::Duration;

use futures_util::FutureExt;
use redis::{Cmd, Pipeline, Value};
use session_core::backend::{Call, Sent};
use session_core::{Cursor, Draft, Error, ErrorKind, Owner, Result, SessionId, Timeout, Ttl};

use crate::command::{convert, eval, send, send_all, unexpected};
use crate::record::millis;
use crate::scan::{self, SCAN_COUNT};
use crate::{RedisBackend, RedisClient};

/// The first character of a cursor over all sessions of the store.
const WHOLE_STORE: &str = "*";

/// The position of a listing in an index.
///
/// `ZSCAN` returns each id that is present throughout at least once, whatever is added, removed or
/// rescored meanwhile. Ranks and scores would not do: a removal shifts ranks, and using a session
/// raises its score, perhaps past the position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IndexPosition {
    Index {
        /// The cursor of `ZSCAN`.
        at: u64,
        /// The last id of the page before. `ZSCAN` returns a small index as a whole, which is split
        /// into pages here.
        after: Option<SessionId>,
    },
    /// In a scan of all sessions of the store, because the index's key holds a value of another
    /// type.
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
                Cursor::new(format!("{WHOLE_STORE}{at}"))
            }
        }
    }

    pub(crate) fn read(cursor: &Cursor) -> Result<Self> {
        if let Some(at) = cursor.as_str().strip_prefix(WHOLE_STORE) {
            return Ok(Self::Store((!at.is_empty()).then(|| Cursor::new(at))));
        }
        let position = cursor.as_str().split_once('>');
        position
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

    /// About `limit` of `ids` that follow the id `after`, and the position of the next page. `ids`
    /// is what `ZSCAN` returned between its cursors `at` and `next`.
    fn paginate(
        at: u64,
        after: Option<&SessionId>,
        mut ids: Vec<SessionId>,
        next: u64,
        limit: usize,
    ) -> (Vec<SessionId>, Option<Self>) {
        ids.sort();
        ids.dedup();
        if next != 0 {
            // The index is large, or has grown since the last page: then all of `ids` is needed.
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
    /// The command that adds `id` to the index of the draft's owner, for as long as the session may
    /// live. `None` without an owner.
    pub(crate) fn owner_index_entry(&self, id: &SessionId, draft: &Draft) -> Option<Cmd> {
        let longest = draft.lifetime.left_after_use(Duration::ZERO);
        let owner = draft.owner.as_ref()?;
        Some(self.index_entry(owner, id, longest))
    }

    /// The command that adds `id` to the index of `owner` for the time `longest`.
    pub(crate) fn index_entry(&self, owner: &Owner, id: &SessionId, longest: Ttl) -> Cmd {
        let longest = Timeout::from_millis(longest.left().map(|left| {
            // At least 1, for 0 is never.
            u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1)
        }));
        let mut command = eval(&self.scripts.index, &[self.keys.owner(owner)]);
        command.arg(id.as_str()).arg(millis(longest));
        command
    }

    /// Sends `index`, which adds an index entry, and then `command`, which writes or extends the
    /// session.
    ///
    /// One round trip on one server. In a cluster the index is on another node, so `command` waits
    /// for the answer to `index`: "log out everywhere" would miss a session that its index lacks.
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

    /// Removes `ids`, whose sessions have ended, from the index of `owner`. The caller does not
    /// wait for the answer: the command is sent before all later ones of this connection, and if it
    /// fails the index names too many sessions until it is next written.
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
                tracing::debug!(%error, "cannot remove ended sessions from their owner index");
            }
        });
        // If the first poll does not finish, a task does.
        if (&mut removal).now_or_never().is_none() {
            tokio::spawn(removal);
        }
    }

    /// About `limit` ids of sessions that may belong to `owner`, some of them ended or of other
    /// owners, and the position of the next page. Reads the index or, if its key holds a value of
    /// another type, all sessions.
    ///
    /// With `needs_primary`, no other server's answer is used: its index may lack sessions.
    pub(crate) async fn index_page(
        &self,
        call: &Call<RedisClient>,
        owner: &Owner,
        position: &IndexPosition,
        limit: usize,
        needs_primary: bool,
    ) -> Result<(Vec<SessionId>, Option<IndexPosition>)> {
        let limit = limit.clamp(1, SCAN_COUNT);
        let (at, after) = match position {
            IndexPosition::Index { at, after } => (*at, after.as_ref()),
            IndexPosition::Store(at) => return self.store_page(call, at.as_ref(), limit).await,
        };
        let key = self.keys.owner(owner);
        let mut command = redis::cmd("ZSCAN");
        command.arg(&key).arg(at).arg("COUNT").arg(limit);
        let found = match self.ask(call, command, needs_primary).await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(
                    key,
                    "the key of an owner index holds a value of another type: reading all sessions"
                );
                return self.store_page(call, None, limit).await;
            }
            Err(error) => return Err(error),
        };
        let (next, entries): (u64, Vec<Vec<u8>>) = convert(found)?;
        // Ids and scores alternate.
        let ids = entries.iter().step_by(2).filter_map(|id| {
            let id = std::str::from_utf8(id).ok()?;
            SessionId::from_stored(id).ok()
        });
        Ok(IndexPosition::paginate(
            at,
            after,
            ids.collect(),
            next,
            limit,
        ))
    }

    /// Sends `command`, with `needs_primary` after a write, which only the primary executes.
    async fn ask(
        &self,
        call: &Call<RedisClient>,
        command: Cmd,
        needs_primary: bool,
    ) -> Result<Option<Value>> {
        if !needs_primary || self.is_cluster {
            return Ok(Some(send(call, &command).await?.answer));
        }
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(self.keys.no_op_write());
        commands.add_command(command);
        Ok(send_all(call, &commands).await?.answer.pop())
    }

    /// About `limit` ids of all sessions of the store, and the position of the next page.
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
            let position = IndexPosition::Index { at, after };
            assert_eq!(IndexPosition::read(&position.cursor()).ok(), Some(position));
        }
        for position in [None, Some(Cursor::new("0:7"))].map(IndexPosition::Store) {
            assert_eq!(IndexPosition::read(&position.cursor()).ok(), Some(position));
        }
        for text in ["", ">", "x>", "-1>", "0:0", "7", "99999999999999999999>"] {
            IndexPosition::read(&Cursor::new(text)).expect_err(text);
        }
    }

    #[test]
    fn a_small_index_is_split_into_pages() {
        let all = || ids(&["c", "a", "b", "a", "e", "d"]);
        let (mut position, mut pages) = (Some(IndexPosition::default()), Vec::new());
        while let Some(at) = position {
            let IndexPosition::Index { at, after } = at else {
                panic!("{at:?}");
            };
            let (page, next) = IndexPosition::paginate(at, after.as_ref(), all(), 0, 2);
            pages.push(page);
            position = next;
        }
        assert_eq!(pages, [ids(&["a", "b"]), ids(&["c", "d"]), ids(&["e"])]);
    }

    #[test]
    fn an_index_that_has_grown_is_read_from_its_start() {
        let after = ids(&["b"]).pop();
        let (page, next) = IndexPosition::paginate(0, after.as_ref(), ids(&["b", "a"]), 8, 1);
        assert_eq!(page, ids(&["a", "b"]), "all that was returned");
        let (at, after) = (8, None);
        assert_eq!(next, Some(IndexPosition::Index { at, after }));
        let (page, next) = IndexPosition::paginate(8, None, ids(&["d", "c"]), 0, 1);
        assert_eq!((page, next), (ids(&["c", "d"]), None), "its end");
    }
}
