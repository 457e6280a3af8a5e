//! The suite on the memory store.

use std::collections::HashMap;
use std::sync::Mutex;

use session_conformance::conformance_tests;
use session_conformance::{StoreFactory, TestStore};
use session_core::{Result, async_trait};
use session_memory::MemoryStore;

/// Instances on one namespace share a store, as tasks of one process do.
#[derive(Default)]
struct Memory(Mutex<HashMap<String, MemoryStore>>);

#[async_trait]
impl StoreFactory for Memory {
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let mut stores = self.0.lock().expect("no panic while it is held");
        let build = || MemoryStore::builder().max_data(2 * 1024 * 1024).build();
        let store = match stores.get(namespace) {
            Some(store) => store.clone(),
            None => stores
                .entry(namespace.to_owned())
                .or_insert(build()?)
                .clone(),
        };
        Ok(TestStore::new(store))
    }
}

// What is in this process' memory does not get corrupt.
conformance_tests!(Memory::default(), without = [Corruption]);
