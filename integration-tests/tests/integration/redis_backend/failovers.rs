//! A cluster with replicas, of which a primary dies or falls silent under load.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use integration_tests::servers::{self, Kind, RedisCluster};
use session_core::{Error, Owner, Result, SessionDirectory, SessionId, SessionStore};
use session_redis::RedisStore;
use session_redis::redis::from_redis_value;
use tokio::task::JoinHandle;

use super::{MILLI, SECOND, ask, draft, id, number, owner};

/// Concurrent callers: the driver's own client hangs with so many.
const CALLERS: usize = 200;

/// Three primaries and three replicas, which take over after a second or so.
async fn cluster_with_replicas() -> RedisCluster {
    let start = || RedisCluster::start("valkey-server", 3, 1);
    let cluster = tokio::task::spawn_blocking(start).await.expect("started");
    for url in cluster.urls() {
        for (name, value) in [
            ("cluster-node-timeout", "1000"),
            ("cluster-replica-validity-factor", "0"),
            // The nodes that are left serve their own slots.
            ("cluster-require-full-coverage", "no"),
        ] {
            ask(&url, &["CONFIG", "SET", name, value]).await;
        }
    }
    cluster
}

/// What one caller, which loads a session again and again, has seen.
#[derive(Default)]
struct Seen {
    failures: Vec<(Instant, Error)>,
    successes: Vec<Instant>,
}

struct Load {
    callers: Vec<(SessionId, JoinHandle<Seen>)>,
    is_over: Arc<AtomicBool>,
}

impl Load {
    async fn start(store: &RedisStore) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut callers = Vec::new();
        for _ in 0..CALLERS {
            let id = id();
            assert!(store.create(&id, &draft()).await.expect("up").is_done());
            let (store, its, over) = (store.clone(), id.clone(), Arc::clone(&is_over));
            let caller = tokio::spawn(async move {
                let mut seen = Seen::default();
                while !over.load(Relaxed) {
                    match store.load(&its).await {
                        Ok(_) => seen.successes.push(Instant::now()),
                        Err(error) => seen.failures.push((Instant::now(), error)),
                    }
                    tokio::time::sleep(MILLI).await;
                }
                seen
            });
            callers.push((id, caller));
        }
        Self { callers, is_over }
    }

    async fn end(self) -> Vec<(SessionId, Seen)> {
        self.is_over.store(true, Relaxed);
        let mut all = Vec::new();
        for (id, caller) in self.callers {
            let seen = tokio::time::timeout(20 * SECOND, caller).await;
            all.push((id, seen.expect("no caller hangs").expect("no panic")));
        }
        all
    }
}

/// The first and last slot of a node.
async fn slots_of(url: &str) -> (i64, i64) {
    let nodes: String = from_redis_value(ask(url, &["CLUSTER", "NODES"]).await).expect("text");
    let own = nodes.lines().find(|line| line.contains("myself"));
    let range = own.and_then(|own| own.split(' ').next_back());
    let (first, last) = range
        .and_then(|range| range.split_once('-'))
        .expect("a range");
    (
        first.parse().expect("a slot"),
        last.parse().expect("a slot"),
    )
}

/// When one of the replicas has become a primary.
async fn promoted(replicas: &[String]) -> Instant {
    let began = Instant::now();
    loop {
        for url in replicas {
            let info = ask(url, &["INFO", "replication"]).await;
            let info: String = from_redis_value(info).expect("text");
            if info.contains("role:master") {
                return Instant::now();
            }
        }
        assert!(began.elapsed() < 30 * SECOND, "no replica takes over");
        tokio::time::sleep(10 * MILLI).await;
    }
}

/// What has been seen of the sessions of the node that failed, and of the others.
async fn judge(
    seen: Vec<(SessionId, Seen)>,
    url: &str,
    (first, last): (i64, i64),
    failed: Instant,
    promoted: Instant,
) {
    let (mut victims, mut latest) = (0, promoted);
    for (id, seen) in seen {
        let key = format!("session:{{{}}}", id.as_str());
        let slot = number(url, &["CLUSTER", "KEYSLOT", &key]).await;
        if !(first..=last).contains(&slot) {
            let longest = seen
                .successes
                .windows(2)
                .map(|pair| pair[1] - pair[0])
                .max();
            assert!(seen.failures.is_empty(), "{:?}", seen.failures);
            assert!(
                longest < Some(SECOND),
                "another node's was held up: {longest:?}"
            );
            continue;
        }
        victims += 1;
        for (_, error) in &seen.failures {
            assert!(error.is_temporary(), "{error:?}");
        }
        let back = seen.successes.iter().find(|at| **at > promoted);
        latest = latest.max(*back.expect("it is back"));
    }
    assert!(victims > 20, "{victims}");
    let (outage, after) = (promoted - failed, latest - promoted);
    assert!(
        after < 2 * SECOND,
        "{victims} callers back {after:?} after a failover that took {outage:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_killed_under_load_costs_only_its_own_sessions_until_failover() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let mut cluster = cluster_with_replicas().await;
    let store = RedisStore::connect(&cluster.url()).await.expect("set up");
    let (slots, urls) = (slots_of(&cluster.nodes[0].url).await, cluster.urls());
    let load = Load::start(&store).await;
    tokio::time::sleep(SECOND / 2).await;
    let failed = Instant::now();
    cluster.nodes[0].kill();
    let promoted = promoted(&urls[3..]).await;
    tokio::time::sleep(3 * SECOND).await;
    judge(load.end().await, &urls[1], slots, failed, promoted).await;
    // The old primary comes back as a replica.
    cluster.nodes[0].restart();
    let session = id();
    assert!(
        store
            .create(&session, &draft())
            .await
            .expect("up")
            .is_done()
    );
}

/// All pages of an owner's sessions.
async fn walk(store: &RedisStore, owner: &Owner) -> Result<BTreeSet<SessionId>> {
    let (mut found, mut cursor) = (BTreeSet::new(), None);
    loop {
        let page = store.owned_by(owner, cursor.as_ref(), 100).await?;
        found.extend(page.sessions.into_iter().map(|session| session.id));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}

/// An owner's sessions are on all nodes, so each page waits for the node that has failed.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_of_two_hundred_sessions_is_listed_again_after_a_failover() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let mut cluster = cluster_with_replicas().await;
    let store = RedisStore::connect(&cluster.url()).await.expect("set up");
    let ann = owner("ann");
    for _ in 0..CALLERS {
        let hers = draft().with_owner(ann.clone());
        assert!(store.create(&id(), &hers).await.expect("up").is_done());
    }
    let (urls, is_over) = (cluster.urls(), Arc::new(AtomicBool::new(false)));
    let load = Load::start(&store).await;
    let lister = tokio::spawn({
        let (store, over) = (store.clone(), Arc::clone(&is_over));
        async move {
            let mut seen = Seen::default();
            while !over.load(Relaxed) {
                match walk(&store, &ann).await {
                    Ok(found) => {
                        assert_eq!(found.len(), CALLERS, "some are missing");
                        seen.successes.push(Instant::now());
                    }
                    Err(error) => seen.failures.push((Instant::now(), error)),
                }
                tokio::time::sleep(MILLI).await;
            }
            seen
        }
    });
    // A replica has what was created.
    tokio::time::sleep(SECOND).await;
    cluster.nodes[0].kill();
    let promoted = promoted(&urls[3..]).await;
    tokio::time::sleep(3 * SECOND).await;
    is_over.store(true, Relaxed);
    let seen = tokio::time::timeout(20 * SECOND, lister).await;
    let seen = seen.expect("it does not hang").expect("no panic");
    load.end().await;
    for (_, error) in &seen.failures {
        assert!(error.is_temporary(), "{error:?}");
    }
    assert!(!seen.failures.is_empty(), "the node that fails has a part");
    let back = seen.successes.iter().find(|at| **at > promoted);
    let after = *back.expect("it is back") - promoted;
    assert!(after < 2 * SECOND, "{after:?} after the failover");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_falls_silent_under_load_costs_only_its_own_sessions_until_failover() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let cluster = cluster_with_replicas().await;
    let store = RedisStore::connect(&cluster.url()).await.expect("set up");
    let (slots, urls) = (slots_of(&cluster.nodes[0].url).await, cluster.urls());
    let load = Load::start(&store).await;
    tokio::time::sleep(SECOND / 2).await;
    let failed = Instant::now();
    signal("-STOP", cluster.nodes[0].pid());
    let promoted = promoted(&urls[3..]).await;
    tokio::time::sleep(3 * SECOND).await;
    let seen = load.end().await;
    signal("-CONT", cluster.nodes[0].pid());
    judge(seen, &urls[1], slots, failed, promoted).await;
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.expect("kill is on PATH").success());
}
