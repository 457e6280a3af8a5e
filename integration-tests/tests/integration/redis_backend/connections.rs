//! Stores with several connections to a server.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private, redis_cluster};
use session_core::{SessionStore, Timeout};
use session_redis::redis::from_redis_value;
use session_redis::{ErrorKind, RedisStore};

use super::proxy::Proxy;
use super::{MILLI, SECOND, ask, draft, id, number};

/// The ids of the server's clients that have this name.
async fn clients(url: &str, name: &str) -> Vec<String> {
    let list: String = from_redis_value(ask(url, &["CLIENT", "LIST"]).await).expect("text");
    let named = list
        .lines()
        .filter(|line| line.contains(&format!(" name={name} ")));
    let id = |line: &str| {
        let mut words = line.split(' ');
        words.find_map(|word| word.strip_prefix("id=").map(str::to_owned))
    };
    named.filter_map(id).collect()
}

/// Uses the store until the server at `url` has so many connections of this name.
async fn used_over(store: &RedisStore, url: &str, name: &str, count: usize) -> Vec<String> {
    let began = Instant::now();
    loop {
        for _ in 0..8 {
            let session = id();
            let created = store.create(&session, &draft()).await;
            assert!(created.expect("up").is_done());
            let touched = store.touch(&session, Timeout::Never).await;
            assert!(touched.expect("up").is_some());
            assert!(store.load(&session).await.expect("up").is_some());
        }
        let found = clients(url, name).await;
        if found.len() >= count {
            return found;
        }
        assert!(began.elapsed() < 20 * SECOND, "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_connections_are_used_as_the_builder_or_the_url_says() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in [Private::start(Kind::Redis, &[]), Private::valkey(&[])] {
        let url = &server.url;
        let builder = RedisStore::builder().client_name("three").connections(3);
        let three = builder.connect(url).await.expect("up");
        let four = format!("{url}?connections=4&client_name=four");
        let four = RedisStore::connect(&four).await.expect("up");
        let one = RedisStore::connect(&format!("{url}?client_name=one")).await;
        let one = one.expect("up");
        for (store, name, count) in [(&three, "three", 3), (&four, "four", 4), (&one, "one", 1)] {
            used_over(store, url, name, count).await;
            used_over(store, url, name, count).await;
            assert_eq!(clients(url, name).await.len(), count, "{name}");
        }
        // Each that breaks is opened again, and costs no call.
        for _ in 0..5 {
            let open = used_over(&three, url, "three", 3).await;
            assert_eq!(number(url, &["CLIENT", "KILL", "ID", &open[1]]).await, 1);
            used_over(&three, url, "three", 3).await;
        }
        for wrong in [0, 65] {
            let builder = RedisStore::builder().connections(wrong);
            let error = builder.connect(url).await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error:?}");
            assert!(error.to_string().contains("between 1 and 64"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_each_node_has_so_many_connections() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let cluster = tokio::task::spawn_blocking(redis_cluster).await;
    let cluster = cluster.expect("started");
    let url = format!("{}?connections=2&client_name=two", cluster.url());
    let store = RedisStore::connect(&url).await.expect("up");
    for url in cluster.urls() {
        let open = used_over(&store, &url, "two", 2).await;
        assert_eq!(open.len(), 2, "{open:?}");
    }
}

/// The first connection is silent from the start, the second one answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_replaced_while_another_one_answers() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let proxy = Proxy::start(server.port).await;
    let builder = RedisStore::builder().timeout(SECOND).migrate(false);
    let url = format!("{}?connections=2", proxy.url());
    let store = builder.connect(&url).await.expect("up");
    assert_eq!(proxy.connections(), 1);
    proxy.fall_silent();
    let (began, session) = (Instant::now(), id());
    // It opens the second connection, and waits over the first.
    store.load(&session).await.expect_err("silence");
    let mut last = Duration::ZERO;
    while began.elapsed() < 6 * SECOND {
        let loads = (0..4).map(|_| {
            let (store, session) = (store.clone(), session.clone());
            tokio::spawn(async move { store.load(&session).await })
        });
        for load in loads.collect::<Vec<_>>() {
            if let Err(error) = load.await.expect("no panic") {
                assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
                last = began.elapsed();
            }
        }
        tokio::time::sleep(5 * MILLI).await;
    }
    assert!(last < 4 * SECOND, "still silent after {last:?}");
}
