//! The suite on stores around stores: one that compresses, one that limits, one that is observed, and
//! all of them at once around sealed data; on memory and on Valkey.

use std::sync::Arc;

use integration_tests::servers;
use session_cached::CachedStore;
use session_compressed::CompressedStore;
use session_conformance::{StoreFactory, TestStore, conformance_tests, in_memory};
use session_core::backend::ObservedStore;
use session_core::{Result, SessionId, SessionStore, async_trait};
use session_limited::LimitedStore;
use session_memory::MemoryStore;
use session_sealed::{KeyRing, SealedStore, Secret};

use crate::redis::Redis;

const MAX_DATA: usize = 2 * 1024 * 1024;

fn memory() -> MemoryStore {
    let store = MemoryStore::builder().max_data(MAX_DATA).build();
    store.expect("a good limit")
}

/// The suite compares the sizes that a listing has with those of data, which is smaller there.
fn compressed<S: SessionStore>(store: S) -> CompressedStore<S> {
    let builder = CompressedStore::builder(store).threshold(512);
    builder.build().expect("good options")
}

/// The suite asks for many sessions that are not there.
fn limited<S: SessionStore>(store: S) -> LimitedStore<S> {
    let builder = LimitedStore::builder(store).burst(1_000_000);
    builder.build().expect("good limits")
}

fn observed<S: SessionStore>(store: S) -> ObservedStore<S> {
    ObservedStore::new(store, "wrapped", "Wrapped at host:1")
}

/// In the order of docs/wrapping.md.
fn all<S: SessionStore>(store: S) -> impl SessionStore {
    let secret = Secret::new("k".repeat(32)).expect("long enough");
    let sealed = SealedStore::new(store, &KeyRing::new(secret));
    let cached = CachedStore::builder(limited(compressed(sealed)));
    // No copies: another instance of a namespace is another process.
    let cached = cached.lease(std::time::Duration::ZERO).build();
    observed(cached.expect("good limits"))
}

conformance_tests!(
    in_memory(|| compressed(memory())),
    without = [Corruption],
    module = compressed_in_memory,
);
conformance_tests!(
    in_memory(|| limited(memory())),
    without = [Corruption],
    module = limited_in_memory,
);
conformance_tests!(
    in_memory(|| observed(memory())),
    without = [Corruption],
    module = observed_in_memory,
);
conformance_tests!(
    in_memory(|| all(memory())),
    without = [Corruption],
    module = all_in_memory,
);

/// Valkey, with something around each store.
struct Wrapped {
    server: Redis,
    wrap: fn(Arc<dyn SessionStore>) -> TestStore,
}

impl Wrapped {
    fn in_valkey(wrap: fn(Arc<dyn SessionStore>) -> TestStore) -> Self {
        let server = Redis::of(servers::valkey());
        Self { server, wrap }
    }
}

#[async_trait]
impl StoreFactory for Wrapped {
    fn absent(&self) -> Option<&'static str> {
        self.server.absent()
    }

    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let inner = self.server.open(namespace).await?;
        Ok((self.wrap)(inner.store).with_guard(inner.guard))
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        self.server.corrupt(namespace, id).await
    }
}

conformance_tests!(
    Wrapped::in_valkey(|store| TestStore::new(compressed(store))),
    without = [ExpiryReports],
    module = compressed_in_valkey,
);
conformance_tests!(
    Wrapped::in_valkey(|store| TestStore::new(limited(store))),
    without = [ExpiryReports],
    module = limited_in_valkey,
);
conformance_tests!(
    Wrapped::in_valkey(|store| TestStore::new(observed(store))),
    without = [ExpiryReports],
    module = observed_in_valkey,
);
conformance_tests!(
    Wrapped::in_valkey(|store| TestStore::new(all(store))),
    without = [ExpiryReports],
    module = all_in_valkey,
);
