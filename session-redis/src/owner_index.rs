//! The owner indexes: which ids may be sessions of an owner.
//!
//! An index may name too many sessions, never too few: an id is added before its session is
//! written, and removed when the session is destroyed or its deadline has passed by an hour, never
//! because the owner changed. Readers of an index check the owner of each session.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use redis::{Cmd, Pipeline, RedisResult, Value};
use session_core::backend::{Call, Save, Sent};
use session_core::{Cursor, Draft, Error, ErrorKind, Owner, Result, SessionId, Timeout, Ttl};

use crate::answers::{refusal, send_each};
use crate::cluster::{Cluster, Part};
use crate::command::{eval, send, send_by, unawaited, unexpected};
use crate::expiry;
use crate::record::millis;
use crate::route::Route;
use crate::scan::{self, SCAN_COUNT};
use crate::server::{Server, is_another};
use crate::{RedisBackend, RedisClient};

/// How long an entry, and the whole index, outlives its session in milliseconds, as in the script.
pub(crate) const SLACK: u64 = 3_600_000;
/// The expiry of an index with a session that never ends. Not none: an index without one is new.
pub(crate) const FOR_EVER: u64 = 1 << 53;
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
        /// The server whose cursor it is, if that is known.
        process: Option<u32>,
    },
    /// In a scan of all sessions of the store, because the index's key holds a value of another
    /// type.
    Store(Option<Cursor>),
}

impl Default for IndexPosition {
    fn default() -> Self {
        Self::at(0, None)
    }
}

impl IndexPosition {
    const fn at(at: u64, after: Option<SessionId>) -> Self {
        Self::Index {
            at,
            after,
            process: None,
        }
    }

    /// The same, of the server that is this process.
    fn of(self, process: Option<u32>) -> Self {
        match self {
            Self::Index { at, after, .. } => Self::Index { at, after, process },
            store => store,
        }
    }

    pub(crate) fn cursor(&self) -> Cursor {
        match self {
            Self::Index { at, after, process } => {
                let after = after.as_ref().map_or("", SessionId::as_str);
                let process = process.map(|process| format!("{process:08x}."));
                let process = process.unwrap_or_default();
                Cursor::new(format!("{process}{at}>{after}"))
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
                let (process, at) = match at.split_once('.') {
                    Some((id, at)) => (Some(u32::from_str_radix(id, 16).ok()?), at),
                    None => (None, at),
                };
                let at = at.parse().ok()?;
                let after = match after {
                    "" => None,
                    id => Some(SessionId::from_stored(id).ok()?),
                };
                Some(Self::Index { at, after, process })
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
            return (ids, Some(Self::at(next, None)));
        }
        if at == 0 {
            ids.retain(|id| after < Some(id));
            if ids.len() > limit {
                ids.truncate(limit);
                let next = Self::at(0, ids.last().cloned());
                return (ids, Some(next));
            }
        }
        (ids, None)
    }
}

impl RedisBackend {
    /// The command that adds `id` to the index of the draft's owner, for as long as the session may
    /// live. `None` without an owner.
    pub(crate) fn owner_index_entry(&self, id: &SessionId, draft: &Draft) -> Option<Cmd> {
        let longest = draft.left_at_create().into();
        let owner = draft.owner.as_ref()?;
        Some(self.index_entry(owner, id, longest))
    }

    /// The commands that add `saves` to the indexes of their owners.
    pub(crate) fn owner_index_entries<'a>(
        &'a self,
        saves: &'a [Save],
    ) -> impl Iterator<Item = Cmd> + 'a {
        let entry = |save: &'a Save| self.owner_index_entry(&save.id, &save.draft);
        saves.iter().filter_map(entry)
    }

    /// Adds `saves` to the indexes of their owners in a cluster. Returns for each save whether its
    /// session may be written.
    pub(crate) async fn send_index_entries(
        &self,
        call: &Call<RedisClient>,
        cluster: &Cluster,
        saves: &[Save],
    ) -> Vec<Result<()>> {
        let call = &call.to_other_server();
        let mut entries = Vec::new();
        for (place, save) in saves.iter().enumerate() {
            if let (Some(owner), Some(entry)) = (
                &save.draft.owner,
                self.owner_index_entry(&save.id, &save.draft),
            ) {
                entries.push((place, self.keys.owner(owner), entry));
            }
        }
        let parts = Part::split(cluster, &entries, |(_, key, _)| key.clone());
        let sends = parts.iter().map(|part| async move {
            let mut commands = Pipeline::with_capacity(part.items.len());
            for (.., entry) in &part.items {
                commands.add_command(entry.clone());
            }
            send_each(part.route(call), &commands).await
        });
        let mut added: Vec<_> = saves.iter().map(|_| Ok(())).collect();
        for (part, sent) in parts.iter().zip(join_all(sends).await) {
            for (at, (place, ..)) in part.items.iter().enumerate() {
                added[*place] = match &sent {
                    Ok(sent) => sent.answer.get(at).map_or_else(
                        || Err(unexpected()),
                        |answer| refusal(call, answer).map_or(Ok(()), Err),
                    ),
                    Err(error) => Err(error.clone()),
                };
            }
        }
        added
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

    /// The commands that enter a session that is about to be created in its indexes.
    pub(crate) async fn index_entries(
        &self,
        call: &Call<RedisClient>,
        id: &SessionId,
        draft: &Draft,
    ) -> Result<Vec<Cmd>> {
        let mut entries = Vec::from_iter(self.owner_index_entry(id, draft));
        if let Some(expiry) = &self.expiry {
            let now = expiry::now(call).await?;
            entries.extend(expiry.entry(id, draft, now));
        }
        Ok(entries)
    }

    /// Sends `index`, which adds index entries, and then `command`, which writes or extends the
    /// session.
    ///
    /// Returns the answer to `command`, and the error of an entry that was refused beside it.
    ///
    /// One round trip on one server. In a cluster an index is on another node, so `command` waits
    /// for the answers to `index`: "log out everywhere" would miss a session that its index lacks.
    pub(crate) async fn send_indexed(
        &self,
        call: &Call<RedisClient>,
        index: Vec<Cmd>,
        command: Cmd,
    ) -> Result<Sent<(Value, Option<Error>)>> {
        if index.is_empty() || self.is_cluster {
            for index in &index {
                send(&call.to_other_server(), index).await?;
            }
            let sent = send(call, &command).await?;
            return Ok(sent.map(|answer| (answer, None)));
        }
        let mut commands = Pipeline::with_capacity(index.len() + 1);
        for index in index {
            commands.add_command(index);
        }
        commands.add_command(command);
        let mut sent = send_each(call, &commands).await?;
        let answer = sent.answer.pop().ok_or_else(unexpected)?;
        if let Some(error) = refusal(call, &answer) {
            return Err(error);
        }
        let refused = sent.answer.iter().find_map(|answer| refusal(call, answer));
        Ok(sent.map(|_| (answer, refused)))
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
        let mut call = call.detached();
        if self.is_cluster {
            call = call.to_other_server();
        }
        unawaited(async move {
            if let Err(error) = send(&call, &command).await {
                tracing::debug!(%error, "cannot remove ended sessions from their owner index");
            }
        });
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
        let (at, after, of) = match position {
            IndexPosition::Index { at, after, process } => (*at, after.as_ref(), *process),
            IndexPosition::Store(at) => return self.store_page(call, at.as_ref(), limit).await,
        };
        let key = self.keys.owner(owner);
        let write = (needs_primary && !self.is_cluster).then(|| self.keys.no_op_write());
        let (scanned_key, write) = (key.as_bytes(), &write);
        let ask = |server: Arc<Server>| async move {
            let mut at = at;
            if at != 0 && is_another(of, server.process().await?) {
                // Another server has taken over: from its start.
                at = 0;
            }
            let mut commands = Pipeline::with_capacity(2);
            if let Some(write) = write {
                commands.add_command(write.clone());
            }
            commands.add_command(scan_of_index(scanned_key, at, limit));
            let mut answers = commands.query_async::<Vec<Value>>(&mut &*server).await?;
            let (next, ids) = scanned(answers.pop())?;
            let process = match next {
                0 => None,
                _ => server.process().await?,
            };
            Ok((at, next, ids, process))
        };
        let sent = send_by(Route::to_key(call, &key), 2, ask).await;
        let (at, next, ids, process) = match sent.map(|sent| sent.answer) {
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
        let (ids, next) = IndexPosition::paginate(at, after, ids, next, limit);
        Ok((ids, next.map(|next| next.of(process))))
    }

    /// Removes those of the sessions `cleared` from the index at `key` that it names.
    pub(crate) async fn remove_cleared_from_index(
        &self,
        call: &Call<RedisClient>,
        key: &[u8],
        cleared: &HashSet<SessionId>,
    ) -> Result<()> {
        let mut at = 0;
        loop {
            let found = match send(call, &scan_of_index(key, at, SCAN_COUNT)).await {
                Ok(found) => found.answer,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    // A value of another type names no session.
                    let mut unlink = redis::cmd("UNLINK");
                    unlink.arg(key);
                    return send(call, &unlink).await.map(drop);
                }
                Err(error) => return Err(error),
            };
            let (next, mut ids) = scanned(Some(found)).map_err(|_| unexpected())?;
            ids.retain(|id| cleared.contains(id));
            if !ids.is_empty() {
                let mut remove = redis::cmd("ZREM");
                remove.arg(key);
                for id in &ids {
                    remove.arg(id.as_str());
                }
                send(call, &remove).await?;
            }
            if next == 0 {
                return Ok(());
            }
            at = next;
        }
    }

    /// About `limit` ids of all sessions of the store, and the position of the next page.
    async fn store_page(
        &self,
        call: &Call<RedisClient>,
        at: Option<&Cursor>,
        limit: usize,
    ) -> Result<(Vec<SessionId>, Option<IndexPosition>)> {
        let (keys, next) = scan::page(call, &self.keys, at, limit).await?;
        let ids = keys.iter().filter_map(|key| self.keys.session_in(key));
        let next = next.map(|next| IndexPosition::Store(Some(next)));
        Ok((ids.collect(), next))
    }
}

fn scan_of_index(key: &[u8], at: u64, count: usize) -> Cmd {
    let mut scan = redis::cmd("ZSCAN");
    scan.arg(key).arg(at).arg("COUNT").arg(count);
    scan
}

/// The next cursor, and the ids that were found.
fn scanned(answer: Option<Value>) -> RedisResult<(u64, Vec<SessionId>)> {
    let answer = answer.unwrap_or(Value::Nil);
    let (next, entries): (u64, Vec<Vec<u8>>) = redis::from_redis_value(answer)?;
    // Ids and scores alternate.
    let ids = entries.iter().step_by(2).filter_map(|id| {
        let id = std::str::from_utf8(id).ok()?;
        SessionId::from_stored(id).ok()
    });
    Ok((next, ids.collect()))
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
            for process in [None, Some(7), Some(u32::MAX)] {
                let position = IndexPosition::at(at, after.clone()).of(process);
                assert_eq!(IndexPosition::read(&position.cursor()).ok(), Some(position));
            }
        }
        for position in [None, Some(Cursor::new("0:7"))].map(IndexPosition::Store) {
            assert_eq!(IndexPosition::read(&position.cursor()).ok(), Some(position));
        }
        for text in [
            "",
            ">",
            "x>",
            "-1>",
            "0:0",
            "7",
            "x.7>",
            "99999999999999999999>",
        ] {
            IndexPosition::read(&Cursor::new(text)).expect_err(text);
        }
    }

    #[test]
    fn a_small_index_is_split_into_pages() {
        let all = || ids(&["c", "a", "b", "a", "e", "d"]);
        let (mut position, mut pages) = (Some(IndexPosition::default()), Vec::new());
        while let Some(at) = position {
            let IndexPosition::Index { at, after, .. } = at else {
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
        assert_eq!(next, Some(IndexPosition::at(8, None)));
        let (page, next) = IndexPosition::paginate(8, None, ids(&["d", "c"]), 0, 1);
        assert_eq!((page, next), (ids(&["c", "d"]), None), "its end");
    }
}
