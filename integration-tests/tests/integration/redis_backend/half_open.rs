//! A cluster of which one node is silent while the others answer.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, RedisCluster, redis_cluster};
use session_core::{SessionId, SessionStore};
use session_redis::RedisStore;
use session_redis::redis::from_redis_value;

use super::proxy::Proxy;
use super::reconnect::{LIMIT, PATIENCE};
use super::{ask, draft, id};

/// Has the last node say that it is where the relay is, and waits until the others say so too.
async fn behind(cluster: &RedisCluster, proxy: &Proxy) {
    let address = proxy.address();
    let port = address.split(':').nth(1).expect("a port");
    let node = &cluster.nodes[2];
    ask(&node.url, &["CONFIG", "SET", "cluster-announce-port", port]).await;
    let began = Instant::now();
    loop {
        let mut all = true;
        for url in cluster.urls() {
            let slots = ask(&url, &["CLUSTER", "NODES"]).await;
            let slots: String = from_redis_value(slots).expect("text");
            all &= slots.contains(&format!(":{port}@"));
        }
        if all {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the others don't follow");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether the last node has this key's slot.
async fn is_last(cluster: &RedisCluster, id: &SessionId) -> bool {
    let key = format!("session:{{{}}}", id.as_str());
    let (slot, last) = (
        ask(&cluster.nodes[2].url, &["CLUSTER", "KEYSLOT", &key]).await,
        ask(&cluster.nodes[2].url, &["CLUSTER", "NODES"]).await,
    );
    let slot: u64 = from_redis_value(slot).expect("a number");
    let nodes: String = from_redis_value(last).expect("text");
    let own = nodes.lines().find(|line| line.contains("myself"));
    let range = own
        .and_then(|own| own.split(' ').next_back())
        .expect("slots");
    let (from, to) = range.split_once('-').expect("a range");
    let bound = |text: &str| text.parse::<u64>().expect("a number");
    (bound(from)..=bound(to)).contains(&slot)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_found_out_while_the_others_answer() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let cluster = tokio::task::spawn_blocking(redis_cluster).await;
    let cluster = cluster.expect("started");
    let proxy = Proxy::start(cluster.nodes[2].port).await;
    behind(&cluster, &proxy).await;
    let store = RedisStore::builder().timeout(LIMIT);
    let store = store.connect(&cluster.url()).await.expect("up");
    let (mut silent, mut others) = (Vec::new(), Vec::new());
    while silent.is_empty() || others.is_empty() {
        let id = id();
        assert!(store.create(&id, &draft()).await.expect("up").is_done());
        match is_last(&cluster, &id).await {
            true => silent.push(id),
            false => others.push(id),
        }
    }
    assert!(proxy.connections() > 0, "the last node is behind the relay");
    proxy.fall_silent();
    // An answer of another node that comes after the caller has given up, and before the next call.
    let late = async {
        tokio::time::sleep(LIMIT - LIMIT / 4).await;
        for node in &cluster.nodes[..2] {
            ask(&node.url, &["CLIENT", "PAUSE", "500"]).await;
        }
        store.load(&others[0]).await
    };
    let (found, late) = tokio::join!(store.load(&silent[0]), late);
    assert!(late.expect("the others answer").is_some());
    // Before the call's time is up.
    assert!(found.expect("the silent one is found out").is_some());
    let loaded = store.load(&silent[0]).await;
    assert!(loaded.expect("it is replaced").is_some());
}
