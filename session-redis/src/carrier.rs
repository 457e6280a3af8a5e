//! What is sent many at a time to a single server: loads and saves.
//!
//! Pipelining alone spares no round trip's wait, but each command and script has its price at the
//! server. In a cluster the keys are on different nodes, and every operation goes by itself.

use bytes::Bytes;
use redis::{Pipeline, Value};
use session_core::batch::{BatchLimits, Carrier, SameId, Save};
use session_core::{Record, Result, Saved, SessionId};

use crate::RedisStore;
use crate::envelope::Envelope;
use crate::store::convert;

/// Measured: `docs/performance.md`. One connection carries all, so lanes cost nothing.
pub(crate) const LIMITS: BatchLimits = BatchLimits {
    lanes: 3,
    alone: 24,
    items: 128,
    bytes: 256 * 1024,
    waiting: 100_000,
};

/// Through a store that has no batches itself.
pub(crate) struct Loads(pub(crate) RedisStore);
pub(crate) struct Saves(pub(crate) RedisStore);

impl Carrier for Loads {
    type Item = SessionId;
    type Answer = Option<Record>;
    const OPERATION: &'static str = "load";
    const SAME_ID: SameId = SameId::Shared;

    fn id(item: &SessionId) -> &SessionId {
        item
    }

    async fn carry(&self, items: &[SessionId]) -> Result<Vec<Result<Option<Record>>>> {
        let keys = items.iter().map(|id| self.0.inner.keys.session(id));
        let mut commands = Pipeline::with_capacity(2);
        let mut get = redis::cmd("MGET");
        keys.for_each(|key| {
            get.arg(key);
        });
        commands.add_command(get).cmd("TIME");
        let (values, (seconds, micros)): (Vec<Value>, (u64, u64)) =
            self.0.run("load", &[], &commands).await?;
        let now = seconds * 1_000 + micros / 1_000;
        let record = |value| {
            let value: Option<Vec<u8>> = convert(Some(value))?;
            let Some(value) = value else { return Ok(None) };
            let envelope = Envelope::decode(Bytes::from(value))?;
            // The server removes it a moment after it has ended, see the scripts.
            let is_live = envelope.deadline.is_none_or(|deadline| now < deadline);
            Ok(is_live.then(|| envelope.into_record(now)))
        };
        Ok(values.into_iter().map(record).collect())
    }
}

impl Carrier for Saves {
    type Item = Save;
    type Answer = Saved;
    const OPERATION: &'static str = "save";
    const SAME_ID: SameId = SameId::InOrder;

    fn id(item: &Save) -> &SessionId {
        &item.id
    }

    fn bytes(item: &Save) -> usize {
        item.draft.data.len()
    }

    async fn carry(&self, items: &[Save]) -> Result<Vec<Result<Saved>>> {
        let store = &self.0;
        let mut commands = Pipeline::with_capacity(items.len() + 1);
        // The owners' indexes first: one that lacks a session would hide it.
        for Save { id, draft, .. } in items {
            if let Some(index) = store.index(id, draft) {
                commands.add_command(index);
            }
        }
        commands.add_command(store.save_command(items));
        let scripts = &store.inner.scripts;
        let scripts = [&scripts.index, &scripts.save];
        let mut answers: Vec<Value> = store.run("save", &scripts, &commands).await?;
        let answers: Vec<Value> = convert(answers.pop())?;
        let mut outcomes = Vec::with_capacity(items.len());
        for (item, value) in items.iter().zip(answers) {
            outcomes.push(store.outcome(item, Some(value)).await);
        }
        Ok(outcomes)
    }
}
