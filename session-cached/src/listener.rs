//! The task that listens to the store's invalidations.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use session_core::backend::Backoff;
use session_core::{Error, ErrorKind, Invalidation, InvalidationStream, SessionStore};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::copies::Copies;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// The pause after the store was refused a right or a login.
const FORBIDDEN: Duration = Duration::from_secs(60);
/// A stream that has held for so long has not just come back to break off again.
const STEADY: Duration = Duration::from_secs(10);
/// How long a server may be silent: a quarter of the lease, within these bounds.
const SILENCE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// Listens for as long as its store is there.
#[derive(Default)]
pub(crate) struct Listener {
    task: Mutex<Option<AbortHandle>>,
    /// The store tells nothing.
    is_absent: Arc<AtomicBool>,
}

impl Listener {
    /// Starts the task unless it runs: at the first load, and when its runtime has ended.
    pub(crate) fn ensure<S: SessionStore>(&self, store: &Arc<S>, copies: &Arc<Copies>) {
        if self.is_absent.load(Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_none_or(AbortHandle::is_finished) {
            return;
        }
        let (least, most) = SILENCE;
        let silence = (copies.lease() / 4).clamp(least, most);
        let Some(stream) = store.invalidations(silence) else {
            self.is_absent.store(true, Relaxed);
            return;
        };
        let listening = Listening {
            copies: Arc::clone(copies),
            silence,
            is_absent: Arc::clone(&self.is_absent),
        };
        let run = listening.run(Arc::clone(store), stream);
        *task = Some(runtime.spawn(run).abort_handle());
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

struct Listening {
    copies: Arc<Copies>,
    silence: Duration,
    is_absent: Arc<AtomicBool>,
}

impl Listening {
    async fn run<S: SessionStore>(self, store: Arc<S>, first: InvalidationStream) {
        let (mut next, mut failures) = (Some(first), 0);
        while let Some(stream) = next {
            let since = Instant::now();
            let error = self.listen(stream).await;
            // What was written since the stream ended is told to none.
            self.copies.drop_all();
            if since.elapsed() >= STEADY {
                failures = 0;
            }
            if failures == 0 {
                let why = "no invalidations of copies: sessions that other processes end are served \
                           here for up to the lease";
                tracing::warn!(error = error.as_ref().map(tracing::field::display), "{why}");
            }
            match error.as_ref().map(Error::kind) {
                Some(ErrorKind::Unsupported) => break,
                Some(ErrorKind::Misconfigured) => tokio::time::sleep(FORBIDDEN).await,
                _ => BACKOFF.wait(failures).await,
            }
            failures += 1;
            next = store.invalidations(self.silence);
        }
        self.is_absent.store(true, Relaxed);
    }

    /// Drops copies until the stream ends. Gives the error that ended it.
    async fn listen(&self, mut stream: InvalidationStream) -> Option<Error> {
        while let Some(told) = stream.next().await {
            match told {
                Ok(Invalidation::Session(id)) => self.copies.drop_copy(&id),
                Ok(_) => self.copies.drop_all(),
                Err(error) => return Some(error),
            }
        }
        None
    }
}

/// A task that ends with its runtime hears nothing more either.
impl Drop for Listening {
    fn drop(&mut self) {
        self.copies.drop_all();
    }
}
