//! Clusters of Redis or Valkey, from binaries on `PATH`.

use std::process::Command;
use std::time::{Duration, Instant};

use super::binary::free_port;
use super::command::ask;
use super::{Kind, Private, on_own_runtime, version};

/// How long the nodes may take to agree; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);

/// A cluster, whose nodes end when it is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    /// The nodes, primaries first, as the cluster was created.
    pub nodes: Vec<Private>,
}

impl RedisCluster {
    /// Starts a cluster of `primaries`, each with `replicas`, from `binary`, a path or a name on
    /// `PATH`. It takes a few seconds, blocks, and is ready once all nodes know all slots and all
    /// replicas follow.
    ///
    /// # Panics
    /// If the binary or `redis-cli` is missing, or the nodes don't find each other.
    #[must_use]
    pub fn start(binary: &str, primaries: usize, replicas: usize) -> Self {
        let count = primaries * (1 + replicas);
        Self::start_with(binary, replicas, &vec![Vec::new(); count], |_, _| {})
    }

    /// Starts a cluster like [`start`](Self::start), with one node for each list of additional
    /// arguments. Before they are told of each other, `started` gets the place of each in `nodes`, and
    /// its port.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(
        binary: &str,
        replicas: usize,
        arguments: &[Vec<String>],
        started: impl Fn(usize, u16),
    ) -> Self {
        let count = arguments.len();
        let primaries = count / (1 + replicas);
        let nodes: Vec<Private> = std::thread::scope(|scope| {
            let threads = arguments
                .iter()
                .map(|more| scope.spawn(|| node(binary, more)));
            let threads: Vec<_> = threads.collect();
            let joined = threads.into_iter().map(|node| node.join());
            joined.map(|node| node.expect("started")).collect()
        });
        for (place, node) in nodes.iter().enumerate() {
            started(place, node.port);
        }
        create(&nodes, replicas);
        let cluster = Self { nodes };
        let began = Instant::now();
        let settled = |node: &Private| is_settled(node, count, count - primaries);
        while !cluster.nodes.iter().all(settled) {
            assert!(began.elapsed() < LIMIT, "the nodes don't agree");
            std::thread::sleep(Duration::from_millis(50));
        }
        cluster
    }

    /// Returns product and version of a node, the number of nodes, and how they were started.
    ///
    /// # Panics
    /// If a node does not answer.
    #[must_use]
    pub fn description(&self) -> String {
        let node = &self.nodes[0];
        let version = on_own_runtime(version::of(Kind::Redis, &node.url));
        let version = version.unwrap_or_else(|why| panic!("a node: {why}"));
        let count = self.nodes.len();
        format!("a cluster of {count} nodes of {version}, {}", node.how())
    }

    /// Returns the URL of the cluster, by all of its nodes.
    #[must_use]
    pub fn url(&self) -> String {
        let nodes = self.nodes.iter();
        let nodes = nodes.map(|node| format!("127.0.0.1:{}", node.port));
        format!("redis+cluster://{}/", nodes.collect::<Vec<_>>().join(","))
    }

    /// Returns the URLs of the nodes.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.url.clone()).collect()
    }
}

/// Starts three primaries of Redis.
///
/// # Panics
/// As [`RedisCluster::start`].
#[must_use]
pub fn redis_cluster() -> RedisCluster {
    RedisCluster::start("redis-server", 3, 0)
}

/// Starts three primaries of Valkey, each with a replica.
///
/// # Panics
/// As [`RedisCluster::start`].
#[must_use]
pub fn valkey_cluster() -> RedisCluster {
    RedisCluster::start("valkey-server", 3, 1)
}

fn node(binary: &str, more: &[String]) -> Private {
    // The default is the port plus 10,000, which may exceed 65,535.
    let bus = free_port().to_string();
    let arguments = vec![
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        // A replica's first copy is not delayed to wait for others.
        "--repl-diskless-sync-delay",
        "0",
    ];
    let more = more.iter().map(String::as_str);
    let arguments: Vec<&str> = arguments.into_iter().chain(more).collect();
    Private::redis_binary(binary, &arguments)
}

fn create(nodes: &[Private], replicas: usize) {
    let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
    let created = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(addresses)
        .args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"])
        .output()
        .expect("redis-cli is on PATH");
    let output = String::from_utf8_lossy(&created.stdout);
    assert!(created.status.success(), "no cluster: {output}");
}

/// Whether the node knows the slots and the `replicas` among all nodes, and follows its primary if
/// it is a replica itself.
fn is_settled(node: &Private, count: usize, replicas: usize) -> bool {
    let text = |words: &[&str]| ask::<String>(&node.url, words).unwrap_or_default();
    let info = text(&["CLUSTER", "INFO"]);
    let followers = text(&["CLUSTER", "NODES"]).matches("slave ").count();
    info.contains("cluster_state:ok")
        && info.contains(&format!("cluster_known_nodes:{count}\r"))
        && followers == replicas
        && !text(&["INFO", "replication"]).contains("master_link_status:down")
}
