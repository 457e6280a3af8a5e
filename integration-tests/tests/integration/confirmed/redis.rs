//! Redis and Valkey: `WAIT` and `WAITAOF`.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private, RedisCluster, SentinelGroup};
use session_core::Confirmation::{Durable, Replicated};
use session_core::{Draft, ErrorKind, Lifetime, SessionId, SessionStore, SessionToken};
use session_redis::RedisStore;
use session_redis::redis::{Client, aio::ConnectionManager};

use super::{SECOND, late, refused, signs_out};

async fn ask(url: &str, words: &[&str]) -> String {
    let client = Client::open(url).expect("a good URL");
    let connection = client.get_multiplexed_async_connection().await;
    let mut command = session_redis::redis::cmd(words[0]);
    command.arg(&words[1..]);
    let answer = command
        .query_async(&mut connection.expect("it is up"))
        .await;
    answer.expect("it answers")
}

async fn store(url: &str) -> RedisStore {
    let store = RedisStore::builder().timeout(2 * SECOND).connect(url).await;
    store.expect("up")
}

/// A server that follows `primary`.
async fn follower(primary: &Private) -> Private {
    let port = primary.port.to_string();
    let replica = Private::valkey(&["--replicaof", "127.0.0.1", &port]);
    let until = Instant::now() + 30 * SECOND;
    while !ask(&replica.url, &["INFO", "replication"])
        .await
        .contains("master_link_status:up")
    {
        assert!(Instant::now() < until, "it does not follow");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    replica
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_and_the_append_only_file_confirm() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let primary = Private::valkey(&["--appendonly", "yes"]);
    let store = store(&primary.url).await;
    let why = late(&store, Replicated).await;
    assert!(why.contains("no replica has what was written"), "{why}");
    let replica = follower(&primary).await;
    signs_out(store.clone(), Replicated).await;
    signs_out(store.clone(), Durable).await;

    replica.stand_still().expect("stopped");
    let began = Instant::now();
    late(&store, Replicated).await;
    assert!(began.elapsed() < 3 * SECOND, "one time limit");
    // Other operations do not wait behind it.
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.confirm(Replicated).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    let found = store.load(&SessionToken::generate().id()).await;
    assert_eq!(found.expect("up"), None);
    assert!(began.elapsed() < SECOND, "a load waits for a confirmation");
    replica.go_on().expect("it goes on");
    waiting.await.expect("no panic").expect("confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_file_or_without_the_command_says_so() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let without_file = Private::valkey(&["--appendonly", "no"]);
    let why = refused(&store(&without_file.url).await, Durable).await;
    assert!(why.contains("set appendonly to yes"), "{why}");
    let old = Private::start(Kind::Redis, &["--appendonly", "yes"]);
    let old = store(&old.url).await;
    let version = old.confirm(Durable).await;
    if let Err(error) = version {
        assert!(error.to_string().contains("needs Redis 7.2"), "{error}");
    }
    let client = Client::open(without_file.url.as_str()).expect("a good URL");
    let manager = ConnectionManager::new(client).await.expect("up");
    let given = RedisStore::builder().build(manager).await.expect("up");
    let error = given.confirm(Replicated).await.expect_err("not its own");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_primary_of_a_cluster_confirms() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let start = || RedisCluster::start("valkey-server", 3, 1);
    let cluster = tokio::task::block_in_place(start);
    let store = store(&cluster.url()).await;
    signs_out(store.clone(), Replicated).await;
    let why = refused(&store, Durable).await;
    assert!(why.contains("set appendonly to yes"), "{why}");
    // One primary without its replica is enough.
    let mut stopped = None;
    for node in &cluster.nodes {
        if ask(&node.url, &["INFO", "replication"])
            .await
            .contains("role:slave")
        {
            node.stand_still().expect("stopped");
            stopped = Some(node);
            break;
        }
    }
    late(&store, Replicated).await;
    let replica = stopped.expect("there are replicas");
    replica.go_on().expect("it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_that_sentinels_name_confirms() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let start = || SentinelGroup::start("valkey-server", None);
    let group = tokio::task::block_in_place(start);
    let hosts = group.addresses().join(",");
    let store = store(&format!("redis+sentinel://{hosts}/sessions")).await;
    signs_out(store, Replicated).await;
}

/// A session that lives, on the primary and its replicas.
async fn live(store: &RedisStore) -> SessionId {
    let id = SessionToken::generate().id();
    let draft = Draft::new("{}", Lifetime::idle(60 * SECOND));
    assert!(store.create(&id, &draft).await.expect("up").is_done());
    store.confirm(Replicated).await.expect("confirmed");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_brings_back_what_was_only_acknowledged() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let mut primary = Private::valkey(&[]);
    let replica = follower(&primary).await;
    let before = store(&primary.url).await;
    let [acknowledged, replicated] = [live(&before).await, live(&before).await];
    let ended = before.destroy(&replicated, None).await.expect("up");
    assert!(ended.is_some());
    before.confirm(Replicated).await.expect("confirmed");

    // The link to the replica breaks before the second end.
    replica.stand_still().expect("stopped");
    ask(&primary.url, &["CLIENT", "KILL", "TYPE", "replica"]).await;
    let ended = before.destroy(&acknowledged, None).await.expect("up");
    assert!(ended.is_some());
    late(&before, Replicated).await;
    primary.kill();
    replica.go_on().expect("it goes on");
    ask(&replica.url, &["REPLICAOF", "NO", "ONE"]).await;
    let after = store(&replica.url).await;
    assert!(after.load(&acknowledged).await.expect("up").is_some());
    assert_eq!(after.load(&replicated).await.expect("up"), None);
}
