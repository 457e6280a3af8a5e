//! Slow stores: every operation waits before and after its effect, so that others run in between,
//! and its answer may be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use session_core::backend::{Call, Policy};
use session_core::{
    Bytes, Capabilities, Cursor, Draft, Ended, Error, Record, Result, Saved, SessionDirectory,
    SessionId, SessionStore, Timeout, Ttl, Version, async_trait,
};
use session_express::{Found, KeyValue, Listed, Renamed};

/// A slow store. Clones share the inner store.
#[derive(Clone, Debug)]
pub(crate) struct Slow<S> {
    inner: S,
    chance: Arc<Chance>,
}

/// Further faults of a slow store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// How many of 1,000 writes lose their answer.
    pub(crate) lost_answers: u64,
    /// Whether a rename takes two steps, between which other operations run.
    pub(crate) two_steps: bool,
}

#[derive(Debug)]
struct Chance {
    state: AtomicU64,
    faults: Faults,
}

impl<S> Slow<S> {
    pub(crate) fn new(inner: S, seed: u64, faults: Faults) -> Self {
        let state = AtomicU64::new(seed);
        let chance = Arc::new(Chance { state, faults });
        Self { inner, chance }
    }

    async fn pause(&self) {
        for _ in 0..self.chance.below(4) {
            tokio::task::yield_now().await;
        }
    }

    async fn read<T>(&self, work: impl Future<Output = T>) -> T {
        self.pause().await;
        let answer = work.await;
        self.pause().await;
        answer
    }

    async fn write<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let answer = self.read(work).await?;
        match self.chance.below(1_000) < self.chance.faults.lost_answers {
            true => Err(Error::unavailable("write", "the answer was lost")),
            false => Ok(answer),
        }
    }
}

impl Chance {
    /// SplitMix64.
    fn below(&self, limit: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(STEP, SeqCst).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

impl<K: KeyValue> KeyValue for Slow<K> {
    type Client = K::Client;

    const NAME: &'static str = K::NAME;
    const TTL: Duration = K::TTL;

    fn policy(&self) -> Policy {
        self.inner.policy()
    }

    async fn get(&self, call: &Call<K::Client>, name: &str) -> Result<Option<Found>> {
        self.read(self.inner.get(call, name)).await
    }

    async fn add(
        &self,
        call: &Call<K::Client>,
        name: &str,
        value: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        self.write(self.inner.add(call, name, value, ttl)).await
    }

    async fn swap(
        &self,
        call: &Call<K::Client>,
        name: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        self.write(self.inner.swap(call, name, old, new, ttl)).await
    }

    async fn extend(&self, call: &Call<K::Client>, name: &str, ttl: Ttl) -> Result<bool> {
        self.write(self.inner.extend(call, name, ttl)).await
    }

    async fn rename(
        &self,
        call: &Call<K::Client>,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<Renamed> {
        let rename = async {
            if !self.chance.faults.two_steps {
                return self.inner.rename(call, from, to, old, new, ttl).await;
            }
            // An id that no client knows.
            let between = format!("between:{to}");
            let first = self
                .inner
                .rename(call, from, &between, old, new, ttl)
                .await?;
            if first != Renamed::Done {
                return Ok(first);
            }
            self.pause().await;
            self.inner.rename(call, &between, to, new, new, ttl).await
        };
        self.write(rename).await
    }

    async fn remove(&self, call: &Call<K::Client>, name: &str) -> Result<bool> {
        self.write(self.inner.remove(call, name)).await
    }

    async fn count(&self, call: &Call<K::Client>) -> Result<u64> {
        self.read(self.inner.count(call)).await
    }

    async fn page(
        &self,
        call: &Call<K::Client>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Listed> {
        self.read(self.inner.page(call, cursor, limit)).await
    }

    async fn clear(&self, call: &Call<K::Client>) -> Result<u64> {
        self.write(self.inner.clear(call)).await
    }
}

#[async_trait]
impl<S: SessionStore> SessionStore for Slow<S> {
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
        self.read(self.inner.load(id)).await
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        self.write(self.inner.save(id, draft, expected)).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        self.write(self.inner.touch(id, idle)).await
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        self.write(self.inner.destroy(id, expected)).await
    }
}
