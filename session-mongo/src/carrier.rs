//! What is sent many at a time: creates, loads, saves and touches.
//!
//! A batch of one is the plain command. Destroys go by themselves, for a `delete` of many says
//! only how many there were.

use std::collections::HashMap;

use futures_util::stream::{self, StreamExt};
use mongodb::bson::RawDocumentBuf;
use mongodb::options::ReturnDocument;
use session_core::batch::{BatchLimits, Carrier, Create, SameId, Save, Touch};
use session_core::{Record, Result, Saved, SessionId, Stamp, Timeout, Ttl};

use crate::command::Commands;
use crate::raw;
use crate::schema::{self, Found, Over};

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

/// How many creates of a batch are under way at once when something is in their way.
const AT_ONCE: usize = 16;

pub(crate) struct Creates(pub(crate) Commands);
pub(crate) struct Loads(pub(crate) Commands);
pub(crate) struct Saves(pub(crate) Commands);
pub(crate) struct Touches(pub(crate) Commands);

impl Carrier for Creates {
    type Item = Create;
    type Answer = Stamp;
    const OPERATION: &'static str = "create";
    const SAME_ID: SameId = SameId::InOrder;

    async fn carry(&self, items: &[Create]) -> Result<Vec<Result<Stamp>>> {
        let commands = &self.0;
        let mut in_the_way = vec![true; items.len()];
        if items.len() > 1 {
            let updates = items.iter().map(|Create { id, draft }| {
                let pipeline = schema::write(Over::Nothing(id), draft);
                raw::statement(&schema::at(id, draft.stamp), pipeline, true)
            });
            let reply = commands.update("create", updates).await?;
            in_the_way.fill(false);
            for index in reply.duplicates {
                in_the_way[index] = true;
            }
        }
        let mut answers = Vec::with_capacity(items.len());
        for (item, alone) in items.iter().zip(in_the_way) {
            answers.push(async move {
                // By itself also what failed: an expired session stands there, or another one.
                match alone {
                    true => commands.create(&item.id, &item.draft).await,
                    false => Ok(item.draft.stamp),
                }
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
        let commands = &self.0;
        let statements = raw::saves(items).into_iter();
        let matched = commands.update("save", statements).await?.matched;
        if matched == items.len() as u64 {
            return Ok(items
                .iter()
                .map(|item| Ok(Saved::Done(item.draft.stamp)))
                .collect());
        }
        let ids = items.iter().map(|item| &item.id);
        let stamps = commands
            .find_live("save", ids, &raw::BRIEF, |found| found.stamp())
            .await?;
        let outcome = |(item, stamp): (&Save, Result<Option<Stamp>>)| {
            Ok(Saved::by_stamp(stamp?, &item.draft))
        };
        Ok(items.iter().zip(stamps).map(outcome).collect())
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
            let touch = commands
                .link
                .collection
                .find_one_and_update(schema::live(id), schema::touch(*idle))
                .projection(schema::brief_fields())
                .return_document(ReturnDocument::After);
            let touched = commands.link.run("touch", async { touch.await }).await?;
            let ttl = |document: RawDocumentBuf| Found::new(&document)?.ttl();
            return Ok(vec![touched.map(ttl).transpose()]);
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
