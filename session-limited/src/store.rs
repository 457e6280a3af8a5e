//! A store that refuses loads of unknown sessions when too many have found nothing.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use session_core::{
    Draft, Ended, Error, Record, Result, Saved, SessionId, SessionStore, StoreWrapper, Version,
};

use crate::LimitedStoreBuilder;
use crate::bucket::Bucket;
use crate::known::Known;
use crate::warning::Warning;

/// Limits how often sessions are asked for that are not there, so that a flood of made-up tokens
/// stops here and not in the database. Clones share the limit.
///
/// * A load that finds nothing takes a token of a bucket, which the whole process shares: `burst`
///   tokens, and `per_second` more each second. A load that finds its session gives it back.
/// * A session that this process has created or found is *known*: its loads pass, whatever the bucket
///   holds.
/// * While the bucket is empty, loads of sessions that are not known end at once with
///   [`ErrorKind::RateLimited`](session_core::ErrorKind::RateLimited), which says when to try again.
///   The web layers answer 503 with `Retry-After`. The client keeps its cookie: a refused session is
///   not signed out.
///
/// All other operations pass.
///
/// # What it gives up
/// A store knows no clients. During a flood, a user whose session this process has not seen (after a
/// restart, on another server, or because more sessions were seen than it
/// [remembers](LimitedStoreBuilder::remembered)) gets a 503 until one of the user's requests gets a
/// token that the flood has left over. An attacker who may create sessions can have others forgotten.
/// The loads that the manager makes by itself, after a conflict and for open streams, count as well: a
/// session in use was found, so it is known.
///
/// So put it behind what tells clients apart: a limit for each address in the proxy, and above all
/// signed cookies (`SessionLayer::builder(store).sign(…)` of `session-web`), which refuse a made-up
/// token without any store. This store then limits what passes those: tokens that were real once.
///
/// A load takes as many round trips as the inner store's, and none if it is refused.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> session_core::Result<()> {
/// use session_core::Sessions;
/// use session_limited::LimitedStore;
/// use session_memory::MemoryStore;
///
/// let store = LimitedStore::builder(MemoryStore::new())     // any store
///     .per_second(50)
///     .burst(500)
///     .build()?;
/// let sessions = Sessions::new(store);
/// # let session = sessions.start();
/// # session.insert("n", 1)?;
/// # session.save().await?;
/// # Ok(()) }
/// ```
pub struct LimitedStore<S>(Arc<Inner<S>>);

struct Inner<S> {
    store: S,
    bucket: Mutex<Bucket>,
    known: Known,
    warning: Warning,
    refused: AtomicU64,
}

impl<S: SessionStore> LimitedStore<S> {
    /// A builder for a store that limits the loads of unknown sessions in `store`.
    pub const fn builder(store: S) -> LimitedStoreBuilder<S> {
        LimitedStoreBuilder::new(store)
    }

    pub(crate) fn of(builder: LimitedStoreBuilder<S>) -> Self {
        let bucket = Bucket::new(builder.per_second, builder.burst, Instant::now());
        Self(Arc::new(Inner {
            store: builder.store,
            bucket: Mutex::new(bucket),
            known: Known::new(builder.remembered),
            warning: Warning::default(),
            refused: AtomicU64::new(0),
        }))
    }

    /// How many loads were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }
}

impl<S: SessionStore> Inner<S> {
    async fn load_known(&self, id: &SessionId) -> Result<Option<Record>> {
        let found = self.store.load(id).await;
        if let Ok(None) = found {
            self.known.remove(id);
            self.bucket().owe(Instant::now());
        }
        found
    }

    /// Takes a token first. A caller that goes away meanwhile leaves it taken: an attacker need not
    /// wait for answers.
    async fn load_unknown(&self, id: &SessionId) -> Result<Option<Record>> {
        self.take()?;
        let found = self.store.load(id).await;
        match &found {
            Ok(None) => return found,
            Ok(Some(_)) => self.known.insert(id),
            Err(_) => {}
        }
        self.bucket().give_back();
        found
    }

    fn take(&self) -> Result<()> {
        let now = Instant::now();
        let taken = self.bucket().take(now);
        taken.map_err(|retry_after| {
            self.refused.fetch_add(1, Relaxed);
            self.warning.refused(now);
            Error::rate_limited("load", retry_after)
        })
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: SessionStore> StoreWrapper for LimitedStore<S> {
    type Inner = S;

    fn inner(this: &Self) -> &S {
        &this.0.store
    }

    async fn create(this: &Self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        let saved = this.0.store.create(id, draft).await?;
        if saved.is_done() {
            this.0.known.insert(id);
        }
        Ok(saved)
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        match this.0.known.contains(id) {
            true => this.0.load_known(id).await,
            false => this.0.load_unknown(id).await,
        }
    }

    async fn destroy(
        this: &Self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        let ended = this.0.store.destroy(id, expected).await?;
        if ended.is_some() {
            this.0.known.remove(id);
        }
        Ok(ended)
    }
}

impl<S> Clone for LimitedStore<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: fmt::Debug> fmt::Debug for LimitedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitedStore")
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}
