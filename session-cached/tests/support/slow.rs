//! A store whose operations take random times before and after they have happened.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use session_core::{
    Draft, Ended, Error, Invalidation, InvalidationStream, Record, Result, Saved, SessionId,
    SessionStore, Stamp, StoreWrapper, Timeout, Ttl, Version,
};
use session_memory::MemoryStore;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::random::Random;

/// What a write has left in the store.
#[derive(Debug)]
pub(crate) struct Effect {
    pub(crate) at: Instant,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) deadline: Option<Instant>,
}

/// A memory store behind a slow connection, which logs what writes leave.
#[derive(Debug)]
pub(crate) struct Slow {
    inner: MemoryStore,
    longest: Duration,
    feed: Option<Feed>,
    effects: Mutex<HashMap<SessionId, Vec<Effect>>>,
    random: Mutex<u64>,
}

/// Tells of writes, up to 20 ms after they have happened.
#[derive(Debug)]
pub(crate) struct Feed {
    sender: broadcast::Sender<SessionId>,
    breaks: bool,
}

impl Feed {
    pub(crate) fn new(breaks: bool) -> Self {
        Self {
            sender: broadcast::Sender::new(1 << 16),
            breaks,
        }
    }
}

impl Slow {
    /// One operation in 20 takes up to `longest` each way, the others up to 15 ms.
    pub(crate) fn new(inner: MemoryStore, longest: Duration, feed: Option<Feed>) -> Self {
        Self {
            inner,
            longest,
            feed,
            effects: Mutex::default(),
            random: Mutex::new(super::random::seed()),
        }
    }

    /// The session as it is now, without delay.
    pub(crate) async fn now(&self, id: &SessionId) -> Option<Record> {
        self.inner.load(id).await.expect("up")
    }

    pub(crate) fn take_effects(&self, id: &SessionId) -> Vec<Effect> {
        self.effects().remove(id).unwrap_or_default()
    }

    fn effects(&self) -> MutexGuard<'_, HashMap<SessionId, Vec<Effect>>> {
        self.effects.lock().expect("whole")
    }

    fn random(&self, most: Duration) -> Duration {
        let mut seed = self.random.lock().expect("whole");
        let mut random = Random::new(*seed);
        *seed = random.next();
        random.up_to(most)
    }

    async fn travel(&self) {
        let is_slow = self.random(Duration::from_millis(19)).is_zero();
        let most = match is_slow {
            true => self.longest,
            false => Duration::from_millis(15),
        };
        tokio::time::sleep(self.random(most)).await;
    }

    /// Logs what a write has just left, and tells of it.
    async fn wrote(&self, id: &SessionId) {
        let (now, at) = (self.now(id).await, Instant::now());
        let left = now.as_ref().map(|record| record.ttl);
        let effect = Effect {
            at,
            stamp: now.map(|record| record.version.stamp()),
            deadline: left.and_then(Ttl::left).map(|left| at + left),
        };
        self.effects().entry(id.clone()).or_default().push(effect);
        if let Some(feed) = &self.feed {
            let (sender, id) = (feed.sender.clone(), id.clone());
            let delay = self.random(Duration::from_millis(20));
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                // It fails without listeners.
                let _ = sender.send(id);
            });
        }
    }
}

impl StoreWrapper for Slow {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.inner
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        this.travel().await;
        let loaded = this.inner.load(id).await;
        this.travel().await;
        loaded
    }

    async fn create(this: &Self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        this.travel().await;
        let created = this.inner.create(id, draft).await;
        this.wrote(id).await;
        this.travel().await;
        created
    }

    async fn save(this: &Self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        this.travel().await;
        let saved = this.inner.save(id, draft, expected).await;
        this.wrote(id).await;
        this.travel().await;
        saved
    }

    async fn touch(this: &Self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        this.travel().await;
        let touched = this.inner.touch(id, idle).await;
        this.wrote(id).await;
        this.travel().await;
        touched
    }

    async fn destroy(
        this: &Self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        this.travel().await;
        let ended = this.inner.destroy(id, expected).await;
        this.wrote(id).await;
        this.travel().await;
        ended
    }

    fn invalidations(this: &Self, _silence: Duration) -> Option<InvalidationStream> {
        let feed = this.feed.as_ref()?;
        let first = stream::iter([Ok(Invalidation::All)]);
        let rest = stream::unfold(feed.sender.subscribe(), |mut receiver| async {
            let told = match receiver.recv().await {
                Ok(id) => Invalidation::Session(id),
                Err(_) => Invalidation::All,
            };
            Some((Ok(told), receiver))
        });
        let told = first.chain(rest);
        if !feed.breaks {
            return Some(Box::pin(told));
        }
        let holds = this.random(Duration::from_millis(400));
        let told = told.take_until(tokio::time::sleep(holds));
        let broken = Err(Error::unavailable("invalidations", "cut"));
        Some(Box::pin(told.chain(stream::iter([broken]))))
    }
}
