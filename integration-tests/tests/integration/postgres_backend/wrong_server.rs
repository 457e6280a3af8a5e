//! Servers that are not the right one any more: demoted, restarted, full. The store drops its
//! connections and goes on with new ones.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private};
use session_core::{Draft, ErrorKind, Lifetime, SessionStore};
use session_postgres::PostgresStore;
use session_postgres::sqlx::{self, AssertSqlSafe};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{SECOND, drop_table, id, pool, run, run_at, store, table, url};
use crate::mysql_backend::operations::{ANY, OWNED, call, draft, session};

/// An address that leads to one server, and later to another. The connections that were made stay
/// where they are.
struct Address {
    port: u16,
    target: watch::Sender<u16>,
}

impl Address {
    async fn of(server: &Private) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (target, targets) = watch::channel(server.port);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let port = *targets.borrow();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { port, target }
    }

    fn url(&self) -> String {
        let port = self.port;
        format!("postgres://postgres@127.0.0.1:{port}/test?sslmode=disable")
    }
}

async fn on(server: &Private, statement: &str) {
    run_at(&server.url, statement).await;
}

/// A failover with a fence: the old primary takes no writes but still answers, and the address leads
/// to the standby that was promoted.
#[tokio::test(flavor = "multi_thread")]
async fn stores_follow_an_address_from_a_read_only_server_to_the_promoted_one() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let old = Private::start(Kind::Postgres, &[]);
    let name = table();
    let builder = || PostgresStore::builder().table(&name);
    drop(builder().connect(&old.url).await.expect("set up"));
    let new = Private::standby(&old);
    let address = Address::of(&old).await;
    on(&new, "SELECT pg_promote()").await;
    let near = builder().connect(&new.url).await.expect("promoted");
    for operation in ANY.into_iter().chain(OWNED) {
        on(&old, "ALTER SYSTEM RESET default_transaction_read_only").await;
        on(&old, "SELECT pg_reload_conf()").await;
        address.target.send_replace(old.port);
        let far = builder().connect(&address.url()).await.expect("up");
        // It has a connection to the old one.
        assert_eq!(far.load(&id()).await.expect("up"), None);
        on(&old, "ALTER SYSTEM SET default_transaction_read_only = on").await;
        on(&old, "SELECT pg_reload_conf()").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        address.target.send_replace(new.port);
        // A demoted server answers reads.
        if ["load", "count", "list", "owned_by"].contains(&operation) {
            continue;
        }
        let done = call(operation, &far, &near).await;
        done.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_serves_reads_and_says_that_it_is_read_only() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let primary = Private::start(Kind::Postgres, &[]);
    let name = table();
    let builder = || PostgresStore::builder().table(&name);
    let near = builder().connect(&primary.url).await.expect("set up");
    let standby = Private::standby(&primary);
    let far = builder().timeout(2 * SECOND).connect(&standby.url).await;
    let far = far.expect("its table is there, and its role may write");
    let (session, version) = session(&near, false).await;
    let until = Instant::now() + 10 * SECOND;
    while far.load(&session).await.expect("up").is_none() {
        assert!(Instant::now() < until, "the standby does not follow");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for error in [
        far.save(&session, &draft(), &version)
            .await
            .expect_err("read-only"),
        far.create(&id(), &draft()).await.expect_err("read-only"),
        far.destroy(&id(), None).await.expect_err("read-only"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("read-only"), "{error}");
    }
    on(&standby, "SELECT pg_promote()").await;
    let saved = far.save(&session, &draft(), &version).await.expect("up");
    assert!(saved.is_done(), "{saved:?}");
}

/// It is empty there, and can't be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_of_an_unlogged_table_is_the_wrong_server() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let primary = Private::start(Kind::Postgres, &[]);
    let name = table();
    let builder = || PostgresStore::builder().table(&name).unlogged(true);
    drop(builder().connect(&primary.url).await.expect("set up"));
    let standby = Private::standby(&primary);
    let error = builder().timeout(SECOND).connect(&standby.url).await;
    let error = error.expect_err("a standby");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("standby"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_works_after_a_restart() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let mut server = Private::start(Kind::Postgres, &[]);
    let name = table();
    let builder = || PostgresStore::builder().table(&name);
    let far = builder().connect(&server.url).await.expect("set up");
    for operation in [
        "load",
        "create",
        "save",
        "touch",
        "destroy",
        "destroy_owned_by",
    ] {
        server.kill();
        server.restart();
        // By connections of its own, so that the operation is the first over those of `far`.
        let near = builder().connect(&server.url).await.expect("up");
        let done = call(operation, &far, &near).await;
        done.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
}

/// The role, the database and the server each limit connections.
#[tokio::test(flavor = "multi_thread")]
async fn operations_wait_for_the_connections_that_a_role_may_have() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    drop(store(&name).await);
    run(&format!("CREATE ROLE \"{name}\" LOGIN CONNECTION LIMIT 3")).await;
    run(&format!("GRANT ALL ON \"{name}\" TO \"{name}\"")).await;
    let limited = url().replace("//postgres@", &format!("//{name}@"));
    let builder = PostgresStore::builder().table(&name);
    let few = builder.connect(&limited).await.expect("up");
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..100 {
        let few = few.clone();
        tasks.push(tokio::spawn(async move {
            let (id, draft) = (id(), Draft::new("{}", Lifetime::idle(60 * SECOND)));
            assert!(few.create(&id, &draft).await.expect("it waits").is_done());
            assert!(few.load(&id).await.expect("it waits").is_some());
            assert!(few.destroy(&id, None).await.expect("it waits").is_some());
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
    // None at all.
    run(&format!("ALTER ROLE \"{name}\" CONNECTION LIMIT 0")).await;
    let builder = PostgresStore::builder().table(&name).timeout(SECOND);
    let error = builder.connect(&limited).await.expect_err("none");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("53300"), "{error}");
    drop(few);
    drop_table(&name).await;
    run(&format!("DROP OWNED BY \"{name}\"; DROP ROLE \"{name}\"")).await;
}

/// The limits that an administrator sets for statements and locks, and the client's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_fails_a_save_in_time_and_says_why() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let near = store(&name).await;
    let (session, version) = session(&near, false).await;
    let mut holds = pool().await.begin().await.expect("begun");
    let lock = format!("SELECT 1 FROM \"{name}\" FOR UPDATE");
    let lock = sqlx::query(AssertSqlSafe(lock));
    lock.execute(&mut *holds).await.expect("locked");
    for (options, kind, cause) in [
        ("", ErrorKind::Timeout, "no answer within 1s"),
        (
            "?options=-c%20statement_timeout=200",
            ErrorKind::Timeout,
            "57014",
        ),
        (
            "?options=-c%20lock_timeout=50",
            ErrorKind::Unavailable,
            "55P03",
        ),
    ] {
        let far = PostgresStore::builder().table(&name).timeout(SECOND);
        let far = far
            .connect(&format!("{}{options}", url()))
            .await
            .expect("up");
        let error = far.save(&session, &draft(), &version).await;
        let error = error.expect_err("locked");
        assert_eq!(error.kind(), kind, "{options}: {error}");
        assert!(error.to_string().contains(cause), "{options}: {error}");
        assert!(far.load(&session).await.expect("not locked").is_some());
    }
    holds.rollback().await.expect("released");
    drop_table(&name).await;
}

/// Prepared statements name columns, whose types may change under them.
#[tokio::test(flavor = "multi_thread")]
async fn statements_are_prepared_anew_after_a_change_of_the_table() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let (first, _) = session(&store, false).await;
    for _ in 0..8 {
        assert!(store.load(&first).await.expect("up").is_some());
    }
    run(&format!("ALTER TABLE \"{name}\" ALTER idle TYPE integer")).await;
    assert!(store.load(&first).await.expect("prepared anew").is_some());
    drop_table(&name).await;
}
