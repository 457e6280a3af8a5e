//! What a store's author provides: fresh stores for the cases.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use session_core::{Result, SessionId, SessionStore, async_trait};

/// Makes the stores that the cases run on.
///
/// Every case runs on a namespace of its own, so a factory may use one database for all of them,
/// and cases may run at the same time.
#[async_trait]
pub trait StoreFactory: Send + Sync + 'static {
    /// A store on `namespace`.
    ///
    /// The same namespace gives another instance, with connections of its own as another app
    /// server would have, on the same sessions. Another namespace shares the database but no
    /// sessions. Use it as it is for what separates sessions in your store: a key prefix, a
    /// collection, a table.
    ///
    /// # Errors
    /// [`Error::Misconfigured`](session_core::Error::Misconfigured) for a namespace that the store
    /// can't have. The namespaces that most cases use are 20 lower-case letters and digits, and no
    /// store may refuse those. Any other error fails the case.
    async fn open(&self, namespace: &str) -> Result<TestStore>;

    /// Why there is no store to test, if there is none, such as a variable that skips it. Every
    /// case is then reported as not run.
    fn absent(&self) -> Option<&'static str> {
        None
    }

    /// Overwrites what is stored for `id` with something that can't be read as a session.
    /// `Ok(false)` says that this factory can't; what needs it is reported as not run.
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

#[async_trait]
impl<F: StoreFactory + ?Sized> StoreFactory for Arc<F> {
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        (**self).open(namespace).await
    }

    fn absent(&self) -> Option<&'static str> {
        (**self).absent()
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        (**self).corrupt(namespace, id).await
    }

    fn secrets(&self) -> Vec<String> {
        (**self).secrets()
    }
}

/// One instance of a store under test.
pub struct TestStore {
    /// The store.
    pub store: Arc<dyn SessionStore>,
    /// Dropped when the case is over and its sessions are cleared: a temporary directory, a
    /// container, a connection that must outlive the store. `Box::new(())` if there is nothing.
    pub guard: Box<dyn Any + Send + Sync>,
}

impl TestStore {
    /// A store that leaves nothing behind but sessions.
    pub fn new(store: impl SessionStore) -> Self {
        Self {
            store: Arc::new(store),
            guard: Box::new(()),
        }
    }

    /// The same store, with something to drop when the case is over.
    #[must_use]
    pub fn with_guard(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guard = Box::new(guard);
        self
    }
}

impl fmt::Debug for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStore")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
