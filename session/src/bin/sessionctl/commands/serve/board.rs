//! What the page shows, and the task that keeps it fresh.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use session_store::session_core::Notice;
use session_store::{Result, SessionDirectory, SessionStore};
use tokio::time::{Instant, sleep};

use super::walk::{Rates, Walk};

/// How often the store is looked at, at most.
const EVERY: Duration = Duration::from_secs(2);
/// A look that takes long is followed by a pause of so many times as long: a store in use has other work.
const PAUSE: u32 = 10;
/// How many looks are shown.
const SHOWN: usize = 90;
/// How long after its end a stream of notices is asked for anew.
const AGAIN: Duration = Duration::from_secs(5);

/// What is known of the store.
#[derive(Default)]
pub(super) struct Board {
    seen: Mutex<Seen>,
    /// How many ends the store has told since the last look.
    ends: AtomicU64,
    /// Whether the store tells ends.
    tells: AtomicBool,
}

#[derive(Default)]
struct Seen {
    live: u64,
    walk: Option<Walk>,
    rates: VecDeque<Rates>,
    looks: u64,
    pause: Duration,
    error: Option<String>,
}

impl Board {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(&self, directory: &dyn SessionDirectory) -> Result<Duration> {
        let began = Instant::now();
        let walk = Walk::over(directory).await?;
        let live = match walk.is_complete {
            true => walk.len() as u64,
            false => directory.count().await?,
        };
        let told = self.ends.swap(0, Relaxed);
        let took = began.elapsed();
        let mut seen = self.seen();
        if let Some(before) = &seen.walk {
            let mut rates = walk.since(before, live);
            if rates.ended.is_none() && self.tells.load(Relaxed) {
                let seconds = walk.at.duration_since(before.at).as_secs_f64();
                rates.ended = Some(told as f64 / seconds.max(0.001));
            }
            seen.rates.push_back(rates);
            let surplus = seen.rates.len().saturating_sub(SHOWN);
            seen.rates.drain(..surplus);
        }
        seen.live = live;
        seen.walk = Some(walk);
        seen.looks += 1;
        seen.error = None;
        seen.pause = EVERY.max(took * PAUSE);
        Ok(seen.pause)
    }

    /// What the page gets.
    pub(super) fn json(&self) -> Value {
        let seen = self.seen();
        let rates = seen
            .rates
            .iter()
            .map(|rates| json!([rates.created, rates.renewed, rates.ended, rates.expired]));
        let walk = seen.walk.as_ref();
        let is_complete = walk.is_some_and(|walk| walk.is_complete);
        json!({
            "looks": seen.looks,
            "live": seen.live,
            "listed": walk.map_or(0, Walk::len),
            "complete": is_complete,
            "look_milliseconds": walk.map_or(0, |walk| walk.took.as_millis() as u64),
            "pause_milliseconds": seen.pause.as_millis() as u64,
            "rates": rates.collect::<Vec<_>>(),
            "how": how(is_complete, self.tells.load(Relaxed)),
            "figures": walk.map(|walk| walk.figures.json()),
            "error": seen.error,
        })
    }
}

/// How each rate is known, in the order of the rates.
fn how(is_complete: bool, tells: bool) -> [&'static str; 4] {
    match (is_complete, tells) {
        (true, _) => [
            "counted between two looks; a session that begins and ends between them is missed",
            "sessions whose deadline has moved, once a look",
            "gone before their deadline",
            "gone at their deadline",
        ],
        (false, tells) => [
            "estimated from the share of sessions under a minute old",
            "not known: the store has too many sessions to compare",
            if tells {
                "told by the store"
            } else {
                "not known"
            },
            "not known",
        ],
    }
}

/// Looks at the store again and again.
pub(super) async fn watch(board: Arc<Board>, store: Arc<dyn SessionStore>) {
    tokio::join!(look_again(&board, &*store), listen(&board, &*store));
}

async fn look_again(board: &Board, store: &dyn SessionStore) {
    let Some(directory) = store.directory() else {
        return;
    };
    loop {
        let pause = match board.look(directory).await {
            Ok(pause) => pause,
            Err(error) => {
                board.seen().error = Some(error.to_string());
                EVERY
            }
        };
        sleep(pause).await;
    }
}

async fn listen(board: &Board, store: &dyn SessionStore) {
    while let Some(mut notices) = store.notices() {
        while let Some(Ok(notice)) = notices.next().await {
            match notice {
                Notice::Ended(_) => {
                    board.ends.fetch_add(1, Relaxed);
                }
                Notice::Missed => board.tells.store(true, Relaxed),
                _ => {}
            }
        }
        board.tells.store(false, Relaxed);
        sleep(AGAIN).await;
    }
}
