//! A session store in the layout of one of Express' stores.

use std::fmt;
use std::future::Future;

use session_core::backend::{Call, Connector, Counts, Fixed, Operation, Store};
use session_core::{Lifetime, Result, SessionStore, StoreWrapper, Timeout};

use crate::key_value::{Configured, KeyValue};
use crate::layout::Layout;
use crate::options::Express;

/// A store whose cookies and records are an Express app's: what
/// `SessionLayer::express_compatible` takes.
pub trait ExpressLayout: SessionStore {
    /// The options of the app.
    fn express(&self) -> &Express;

    /// How long sessions live that set no limit of their own.
    fn lifetime(&self) -> Lifetime;
}

/// Sessions in the layout of one of Express' stores. Clones share it.
///
/// Ids are the tokens, and records have no credential
/// ([`Capabilities::plain_ids`](session_core::Capabilities::plain_ids)). Among servers of this
/// library no update is lost and nothing is brought back, as with any other store. Express writes
/// blindly: `docs/express.md` says what that can cost.
///
/// # Versions
/// The format has no room for a stamp, so [`Version::stamp`] is a hash of the record's contents, and
/// a write compares the whole stored value. A save that is given [`Version::stored`] takes one
/// round trip, otherwise two; a touch by another costs two more.
///
/// # New tokens
/// A save with [`TokenChange::New`] makes a new id, files the session under it and answers with
/// [`Version::moved_to`]: one round trip, two on MongoDB and Redis Cluster. In this layout, and only
/// here, a session moves. So a request that still has the old id finds no session, and a
/// `destroy` by the old id ends the session only if this very process has moved it: each process
/// remembers its latest 256 moves, and those without an answer apart from them.
///
/// # Lost answers
/// The same draft sent again is [`Saved::Done`] if the stored value is the very one that was sent
/// before, and an ordinary write if the expected one is still there. Otherwise the outcome is
/// [`Saved::Unknown`]: no trail tells whether the first sending was done and replaced since. Each
/// process remembers its latest 256 unanswered writes; an older one is a [`Saved::Conflict`], which
/// the manager takes for unknown where it has sent the draft before.
///
/// # Destroyed sessions
/// A destroy takes one round trip, and one for each id that this process has moved the session to:
/// those end too. Owner and age are not known. If only one version is to be ended, two round trips,
/// or three if its stored value is not known.
///
/// # Listings
/// The directory lists all sessions, but for records that can't be read as sessions, which it counts.
/// It can't look up owners, because Express' layouts have no index of them: that is
/// [`ErrorKind::Unsupported`].
///
/// # Limits of time
/// An operation may take as long as the [policy](KeyValue::policy) says, its repeats and several
/// round trips included; of an operation of the directory, each command may.
///
/// [`ErrorKind::Unsupported`]: session_core::ErrorKind::Unsupported
/// [`Saved::Conflict`]: session_core::Saved::Conflict
/// [`Saved::Done`]: session_core::Saved::Done
/// [`Saved::Unknown`]: session_core::Saved::Unknown
/// [`TokenChange::New`]: session_core::TokenChange::New
/// [`Version::moved_to`]: session_core::Version::moved_to
/// [`Version::stamp`]: session_core::Version::stamp
/// [`Version::stored`]: session_core::Version::stored
pub struct ExpressStore<K: KeyValue> {
    store: Store<Layout<K>>,
}

impl<K: Configured> ExpressStore<K> {
    /// Sets a store up for the sessions of `express`.
    pub fn builder(express: Express) -> K::Builder {
        express.into()
    }
}

impl<K: KeyValue> ExpressStore<K> {
    /// The sessions of `express` in `kv`, with the client `first` and others that `connector` makes.
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

    /// The sessions of `express` in `kv`, with the one client that there is.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for invalid options.
    pub fn with_client(kv: K, express: Express, client: K::Client) -> Result<Self> {
        Self::new(kv, express, Fixed::new(K::NAME), client)
    }

    /// The values that the sessions are.
    #[must_use]
    pub fn key_value(&self) -> &K {
        &self.store.backend().kv
    }

    /// What the store has done so far, in numbers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.store.counts()
    }

    /// Runs what takes many commands, each within the time limit: for what a layout does beyond the
    /// contract, when it is set up for example.
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
