//! Servers that allow fewer connections, or statements, than a store would like.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private};
use session_core::{Draft, ErrorKind, Lifetime, SessionStore};
use session_mysql::MysqlStore;
use session_mysql::express::{Express, ExpressStore};

use super::relay::{Relay, address};
use super::{User, drop_table, id, store, table};

/// Runs 100 first saves at once.
async fn creates(store: impl SessionStore + Clone) -> Vec<String> {
    let mut tasks = Vec::new();
    for _ in 0..100 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let draft = Draft::new("{}", Lifetime::idle(Duration::from_secs(60)));
            let id = id();
            let created = store.create(&id, &draft).await?;
            assert!(created.is_done());
            assert!(store.load(&id).await?.is_some());
            store.destroy(&id, None).await
        }));
    }
    let mut errors = Vec::new();
    for task in tasks {
        if let Err(error) = task.await.expect("no panic") {
            errors.push(error.to_string());
        }
    }
    errors
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_wait_for_the_connections_that_a_user_may_have() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    drop(store(&name).await);
    let user = User::new("WITH MAX_USER_CONNECTIONS 3").await;
    let relay = Relay::to(&address()).await;
    let builder = MysqlStore::builder().table(&name);
    let url = relay.url(&user.name, "test");
    let store = builder.connect(&url).await.expect("up");
    assert_eq!(creates(store.clone()).await, [""; 0]);
    let began = Instant::now();
    let made = relay.made();
    assert_eq!(creates(store.clone()).await, [""; 0]);
    assert!(began.elapsed() < Duration::from_secs(2), "{began:?}");
    assert!(relay.made() - made < 10, "it keeps asking for more");
    drop(store);

    let name = table();
    let builder = ExpressStore::builder(Express::new("secret")).table(&name);
    drop(builder.connect(super::url()).await.expect("up"));
    let builder = ExpressStore::builder(Express::new("secret")).table(&name);
    let store = builder.connect(&url).await.expect("up");
    assert_eq!(creates(store).await, [""; 0]);
    drop_table(&name).await;
    user.remove().await;
}

/// All the connections that the user may have are another program's until one ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_waits_for_a_connection_that_others_have_and_says_so_if_none_ends() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let near = store(&name).await;
    let user = User::new("WITH MAX_USER_CONNECTIONS 1").await;
    let url = user.url();
    let builder = || {
        let builder = MysqlStore::builder().table(&name);
        builder.timeout(Duration::from_secs(3))
    };
    let others = builder().connect(&url).await.expect("up");
    let error = builder().connect(&url).await.expect_err("none is left");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("connections"), "{error}");
    let waiting = tokio::spawn({
        let (builder, url) = (builder(), url.clone());
        async move { builder.connect(&url).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(others);
    let store = waiting.await.expect("no panic").expect("one has ended");
    assert_eq!(store.load(&id()).await.expect("up"), None);
    drop((store, near));
    drop_table(&name).await;
    user.remove().await;
}

/// A server of this test's own, which allows 8 connections and 60 prepared statements.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_few_connections_and_statements_serves_two_stores() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let few = ["--max-connections=10", "--max-prepared-stmt-count=24"];
    let server = Private::start(Kind::Mysql, &few);
    let stores = [
        MysqlStore::connect(&server.url).await.expect("up"),
        MysqlStore::connect(&server.url).await.expect("up"),
    ];
    let (one, two) = tokio::join!(creates(stores[0].clone()), creates(stores[1].clone()));
    assert_eq!([one, two].concat(), [""; 0]);
}
