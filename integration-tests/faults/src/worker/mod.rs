//! A process that uses sessions as an application does: many callers, random operations.

mod board;
mod caller;
mod handle;
mod recorder;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use session_core::{Lifetime, Sessions};
use tokio::task::JoinSet;

use crate::Result;
use crate::clock::Micros;
use crate::dice::Dice;
use crate::history::{Act, Line, Log, WorkerLine};
use board::Board;
use caller::Caller;
use recorder::Recorder;
use watch::{Witness, watch_for_lag};

/// What a worker is to do, as JSON on its command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    pub url: String,
    pub seed: u64,
    pub process: u32,
    pub history: PathBuf,
    /// The file in which processes leave tokens for each other.
    pub board: PathBuf,
    /// How many sessions are in use at a time.
    pub slots: u64,
    pub callers: u32,
    /// When callers stop.
    pub until: Micros,
    /// The idle limit of sessions that are not to expire in the run.
    pub idle: Duration,
    /// How long expired sessions are reaped and reported after that, at most.
    pub drain: Duration,
    /// Whether to wait for ends that a killed process may have claimed.
    pub patient: bool,
    /// How long one call of the store may take.
    pub limit: Duration,
    /// One call in so many is dropped while it is under way; 0: none is.
    pub drops: u64,
}

/// The grace of renewed tokens.
pub const GRACE: Duration = Duration::from_millis(300);

/// What all callers of a process share.
struct Worker {
    settings: Settings,
    /// For sessions whose tokens stay, and for those whose tokens are renewed.
    plain: Sessions,
    renewing: Sessions,
    board: Board,
    recorder: Recorder,
}

/// Works as the settings say.
///
/// # Errors
/// The store can't be connected to within 30 s, or a file can't be opened.
pub async fn work(settings: Settings) -> Result<()> {
    let log = Arc::new(Log::open(&settings.history)?);
    let store = connect(&settings.url).await?;
    let capabilities = store.capabilities();
    log.write(&Line::Worker(WorkerLine {
        process: settings.process,
        at: Micros::now(),
        limit: u64::try_from(settings.limit.as_micros())?,
        expiry_reports: capabilities.expiry_reports,
    }));
    let builder = Sessions::builder(store)
        .lifetime(Lifetime::new(settings.idle, 40 * settings.idle))
        .touch_after(Duration::ZERO)
        .grace(GRACE)
        .observer(Witness::new(settings.process, Arc::clone(&log)));
    let worker = Arc::new(Worker {
        plain: builder.clone().build()?,
        renewing: builder.renew_after(4 * GRACE).build()?,
        board: Board::open(&settings.board)?,
        recorder: Recorder::new(settings.process, log),
        settings,
    });
    let stop = Arc::new(AtomicBool::new(false));
    let lag = watch_for_lag(&worker, &stop);
    let reaper = tokio::spawn(reap_until(Arc::clone(&worker), Arc::clone(&stop)));
    let mut callers = JoinSet::new();
    for number in 0..worker.settings.callers {
        callers.spawn(Caller::new(Arc::clone(&worker), number).run());
    }
    callers.join_all().await;
    stop.store(true, Ordering::Relaxed);
    reaper.await?;
    worker.drain().await;
    let (process, at) = (worker.settings.process, Micros::now());
    worker.recorder.log().write(&Line::Drained { process, at });
    drop(lag);
    Ok(())
}

/// A server may be down just when a worker starts.
async fn connect(url: &str) -> Result<Arc<dyn session_core::SessionStore>> {
    let mut last = None;
    for _ in 0..60 {
        match session_store::connect(url).await {
            Ok(store) => return Ok(Arc::new(store)),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(format!("no connection within 30 s: {last:?}").into())
}

async fn reap_until(worker: Arc<Worker>, stop: Arc<AtomicBool>) {
    let mut dice = Dice::of_part(worker.settings.seed, 1_000_000);
    while !stop.load(Ordering::Relaxed) {
        worker.reap().await;
        let pause = dice.duration(Duration::from_millis(100), Duration::from_millis(400));
        tokio::time::sleep(pause).await;
    }
}

impl Worker {
    /// The manager of the sessions in this slot.
    fn sessions(&self, slot: u64) -> &Sessions {
        match self.renews(slot) {
            true => &self.renewing,
            false => &self.plain,
        }
    }

    const fn renews(&self, slot: u64) -> bool {
        slot.is_multiple_of(8)
    }

    async fn reap(&self) -> Option<usize> {
        let recorder = &self.recorder;
        let call = recorder.call(u32::MAX, None, Act::Reap);
        let reaped = recorder.finish_count(call, self.plain.reap(500).await);
        reaped.ok()
    }

    /// Reaps until nothing lives and nothing is left to report.
    async fn drain(&self) {
        let settings = &self.settings;
        let last = Micros::now().plus(settings.drain);
        let mut quiet = 0;
        while Micros::now() < last {
            let is_empty = matches!(self.plain.count().await, Ok(0));
            let is_quiet = self.reap().await == Some(0) && is_empty && !settings.patient;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet == 5 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
