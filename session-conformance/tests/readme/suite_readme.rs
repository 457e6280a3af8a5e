use session_conformance::conformance_tests;
use session_conformance::reference::ReferenceFactory;
use session_conformance::{StoreFactory, TestStore};
use session_core::{Result, SessionId, async_trait};

/// Put your store here.
#[derive(Default)]
struct MyFactory(ReferenceFactory);

#[async_trait]
impl StoreFactory for MyFactory {
    /// The same namespace is another instance on the same sessions, as another app server is.
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let store = self.0.store(namespace);
        Ok(TestStore::new(store).with_guard("dropped when the case is over: a folder, a table"))
    }

    /// May be left out, if `without = [Corruption]` is said below.
    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        self.0.corrupt(namespace, id).await
    }
}

conformance_tests!(MyFactory::default());
