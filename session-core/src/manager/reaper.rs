//! A task that removes expired sessions.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::backoff::Backoff;
use crate::backoff::random_up_to;
use crate::{Error, Result, Sessions};

/// A task that reaps expired sessions in small batches, so that observers hear of each.
///
/// It works through what is due with short random pauses, then rests for about `interval` (half
/// to one and a half of it, so that many instances do not meet). An error is logged and answered
/// by pauses that grow to ten intervals. Every instance of an application may run one: each
/// session is reported once.
///
/// [`stop`](Self::stop) stops it and waits for the batch under way. Dropping it stops it too,
/// after that batch.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> session_core::Result<()> {
/// use std::time::Duration;
/// use session_core::{LogObserver, Reaper, Sessions};
///
/// let store = session_memory::MemoryStore::new();
/// let sessions = Sessions::builder(store).observer(LogObserver).build()?;
/// let reaper = Reaper::spawn_with(sessions.clone(), Duration::from_secs(30), 500)?;
/// // … as long as the program runs: expired sessions go, and the log names each …
/// reaper.stop().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "dropping the reaper stops it"]
pub struct Reaper {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Reaper {
    /// Starts a reaper of batches of 500, about every 60 seconds.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the store has no directory.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn spawn(sessions: Sessions) -> Result<Self> {
        Self::spawn_with(sessions, Duration::from_secs(60), 500)
    }

    /// Starts a reaper of batches of `batch`, about every `interval`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the store has no directory,
    /// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) if `batch` or `interval` is
    /// zero.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn spawn_with(sessions: Sessions, interval: Duration, batch: usize) -> Result<Self> {
        if batch == 0 || interval.is_zero() {
            return Err(Error::misconfigured(
                "a reaper's batch and interval must be over zero",
            ));
        }
        if sessions.store().directory().is_none() {
            let what = "reaping";
            return Err(Error::unsupported(what));
        }
        if !sessions.store().capabilities().expiry_reports {
            tracing::warn!(
                "this store does not report expired sessions: observers will not hear of them"
            );
        }
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(sessions, interval, batch, stopped));
        Ok(Self { stop, task })
    }

    /// Stops it, and waits for the batch under way: what the store has removed by then is reported
    /// to observers, and nothing more is sent to the store. For the end of a program.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> session_core::Result<()> {
    /// # use session_core::{Reaper, Sessions};
    /// # let sessions = Sessions::new(session_memory::MemoryStore::new());
    /// let reaper = Reaper::spawn(sessions)?;
    /// // … serve until the program is told to end …
    /// reaper.stop().await;
    /// # Ok(()) }
    /// ```
    ///
    /// A batch may be many commands, each of which takes as long as the store's time limit at most:
    /// put a `tokio::time::timeout` around this where the end of the program must not wait so long.
    /// If the future is dropped, the reaper stops all the same, after the batch.
    pub async fn stop(self) {
        drop(self.stop);
        // An error says that the runtime has ended the task before.
        let _ = self.task.await;
    }
}

async fn run(
    sessions: Sessions,
    interval: Duration,
    batch: usize,
    mut stopped: oneshot::Receiver<()>,
) {
    let after_error = Backoff::new(interval, interval.saturating_mul(10));
    let mut errors = 0;
    loop {
        let pause = match sessions.reap(batch).await {
            Ok(reaped) => {
                errors = 0;
                pause_after(reaped, batch, interval)
            }
            Err(error) => {
                tracing::warn!(%error, "reaping expired sessions failed");
                errors += 1;
                after_error.delay(errors).max(interval / 2)
            }
        };
        // A batch is never cut short: what a store has removed is also reported.
        if tokio::time::timeout(pause, &mut stopped).await.is_ok() {
            return;
        }
    }
}

fn pause_after(reaped: usize, batch: usize, interval: Duration) -> Duration {
    if reaped < batch {
        interval / 2 + random_up_to(interval)
    } else {
        random_up_to(Duration::from_millis(20).min(interval))
    }
}
