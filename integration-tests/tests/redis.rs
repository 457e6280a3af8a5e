//! The suite on Redis.

use integration_tests::conformance::{StoreFactory, TestStore};
use integration_tests::conformance_tests;
use integration_tests::servers::{self, Server};
use session_core::{Result, SessionId, async_trait};
use session_redis::{RedisStore, redis};

struct Redis(&'static Server);

#[async_trait]
impl StoreFactory for Redis {
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let builder = RedisStore::builder()
            .prefix(namespace)
            .max_data(2 * 1024 * 1024);
        Ok(TestStore::new(builder.connect(&self.0.url).await?))
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        let client = redis::Client::open(&*self.0.url).expect("a good URL");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("it is up");
        let key = format!("{namespace}{{{}}}{}", id.routing_tag(), id.after_tag());
        let () = redis::cmd("SET")
            .arg(key)
            .arg("what is this?")
            .arg("XX")
            .query_async(&mut connection)
            .await
            .expect("overwritten");
        Ok(true)
    }
}

conformance_tests!(Redis(servers::redis().expect("not skipped")));
