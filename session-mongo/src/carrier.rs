//! What is sent many at a time: creates, loads, saves and touches.
//!
//! A batch of one is the plain command. Destroys are sent one by one: a `delete` of many answers
//! only how many there were.

use std::collections::HashMap;

use futures_util::stream::{self, StreamExt};
use session_core::batch::{BatchLimits, Carrier, Create, SameId, Save, Touch};
use session_core::{Record, Result, Saved, SessionId, Timeout, Ttl};

use crate::command::Commands;
use crate::raw;

/// Measured: `docs/performance.md`.
pub(crate) const LIMITS: BatchLimits = BatchLimits {
    lanes: 2,
    alone: 4,
    items: 128,
    bytes: 1024 * 1024,
    waiting: 10_000,
};

/// From three callers on, one query for all is quicker than one for each.
pub(crate) const LOADS: BatchLimits = BatchLimits { alone: 2, ..LIMITS };

/// While the server waits for its journal, another statement can be worked on.
pub(crate) const SAVES: BatchLimits = BatchLimits { lanes: 3, ..LIMITS };

/// How many operations of a batch are in flight at once when each is sent by itself.
const AT_ONCE: usize = 16;

pub(crate) struct Creates(pub(crate) Commands);
pub(crate) struct Loads(pub(crate) Commands);
pub(crate) struct Saves(pub(crate) Commands);
pub(crate) struct Touches(pub(crate) Commands);

impl Carrier for Creates {
    type Item = Create;
    type Answer = Saved;
    const OPERATION: &'static str = "create";
    const SAME_ID: SameId = SameId::InOrder;

    async fn carry(&self, items: &[Create]) -> Result<Vec<Result<Saved>>> {
        let commands = &self.0;
        let mut alone = vec![true; items.len()];
        let mut before = false;
        if items.len() > 1 {
            let statements = items.iter().map(|item| raw::create(&item.id, &item.draft));
            match commands.update("create", statements).await {
                Ok(sent) => {
                    before = sent.before;
                    alone.fill(false);
                    // An expired session of that id is there, or another one.
                    for index in sent.answer.duplicates {
                        alone[index] = true;
                    }
                }
                Err(error) if error.is_temporary() => return Err(error),
                // Some of them may have been done.
                Err(_) => before = true,
            }
        }
        let mut answers = Vec::with_capacity(items.len());
        for (item, alone) in items.iter().zip(alone) {
            answers.push(async move {
                if !alone {
                    return Ok(Saved::done(&item.draft));
                }
                let saved = commands.create(&item.id, &item.draft).await?;
                Ok(saved.after(before))
            });
        }
        Ok(stream::iter(answers).buffered(AT_ONCE).collect().await)
    }
}

impl Carrier for Loads {
    type Item = SessionId;
    type Answer = Option<Record>;
    const OPERATION: &'static str = "load";
    const SAME_ID: SameId = SameId::Shared;

    async fn carry(&self, items: &[SessionId]) -> Result<Vec<Result<Option<Record>>>> {
        self.0
            .find_live("load", items.iter(), &raw::RECORD, |found| found.record())
            .await
    }
}

impl Carrier for Saves {
    type Item = Save;
    type Answer = Saved;
    const OPERATION: &'static str = "save";
    const SAME_ID: SameId = SameId::InOrder;

    async fn carry(&self, items: &[Save]) -> Result<Vec<Result<Saved>>> {
        match self.save(items, false).await {
            // Each is sent by itself, which shows whose fault it is. The batcher would do that too,
            // but it does not know that some of them may have been done.
            Err(error) if items.len() > 1 && !error.is_temporary() => {
                let mut answers = Vec::with_capacity(items.len());
                for item in items.chunks(1) {
                    answers.push(async move {
                        let saved = self.save(item, true).await?.pop();
                        saved.unwrap_or(Ok(Saved::Unknown))
                    });
                }
                Ok(stream::iter(answers).buffered(AT_ONCE).collect().await)
            }
            carried => carried,
        }
    }
}

impl Saves {
    /// Saves `items`, which may have been sent `before` without an answer.
    async fn save(&self, items: &[Save], before: bool) -> Result<Vec<Result<Saved>>> {
        let commands = &self.0;
        let statements = raw::saves(items).into_iter();
        let sent = commands.update("save", statements).await?;
        if sent.answer.matched == items.len() as u64 {
            let done = items.iter().map(|item| Ok(Saved::done(&item.draft)));
            return Ok(done.collect());
        }
        let before = before || sent.before;
        let ids = items.iter().map(|item| &item.id);
        let stamps = commands
            .find_live("save", ids, &raw::BRIEF, |found| found.stamp())
            .await?;
        let drafts = items.iter().map(|item| &item.draft);
        let matched = sent.answer.matched;
        Ok(Saved::of_batch(drafts, stamps, matched, before))
    }
}

impl Carrier for Touches {
    type Item = Touch;
    type Answer = Option<Ttl>;
    const OPERATION: &'static str = "touch";
    const SAME_ID: SameId = SameId::InOrder;

    async fn carry(&self, items: &[Touch]) -> Result<Vec<Result<Option<Ttl>>>> {
        let commands = &self.0;
        if let [Touch { id, idle }] = items {
            return Ok(vec![commands.touch(id, *idle).await]);
        }
        let mut alike: HashMap<Timeout, Vec<&SessionId>> = HashMap::new();
        for Touch { id, idle } in items {
            alike.entry(*idle).or_default().push(id);
        }
        let updates = alike
            .into_iter()
            .map(|(idle, ids)| raw::touch(ids.into_iter(), idle));
        commands.update("touch", updates).await?;
        let ids = items.iter().map(|item| &item.id);
        commands
            .find_live("touch", ids, &raw::BRIEF, |found| found.ttl())
            .await
    }
}
