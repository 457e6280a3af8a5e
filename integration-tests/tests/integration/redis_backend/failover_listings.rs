//! Listings in the middle of a failover: complete, or an error.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use integration_tests::servers::{self, Kind, Private, RedisCluster, SentinelGroup};
use session_core::{Cursor, Error, Page, SessionDirectory, SessionId, SessionStore, Sessions};
use session_core::{Draft, Event, Lifetime, Observer};
use session_redis::RedisStore;
use session_redis::redis::from_redis_value;

use super::proxy::Proxy;
use super::{MILLI, SECOND, ask, draft, id, number, owner};

/// The time limit of the stores.
const LIMIT: Duration = Duration::from_secs(2);
/// So many that an index is no small one, which is read at once.
const COUNT: usize = 1_500;

async fn created(
    store: &RedisStore,
    whose: &str,
    draft: impl Fn() -> Draft,
) -> BTreeSet<SessionId> {
    let creates = (0..COUNT).map(|_| {
        let (store, id, draft) = (store.clone(), id(), draft().with_owner(owner(whose)));
        async move {
            assert!(store.create(&id, &draft).await.expect("up").is_done());
            id
        }
    });
    stream::iter(creates.collect::<Vec<_>>())
        .buffer_unordered(64)
        .collect()
        .await
}

/// All pages, or the first error.
async fn all<W: Future<Output = Result<Page, Error>>>(
    page: impl Fn(Option<Cursor>) -> W,
) -> Result<BTreeSet<SessionId>, Error> {
    let (mut found, mut cursor) = (BTreeSet::new(), None);
    loop {
        let page = page(cursor).await?;
        found.extend(page.sessions.into_iter().map(|session| session.id));
        // A pause, as between two requests: the server may be another one then.
        tokio::time::sleep(20 * MILLI).await;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}

/// Lists again and again while the primary changes.
struct Walks {
    is_over: Arc<AtomicBool>,
    complete: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Walks {
    /// The sessions of `ann`, all of them, and their number; each walk that ends must have found
    /// these.
    fn start(store: &RedisStore, ann: &BTreeSet<SessionId>, all_ids: &BTreeSet<SessionId>) -> Self {
        let mut walks = Self {
            is_over: Arc::default(),
            complete: Arc::default(),
            tasks: Vec::new(),
        };
        for what in 0..3 {
            let (store, over, count) = (
                store.clone(),
                Arc::clone(&walks.is_over),
                Arc::clone(&walks.complete),
            );
            let expected = if what == 0 { ann } else { all_ids }.clone();
            walks.tasks.push(tokio::spawn(async move {
                while !over.load(Relaxed) {
                    let (store, ann) = (&store, owner("ann"));
                    let found = match what {
                        0 => {
                            let ann = &ann;
                            all(|at| async move { store.owned_by(ann, at.as_ref(), 200).await })
                                .await
                        }
                        1 => all(|at| async move { store.list(at.as_ref(), 500).await }).await,
                        _ => store.count().await.map(|counted| {
                            assert!(counted >= expected.len() as u64, "{counted} counted");
                            expected.clone()
                        }),
                    };
                    match found {
                        Ok(found) => {
                            let missing = expected.difference(&found).count();
                            assert_eq!(missing, 0, "walk {what} missed some without an error");
                            count.fetch_add(1, Relaxed);
                        }
                        Err(error) => assert!(error.is_temporary(), "{error:?}"),
                    }
                }
            }));
        }
        walks
    }

    /// How many walks were complete.
    async fn end(self) -> usize {
        self.is_over.store(true, Relaxed);
        for task in self.tasks {
            task.await.expect("no walk missed any");
        }
        self.complete.load(Relaxed)
    }
}

/// Ends all sessions of `bob`, a hundred at a time, by calls that are repeated after an error.
/// Returns those that were told.
async fn end_all(store: &RedisStore) -> BTreeSet<SessionId> {
    let (mut told, bob, began) = (BTreeSet::new(), owner("bob"), Instant::now());
    loop {
        let called = Instant::now();
        let ended = store.destroy_owned_by(&bob, None, 100).await;
        let took = called.elapsed();
        assert!(took < 3 * LIMIT, "{took:?}");
        match ended {
            Ok(ended) if ended.is_empty() => return told,
            Ok(ended) => told.extend(ended.into_iter().map(|ended| ended.id)),
            Err(error) => assert!(error.is_temporary(), "{error:?}"),
        }
        // So that the failover comes in between.
        tokio::time::sleep(20 * MILLI).await;
        assert!(began.elapsed() < 60 * SECOND, "not back");
    }
}

#[derive(Clone, Default)]
struct Told(Arc<std::sync::Mutex<BTreeSet<SessionId>>>);

impl Observer for Told {
    fn expired(&self, event: Event<'_>) {
        self.0.lock().expect("whole").insert(event.id.clone());
    }
}

/// Reaps until all of `expired` are told.
async fn reap_all(sessions: &Sessions, told: &Told, expired: &BTreeSet<SessionId>) {
    let began = Instant::now();
    loop {
        if let Err(error) = sessions.reap(100).await {
            assert!(error.is_temporary(), "{error:?}");
        }
        if told.0.lock().expect("whole").is_superset(expired) {
            return;
        }
        // A claim of before the failover lapses after a minute.
        assert!(began.elapsed() < 100 * SECOND, "not all are told");
        tokio::time::sleep(10 * MILLI).await;
    }
}

/// Has all of it under way while `fail_over` runs.
async fn holds_during(url: &str, replicate: impl AsyncFn(), fail_over: impl FnOnce() + Send) {
    let builder = || RedisStore::builder().timeout(LIMIT).expiry_reports(true);
    let store = builder().connect(url).await.expect("up");
    let told = Told::default();
    let sessions = Sessions::builder(builder().connect(url).await.expect("up"));
    let sessions = sessions.observer(told.clone()).build().expect("good rules");
    let ann = created(&store, "ann", draft).await;
    let bob = created(&store, "bob", draft).await;
    let brief = || Draft::new("{}", Lifetime::idle(MILLI));
    let expired = created(&store, "eve", brief).await;
    replicate().await;
    let walks = Walks::start(&store, &ann, &ann);
    let ends = tokio::spawn(async move { end_all(&store).await });
    let reaps = tokio::spawn(async move { reap_all(&sessions, &told, &expired).await });
    tokio::time::sleep(100 * MILLI).await;
    tokio::task::block_in_place(fail_over);
    tokio::time::sleep(2 * SECOND).await;
    reaps.await.expect("all are told");
    let ended = ends.await.expect("all are ended");
    assert!(walks.end().await > 3, "no walk was complete");
    // One that was ended by a call which has failed is not told, and is gone.
    let store = builder().connect(url).await.expect("up");
    for id in bob.difference(&ended) {
        let found = store.load(id).await.expect("up");
        assert!(found.is_none(), "not ended, and no error");
    }
}

/// Waits until the replica of the server at `url` has what that has.
async fn replicated(url: &str) {
    let acknowledged = number(url, &["WAIT", "1", "10000"]).await;
    assert!(acknowledged >= 0);
    let began = Instant::now();
    loop {
        let info: String =
            from_redis_value(ask(url, &["INFO", "replication"]).await).expect("text");
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.split_once(name));
            let digits = line.map(|(_, rest)| rest.trim_start_matches([':', '=']).to_owned());
            digits.and_then(|rest| rest.split([',', '\r']).next()?.parse::<u64>().ok())
        };
        let own = field("master_repl_offset");
        if own.is_some() && field("offset=").is_none_or(|replica| Some(replica) >= own) {
            return;
        }
        assert!(began.elapsed() < 20 * SECOND, "{info}");
        tokio::time::sleep(10 * MILLI).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_and_ends_are_complete_or_fail_while_sentinels_promote_a_replica() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for binary in ["redis-server", "valkey-server"] {
        let start = || SentinelGroup::start(binary, None);
        let mut group = tokio::task::block_in_place(start);
        let url = format!("redis+sentinel://{}/sessions", group.addresses().join(","));
        let primary = group.servers[0].url.clone();
        holds_during(
            &url,
            async || replicated(&primary).await,
            || {
                group.kill_primary();
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_and_ends_are_complete_or_fail_while_a_cluster_promotes_a_replica() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let start = || RedisCluster::start("valkey-server", 3, 1);
    let mut cluster = tokio::task::spawn_blocking(start).await.expect("started");
    let urls = cluster.urls();
    for url in &urls {
        for (name, value) in [
            ("cluster-node-timeout", "1000"),
            ("cluster-replica-validity-factor", "0"),
            ("cluster-require-full-coverage", "no"),
        ] {
            ask(url, &["CONFIG", "SET", name, value]).await;
        }
    }
    let replicate = async || {
        for url in &urls[..3] {
            replicated(url).await;
        }
    };
    holds_during(&cluster.url(), replicate, || cluster.nodes[0].kill()).await;
}

/// A cursor of the old primary means something else to the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_another_server_continues_misses_none() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for [one, two] in [
        [(); 2].map(|()| Private::start(Kind::Redis, &[])),
        [(); 2].map(|()| Private::valkey(&[])),
    ] {
        let direct = RedisStore::connect(&one.url).await.expect("up");
        let expected = created(&direct, "ann", draft).await;
        let port = one.port.to_string();
        ask(&two.url, &["REPLICAOF", "127.0.0.1", &port]).await;
        let began = Instant::now();
        while number(&two.url, &["DBSIZE"]).await < number(&one.url, &["DBSIZE"]).await {
            assert!(began.elapsed() < 20 * SECOND, "the replica does not follow");
            tokio::time::sleep(10 * MILLI).await;
        }
        ask(&two.url, &["REPLICAOF", "NO", "ONE"]).await;
        let (proxy, ann) = (Proxy::start(one.port).await, owner("ann"));
        let store = proxy.store().await;
        for lists_owner in [true, false] {
            let page = async |cursor: Option<Cursor>| {
                let page = match lists_owner {
                    true => store.owned_by(&ann, cursor.as_ref(), 100).await,
                    false => store.list(cursor.as_ref(), 100).await,
                };
                page.expect("up")
            };
            let (mut found, mut cursor, mut pages) = (BTreeSet::new(), None, 0);
            loop {
                let Page { sessions, next, .. } = page(cursor).await;
                found.extend(sessions.into_iter().map(|session| session.id));
                pages += 1;
                // To and fro, so each server continues what the other one has begun.
                if pages % 5 == 0 && pages < 30 {
                    let (from, to) = if pages % 10 == 0 {
                        (&two, &one)
                    } else {
                        (&one, &two)
                    };
                    proxy.lead_to(to.port);
                    let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
                    ask(&from.url, &kill).await;
                }
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(expected.difference(&found).count(), 0, "missed");
            assert!(pages > 15, "{pages}");
        }
    }
}
