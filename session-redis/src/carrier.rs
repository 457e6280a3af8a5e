//! What is sent many at a time to a single server: loads and saves.
//!
//! Pipelining alone spares no round trip's wait, but each command and script has its price at the
//! server. In a cluster the keys are on different nodes, and every operation goes by itself.

use std::time::Instant;

use bytes::Bytes;
use redis::{Cmd, Pipeline, Value};
use session_core::batch::{BatchLimits, Carrier, SameId, Save};
use session_core::{Record, Result, Saved, SessionId};

use crate::RedisStore;
use crate::clock::Reading;
use crate::command::{Group, convert, saved, unexpected};
use crate::envelope::Envelope;

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

    async fn carry(&self, items: &[SessionId]) -> Result<Vec<Result<Option<Record>>>> {
        let keys = &self.0.inner.keys;
        let one = items.len() == 1;
        let length: usize = items.iter().map(|id| keys.length(id)).sum();
        let mut get = Cmd::with_capacity(1 + items.len(), 4 + length);
        get.arg(if one { "GET" } else { "MGET" });
        let mut key = String::new();
        for id in items {
            keys.write_session(id, &mut key);
            get.arg(&key);
        }
        let (answer, now) = self.ask(get).await?;
        let record = |value| match value {
            Value::Nil => Ok(None),
            Value::BulkString(value) => {
                let envelope = Envelope::decode(Bytes::from(value))?;
                Ok(envelope.into_live_record(now))
            }
            _ => Err(unexpected()),
        };
        match answer {
            value if one => Ok(vec![record(value)]),
            Value::Array(values) => Ok(values.into_iter().map(record).collect()),
            _ => Err(unexpected()),
        }
    }
}

impl Loads {
    /// The answer to `get`, and the server's time then.
    async fn ask(&self, get: Cmd) -> Result<(Value, u64)> {
        let clock = &self.0.inner.clock;
        if let Some(reading) = clock.reading() {
            let sent = self.0.send_one("load", &get).await?;
            return Ok((sent.answer, reading.now()));
        }
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(get).cmd("TIME");
        let asked = Instant::now();
        let mut answers = self.0.send_batch("load", &commands).await?.answer;
        let told = Reading::new(convert(answers.pop())?, asked);
        clock.set(told);
        let answer = answers.pop().ok_or_else(unexpected)?;
        Ok((answer, told.told()))
    }
}

impl Carrier for Saves {
    type Item = Save;
    type Answer = Saved;
    const OPERATION: &'static str = "save";
    const SAME_ID: SameId = SameId::InOrder;

    async fn carry(&self, items: &[Save]) -> Result<Vec<Result<Saved>>> {
        let store = &self.0;
        let mut commands = Pipeline::with_capacity(1);
        // The owners' indexes first: one that lacks a session would hide it.
        for Save { id, draft, .. } in items {
            if let Some(index) = store.index(id, draft) {
                commands.add_command(index);
            }
        }
        let groups = Group::all(items);
        for group in &groups {
            commands.add_command(store.save_command(group, items));
        }
        let mut sent = store.send_batch("save", &commands).await?;
        let mut outcomes: Vec<_> = items.iter().map(|_| Err(unexpected())).collect();
        // The answers of the indexes are in front.
        for group in groups.iter().rev() {
            let ends = group.ends(sent.answer.pop().ok_or_else(unexpected)?)?;
            for (place, code) in group.places.iter().zip(ends) {
                let saved = saved(code, &items[*place].draft);
                outcomes[*place] = saved.map(|saved| saved.after(sent.before));
            }
        }
        Ok(outcomes)
    }
}
