//! Concurrent requests that change sessions without a pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use session_core::{Anchor, Saved, SessionId, Version};
use tokio::task::JoinSet;

use crate::checked::CheckedStore;
use crate::random::Random;
use crate::samples::{credential, draft, hours};

/// How many tasks change each session.
const TASKS_PER_SESSION: usize = 2;
/// How often a task still tries to save a session that it has found ended.
const LATE_SAVES: usize = 3;

/// Tasks that save sessions repeatedly until they are stopped.
pub(super) struct Busy {
    tasks: JoinSet<()>,
    is_over: Arc<AtomicBool>,
}

impl Busy {
    /// Starts tasks that change `ids`, spread over `stores`.
    pub(super) fn begin(stores: &[CheckedStore], ids: &[SessionId], random: &Random) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for n in 0..ids.len() * TASKS_PER_SESSION {
            let store = stores[n % stores.len()].clone();
            let id = ids[n / TASKS_PER_SESSION].clone();
            let (random, is_over) = (random.part(n), Arc::clone(&is_over));
            tasks.spawn(keep_changing(store, id, random, is_over));
        }
        Self { tasks, is_over }
    }

    /// Stops the tasks and waits for their operations in flight.
    pub(super) async fn end(mut self) {
        self.is_over.store(true, SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

/// Saves the session repeatedly, keeping its owner. Once it has ended, no save is done.
async fn keep_changing(
    store: CheckedStore,
    id: SessionId,
    mut random: Random,
    is_over: Arc<AtomicBool>,
) {
    let mut last: Option<Version> = None;
    while !is_over.load(SeqCst) {
        let Some(found) = store.must_load(&id).await else {
            for version in last.into_iter().cycle().take(LATE_SAVES) {
                let saved = store.must_save(&id, &draft("late"), version).await;
                // Others that were sent with it may have been written over or ended.
                let is_over = matches!(saved, Saved::Gone | Saved::Unknown);
                assert!(is_over, "a save of what a load did not find was {saved:?}");
            }
            return;
        };
        let anchor = match random.below(3) {
            0 => Anchor::Restart,
            _ => Anchor::Keep,
        };
        let next = draft("changed again")
            .with_owner(found.owner)
            .with_credential(credential(&random.below(u64::MAX).to_le_bytes()))
            .with_anchor(anchor);
        if let Saved::Done(version) = store.must_save(&id, &next, found.version).await {
            last = Some(version);
        }
        match random.below(4) {
            0 => drop(store.must_touch(&id, hours(2).idle).await),
            1 => tokio::time::sleep(Duration::from_micros(random.below(300))).await,
            // Calls of an in-memory store never suspend, so other tasks of the thread would not
            // run.
            _ => tokio::task::yield_now().await,
        }
    }
}
