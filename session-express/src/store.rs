//! The session store in the layout of one of Express' stores.

use std::fmt;
use std::future::Future;

use session_core::backend::{Call, Connector, Counts, Fixed, Operation, Store};
use session_core::{Lifetime, Result, SessionStore, StoreWrapper, Timeout};

use crate::key_value::{Configured, KeyValue};
use crate::layout::Layout;
use crate::options::Express;

/// A store with the cookies and records of an Express app, as `SessionLayer::express_compatible`
/// takes it.
pub trait ExpressLayout: SessionStore {
    /// Returns the options of the app.
    fn express(&self) -> &Express;

    /// Returns the lifetime of sessions that set no limit of their own.
    fn lifetime(&self) -> Lifetime;
}

/// A session store in the layout of one of Express' stores. Clones share its connections and state.
///
/// Ids are the tokens, and records have no credential
/// ([`Capabilities::plain_ids`](session_core::Capabilities::plain_ids)). Servers that use this
/// library lose no updates and bring no ended session back, as with any other store. Express
/// overwrites records without comparing them: [docs/express.md][manual] describes what that can lose.
///
/// # Versions
/// The format has no field for a stamp, so [`Version::stamp`] is a hash of the record's contents,
/// and a write compares the whole stored value. A save with a version that has [`Version::stored`]
/// takes one round trip, otherwise two. If another request has touched the session since, it takes
/// two more.
///
/// # New tokens
/// A save with [`TokenChange::New`] stores the session under a new id and returns it in
/// [`Version::moved_to`]: one round trip, two on MongoDB, three on Valkey 9 and Redis Cluster. In
/// this layout, and only here, a session's id changes. A request that still has the old id finds no
/// session. A `destroy` by the old id ends the session only if this process has moved it: a process
/// remembers its latest 256 moves, and separately up to 256 moves that are in flight or have no
/// answer.
///
/// # Lost answers
/// A repeated draft is [`Saved::Done`] if the stored value is the one that was sent before, and an
/// ordinary write if the expected version is still stored. Otherwise the outcome is
/// [`Saved::Unknown`], because the record has no trail that shows whether the first sending was
/// stored and then replaced. A process remembers its latest 256 unanswered writes; repeating an
/// older one is a [`Saved::Conflict`], which the manager treats as unknown if it has sent the draft
/// before.
///
/// # Destroyed sessions
/// A destroy takes one round trip, and one more for each id to which this process has moved the
/// session: those records are removed too. Owner and age are unknown. A destroy of an expected
/// version removes the record under a new name, which takes one round trip more than a new token,
/// and another one if the version has no stored value. It returns both.
///
/// # Listings
/// The directory lists all sessions. Records that are not sessions are counted but not listed. It
/// can't look up owners, because Express' layouts have no owner index: those operations fail with
/// [`ErrorKind::Unsupported`](session_core::ErrorKind::Unsupported).
///
/// # Time limits
/// The time limit of the [policy](KeyValue::policy) covers an operation with its repeats and round
/// trips. In an operation of the directory, it covers each command.
///
/// [`Saved::Conflict`]: session_core::Saved::Conflict
/// [`Saved::Done`]: session_core::Saved::Done
/// [`Saved::Unknown`]: session_core::Saved::Unknown
/// [`TokenChange::New`]: session_core::TokenChange::New
/// [`Version::moved_to`]: session_core::Version::moved_to
/// [`Version::stamp`]: session_core::Version::stamp
/// [`Version::stored`]: session_core::Version::stored
#[doc = concat!("[manual]: ", env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/express.md")]
pub struct ExpressStore<K: KeyValue> {
    store: Store<Layout<K>>,
}

impl<K: Configured> ExpressStore<K> {
    /// Returns a builder of a store for the sessions of `express`.
    pub fn builder(express: Express) -> K::Builder {
        express.into()
    }
}

impl<K: KeyValue> ExpressStore<K> {
    /// Creates a store of the sessions of `express` in `kv`. It uses the client `first`, and
    /// replaces a broken client with a new one of `connector`.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for invalid options.
    pub fn new(
        kv: K,
        express: Express,
        connector: impl Connector<Client = K::Client>,
        first: K::Client,
    ) -> Result<Self> {
        express.check()?;
        let store = Store::new(Layout::new(kv, express), connector, first);
        Ok(Self { store })
    }

    /// Creates a store of the sessions of `express` in `kv` that keeps using `client`.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for invalid options.
    pub fn with_client(kv: K, express: Express, client: K::Client) -> Result<Self> {
        Self::new(kv, express, Fixed::new(K::NAME), client)
    }

    /// Returns the key-value layer below the store.
    #[must_use]
    pub fn key_value(&self) -> &K {
        &self.store.backend().kv
    }

    /// Returns the number of calls, errors and time-outs of each operation so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.store.counts()
    }

    /// Runs `work`, which may send many commands, each within the time limit. A layout uses this
    /// for operations beyond the contract, such as its set-up.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn by_command<T, W>(
        &self,
        operation: Operation,
        work: impl FnOnce(Call<K::Client>) -> W,
    ) -> Result<T>
    where
        W: Future<Output = Result<T>>,
    {
        self.store.by_command(operation, work).await
    }
}

impl<K: KeyValue> ExpressLayout for ExpressStore<K> {
    fn express(&self) -> &Express {
        &self.store.backend().express
    }

    fn lifetime(&self) -> Lifetime {
        let Layout { express, ttl, .. } = self.store.backend();
        let max_age = express.cookie().max_age;
        Lifetime::idle(max_age.map_or(*ttl, Timeout::After))
    }
}

impl<K: KeyValue> StoreWrapper for ExpressStore<K> {
    type Inner = dyn SessionStore;

    fn inner(this: &Self) -> &Self::Inner {
        &this.store
    }
}

impl<K: KeyValue> Clone for ExpressStore<K> {
    fn clone(&self) -> Self {
        let store = self.store.clone();
        Self { store }
    }
}

impl<K: KeyValue> fmt::Debug for ExpressStore<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpressStore")
            .field("store", &self.store)
            .finish()
    }
}
