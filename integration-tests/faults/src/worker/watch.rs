//! What a process notices by the way: sessions that end, and time that it was not given.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use session_core::{EndReason, Error, Event, Observer, Owner, SessionId};

use super::Worker;
use crate::clock::Micros;
use crate::history::{Line, Log, Told, ToldLine};

/// An observer that writes each end to the history.
pub(super) struct Witness {
    process: u32,
    log: Arc<Log>,
}

impl Witness {
    pub(super) const fn new(process: u32, log: Arc<Log>) -> Self {
        Self { process, log }
    }

    fn tell(&self, id: &SessionId, owner: Option<&Owner>, what: Told) {
        self.log.write(&Line::Told(ToldLine {
            process: self.process,
            at: Micros::now(),
            session: id.as_str().to_owned(),
            what,
            owner: owner.map(|owner| owner.as_str().to_owned()),
        }));
    }
}

impl Observer for Witness {
    fn destroyed(&self, event: Event<'_>, reason: EndReason) {
        let what = match reason {
            EndReason::SignedOut => Told::SignedOut,
            EndReason::Limit => Told::Limit,
            EndReason::Reused => Told::Reused,
            _ => Told::Revoked,
        };
        self.tell(event.id, event.owner, what);
    }

    fn expired(&self, event: Event<'_>) {
        self.tell(event.id, event.owner, Told::Expired);
    }

    fn corrupt(&self, id: &SessionId, _error: &Error) {
        self.tell(id, None, Told::Corrupt);
    }
}

const BEAT: Duration = Duration::from_millis(10);
const LATE: Duration = Duration::from_millis(15);

/// Notes when the process, or its runtime, did not get to run for 15 ms or more.
pub(super) fn watch_for_lag(
    worker: &Arc<Worker>,
    stop: &Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    let (log, process) = (Arc::clone(worker.recorder.log()), worker.settings.process);
    let alive: Weak<Worker> = Arc::downgrade(worker);
    let runtime = tokio::runtime::Handle::current();
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        while alive.strong_count() > 0 && !stop.load(Ordering::Relaxed) {
            let from = Micros::now();
            // A sleep of a task, so that a busy runtime shows too.
            runtime.block_on(async { tokio::spawn(tokio::time::sleep(BEAT)).await.ok() });
            let to = Micros::now();
            if to.since(from) > BEAT + LATE {
                log.write(&Line::Lag { process, from, to });
            }
        }
    })
}
