//! Entries of owner indexes, without scripts.
//!
//! The expiry of an index never becomes earlier, so it needs no comparison on the server:
//! `PEXPIREAT … GT`, in the pipeline with the session's write. A new index has no expiry yet, and
//! `GT` sets none: before the write is answered, `NX` and `GT` again do, whichever writer comes
//! first. (`NX` can't go with the first commands: the key may hold another program's value, which
//! would expire.) They read the last entry before: an index that has lost its expiry is not new.

use redis::{Pipeline, Value};
use session_core::{Owner, Result, SessionId};

use super::Compare;
use crate::clock::Reading;
use crate::command::{convert, send, send_all};
use crate::owner_index::{FOR_EVER, SLACK};

/// How many entries whose time has passed are removed at once: a million would block the server
/// for a second.
const BATCH: usize = 1_000;

impl Compare<'_> {
    /// Adds the commands that name `id` in the index of `owner` until `until`, 0 for ever. They
    /// have three answers.
    pub(super) fn add_index_entry(
        self,
        commands: &mut Pipeline,
        owner: &Owner,
        id: &SessionId,
        until: u64,
    ) {
        let key = self.backend.keys.owner(owner);
        let add = commands.cmd("ZADD").arg(&key).arg("GT");
        match until {
            0 => add.arg("+inf"),
            until => add.arg(until),
        };
        add.arg(id.as_str());
        // Before the expiry: what another writer sets between would pass for that of this one.
        commands.pttl(&key);
        commands
            .cmd("PEXPIREAT")
            .arg(&key)
            .arg(expiry(until))
            .arg("GT");
    }

    /// Gives new indexes their expiry, and removes old entries of those that have grown.
    pub(super) async fn follow_up(
        self,
        entries: Vec<((Owner, u64), [Value; 3])>,
        now: Reading,
    ) -> Result<()> {
        let mut without_expiry = Vec::new();
        for ((owner, until), [added, left, _]) in entries {
            // The value of another type stays as it is.
            let Value::Int(added) = added else { continue };
            let key = self.backend.keys.owner(&owner);
            if added > 0 {
                self.remove_passed(key.clone(), now.earliest().saturating_sub(SLACK));
            }
            if left == Value::Int(-1) {
                without_expiry.push((key, expiry(until)));
            }
        }
        if without_expiry.is_empty() {
            return Ok(());
        }
        self.set_expiries(without_expiry).await
    }

    /// Gives indexes an expiry, of this time or their last entry's.
    async fn set_expiries(self, indexes: Vec<(String, u64)>) -> Result<()> {
        let mut last = Pipeline::with_capacity(indexes.len());
        for (key, _) in &indexes {
            let last = last.cmd("ZRANGE").arg(key);
            last.arg(-1).arg(-1).arg("WITHSCORES");
        }
        let last = send_all(self.route, &last).await?.answer;
        let mut commands = Pipeline::with_capacity(2 * indexes.len());
        for ((key, at), last) in indexes.into_iter().zip(last) {
            let last = scores(last)?.pop().map_or(0, until);
            for condition in ["NX", "GT"] {
                let expire = commands.cmd("PEXPIREAT").arg(&key);
                expire.arg(at.max(last)).arg(condition);
            }
        }
        send_all(self.route, &commands).await.map(drop)
    }

    /// Removes up to [`BATCH`] entries whose time was `before`, without making the caller wait. The
    /// server compares the times, so an entry that has a later one by then stays.
    fn remove_passed(self, key: String, before: u64) {
        let call = self.route.call.detached();
        tokio::spawn(async move {
            let mut last = redis::cmd("ZRANGE");
            last.arg(&key)
                .arg(BATCH - 1)
                .arg(BATCH - 1)
                .arg("WITHSCORES");
            let removed = async {
                let answer = send(&call, &last).await?.answer;
                let last: Option<f64> = scores(answer)?.pop();
                let until = last.map_or(before as f64, |last| last.min(before as f64));
                let mut remove = redis::cmd("ZREMRANGEBYSCORE");
                remove.arg(&key).arg("-inf").arg(until);
                send(&call, &remove).await
            };
            if let Err(error) = removed.await {
                tracing::debug!(%error, "cannot remove old entries of an owner index");
            }
        });
    }
}

fn expiry(until: u64) -> u64 {
    match until {
        0 => FOR_EVER,
        until => until.saturating_add(SLACK),
    }
}

/// The expiry of an index whose last entry has this score.
fn until(score: f64) -> u64 {
    // A score is a whole number, or infinite.
    (score as u64).saturating_add(SLACK).min(FOR_EVER)
}

/// The scores in an answer with ids and scores.
pub(crate) fn scores(answer: Value) -> Result<Vec<f64>> {
    let entries: Vec<(Vec<u8>, f64)> = convert(Some(answer))?;
    Ok(entries.into_iter().map(|(_, score)| score).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_outlives_its_last_entry() {
        assert_eq!(until(1_000.0), 1_000 + SLACK);
        assert_eq!(until(f64::INFINITY), FOR_EVER);
        assert_eq!(expiry(0), FOR_EVER);
        let infinite = Value::Array(vec![
            Value::BulkString(b"id".to_vec()),
            Value::BulkString(b"inf".to_vec()),
        ]);
        assert_eq!(scores(infinite).expect("scores"), [f64::INFINITY]);
    }
}
