//! Two processes with copies of the sessions in one server, which tells both of writes.

#![allow(clippy::print_stdout, reason = "its counts are worth telling")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use integration_tests::servers::{self, Kind, Private, redis_cluster};
use session_cached::CachedStore;
use session_core::{Draft, Lifetime, SessionId, SessionStore, SessionToken, Ttl};
use session_redis::RedisStore;
use session_redis::redis::{self, Value};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::redis_backend::proxy::Proxy;

type Node = CachedStore<RedisStore>;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// So long that only an invalidation ends a copy in time.
const LONG: Duration = Duration::from_secs(600);
/// How long a busy machine may take.
const LIMIT: Duration = Duration::from_secs(20);

async fn node(url: &str, lease: Duration) -> Node {
    let store = RedisStore::connect(url).await.expect("set up");
    let builder = CachedStore::builder(store).lease(lease);
    builder.build().expect("good limits")
}

/// A node that hears of writes.
async fn listening(url: &str) -> Node {
    let before = trackers(url).await.len();
    let node = node(url, LONG).await;
    let absent = SessionToken::generate().id();
    assert!(node.load(&absent).await.expect("up").is_none());
    until(async || trackers(url).await.len() > before).await;
    node
}

async fn until(is_true: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_true().await {
            sleep(5 * MILLI).await;
        }
    };
    timeout(LIMIT, waiting).await.expect("in time");
}

async fn ask(url: &str, words: &[&str]) -> Value {
    let client = redis::Client::open(url).expect("a good URL");
    let connection = client.get_multiplexed_async_connection().await;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let answer = command.query_async(&mut connection.expect("up")).await;
    answer.expect("it answers")
}

/// The ids of the server's clients that track keys by prefix.
async fn trackers(url: &str) -> Vec<String> {
    let list: String = redis::from_redis_value(ask(url, &["CLIENT", "LIST"]).await).expect("text");
    let value = |line: &str, name| {
        let mut words = line.split(' ');
        words.find_map(|word| word.strip_prefix(name).map(str::to_owned))
    };
    let tracks = |line: &&str| value(line, "flags=").is_some_and(|flags| flags.contains('B'));
    let lines = list.lines().filter(tracks);
    lines.filter_map(|line| value(line, "id=")).collect()
}

async fn created(node: &Node) -> SessionId {
    let id = SessionToken::generate().id();
    let draft = Draft::new("{}", Lifetime::default());
    assert!(node.create(&id, &draft).await.expect("up").is_done());
    id
}

/// Whether the node has the session, and by a copy.
async fn found(node: &Node, id: &SessionId) -> Option<bool> {
    let loaded = node.load(id).await.expect("up");
    loaded.map(|record| record.is_copy)
}

/// A session of which the node has a copy.
async fn copied(node: &Node, elsewhere: &Node) -> SessionId {
    let id = created(elsewhere).await;
    until(async || found(node, &id).await.expect("there")).await;
    id
}

fn both_servers() -> [Private; 2] {
    [Private::start(Kind::Redis, &[]), Private::valkey(&[])]
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_elsewhere_end_copies_at_once() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in both_servers() {
        let (here, there) = (listening(&server.url).await, listening(&server.url).await);
        let (ended, saved) = (copied(&here, &there).await, copied(&here, &there).await);
        let (kept, touched) = (copied(&here, &there).await, copied(&here, &there).await);
        there.destroy(&ended, None).await.expect("up");
        until(async || found(&here, &ended).await.is_none()).await;
        let version = there.load(&saved).await.expect("up").expect("there");
        let draft = Draft::new("2", Lifetime::default());
        let done = there.save(&saved, &draft, &version.version).await;
        assert!(done.expect("up").is_done());
        until(async || {
            let loaded = here.load(&saved).await.expect("up");
            loaded.expect("there").data == "2"
        })
        .await;
        let idle = Lifetime::default().idle.duration().expect("a limit");
        let left = there.touch(&touched, (2 * idle).into()).await.expect("up");
        assert!(left > Some(Ttl::Left(idle)));
        until(async || {
            let loaded = here.load(&touched).await.expect("up");
            loaded.expect("there").ttl > Ttl::Left(idle)
        })
        .await;
        assert_eq!(found(&here, &kept).await, Some(true), "others are kept");
        ask(&server.url, &["FLUSHALL"]).await;
        until(async || found(&here, &kept).await.is_none()).await;
    }
}

/// What loads found after a destroy elsewhere had returned.
#[derive(Default)]
struct Tally {
    /// Copies that were there before.
    copies: AtomicUsize,
    /// Loads that found the session 50 ms after.
    late: AtomicUsize,
}

const INTERLEAVINGS: usize = 10_000;
const CALLERS: usize = 100;
const LEASE: Duration = Duration::from_millis(300);
/// How often the interleavings are repeated because a busy machine has delayed the invalidations.
const ATTEMPTS: usize = 3;

/// Loads here beside a destroy there.
async fn interleaving(here: &Node, there: &Node, seed: u64, tally: &Tally) {
    let id = created(there).await;
    found(here, &id).await.expect("there");
    let copy = found(here, &id).await.expect("there");
    tally.copies.fetch_add(usize::from(copy), SeqCst);
    let pause = |n: u64| sleep(Duration::from_micros(seed.wrapping_mul(n) % 3_000));
    let loads = async {
        for n in [7_919, 104_729] {
            pause(n).await;
            found(here, &id).await;
        }
    };
    let destroy = async {
        pause(1_299_709).await;
        assert!(there.destroy(&id, None).await.expect("up").is_some());
        assert_eq!(found(there, &id).await, None, "its own write");
        Instant::now()
    };
    let ((), ended) = tokio::join!(loads, destroy);
    sleep_until(ended + 50 * MILLI).await;
    let is_late = found(here, &id).await.is_some();
    tally.late.fetch_add(usize::from(is_late), SeqCst);
    sleep_until(ended + LEASE).await;
    assert_eq!(found(here, &id).await, None, "after the lease");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_copy_outlives_the_lease_in_10_000_interleavings() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in both_servers() {
        let (here, there) = (
            node(&server.url, LEASE).await,
            node(&server.url, LEASE).await,
        );
        created(&here).await;
        let warm = created(&there).await;
        found(&here, &warm).await.expect("there");
        until(async || trackers(&server.url).await.len() == 1).await;
        let mut late = INTERLEAVINGS;
        for _ in 0..ATTEMPTS {
            late = interleavings(&here, &there).await;
            if late * 100 <= INTERLEAVINGS {
                break;
            }
        }
        assert!(late * 100 <= INTERLEAVINGS, "{late} were late each time");
    }
}

/// A cluster tells of nothing.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_the_lease_alone_ends_copies_in_10_000_interleavings() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let cluster = tokio::task::spawn_blocking(redis_cluster).await;
    let url = cluster.as_ref().expect("started").url();
    let (here, there) = (node(&url, LEASE).await, node(&url, LEASE).await);
    let late = interleavings(&here, &there).await;
    assert!(late > 0, "something else than the lease has ended them all");
}

/// Gives how many loads found a session 50 ms after its end.
async fn interleavings(here: &Node, there: &Node) -> usize {
    let tally = Arc::new(Tally::default());
    let callers = (0..CALLERS).map(|caller| {
        let (here, there, tally) = (here.clone(), there.clone(), tally.clone());
        tokio::spawn(async move {
            for n in 0..INTERLEAVINGS / CALLERS {
                let seed = (caller * INTERLEAVINGS + n) as u64 + 1;
                interleaving(&here, &there, seed, &tally).await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("no panic");
    }
    let (copies, late) = (tally.copies.load(SeqCst), tally.late.load(SeqCst));
    println!("{copies} copies of {INTERLEAVINGS} sessions; {late} found 50 ms after the end");
    assert!(copies * 2 > INTERLEAVINGS, "{copies} copies were tried");
    late
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_takes_the_copies_along_and_comes_back() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in both_servers() {
        let there = node(&server.url, Duration::ZERO).await;
        let here = listening(&server.url).await;
        let ids = [copied(&here, &there).await, copied(&here, &there).await];
        let old = trackers(&server.url).await;
        assert_eq!(old.len(), 1);
        // What is destroyed while nothing listens is told to none.
        ask(&server.url, &["CLIENT", "KILL", "ID", &old[0]]).await;
        there.destroy(&ids[0], None).await.expect("up");
        until(async || found(&here, &ids[0]).await.is_none()).await;
        until(async || {
            let now = trackers(&server.url).await;
            now.len() == 1 && now != old
        })
        .await;
        until(async || found(&here, &ids[1]).await == Some(true)).await;
        there.destroy(&ids[1], None).await.expect("up");
        until(async || found(&here, &ids[1]).await.is_none()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_takes_the_copies_along() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in both_servers() {
        let proxy = Proxy::start(server.port).await;
        let there = node(&server.url, Duration::ZERO).await;
        let here = listening(&proxy.url()).await;
        let id = copied(&here, &there).await;
        proxy.fall_silent();
        let began = Instant::now();
        there.destroy(&id, None).await.expect("up");
        let ended = async || {
            let loaded = here.load(&id).await;
            matches!(loaded, Ok(None))
        };
        until(ended).await;
        assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tracking_the_lease_alone_ends_copies() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let address = server.url.trim_start_matches("redis://").to_owned();
    let words = "SETUSER app on >pw ~* &* +@all -client|tracking";
    let words: Vec<&str> = ["ACL"].into_iter().chain(words.split(' ')).collect();
    ask(&server.url, &words).await;
    let forbidden = format!("redis://app:pw@{address}");
    let resp2 = format!("{}?protocol=resp2", server.url);
    let cluster = tokio::task::spawn_blocking(redis_cluster).await;
    let cluster = cluster.expect("started");
    let in_cluster = async || RedisStore::connect(&cluster.url()).await.expect("up");
    let stores = [
        (
            RedisStore::connect(&forbidden).await.expect("up"),
            RedisStore::connect(&server.url).await.expect("up"),
            true,
        ),
        (
            RedisStore::connect(&resp2).await.expect("up"),
            RedisStore::connect(&server.url).await.expect("up"),
            false,
        ),
        (in_cluster().await, in_cluster().await, false),
    ];
    for (store, there, listens) in stores {
        assert_eq!(store.invalidations(SECOND).is_some(), listens);
        let here = CachedStore::builder(store).lease(LEASE).build();
        let (here, id) = (here.expect("good limits"), SessionToken::generate().id());
        let draft = Draft::new("{}", Lifetime::default());
        assert!(there.create(&id, &draft).await.expect("up").is_done());
        until(async || found(&here, &id).await.expect("there")).await;
        there.destroy(&id, None).await.expect("up");
        let ended = Instant::now();
        sleep_until(ended + LEASE).await;
        assert_eq!(found(&here, &id).await, None);
    }
    assert_eq!(trackers(&server.url).await.len(), 0);
}
