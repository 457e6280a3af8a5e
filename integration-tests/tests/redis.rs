//! The suite on Redis.

use integration_tests::conformance::{StoreFactory, TestStore};
use integration_tests::conformance_tests;
use integration_tests::servers::{self, Server};
use session_core::{Result, SessionId, async_trait};
use session_redis::{RedisStore, redis};

struct Redis(Option<&'static Server>);

impl Redis {
    fn url(&self) -> &'static str {
        &self.0.expect("no case runs if there is none").url
    }
}

#[async_trait]
impl StoreFactory for Redis {
    fn absent(&self) -> Option<&'static str> {
        self.0.is_none().then_some("SESSION_TEST_SKIP names redis")
    }

    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let builder = RedisStore::builder()
            .prefix(namespace)
            .max_data(2 * 1024 * 1024);
        Ok(TestStore::new(builder.connect(self.url()).await?))
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        let client = redis::Client::open(self.url()).expect("a good URL");
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

conformance_tests!(Redis(servers::redis()));
