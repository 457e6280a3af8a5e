//! PgBouncer in transaction mode, where each statement may come to another connection.

use std::sync::Arc;

use futures_util::StreamExt;
use integration_tests::servers::{self, Kind, Private};
use session_core::{Draft, ErrorKind, Lifetime, Notice, SessionDirectory, SessionStore, Sessions};
use session_postgres::PostgresStore;

use super::{SECOND, drop_table, id, number_at, run_at, store, table, url};
use crate::mysql_backend::operations::{ANY, OWNED, call};

/// Three connections to the server, for callers that use many.
fn pooler() -> Private {
    Private::pgbouncer(url(), 3)
}

async fn behind(pooler: &Private, name: &str) -> PostgresStore {
    let builder = PostgresStore::builder().table(name);
    let store = builder.named_statements(false).connect(&pooler.url).await;
    store.expect("set up")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_works_without_named_statements() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let (name, pooler) = (table(), pooler());
    // The table is created through the pooler as well.
    let far = behind(&pooler, &name).await;
    let near = store(&name).await;
    for operation in ANY.into_iter().chain(OWNED) {
        let done = call(operation, &far, &near).await;
        done.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
    drop_table(&name).await;
}

/// The text of one statement must never be executed with the binds of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn statements_of_many_callers_and_two_programs_are_not_mixed_up() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let (name, pooler) = (table(), pooler());
    let stores = [behind(&pooler, &name).await, behind(&pooler, &name).await];
    let mut tasks = Vec::new();
    for (n, store) in (0..32).zip(stores.iter().cycle()) {
        let sessions = Sessions::new(Arc::new(store.clone()));
        tasks.push(tokio::spawn(async move {
            let session = sessions.start();
            session.insert("caller", n).expect("a number");
            session.save().await.expect("saved");
            for count in 1..=10 {
                let opened = sessions.open(session.token().as_ref()).await;
                let opened = opened.expect("there");
                assert_eq!(opened.get::<u32>("caller").expect("a number"), Some(n));
                let update = opened.update("count", |n: Option<u32>| n.unwrap_or(0) + 1);
                update.await.expect("saved");
                let found = opened.get::<u32>("count").expect("a number");
                assert_eq!(found, Some(count));
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(stores[0].count().await.expect("up"), 32);
    drop_table(&name).await;
}

/// What the server says in a transaction comes back, and leaves no transaction open.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_behind_a_pooler_leaves_the_connection_usable() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let (name, pooler) = (table(), pooler());
    let far = behind(&pooler, &name).await;
    drop_table(&name).await;
    for _ in 0..8 {
        let error = far.load(&super::id()).await.expect_err("no table");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    }
    far.migrate().await.expect("made again");
    let near = store(&name).await;
    call("save", &far, &near).await.expect("up");
    drop_table(&name).await;
}

/// `LISTEN` succeeds, and then its connection is another client's.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_behind_a_pooler_finds_out_that_it_hears_nothing() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let builder = || PostgresStore::builder().table(&name).timeout(SECOND);
    let near = builder().connect(url()).await.expect("set up");
    let first = near.notices().expect("it listens").next().await;
    assert_eq!(first.expect("open").expect("it hears"), Notice::Missed);
    // One connection to the server, so that no statement is prepared twice.
    let pooler = Private::pgbouncer(url(), 1);
    let far = builder().connections(1).connect(&pooler.url).await;
    let first = far.expect("up").notices().expect("it listens").next().await;
    let error = first.expect("an answer").expect_err("deaf");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("`notices`"), "{error}");
    drop_table(&name).await;
}

/// A pooler takes no option that would choose the level.
#[tokio::test(flavor = "multi_thread")]
async fn writes_are_read_committed_whatever_the_default_of_the_server_is() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let default = ["-c", "default_transaction_isolation=serializable"];
    let server = Private::start(Kind::Postgres, &default);
    let pooler = Private::pgbouncer(&server.url, 3);
    let name = table();
    let near = PostgresStore::builder().table(&name).connect(&server.url);
    let near = near.await.expect("set up");
    let level = "ADD level text DEFAULT current_setting('transaction_isolation')";
    run_at(&server.url, &format!("ALTER TABLE \"{name}\" {level}")).await;
    let far = behind(&pooler, &name).await;
    for store in [near, far] {
        let draft = Draft::new("{}", Lifetime::default());
        assert!(store.create(&id(), &draft).await.expect("up").is_done());
    }
    let made = format!("SELECT count(*) FROM \"{name}\" WHERE level = 'read committed'");
    assert_eq!(number_at(&server.url, &made).await, 2);
}
