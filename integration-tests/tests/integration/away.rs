//! A database that is away: calls end within their limit, then fail at once, and succeed again soon
//! after it is back.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private};
use session_core::{Error, ErrorKind, Result, SessionStore, SessionToken};
use session_mongo::MongoStore;
use session_mysql::MysqlStore;
use session_postgres::PostgresStore;
use session_redis::RedisStore;
use tokio::task::block_in_place;
use tokio::time::sleep;

const LIMIT: Duration = Duration::from_millis(800);
/// More than a call may take on a busy machine once its limit has passed.
const SLACK: Duration = Duration::from_millis(300);
/// Within this time calls fail at once, or one that was sent as a probe.
const AT_ONCE: Duration = Duration::from_millis(10);
const PAUSE: Duration = Duration::from_millis(5);

type Store = Arc<dyn SessionStore>;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The server is silent.
    Stop,
    /// Connections break, and others are refused.
    Kill,
}

impl Fault {
    fn begin(self, server: &mut Private) {
        match self {
            Self::Stop => signal("STOP", server),
            Self::Kill => server.kill(),
        }
    }

    fn end(self, server: &mut Private) {
        match self {
            Self::Stop => signal("CONT", server),
            Self::Kill => server.restart(),
        }
    }
}

/// Sends a signal to the server and its children: PostgreSQL has one for each connection.
fn signal(signal: &str, server: &Private) {
    let pid = server.pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let sent = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .args(children.split_whitespace())
        .status();
    assert!(sent.is_ok_and(|status| status.success()), "{signal}");
}

/// A load, and how long it took.
async fn load(store: &Store) -> (Result<()>, Duration) {
    let began = Instant::now();
    let loaded = store.load(&SessionToken::generate().id()).await;
    (loaded.map(drop), began.elapsed())
}

/// The error of a call that was not sent.
async fn until_calls_fail_at_once(store: &Store) -> Error {
    let (began, mut last) = (Instant::now(), None);
    while began.elapsed() < 20 * LIMIT {
        let (loaded, took) = load(store).await;
        assert!(took < LIMIT + SLACK, "{took:?}: {loaded:?}");
        match loaded {
            Err(error) if !error.is_doubtful() => return error,
            other => last = Some(other),
        }
        sleep(PAUSE).await;
    }
    panic!("calls are sent all the same: {last:?}");
}

async fn goes_away_and_comes_back(mut server: Private, store: Store, back_within: Duration) {
    for fault in [Fault::Stop, Fault::Kill] {
        load(&store).await.0.expect("it is there");
        block_in_place(|| fault.begin(&mut server));
        let error = until_calls_fail_at_once(&store).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let text = error.to_string();
        let place = format!("127.0.0.1:{}", server.port);
        let names_cause = text.contains(&place) && text.contains("no answer has come for");
        assert!(names_cause, "{fault:?}: {text}");
        fail_at_once_but_for_probes(&store, fault).await;
        block_in_place(|| fault.end(&mut server));
        let took = until_back(&store).await;
        assert!(took < back_within, "{fault:?}: back after {took:?}");
    }
}

/// Within one second, each call fails at once but for one in each interval.
async fn fail_at_once_but_for_probes(store: &Store, fault: Fault) {
    let began = Instant::now();
    let (mut calls, mut slow) = (Vec::new(), 0);
    while began.elapsed() < Duration::from_secs(1) {
        let store = Arc::clone(store);
        calls.push(tokio::spawn(async move { load(&store).await }));
        sleep(PAUSE).await;
    }
    let (all, mut probes) = (calls.len(), 0);
    for call in calls {
        let (loaded, took) = call.await.expect("no panic");
        let error = loaded.expect_err("it is away");
        assert!(took < LIMIT + SLACK, "{fault:?}: {took:?}");
        probes += usize::from(error.is_doubtful());
        slow += usize::from(!error.is_doubtful() && took > AT_ONCE);
    }
    assert!(
        (1..=12).contains(&probes),
        "{fault:?}: {probes} probes of {all}"
    );
    // A busy machine may hold some up.
    assert!(slow <= all / 20, "{fault:?}: {slow} of {all} were slow");
}

/// How long it takes until a call succeeds, of which one begins each 5 ms.
async fn until_back(store: &Store) -> Duration {
    let began = Instant::now();
    let (sender, mut first) = tokio::sync::mpsc::channel(1);
    let calls = async {
        loop {
            let (store, sender) = (Arc::clone(store), sender.clone());
            tokio::spawn(async move {
                if load(&store).await.0.is_ok() {
                    let _ = sender.try_send(began.elapsed());
                }
            });
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = calls => unreachable!("it never ends"),
        took = first.recv() => took.expect("one succeeds"),
        () = sleep(Duration::from_secs(30)) => panic!("it does not come back"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_goes_away_and_comes_back() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in [Private::start(Kind::Redis, &[]), Private::valkey(&[])] {
        let store = RedisStore::builder().timeout(LIMIT).connect(&server.url);
        let store = Arc::new(store.await.expect("up"));
        goes_away_and_comes_back(server, store, Duration::from_secs(1)).await;
    }
}

/// Two seconds: the driver looks for a server that it has lost twice a second.
#[tokio::test(flavor = "multi_thread")]
async fn mongo_goes_away_and_comes_back() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let server = Private::start_bare(Kind::Mongo, &[]);
    let store = MongoStore::builder().timeout(LIMIT).connect(&server.url);
    let store = Arc::new(store.await.expect("up"));
    goes_away_and_comes_back(server, store, Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_goes_away_and_comes_back() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = Private::start(Kind::Mysql, &[]);
    let store = MysqlStore::builder().timeout(LIMIT).connect(&server.url);
    let store = Arc::new(store.await.expect("up"));
    goes_away_and_comes_back(server, store, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_goes_away_and_comes_back() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let server = Private::start(Kind::Postgres, &[]);
    let store = PostgresStore::builder().timeout(LIMIT).connect(&server.url);
    let store = Arc::new(store.await.expect("up"));
    goes_away_and_comes_back(server, store, Duration::from_secs(1)).await;
}
