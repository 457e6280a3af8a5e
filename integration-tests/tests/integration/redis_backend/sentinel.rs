//! A group of Sentinels: the store finds the primary, and finds it again after each failover.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Passwords, Private, SentinelGroup};
use session_core::{SessionDirectory, SessionId, SessionStore};
use session_redis::express::{Express, ExpressStore};
use session_redis::redis::Client;
use session_redis::{Connection, ErrorKind, RedisStore};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{MILLI, SECOND, ask, draft, id};

/// How long the store may take to find the new primary; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(30);

const PASSWORDS: Passwords = Passwords {
    servers: "hunter2-server",
    sentinels: "hunter2-sentinel",
};

fn start(binary: &str) -> SentinelGroup {
    tokio::task::block_in_place(|| SentinelGroup::start(binary, Some(PASSWORDS)))
}

fn url(group: &SentinelGroup) -> String {
    let hosts = group.addresses().join(",");
    let Passwords { servers, sentinels } = PASSWORDS;
    format!("redis+sentinel://:{servers}@{hosts}/sessions?sentinel_password={sentinels}")
}

async fn connect(group: &SentinelGroup) -> RedisStore {
    let builder = RedisStore::builder().timeout(2 * SECOND);
    builder.connect(&url(group)).await.expect("a primary")
}

fn primary(group: &SentinelGroup) -> &Private {
    tokio::task::block_in_place(|| group.primary()).expect("they agree")
}

/// Creates sessions, one after the other, until it is told to stop.
struct Writer {
    is_stopped: Arc<AtomicBool>,
    task: JoinHandle<Vec<(Instant, SessionId)>>,
}

impl Writer {
    fn start(store: &RedisStore) -> Self {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (store, stop) = (store.clone(), Arc::clone(&is_stopped));
        let task = tokio::spawn(async move {
            let mut created = Vec::new();
            while !stop.load(Relaxed) {
                let (id, began) = (id(), Instant::now());
                match store.create(&id, &draft()).await {
                    Ok(saved) if saved.is_done() => created.push((began, id)),
                    Ok(_) => {}
                    Err(error) => assert!(error.is_temporary(), "{error:?}"),
                }
                sleep(2 * MILLI).await;
            }
            created
        });
        Self { is_stopped, task }
    }

    /// The sessions that were created, by a call since `since`.
    async fn stop(self, since: Instant) -> Vec<SessionId> {
        self.is_stopped.store(true, Relaxed);
        let created = self.task.await.expect("no panic").into_iter();
        created
            .filter(|(began, _)| *began >= since)
            .map(|(_, id)| id)
            .collect()
    }
}

/// Waits until the store can create a session.
async fn until_back(store: &RedisStore) -> Duration {
    let began = Instant::now();
    while let Err(error) = store.create(&id(), &draft()).await {
        assert!(error.is_temporary(), "{error:?}");
        assert!(began.elapsed() < LIMIT, "{error}");
        sleep(10 * MILLI).await;
    }
    began.elapsed()
}

/// Fails if the server lacks one of the sessions.
async fn check_all_there(server: &Private, ids: &[SessionId]) {
    let store = RedisStore::connect(&server.url).await.expect("up");
    assert!(!ids.is_empty(), "none was created");
    for id in ids {
        let loaded = store.load(id).await.expect("up");
        assert!(loaded.is_some(), "{} of {}", id.as_str(), ids.len());
    }
}

fn signal(server: &Private, name: &str) {
    let pid = server.pid().to_string();
    let sent = Command::new("kill").args([name, &pid]).status();
    assert!(sent.expect("kill is on PATH").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_found_by_url_and_by_clients() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for binary in ["redis-server", "valkey-server"] {
        let mut group = start(binary);
        let url = url(&group);
        let store = RedisStore::connect(&url).await.expect("a primary");
        assert!(store.create(&id(), &draft()).await.expect("up").is_done());
        let resp2 = format!(
            "{}&protocol=resp2&prefix=p:",
            url.replace("redis+", "valkey+")
        );
        let facade = session_store::connect(&resp2).await.expect("a primary");
        assert!(facade.create(&id(), &draft()).await.expect("up").is_done());
        let express = ExpressStore::builder(Express::new("keyboard cat"));
        express.connect(&url).await.expect("a primary");

        // A Sentinel that is down, and a user and a database of one's own.
        let server = &primary(&group).url.clone();
        ask(
            server,
            &[
                "ACL",
                "SETUSER",
                "ann",
                "on",
                ">hunter2-ann",
                "~*",
                "&*",
                "+@all",
                "-@dangerous",
            ],
        )
        .await;
        group.sentinels[0].kill();
        let client = |url: String| Client::open(url).expect("a URL");
        let sentinels = group.addresses().into_iter();
        let sentinels =
            sentinels.map(|at| client(format!("redis://:{}@{at}", PASSWORDS.sentinels)));
        let ann = client("redis://ann:hunter2-ann@anything/3?protocol=resp3".to_owned());
        let connection = Connection::sentinel(sentinels, group.service(), ann);
        assert_eq!(format!("{connection:?}"), "Single");
        let hers = RedisStore::builder()
            .build(connection)
            .await
            .expect("a primary");
        assert!(hers.create(&id(), &draft()).await.expect("up").is_done());
        assert_eq!(hers.count().await.ok(), Some(1), "a database of her own");
        assert_eq!(store.count().await.ok(), Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_sentinels_is_told() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let mut group = start("redis-server");
    let right = url(&group);
    let hosts = group.addresses();
    let (wrong, off) = (ErrorKind::Misconfigured, ErrorKind::Unavailable);
    let refused = |url: String, kind, told: Vec<String>| async move {
        let limit = if kind == off { 2 * SECOND } else { 10 * SECOND };
        let store = RedisStore::builder().timeout(limit).connect(&url).await;
        let error = store.expect_err("refused");
        assert_eq!(error.kind(), kind, "{error:?}");
        for part in told {
            assert!(error.to_string().contains(&part), "{part}: {error}");
        }
        let all = format!("{error} {error:?}");
        assert!(!all.contains("hunter"), "{all}");
    };
    let url = right.replace("/sessions?", "/carts?");
    let told = vec![
        "do not know the group".to_owned(),
        "\"carts\"".to_owned(),
        hosts[1].clone(),
    ];
    refused(url, wrong, told).await;
    let url = right.replace("hunter2-sentinel", "hunter3");
    let told = vec![
        "a Sentinel refuses the user name or password".to_owned(),
        hosts[2].clone(),
    ];
    refused(url, wrong, told).await;
    let url = right.split('?').next().expect("a part").to_owned();
    let told = vec![
        "a Sentinel refuses the user name or password".to_owned(),
        "NOAUTH".to_owned(),
    ];
    refused(url, wrong, told).await;
    let url = right.replace("hunter2-server", "hunter3");
    let told = vec![
        "refuses the user name or password".to_owned(),
        "WRONGPASS".to_owned(),
    ];
    refused(url, wrong, told).await;
    let port = primary(&group).port;
    for server in &mut group.servers {
        server.kill();
    }
    let told = vec![format!("127.0.0.1:{port}: "), "refused".to_owned()];
    refused(right.clone(), off, told).await;
    for sentinel in &mut group.sentinels {
        sentinel.kill();
    }
    let told = vec!["no Sentinel answers".to_owned(), "refused".to_owned()];
    refused(right, off, [told, hosts].concat()).await;
}

/// One Sentinel alone promotes none, so it goes on naming a server that has become a replica.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_named_as_the_primary_is_not_used() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let mut group = start("redis-server");
    let server = primary(&group).url.clone();
    for sentinel in &mut group.sentinels[1..] {
        sentinel.kill();
    }
    ask(&server, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let connect = || {
        let builder = RedisStore::builder().timeout(3 * SECOND).migrate(false);
        let url = url(&group);
        async move { builder.connect(&url).await }
    };
    let error = connect().await.expect_err("a replica");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("is a replica"), "{error}");
    // The store waits for it within its time limit.
    let waiting = tokio::spawn(connect());
    sleep(SECOND / 2).await;
    ask(&server, &["REPLICAOF", "NO", "ONE"]).await;
    waiting.await.expect("no panic").expect("a primary");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_comes_back_when_the_primary_is_killed() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let mut group = start("redis-server");
    let store = connect(&group).await;
    let writer = Writer::start(&store);
    sleep(300 * MILLI).await;
    let killed = Instant::now();
    let new = tokio::task::block_in_place(|| group.kill_primary());
    until_back(&store).await;
    assert_eq!(primary(&group).port, new);
    sleep(300 * MILLI).await;
    // A call that began before may have been answered by the old one.
    let created = writer.stop(killed + 100 * MILLI).await;
    check_all_there(primary(&group), &created).await;
}

/// The old primary goes on taking writes for a while, which are lost.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_leaves_a_primary_that_is_replaced_but_still_answers() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for binary in ["redis-server", "valkey-server"] {
        let group = start(binary);
        let store = connect(&group).await;
        let writer = Writer::start(&store);
        sleep(300 * MILLI).await;
        let new = tokio::task::block_in_place(|| group.failover());
        // All Sentinels name the new one; the task that is told of it has to run.
        let named = Instant::now() + 100 * MILLI;
        until_back(&store).await;
        sleep(2 * SECOND).await;
        let created = writer.stop(named).await;
        assert_eq!(tokio::task::block_in_place(|| group.settle()), new);
        check_all_there(primary(&group), &created).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_leaves_a_primary_that_is_stopped_and_does_not_return_to_it() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for binary in ["redis-server", "valkey-server"] {
        let group = start(binary);
        let (busy, idle) = (connect(&group).await, connect(&group).await);
        let writer = Writer::start(&busy);
        let old = primary(&group).port;
        let old = group.servers.iter().find(|server| server.port == old);
        let old = old.expect("one of the two");
        signal(old, "-STOP");
        let began = Instant::now();
        let find = || group.primary().filter(|server| server.port != old.port);
        while tokio::task::block_in_place(find).is_none() {
            assert!(began.elapsed() < LIMIT, "no failover");
            sleep(20 * MILLI).await;
        }
        let named = Instant::now();
        until_back(&busy).await;
        // It still takes itself for the primary, and `idle` has a connection to it.
        signal(old, "-CONT");
        let late = id();
        let done = idle.create(&late, &draft()).await;
        assert!(done.expect("a primary").is_done());
        sleep(SECOND).await;
        let mut created = writer.stop(named).await;
        created.push(late);
        tokio::task::block_in_place(|| group.settle());
        check_all_there(primary(&group), &created).await;
    }
}
