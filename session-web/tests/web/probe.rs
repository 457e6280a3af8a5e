//! A store whose calls can be counted, delayed and refused.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::{
    Capabilities, Draft, Ended, Error, Record, Result, Saved, SessionDirectory, SessionId,
    SessionStore, Stamp, Timeout, Ttl, Version, async_trait,
};
use session_memory::MemoryStore;
use tokio::sync::Barrier;

/// A memory store that counts its calls and can be slow or down.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probe {
    inner: MemoryStore,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    loads: AtomicUsize,
    writes: AtomicUsize,
    touches: AtomicUsize,
    loads_fail: AtomicBool,
    writes_fail: AtomicBool,
    answers_fail: AtomicBool,
    is_slow: AtomicBool,
    together: Mutex<Option<Arc<Barrier>>>,
}

impl Probe {
    /// Loads, writes and touches since the last time this was asked.
    pub(crate) fn taken(&self) -> (usize, usize, usize) {
        let take = |counter: &AtomicUsize| counter.swap(0, SeqCst);
        let state = &self.state;
        (
            take(&state.loads),
            take(&state.writes),
            take(&state.touches),
        )
    }

    pub(crate) fn fail_loads(&self, fail: bool) {
        self.state.loads_fail.store(fail, SeqCst);
    }

    pub(crate) fn fail_writes(&self, fail: bool) {
        self.state.writes_fail.store(fail, SeqCst);
    }

    /// Writes happen, and then the connection breaks, again and again.
    pub(crate) fn fail_answers(&self, fail: bool) {
        self.state.answers_fail.store(fail, SeqCst);
    }

    /// Each call takes up to 3 ms there and as long back, at random, so that those of several
    /// requests are done in another order each time.
    pub(crate) fn slow(&self) {
        self.state.is_slow.store(true, SeqCst);
    }

    /// Loads wait until so many are under way.
    pub(crate) fn load_together(&self, loads: usize) {
        let barrier = Arc::new(Barrier::new(loads));
        *self.state.together.lock().expect("whole") = Some(barrier);
    }

    pub(crate) fn store(&self) -> &MemoryStore {
        &self.inner
    }

    async fn call<T>(&self, counter: &AtomicUsize, work: impl Future<Output = T>) -> T {
        counter.fetch_add(1, SeqCst);
        self.pause().await;
        let done = work.await;
        self.pause().await;
        done
    }

    async fn pause(&self) {
        if self.state.is_slow.load(SeqCst) {
            let random = Stamp::generate().as_bytes()[0] % 4;
            tokio::time::sleep(Duration::from_millis(random.into())).await;
        }
    }

    async fn write<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let work = async {
            refuse(self.state.writes_fail.load(SeqCst))?;
            let done = work.await;
            refuse(self.state.answers_fail.load(SeqCst))?;
            done
        };
        self.call(&self.state.writes, work).await
    }
}

fn refuse(yes: bool) -> Result<()> {
    match yes {
        true => Err(Error::unavailable("probe", "it is down")),
        false => Ok(()),
    }
}

#[async_trait]
impl SessionStore for Probe {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        self.inner.directory()
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        self.write(self.inner.create(id, draft)).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let work = async {
            refuse(self.state.loads_fail.load(SeqCst))?;
            let together = self.state.together.lock().expect("whole").clone();
            if let Some(together) = together {
                together.wait().await;
            }
            self.inner.load(id).await
        };
        self.call(&self.state.loads, work).await
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        self.write(self.inner.save(id, draft, expected)).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let work = async {
            refuse(self.state.writes_fail.load(SeqCst))?;
            self.inner.touch(id, idle).await
        };
        self.call(&self.state.touches, work).await
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        self.write(self.inner.destroy(id, expected)).await
    }
}
