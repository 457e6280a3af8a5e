//! What a store's author provides: a way to open stores.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, ready};
use std::sync::{Arc, Mutex, PoisonError};

use session_core::{Result, SessionId, SessionStore, async_trait};

/// Opens the stores that the cases run on.
///
/// An `async fn open(namespace: String) -> Result<MyStore>` is a factory, and so is
/// [`in_memory`]`(MyStore::new)`. Implement the trait to corrupt sessions on purpose, to name
/// secrets, or to skip the tests where there is no database.
///
/// Every case runs on a namespace of its own, so one database serves all cases, and cases run at
/// the same time.
#[async_trait]
pub trait StoreFactory: Send + Sync + 'static {
    /// Opens a store on `namespace`. A new namespace has no sessions.
    ///
    /// The same namespace gives another instance, with connections of its own as another app
    /// server would have, on the same sessions. Another namespace shares the database but no
    /// sessions. Use it unchanged for what separates sessions in your store: a key prefix, a
    /// collection, a table.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a namespace that the store
    /// can't have. Most cases use namespaces of 20 lower-case letters and digits, which no store
    /// may refuse. Any other error fails the case.
    async fn open(&self, namespace: &str) -> Result<TestStore>;

    /// Why there is no store to test, if there is none, such as a variable that skips it. Every
    /// case is then reported as not run.
    fn absent(&self) -> Option<&'static str> {
        None
    }

    /// Overwrites what is stored for `id` with something that can't be read as a session.
    /// `Ok(false)` says that this factory can't, and the cases that need it are not run.
    ///
    /// # Errors
    /// Whatever keeps it from writing; it fails the case.
    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        let _ = (namespace, id);
        Ok(false)
    }

    /// Texts that must never show in a store's `Debug` or in an error, such as the password in
    /// the URL it connects by.
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

/// A factory of stores that keep their sessions in this process: `new` makes one store for each
/// namespace, and every instance on a namespace is that store.
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
    /// Dropped when the case is over and its sessions are cleared.
    pub guard: Box<dyn Any + Send + Sync>,
}

impl TestStore {
    /// A store that leaves nothing behind but sessions, which the suite clears after each case if
    /// the store has a directory.
    pub fn new(store: impl SessionStore) -> Self {
        Self {
            store: Arc::new(store),
            guard: Box::new(()),
        }
    }

    /// The same store, with something to drop when the case is over and its sessions are cleared: a
    /// temporary directory, a table, a connection that must outlive the store.
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
