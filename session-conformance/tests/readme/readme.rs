use std::collections::HashMap;
use std::sync::Mutex;

use session_conformance::reference::ReferenceStore as MyStore; // yours
use session_conformance::{StoreFactory, TestStore};
use session_core::{Result, async_trait};

/// A store for each namespace: a key prefix, a table or, as here, a map.
#[derive(Default)]
struct MyFactory(Mutex<HashMap<String, MyStore>>);

#[async_trait]
impl StoreFactory for MyFactory {
    /// The same namespace again is another instance on the same sessions, as another app server is.
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let mut stores = self.0.lock().expect("no panic while it is held");
        let store = stores.entry(namespace.to_owned()).or_default();
        Ok(TestStore::new(store.clone()))
    }
}

// No session is corrupted on purpose here: the cases that need that are ignored.
session_conformance::conformance_tests!(MyFactory::default(), without = [Corruption]);
