//! Redis and Valkey: pub/sub, without rights, and with the connection cut.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private, SentinelGroup, redis_cluster};
use session_redis::RedisStore;
use session_redis::redis::{self, AsyncConnectionConfig, Value};
use tokio::task::JoinHandle;

use super::{
    LIMIT, LONG, SECOND, SHORT, a_notice_closes_streams, manager, must_close, streams,
    the_lease_closes_streams,
};

async fn ask(url: &str, words: &[&str]) -> Value {
    let client = redis::Client::open(url).expect("a good URL");
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(30 * SECOND));
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connection.await.expect("it is up");
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command
        .query_async(&mut connection)
        .await
        .expect("it answers")
}

/// How many clients listen to the channel of the prefix `x:`.
async fn listeners(url: &str) -> i64 {
    let answer = ask(url, &["PUBSUB", "NUMSUB", "x:ended:0"]).await;
    let (_, count): (String, i64) = redis::from_redis_value(answer).expect("a pair");
    count
}

async fn until_listeners_are(url: &str, expected: i64) {
    let began = Instant::now();
    while listeners(url).await != expected {
        assert!(
            began.elapsed() < LIMIT,
            "there are not {expected} listeners"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn store(url: &str) -> RedisStore {
    let builder = RedisStore::builder().prefix("x:");
    builder.connect(url).await.expect("set up")
}

fn both_servers() -> [Private; 2] {
    [Private::start(Kind::Redis, &[]), Private::valkey(&[])]
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_and_valkey_publish_ends() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in both_servers() {
        let here = manager(store(&server.url).await, LONG);
        let elsewhere = manager(store(&server.url).await, LONG);
        assert_eq!(listeners(&server.url).await, 0, "no stream is open");
        a_notice_closes_streams(&here, &elsewhere).await;
        until_listeners_are(&server.url, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_cluster_publishes_ends() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let cluster = tokio::task::spawn_blocking(redis_cluster).await;
    let cluster = cluster.expect("started");
    let (here, elsewhere) = (store(&cluster.url()).await, store(&cluster.url()).await);
    let (here, elsewhere) = (manager(here, LONG), manager(elsewhere, LONG));
    a_notice_closes_streams(&here, &elsewhere).await;
}

/// The old primary is stopped: its connections stay open, and it publishes nothing any more.
#[tokio::test(flavor = "multi_thread")]
async fn notices_come_from_the_new_primary_after_a_failover() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let group = tokio::task::block_in_place(|| SentinelGroup::start("valkey-server", None));
    let url = format!(
        "redis+sentinel://{}/{}",
        group.addresses().join(","),
        group.service()
    );
    let store = async || {
        let builder = RedisStore::builder().prefix("x:").timeout(2 * SECOND);
        builder.connect(&url).await.expect("set up")
    };
    let (here, elsewhere) = (manager(store().await, LONG), manager(store().await, LONG));
    let hers = streams(&here, "ann", 20).await;
    let old = tokio::task::block_in_place(|| group.settle());
    let old = group.servers.iter().find(|server| server.port == old);
    let old = old.expect("one of the two");
    until_listeners_are(&old.url, 1).await;
    let pid = old.pid().to_string();
    let mut stop = std::process::Command::new("kill");
    let stopped = stop.args(["-STOP", &pid]).status();
    assert!(stopped.expect("kill is on PATH").success());
    while let Err(error) = elsewhere.destroy_owned_by("ann", None).await {
        assert!(error.is_temporary(), "{error:?}");
    }
    must_close(hers, LIMIT).await;
}

/// Closes connections that listen to a channel, all the time.
fn cut(url: &str) -> JoinHandle<()> {
    let url = url.to_owned();
    tokio::spawn(async move {
        loop {
            ask(&url, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_cut_costs_a_lease_and_comes_back() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in both_servers() {
        // Cut, and refused when it asks again: the lease is what closes them.
        let here = manager(store(&server.url).await, SHORT);
        let hers = streams(&here, "ann", 50).await;
        until_listeners_are(&server.url, 1).await;
        ask(&server.url, &["ACL", "SETUSER", "default", "-subscribe"]).await;
        ask(&server.url, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        tokio::time::sleep(SECOND / 2).await;
        assert_eq!(listeners(&server.url).await, 0);
        let elsewhere = manager(store(&server.url).await, SHORT);
        elsewhere.destroy_owned_by("ann", None).await.expect("up");
        let took = must_close(hers, LIMIT).await;
        assert!(took < 5 * SHORT, "{took:?}");
        ask(&server.url, &["ACL", "SETUSER", "default", "+subscribe"]).await;

        // Cut once: the next connection takes its place.
        let here = manager(store(&server.url).await, LONG);
        let elsewhere = manager(store(&server.url).await, LONG);
        let hers = streams(&here, "ann", 20).await;
        until_listeners_are(&server.url, 1).await;
        let killed = ask(&server.url, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        assert_eq!(redis::from_redis_value::<i64>(killed).ok(), Some(1));
        until_listeners_are(&server.url, 1).await;
        elsewhere.destroy_owned_by("ann", None).await.expect("up");
        must_close(hers, LIMIT).await;

        // What ends while it is cut is found when it comes back.
        let hers = streams(&here, "ann", 20).await;
        let cutting = cut(&server.url);
        tokio::time::sleep(SECOND / 10).await;
        elsewhere.destroy_owned_by("ann", None).await.expect("up");
        cutting.abort();
        must_close(hers, LIMIT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_the_channel_has_the_lease() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in both_servers() {
        let rules = "ACL SETUSER app reset on >hunter2 ~x:* +@all resetchannels";
        let words: Vec<&str> = rules.split(' ').collect();
        ask(&server.url, &words).await;
        let url = format!("redis://app:hunter2@127.0.0.1:{}/", server.port);
        let here = manager(store(&url).await, SHORT);
        let elsewhere = manager(store(&url).await, SHORT);
        the_lease_closes_streams(&here, &elsewhere).await;
        ask(&server.url, &["ACL", "SETUSER", "app", "&x:*"]).await;
        let here = manager(store(&url).await, LONG);
        a_notice_closes_streams(&here, &elsewhere).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_asks_for_all_its_streams_in_a_few_batches() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let store = store(&server.url).await;
    let sessions = manager(store.clone(), 2 * SECOND);
    let open = streams(&sessions, "ann", 1_000).await;
    let before = store.counts().batched - store.counts().batches;
    let commands = |answer: Value| {
        let text: String = redis::from_redis_value(answer).expect("a text");
        let count = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let calls = line.and_then(|line| line.strip_prefix(":calls=")?.split(',').next());
            calls.map_or(0, |calls| calls.parse::<u64>().expect("a number"))
        };
        count("cmdstat_get") + count("cmdstat_mget")
    };
    ask(&server.url, &["CONFIG", "RESETSTAT"]).await;
    tokio::time::sleep(5 * SECOND).await;
    let asked = commands(ask(&server.url, &["INFO", "commandstats"]).await);
    assert!(
        (4..=400).contains(&asked),
        "{asked} commands for 5,000 questions"
    );
    let saved = store.counts().batched - store.counts().batches - before;
    assert!(saved > 3_000, "{saved}");
    open.iter().for_each(JoinHandle::abort);
}
