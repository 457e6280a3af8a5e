//! The suite on the memory store.

use session_conformance::{conformance_tests, in_memory};
use session_memory::MemoryStore;

fn store() -> MemoryStore {
    let builder = MemoryStore::builder().max_data(2 * 1024 * 1024);
    builder.build().expect("good settings")
}

// What is in this process' memory does not get corrupt.
conformance_tests!(in_memory(store), without = [Corruption]);
