//! A Redis Cluster of three masters, from binaries on `PATH`.

use std::process::Command;
use std::time::{Duration, Instant};

use super::binary::free_port;
use super::{Kind, Private};

/// A Redis Cluster of three masters. The servers end when it is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    /// The nodes.
    pub nodes: Vec<Private>,
}

impl RedisCluster {
    /// Returns the URLs of the nodes.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.url.clone()).collect()
    }
}

/// Starts a cluster, which takes a few seconds.
///
/// # Panics
/// If `redis-server` or `redis-cli` is missing, or the nodes don't find each other.
#[must_use]
pub fn redis_cluster() -> RedisCluster {
    let node = |_| {
        // The default is the port plus 10,000, which may exceed 65,535.
        let bus = free_port().to_string();
        let arguments = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        Private::start(Kind::Redis, &arguments)
    };
    let nodes: Vec<Private> = (0..3).map(node).collect();
    let addresses: Vec<String> = nodes
        .iter()
        .map(|n| format!("127.0.0.1:{}", n.port))
        .collect();
    let created = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&addresses)
        .args(["--cluster-replicas", "0", "--cluster-yes"])
        .output()
        .expect("redis-cli is on PATH");
    let output = String::from_utf8_lossy(&created.stdout);
    assert!(created.status.success(), "no cluster: {output}");
    let began = Instant::now();
    while !nodes.iter().all(|node| knows_all_slots(node.port)) {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "the nodes don't agree"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    RedisCluster { nodes }
}

fn knows_all_slots(port: u16) -> bool {
    let info = Command::new("redis-cli")
        .args(["-p", &port.to_string(), "cluster", "info"])
        .output()
        .expect("redis-cli is on PATH");
    String::from_utf8_lossy(&info.stdout).contains("cluster_state:ok")
}
