//! The latencies of a site's requests while a million expired sessions are reaped from MySQL or
//! MariaDB.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml --bin mysql_traffic [expired=SESSIONS]
//! ```
//!
//! 64 callers load and save 20,000 live sessions without a pause: before, during and after the
//! reaping. The reaper is the same as in a site.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use benches::{Latencies, credential};
use futures_util::{StreamExt, stream};
use integration_tests::servers;
use session_core::{
    Draft, Event, Lifetime, Observer, Reaper, Saved, SessionDirectory, SessionId, SessionStore,
    SessionToken, Sessions, Version,
};
use session_mysql::MysqlStore;
use session_mysql::sqlx::{self, MySqlPool};

const EXPIRED: usize = 1_000_000;
const LIVE: usize = 20_000;
const CALLERS: usize = 64;
/// How long traffic runs without reaping.
const CONTROL: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3_600);

/// An observer that counts reaped sessions.
struct Count(Arc<AtomicUsize>);

impl Observer for Count {
    fn expired(&self, _event: Event<'_>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn draft(lifetime: Lifetime) -> Draft {
    let data = format!(r#"{{"data":"{}"}}"#, "s".repeat(289));
    Draft::new(data, lifetime).with_credential(credential())
}

fn version(saved: Saved) -> Version {
    match saved {
        Saved::Done(version) => version,
        other => panic!("not written: {other:?}"),
    }
}

async fn fill(store: &MysqlStore, count: usize, lifetime: Lifetime) -> Vec<(SessionId, Version)> {
    let create = |_| async move {
        let (id, draft) = (SessionToken::generate().id(), draft(lifetime));
        let created = store.create(&id, &draft).await.expect("up");
        (id, version(created))
    };
    let created = stream::iter(0..count).map(create);
    created.buffer_unordered(256).collect().await
}

/// Uses a caller's own sessions until it is stopped. Returns the latencies of loads and of saves.
async fn caller(
    store: MysqlStore,
    mut own: Vec<(SessionId, Version)>,
    stop: Arc<AtomicBool>,
) -> (Vec<(SessionId, Version)>, Latencies, Latencies) {
    let (mut loads, mut saves) = (Latencies::default(), Latencies::default());
    let mut n = 0;
    while !stop.load(SeqCst) {
        n = (n + 7) % own.len();
        let (id, last) = &mut own[n];
        let found = loads.time(store.load(id)).await.expect("up");
        let found = found.expect("there").version;
        assert_eq!(found.stamp(), last.stamp());
        let draft = draft(Lifetime::new(HOUR, 12 * HOUR));
        let saved = saves.time(store.save(id, &draft, last)).await;
        *last = version(saved.expect("up"));
    }
    (own, loads, saves)
}

/// Runs traffic as long as `work` takes.
async fn traffic(
    what: &str,
    store: &MysqlStore,
    sessions: &mut Vec<Vec<(SessionId, Version)>>,
    work: impl Future<Output = ()>,
) {
    let (stop, began) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let callers: Vec<_> = std::mem::take(sessions)
        .into_iter()
        .map(|own| tokio::spawn(caller(store.clone(), own, Arc::clone(&stop))))
        .collect();
    work.await;
    let took = began.elapsed().as_secs_f64();
    stop.store(true, SeqCst);
    let (mut loads, mut saves) = (Latencies::default(), Latencies::default());
    for caller in callers {
        let (own, own_loads, own_saves) = caller.await.expect("no panic");
        sessions.push(own);
        loads.extend(own_loads);
        saves.extend(own_saves);
    }
    let rate = (loads.count() + saves.count()) as f64 / took;
    println!("{what}: {took:.0} s, {rate:.0} operations a second; load {loads}; save {saves}");
}

async fn deadlocks(pool: &MySqlPool) -> u64 {
    let counter = "SELECT CAST(`count` AS UNSIGNED) FROM information_schema.innodb_metrics \
                   WHERE name = 'lock_deadlocks'";
    let count: sqlx::Result<u64> = sqlx::query_scalar(counter).fetch_one(pool).await;
    count.expect("the server counts deadlocks")
}

#[tokio::main]
async fn main() {
    let expired = std::env::args()
        .skip(1)
        .find_map(|argument| argument.strip_prefix("expired=")?.parse().ok());
    let expired = expired.unwrap_or(EXPIRED);
    let server = servers::mysql().expect("SESSION_TEST_SKIP does not name mysql");
    println!("{}", server.description);
    let pool = MySqlPool::connect(&server.url).await.expect("up");
    let store = MysqlStore::builder().table("mysql_traffic");
    let store = store.connect(&server.url).await.expect("up");
    store.clear().await.expect("cleared");

    let (began, short) = (Instant::now(), Lifetime::fixed(Duration::from_secs(1)));
    fill(&store, expired, short).await;
    let live = fill(&store, LIVE, Lifetime::new(HOUR, 12 * HOUR)).await;
    let filled = began.elapsed().as_secs_f64();
    println!("{expired} that expire and {LIVE} that live, made in {filled:.0} s");
    let chunks = live.chunks(LIVE.div_ceil(CALLERS));
    let mut sessions = chunks.map(<[_]>::to_vec).collect();

    let before = deadlocks(&pool).await;
    let pause = || tokio::time::sleep(CONTROL);
    traffic("before", &store, &mut sessions, pause()).await;
    let count = Arc::new(AtomicUsize::new(0));
    let manager = Sessions::builder(Arc::new(store.clone()));
    let manager = manager.observer(Count(Arc::clone(&count))).build();
    let manager = manager.expect("good settings");
    let reaping = async {
        let _reaper = Reaper::spawn(manager).expect("it has a directory");
        while count.load(SeqCst) < expired {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    traffic("reaping", &store, &mut sessions, reaping).await;
    traffic("after", &store, &mut sessions, pause()).await;
    let deadlocks = deadlocks(&pool).await - before;
    println!("{} reaped, {deadlocks} deadlocks", count.load(SeqCst));
    store.clear().await.expect("cleared");
}
