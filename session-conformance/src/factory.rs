//! The factory that a store's author provides to open stores.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, ready};
use std::sync::{Arc, Mutex, PoisonError};

use session_core::{Result, SessionId, SessionStore, async_trait};

/// Opens the stores that the cases run on.
///
/// An `async fn open(namespace: String) -> Result<MyStore>` is a factory, and so is
/// [`in_memory`]`(MyStore::new)`. Implement the trait to corrupt sessions on purpose, to list
/// secrets, or to skip the tests if there is no database.
///
/// Every case runs on its own namespace, so cases can run concurrently on one database.
#[async_trait]
pub trait StoreFactory: Send + Sync + 'static {
    /// Opens a store on `namespace`. A new namespace has no sessions.
    ///
    /// Opening a namespace again returns another instance on the same sessions, with its own
    /// connections, like another app server. Another namespace shares the database but no sessions.
    /// Use the namespace unchanged as the part that separates sessions in your store: a key prefix,
    /// a collection, a table.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a namespace that is
    /// invalid in the store. Most cases use namespaces of 20 lower-case letters and digits, which
    /// every store must accept. Any other error fails the case.
    async fn open(&self, namespace: &str) -> Result<TestStore>;

    /// Returns why there is no store to test, such as a variable that skips it; `None` if there is
    /// one. With a reason, every case is reported as not run.
    fn absent(&self) -> Option<&'static str> {
        None
    }

    /// Overwrites the stored session `id` with a value that is not a session. The default returns
    /// `Ok(false)`: this factory can't do that, and the cases that need it are not run.
    ///
    /// # Errors
    /// The database's. An error fails the case.
    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        let _ = (namespace, id);
        Ok(false)
    }

    /// Makes all claims on expired sessions of the namespace lapse, as if as much time had passed since
    /// `reap`. The default returns `Ok(false)`: this factory can't do that, or the store makes no
    /// claims. Cases that ask for it then check less.
    ///
    /// # Errors
    /// The database's. An error fails the case.
    async fn lapse_claims(&self, namespace: &str) -> Result<bool> {
        let _ = namespace;
        Ok(false)
    }

    /// Returns texts that a store's `Debug` and errors must never show, such as the password in its
    /// URL.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A function that opens a store on a namespace.
#[async_trait]
impl<F, Opening, S> StoreFactory for F
where
    F: Fn(String) -> Opening + Send + Sync + 'static,
    Opening: Future<Output = Result<S>> + Send,
    S: Into<TestStore>,
{
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        self(namespace.to_owned()).await.map(Into::into)
    }
}

/// Returns a factory of stores that keep their sessions in this process: it calls `new` once for
/// each namespace, and every instance on a namespace is that store.
///
/// ```
/// use session_conformance::reference::ReferenceStore as MyStore; // your store
/// use session_conformance::{conformance_tests, in_memory};
///
/// conformance_tests!(in_memory(MyStore::new), without = [Corruption]);
/// # fn main() {}
/// ```
pub fn in_memory<S: SessionStore>(
    new: impl Fn() -> S + Send + Sync + 'static,
) -> impl StoreFactory {
    let stores: Mutex<HashMap<String, Arc<S>>> = Mutex::default();
    move |namespace| {
        let mut stores = stores.lock().unwrap_or_else(PoisonError::into_inner);
        let store = stores.entry(namespace).or_insert_with(|| Arc::new(new()));
        ready(Ok(Arc::clone(store)))
    }
}

/// One instance of a store under test.
#[non_exhaustive]
pub struct TestStore {
    /// The store.
    pub store: Arc<dyn SessionStore>,
    /// A value that is dropped after the case, once its sessions are cleared.
    pub guard: Box<dyn Any + Send + Sync>,
}

impl TestStore {
    /// Creates an instance of a store that leaves nothing but sessions, which the suite clears
    /// after each case if the store has a directory.
    pub fn new(store: impl SessionStore) -> Self {
        Self {
            store: Arc::new(store),
            guard: Box::new(()),
        }
    }

    /// Adds a value to drop after the case, once its sessions are cleared: a temporary directory, a
    /// table, a connection that must outlive the store.
    #[must_use]
    pub fn with_guard(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guard = Box::new(guard);
        self
    }
}

impl<S: SessionStore> From<S> for TestStore {
    fn from(store: S) -> Self {
        Self::new(store)
    }
}

impl fmt::Debug for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStore")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
