//! The suite on a store with local copies, which all instances of a namespace share, and copies of
//! what other processes write in Redis and Valkey.

mod redis;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use integration_tests::servers::{self, Server};
use session_cached::CachedStore;
use session_conformance::{StoreFactory, TestStore, conformance_tests, in_memory};
use session_core::{Result, SessionId, SessionStore, async_trait};
use session_memory::MemoryStore;
use session_redis::RedisStore;
use session_redis::redis as driver;

/// Longer than any case: what a case finds in time is no matter of the lease.
const LEASE: Duration = Duration::from_secs(600);

const MAX_DATA: usize = 2 * 1024 * 1024;

fn cached<S: SessionStore>(store: S) -> CachedStore<S> {
    let builder = CachedStore::builder(store).lease(LEASE);
    builder.build().expect("good limits")
}

fn in_process() -> CachedStore<MemoryStore> {
    let store = MemoryStore::builder().max_data(MAX_DATA).build();
    cached(store.expect("good limits"))
}

conformance_tests!(in_memory(in_process), without = [Corruption]);

/// A server of Redis' family, with one store for each namespace.
struct Cached {
    server: Option<&'static Server>,
    stores: Mutex<HashMap<String, CachedStore<RedisStore>>>,
}

impl Cached {
    fn on(server: Option<&'static Server>) -> Self {
        Self {
            server,
            stores: Mutex::default(),
        }
    }

    fn url(&self) -> &'static str {
        &self.server.expect("no case runs if there is none").url
    }

    fn store(&self, namespace: &str) -> Option<CachedStore<RedisStore>> {
        let stores = self.stores.lock().expect("whole");
        stores.get(namespace).cloned()
    }
}

#[async_trait]
impl StoreFactory for Cached {
    fn absent(&self) -> Option<&'static str> {
        self.server
            .is_none()
            .then_some("SESSION_TEST_SKIP names it")
    }

    async fn open(&self, namespace: &str) -> Result<TestStore> {
        if let Some(store) = self.store(namespace) {
            return Ok(TestStore::new(store));
        }
        let builder = RedisStore::builder()
            .prefix(namespace)
            .max_data(MAX_DATA)
            .timeout(servers::PATIENCE);
        let store = cached(builder.connect(self.url()).await?);
        let mut stores = self.stores.lock().expect("whole");
        stores.insert(namespace.to_owned(), store.clone());
        Ok(TestStore::new(store))
    }

    /// Puts something else in the place of a session. The invalidation comes a moment later.
    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        let client = driver::Client::open(self.url()).expect("a good URL");
        let connection = client.get_multiplexed_async_connection().await;
        let mut connection = connection.expect("it is up");
        let key = format!("{namespace}{{{}}}", id.as_str());
        let mut set = driver::cmd("SET");
        set.arg(key).arg("what is this?").arg("XX");
        let () = set.query_async(&mut connection).await.expect("overwritten");
        self.store(namespace).expect("it is open").drop_copy(id);
        Ok(true)
    }
}

conformance_tests!(
    Cached::on(servers::valkey()),
    without = [ExpiryReports],
    module = on_valkey,
);
