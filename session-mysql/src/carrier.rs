//! How each operation is sent: one by itself, or many in one statement or transaction.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use session_core::batch::{BatchLimits, Carrier, Create, Destroy, SameId, Save, Touch};
use session_core::{Anchor, Draft, Ended, Lifetime, Record, Result, Saved, SessionId, Ttl};
use sqlx::mysql::MySqlRow;

use crate::command::Commands;
use crate::removal::{Condition, Removal};
use crate::row::{column, ended, headed_record, id_bytes, record, stamp, ttl};
use crate::schema::MOST;

/// How much goes at once over a pool of so many connections. Measured: `docs/performance.md`.
pub(crate) fn limits(connections: u32) -> BatchLimits {
    let connections = connections.max(1) as usize;
    BatchLimits {
        lanes: connections.min(4),
        alone: connections.min(16),
        items: MOST,
        bytes: 256 * 1024,
        waiting: 10_000,
    }
}

pub(crate) struct Creates(pub(crate) Commands);
pub(crate) struct Loads(pub(crate) Commands);
pub(crate) struct Saves(pub(crate) Commands);
pub(crate) struct Touches(pub(crate) Commands);
pub(crate) struct Destroys {
    commands: Commands,
    /// Whether the server knows `DELETE … RETURNING`, as MariaDB does and MySQL does not: it does
    /// until it has refused one.
    returning: AtomicBool,
}

impl Carrier for Creates {
    type Item = Create;
    type Answer = Saved;
    const OPERATION: &'static str = "create";
    const SAME_ID: SameId = SameId::InOrder;

    async fn carry(&self, items: &[Create]) -> Result<Vec<Result<Saved>>> {
        let mut answers = Vec::with_capacity(items.len());
        let mut rest = items;
        while !rest.is_empty() {
            // A row can't be filled up with, so the largest part for which there is a statement.
            let (part, more) = rest.split_at(1 << rest.len().ilog2());
            rest = more;
            answers.extend(self.create(part).await?);
        }
        Ok(answers)
    }
}

impl Creates {
    async fn create(&self, items: &[Create]) -> Result<Vec<Result<Saved>>> {
        let commands = &self.0;
        let mut before = false;
        if items.len() > 1 {
            let sent = commands.write("create", || commands.sql.create(items));
            let sent = sent.await?;
            if sent.answer.is_some() {
                return Ok(items
                    .iter()
                    .map(|item| Ok(Saved::done(&item.draft)))
                    .collect());
            }
            before = sent.before;
        }
        // Alone, or one of them is there already.
        let mut answers = Vec::with_capacity(items.len());
        for item in items {
            answers.push(commands.create(item, before).await);
        }
        Ok(answers)
    }
}

impl Carrier for Loads {
    type Item = SessionId;
    type Answer = Option<Record>;
    const OPERATION: &'static str = "load";
    const SAME_ID: SameId = SameId::Shared;

    async fn carry(&self, items: &[SessionId]) -> Result<Vec<Result<Option<Record>>>> {
        let commands = &self.0;
        if let [id] = items {
            let rows = commands.fetch("load", || commands.sql.load(id)).await?;
            return Ok(vec![rows.first().map(headed_record).transpose()]);
        }
        let statement = || commands.sql.load_many(items);
        let rows = commands.fetch("load", statement).await?;
        Ok(in_order(items.iter(), &rows, record))
    }
}

impl Carrier for Saves {
    type Item = Save;
    type Answer = Saved;
    const OPERATION: &'static str = "save";
    const SAME_ID: SameId = SameId::InOrder;

    async fn carry(&self, items: &[Save]) -> Result<Vec<Result<Saved>>> {
        let commands = &self.0;
        let (mut matched, mut before) = (0, false);
        // Most sites have one lifetime, or two: with "remember me" and without.
        for alike in groups(items, |item| limits_of(&item.draft)) {
            for saves in told_apart(alike) {
                let statement = || match &saves[..] {
                    [(_, save)] => commands.sql.save(save),
                    saves => commands.sql.save_many(saves),
                };
                let sent = commands.execute("save", statement).await?;
                matched += sent.answer;
                before |= sent.before;
            }
        }
        if matched == items.len() as u64 {
            return Ok(items
                .iter()
                .map(|item| Ok(Saved::done(&item.draft)))
                .collect());
        }
        let ids: Vec<SessionId> = items.iter().map(|item| item.id.clone()).collect();
        let stamps = || commands.sql.stamps(&ids);
        let rows = commands.fetch_from_writable("save", ids.len(), stamps);
        let rows = rows.await?;
        let found = in_order(ids.iter(), &rows, |row| stamp(row, 1));
        let drafts = items.iter().map(|item| &item.draft);
        Ok(Saved::of_batch(drafts, found, matched, before))
    }
}

impl Carrier for Touches {
    type Item = Touch;
    type Answer = Option<Ttl>;
    const OPERATION: &'static str = "touch";
    const SAME_ID: SameId = SameId::InOrder;

    async fn carry(&self, items: &[Touch]) -> Result<Vec<Result<Option<Ttl>>>> {
        let commands = &self.0;
        let mut matched = 0;
        for alike in groups(items, |item| item.idle) {
            let statement = || commands.sql.touch(&alike);
            matched += commands.execute("touch", statement).await?.answer;
        }
        if matched == 0 {
            return Ok(items.iter().map(|_| Ok(None)).collect());
        }
        let ids: Vec<SessionId> = items.iter().map(|item| item.id.clone()).collect();
        let (ttls, wanted) = (|| commands.sql.ttls(&ids), matched as usize);
        let rows = commands.fetch_from_writable("touch", wanted, ttls).await?;
        Ok(in_order(ids.iter(), &rows, |row| ttl(row, 1)))
    }
}

impl Carrier for Destroys {
    type Item = Destroy;
    type Answer = Option<Ended>;
    const OPERATION: &'static str = "destroy";
    const SAME_ID: SameId = SameId::InOrder;

    async fn carry(&self, items: &[Destroy]) -> Result<Vec<Result<Option<Ended>>>> {
        if let [item] = items {
            return Ok(vec![self.destroy(item).await]);
        }
        let ids = items.iter().map(|item| id_bytes(&item.id).to_vec());
        let expected = items.iter().filter_map(|item| {
            let expected = item.expected.as_ref()?.stamp();
            Some((id_bytes(&item.id).to_vec(), expected))
        });
        let removal = Removal {
            lock: self.commands.sql.lock_live.clone(),
            ids: ids.collect(),
            condition: Condition::Stamps(expected.collect()),
        };
        let ended = self.commands.remove("destroy", removal).await?;
        let mut ended: HashMap<SessionId, Ended> =
            (ended.into_iter().map(|ended| (ended.id.clone(), ended))).collect();
        Ok(items
            .iter()
            .map(|item| Ok(ended.remove(&item.id)))
            .collect())
    }
}

impl Destroys {
    pub(crate) fn new(commands: Commands) -> Self {
        Self {
            commands,
            returning: AtomicBool::new(true),
        }
    }

    /// Ends one session: on MariaDB in one round trip, on MySQL in two.
    async fn destroy(&self, item: &Destroy) -> Result<Option<Ended>> {
        let (commands, sql) = (&self.commands, &self.commands.sql);
        let mut before = false;
        if self.returning.load(Ordering::Relaxed) {
            let statement = || sql.destroy(&sql.destroy_returning, item);
            let sent = commands.fetch_deleted("destroy", statement).await?;
            before = sent.before;
            if let Some(rows) = sent.answer {
                return match rows.first() {
                    Some(row) => Ok(Some(ended(item.id.clone(), row))),
                    None => self.not_found(item, before).await,
                };
            }
            self.returning.store(false, Ordering::Relaxed);
        }
        let find = || sql.destroy(&sql.find, item);
        let rows = commands.fetch_from_writable("destroy", 1, find).await?;
        if let Some(row) = rows.first() {
            let statement = || sql.destroy(&sql.destroy, item);
            let sent = commands.execute("destroy", statement).await?;
            // Only who deletes the row has ended the session.
            if sent.answer > 0 {
                return Ok(Some(ended(item.id.clone(), row)));
            }
            before |= sent.before;
        }
        self.not_found(item, before).await
    }

    /// The answer if there was nothing to end. If an earlier sending may have ended it, and no
    /// version of it is left, it may have been this call.
    async fn not_found(&self, item: &Destroy, before: bool) -> Result<Option<Ended>> {
        if !before {
            return Ok(None);
        }
        let live = self.commands.stamp("destroy", &item.id).await?;
        Ok(live.is_none().then(|| Ended::unknown(item.id.clone())))
    }
}

/// The limits that a draft sets, which a statement has once.
fn limits_of(draft: &Draft) -> (Lifetime, Anchor) {
    (draft.lifetime, draft.anchor)
}

/// `items` in groups of the same `key`, in the order in which the keys came.
fn groups<T, K: PartialEq>(items: &[T], key: impl Fn(&T) -> K) -> Vec<Vec<&T>> {
    let mut groups: Vec<(K, Vec<&T>)> = Vec::with_capacity(1);
    for item in items {
        let key = key(item);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// `saves` in the order of their ids' checksums, no two of which are the same in one list.
fn told_apart(saves: Vec<&Save>) -> Vec<Vec<(u32, &Save)>> {
    let sum = |save: &Save| crc32fast::hash(save.id.as_str().as_bytes());
    let mut rest: Vec<(u32, &Save)> = saves.into_iter().map(|save| (sum(save), save)).collect();
    rest.sort_unstable_by_key(|(sum, _)| *sum);
    let mut lists = Vec::with_capacity(1);
    while !rest.is_empty() {
        let mut list: Vec<(u32, &Save)> = Vec::with_capacity(rest.len());
        rest.retain(|next| {
            let again = list.last().is_some_and(|(sum, _)| *sum == next.0);
            if !again {
                list.push(*next);
            }
            again
        });
        lists.push(list);
    }
    lists
}

/// What `read` makes of the row of each of `ids`; `None` for those that have none.
fn in_order<'i, T>(
    ids: impl ExactSizeIterator<Item = &'i SessionId>,
    rows: &[MySqlRow],
    read: impl Fn(&MySqlRow) -> Result<T>,
) -> Vec<Result<Option<T>>> {
    if ids.len() == 1 {
        return vec![rows.first().map(read).transpose()];
    }
    let row_of = |row| Some((column::<&[u8]>(row, 0).ok()?, row));
    let by_id: HashMap<&[u8], &MySqlRow> = rows.iter().filter_map(row_of).collect();
    ids.map(|id| {
        by_id
            .get(id.as_str().as_bytes())
            .map(|row| read(row))
            .transpose()
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use session_core::Version;

    use super::*;

    fn save(id: &str) -> Save {
        let draft = Draft::new("{}", Lifetime::idle(Duration::from_secs(60)));
        Save {
            id: SessionId::from_stored(id).expect("valid"),
            draft,
            expected: Version::new(session_core::Stamp::generate()),
        }
    }

    #[test]
    fn ids_of_one_checksum_go_apart() {
        // The checksums of the second and the last are the same.
        let saves = ["a", "plumless", "b", "c", "buckeroo"].map(save);
        let lists = told_apart(saves.iter().collect());
        let sizes: Vec<usize> = lists.iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 1]);
        for list in &lists {
            assert!(list.is_sorted_by(|a, b| a.0 < b.0));
        }
        let all = lists.iter().flatten().map(|(_, save)| save.id.as_str());
        let all: std::collections::BTreeSet<&str> = all.collect();
        assert_eq!(all.len(), 5);
    }
}
