//! A store that answers loads from memory.

use std::fmt;
use std::sync::Arc;

use session_core::{
    Draft, Ended, Owner, Record, Result, Saved, SessionDirectory, SessionId, SessionStore,
    StoreWrapper, Timeout, Ttl, Version,
};

use crate::CachedStoreBuilder;
use crate::copies::{Copies, Found};
use crate::dropping::{Dropping, Written};
use crate::listener::Listener;

/// Answers loads from copies of what it has loaded before, each for at most the
/// [lease](CachedStoreBuilder::lease). Clones share the copies.
///
/// * A copy is served until its lease is over, counted from before its load was sent, and never
///   after the session's own deadline. Its age and the time left move with time.
/// * What is written through this store is seen by its next load: each write drops the copy before
///   it is sent and when it has ended.
/// * What other processes write is seen from the lease on. Where the store has
///   [invalidations](SessionStore::invalidations) (`RedisStore` with one Redis or Valkey server),
///   a task drops copies as the server tells of writes, within milliseconds, and all copies when the
///   connection breaks or is silent.
/// * Sessions that are not there are not remembered: loading one asks the store.
/// * [`Sessions`](session_core::Sessions) asks the store before it refuses a token that a copy does
///   not match, and before it repeats a write that met another version.
///
/// What a site gives up by it is in the manual, [docs/security.md][manual].
///
/// The lease is measured by the monotonic clock, which stands still on Linux while the machine is
/// suspended. The task runs in the Tokio runtime that loads first; if that is not driven, the lease
/// alone holds.
///
/// A load that finds a copy is no round trip; all else takes as many as the inner store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> session_core::Result<()> {
/// use std::time::Duration;
/// use session_cached::CachedStore;
/// use session_core::Sessions;
/// use session_memory::MemoryStore;
///
/// let store = CachedStore::builder(MemoryStore::new())     // any store
///     .lease(Duration::from_secs(2))
///     .max_bytes(16 * 1024 * 1024)
///     .build()?;
/// let sessions = Sessions::new(store);
/// # let session = sessions.start();
/// # session.insert("n", 1)?;
/// # session.save().await?;
/// # Ok(()) }
/// ```
///
#[doc = concat!("[manual]: ", env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/security.md")]
pub struct CachedStore<S>(Arc<Inner<S>>);

struct Inner<S> {
    store: Arc<S>,
    copies: Arc<Copies>,
    listener: Listener,
}

impl<S: SessionStore> CachedStore<S> {
    /// A builder for a store with copies of the sessions in `store`.
    pub const fn builder(store: S) -> CachedStoreBuilder<S> {
        CachedStoreBuilder::new(store)
    }

    pub(crate) fn of(store: Arc<S>, copies: Arc<Copies>) -> Self {
        Self(Arc::new(Inner {
            store,
            copies,
            listener: Listener::default(),
        }))
    }

    fn dropping<'a>(&'a self, written: Written<'a>) -> Dropping<'a> {
        Dropping::new(&self.0.copies, written)
    }

    fn inner_directory(&self) -> Result<&dyn SessionDirectory> {
        let what = "listing, counting, owners or reaping";
        let directory = self.0.store.directory();
        directory.ok_or_else(|| session_core::Error::unsupported(what))
    }
}

impl<S: SessionStore> StoreWrapper for CachedStore<S> {
    type Inner = S;

    fn inner(this: &Self) -> &S {
        &this.0.store
    }

    async fn create(this: &Self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        let _dropping = this.dropping(Written::One(id));
        this.0.store.create(id, draft).await
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        let Inner {
            store,
            copies,
            listener,
        } = &*this.0;
        if copies.lease().is_zero() {
            return store.load(id).await;
        }
        let load = match copies.find(id) {
            Found::Copy(record) => return Ok(Some(record)),
            Found::Nothing(load) => load,
        };
        listener.ensure(store, copies);
        let loaded = store.load(id).await?;
        // A copy of a copy would be older than this lease.
        if let Some(record) = loaded.as_ref().filter(|record| !record.is_copy) {
            copies.fill(&load, id, record);
        }
        Ok(loaded)
    }

    async fn save(this: &Self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let _dropping = this.dropping(Written::One(id));
        this.0.store.save(id, draft, expected).await
    }

    async fn touch(this: &Self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let _dropping = this.dropping(Written::One(id));
        this.0.store.touch(id, idle).await
    }

    async fn destroy(
        this: &Self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        let _dropping = this.dropping(Written::One(id));
        this.0.store.destroy(id, expected).await
    }

    fn drop_copy(this: &Self, id: &SessionId) {
        this.0.copies.drop_copy(id);
        this.0.store.drop_copy(id);
    }

    /// Drops what the store has ended too: a copy may be of before its session had this owner.
    async fn destroy_owned_by(
        this: &Self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let directory = this.inner_directory()?;
        let _dropping = this.dropping(Written::OwnedBy(owner));
        let ended = directory.destroy_owned_by(owner, except, limit).await;
        match &ended {
            Ok(ended) => ended
                .iter()
                .for_each(|one| this.0.copies.drop_copy(&one.id)),
            Err(_) => this.0.copies.drop_all(),
        }
        ended
    }

    async fn clear(this: &Self) -> Result<u64> {
        let directory = this.inner_directory()?;
        let _dropping = this.dropping(Written::All);
        directory.clear().await
    }
}

impl<S> Clone for CachedStore<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: fmt::Debug> fmt::Debug for CachedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStore")
            .field("store", &self.0.store)
            .field("lease", &self.0.copies.lease())
            .finish_non_exhaustive()
    }
}
