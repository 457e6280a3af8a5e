//! The suite on Redis 7 and 8, on Valkey, on Valkey for a user without scripts, and on clusters: of
//! three primaries of Redis, and of three primaries of Valkey with a replica each.

use std::sync::OnceLock;

use integration_tests::servers::{self, Kind, RedisCluster, Server};
use session_conformance::{StoreFactory, TestStore, conformance_tests};
use session_core::{Result, SessionId, async_trait};
use session_redis::redis::RedisResult;
use session_redis::redis::aio::ConnectionLike;
use session_redis::{RedisBackend, RedisStore, redis};

/// Redis or Valkey, for the user of the URL.
pub(crate) struct Redis {
    url: Option<String>,
    expiry_reports: bool,
}

impl Redis {
    pub(crate) fn of(server: Option<&Server>) -> Self {
        Self {
            url: server.map(|server| server.url.clone()),
            expiry_reports: false,
        }
    }

    /// Valkey, for a user that may do all but run scripts.
    fn without_scripts() -> Self {
        static URL: OnceLock<Option<String>> = OnceLock::new();
        let url = || servers::valkey().map(|valkey| user_without_scripts(&valkey.url));
        Self {
            url: URL.get_or_init(url).clone(),
            expiry_reports: false,
        }
    }

    /// The same with an expiry index.
    fn reporting(self) -> Self {
        Self {
            expiry_reports: true,
            ..self
        }
    }

    fn url(&self) -> &str {
        self.url.as_deref().expect("no case runs if there is none")
    }
}

/// Makes a user that may not run scripts. Returns the URL for it.
pub(crate) fn user_without_scripts(url: &str) -> String {
    let client = redis::Client::open(url).expect("a good URL");
    let mut connection = client.get_connection().expect("it is up");
    let mut make = redis::cmd("ACL");
    make.arg(&["SETUSER", "noscript", "on", ">secret", "~*", "&*"]);
    make.arg(&["+@all", "-@scripting"]);
    let () = make.query(&mut connection).expect("made");
    url.replacen("redis://", "redis://noscript:secret@", 1)
}

#[async_trait]
impl StoreFactory for Redis {
    fn absent(&self) -> Option<&'static str> {
        self.url.is_none().then_some("SESSION_TEST_SKIP names it")
    }

    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let builder = RedisStore::builder()
            .prefix(namespace)
            .expiry_reports(self.expiry_reports)
            .max_data(2 * 1024 * 1024)
            .timeout(servers::PATIENCE);
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

    async fn lapse_claims(&self, namespace: &str) -> Result<bool> {
        lapse_claims(self.url(), namespace).await;
        Ok(true)
    }
}

/// Makes the claims of a server's expiry index lapse.
async fn lapse_claims(url: &str, namespace: &str) {
    let client = redis::Client::open(url).expect("a good URL");
    let connection = client.get_multiplexed_async_connection().await;
    let mut connection = connection.expect("it is up");
    let mut keys = redis::cmd("KEYS");
    keys.arg(format!("{namespace}expiry:*.claims"));
    let keys: Vec<String> = keys.query_async(&mut connection).await.expect("keys");
    for key in keys {
        let mut all = redis::cmd("ZRANGE");
        all.arg(&key).arg(0).arg(-1);
        let claims: Vec<String> = all.query_async(&mut connection).await.expect("claims");
        for claim in claims {
            let mut lapse = redis::cmd("ZADD");
            lapse.arg(&key).arg("XX").arg(1).arg(claim);
            let lapsed: RedisResult<()> = lapse.query_async(&mut connection).await;
            lapsed.expect("lapsed");
        }
    }
}

/// Puts something else in the place of a session.
async fn overwrite(connection: &mut impl ConnectionLike, namespace: &str, id: &SessionId) {
    let overwritten = try_overwrite(connection, namespace, id).await;
    overwritten.expect("overwritten");
}

async fn try_overwrite(
    connection: &mut impl ConnectionLike,
    namespace: &str,
    id: &SessionId,
) -> RedisResult<()> {
    let key = format!("{namespace}{{{}}}", id.as_str());
    let mut set = redis::cmd("SET");
    set.arg(key).arg("what is this?").arg("XX");
    set.query_async(connection).await
}

conformance_tests!(Redis::of(servers::redis()), without = [ExpiryReports]);
conformance_tests!(
    Redis::of(servers::redis_8()),
    without = [ExpiryReports],
    module = redis_8,
);
conformance_tests!(
    Redis::of(servers::valkey()),
    without = [ExpiryReports],
    module = valkey,
);
conformance_tests!(
    Redis::without_scripts(),
    without = [ExpiryReports],
    module = valkey_without_scripts,
);
conformance_tests!(Redis::of(servers::redis()).reporting(), module = reporting,);
conformance_tests!(
    Redis::without_scripts().reporting(),
    module = valkey_reporting_without_scripts,
);

/// Prints the lane of each server, and checks that it is the best one.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "a run shows which lane it has tested")]
async fn writes_need_no_scripts_where_the_server_compares() {
    for (store, expected) in [
        (Redis::of(servers::redis()), None),
        (Redis::of(servers::valkey()), Some("compare")),
        (Redis::without_scripts(), Some("compare")),
    ] {
        if store.absent().is_some() {
            continue;
        }
        let found = RedisStore::connect(store.url()).await.expect("set up");
        let lane = RedisBackend::lane(&found).await.expect("connected");
        println!("{}: {lane}", store.url().rsplit('@').next().expect("one"));
        // Redis may be a version that compares.
        assert!(expected.is_none_or(|expected| lane == expected), "{lane}");
    }
}

/// Started from binaries whatever else is tested; the servers end with the process.
struct Cluster {
    nodes: Option<&'static RedisCluster>,
    expiry_reports: bool,
}

impl Cluster {
    fn of_redis() -> Self {
        static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
        Self::started(&CLUSTER, servers::redis_cluster)
    }

    fn of_valkey() -> Self {
        static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
        Self::started(&CLUSTER, servers::valkey_cluster)
    }

    fn started(cluster: &'static OnceLock<RedisCluster>, start: fn() -> RedisCluster) -> Self {
        let there = !servers::is_skipped(Kind::Redis);
        Self {
            nodes: there.then(|| cluster.get_or_init(start)),
            expiry_reports: false,
        }
    }

    /// The same with an expiry index.
    fn reporting(self) -> Self {
        Self {
            expiry_reports: true,
            ..self
        }
    }

    fn cluster(&self) -> &'static RedisCluster {
        self.nodes.expect("no case runs if there is none")
    }
}

#[async_trait]
impl StoreFactory for Cluster {
    fn absent(&self) -> Option<&'static str> {
        self.nodes
            .is_none()
            .then_some("SESSION_TEST_SKIP names redis")
    }

    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let builder = RedisStore::builder()
            .prefix(namespace)
            .expiry_reports(self.expiry_reports)
            .max_data(2 * 1024 * 1024)
            .timeout(servers::PATIENCE);
        Ok(TestStore::new(
            builder.connect(&self.cluster().url()).await?,
        ))
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        // All nodes but one say that the key is elsewhere.
        for url in self.cluster().urls() {
            let client = redis::Client::open(url).expect("a good URL");
            let connection = client.get_multiplexed_async_connection();
            let mut connection = connection.await.expect("it is up");
            let overwritten = try_overwrite(&mut connection, namespace, id).await;
            if overwritten.is_ok() {
                return Ok(true);
            }
        }
        panic!("no node takes the write");
    }

    async fn lapse_claims(&self, namespace: &str) -> Result<bool> {
        for url in self.cluster().urls() {
            lapse_claims(&url, namespace).await;
        }
        Ok(true)
    }
}

conformance_tests!(
    Cluster::of_redis(),
    without = [ExpiryReports],
    module = cluster,
);
conformance_tests!(
    Cluster::of_valkey(),
    without = [ExpiryReports],
    module = valkey_cluster,
);
conformance_tests!(Cluster::of_redis().reporting(), module = cluster_reporting);
