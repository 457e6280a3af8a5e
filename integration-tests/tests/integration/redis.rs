//! The suite on Redis, on Valkey, and on a Redis Cluster of three nodes.

use std::sync::OnceLock;

use integration_tests::servers::{self, Kind, RedisCluster, Server};
use session_conformance::{StoreFactory, TestStore, conformance_tests};
use session_core::{Result, SessionId, async_trait};
use session_redis::redis::aio::ConnectionLike;
use session_redis::redis::cluster::ClusterClient;
use session_redis::redis::cluster_async::ClusterConnection;
use session_redis::{RedisStore, redis};

/// Redis or Valkey.
struct Redis(Option<&'static Server>);

impl Redis {
    fn url(&self) -> &'static str {
        &self.0.expect("no case runs if there is none").url
    }
}

#[async_trait]
impl StoreFactory for Redis {
    fn absent(&self) -> Option<&'static str> {
        self.0.is_none().then_some("SESSION_TEST_SKIP names it")
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
        overwrite(&mut connection, namespace, id).await;
        Ok(true)
    }
}

/// Puts something else in the place of a session.
async fn overwrite(connection: &mut impl ConnectionLike, namespace: &str, id: &SessionId) {
    let key = format!("{namespace}{{{}}}", id.as_str());
    let () = redis::cmd("SET")
        .arg(key)
        .arg("what is this?")
        .arg("XX")
        .query_async(connection)
        .await
        .expect("overwritten");
}

conformance_tests!(Redis(servers::redis()), without = [ExpiryReports]);
conformance_tests!(
    Redis(servers::valkey()),
    without = [ExpiryReports],
    module = valkey,
);

/// Three nodes, started from binaries whatever else is tested; the servers end with the process.
struct Cluster(Option<&'static RedisCluster>);

impl Cluster {
    fn find() -> Self {
        static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
        let there = !servers::is_skipped(Kind::Redis);
        Self(there.then(|| CLUSTER.get_or_init(servers::redis_cluster)))
    }

    async fn connection(&self) -> ClusterConnection {
        let nodes = self.0.expect("no case runs if there is none").urls();
        let client = ClusterClient::new(nodes).expect("good URLs");
        client.get_async_connection().await.expect("they are up")
    }
}

#[async_trait]
impl StoreFactory for Cluster {
    fn absent(&self) -> Option<&'static str> {
        self.0.is_none().then_some("SESSION_TEST_SKIP names redis")
    }

    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let builder = RedisStore::builder()
            .prefix(namespace)
            .max_data(2 * 1024 * 1024);
        Ok(TestStore::new(
            builder.build(self.connection().await).await?,
        ))
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        let mut connection = self.connection().await;
        overwrite(&mut connection, namespace, id).await;
        Ok(true)
    }
}

conformance_tests!(Cluster::find(), without = [ExpiryReports], module = cluster,);
