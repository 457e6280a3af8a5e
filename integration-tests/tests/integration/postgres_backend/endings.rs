//! Tables and statements that end, connections that fall silent, logins that are refused for a time.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind};
use session_core::{
    Draft, Error, ErrorKind, Lifetime, SessionDirectory, SessionStore, Timeout, Version,
};
use session_postgres::PostgresStore;
use session_postgres::express::{Express, ExpressStore};
use session_postgres::sqlx::{self, AssertSqlSafe};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{SECOND, drop_table, id, number, pool, run, store, table, url};

fn draft() -> Draft {
    Draft::new("{}", Lifetime::idle(60 * SECOND))
}

fn must_be_migrated(error: &Error, table: &str) {
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    let text = error.to_string();
    assert!(text.contains("migrate the store first"), "{text}");
    assert!(text.contains(table), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_in_use_is_to_be_migrated() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    // Its statements are prepared.
    assert_eq!(store.load(&id()).await.expect("up"), None);
    let version = Version::new(session_core::Stamp::generate());
    drop_table(&name).await;
    for error in [
        store.create(&id(), &draft()).await.map(drop),
        store.load(&id()).await.map(drop),
        store.save(&id(), &draft(), &version).await.map(drop),
        store.touch(&id(), Timeout::Never).await.map(drop),
        store.destroy(&id(), None).await.map(drop),
        store.count().await.map(drop),
        store.list(None, 1).await.map(drop),
        store.reap(1).await.map(drop),
        store.clear().await.map(drop),
    ] {
        must_be_migrated(&error.expect_err("no table"), &name);
    }
    store.migrate().await.expect("up");
    assert!(store.create(&id(), &draft()).await.expect("up").is_done());
    drop_table(&name).await;
    let express = ExpressStore::builder(Express::new("secret")).table(&name);
    let express = express.connect(url()).await.expect("up");
    drop_table(&name).await;
    for error in [
        express.create(&id(), &draft()).await.map(drop),
        express.load(&id()).await.map(drop),
        express.destroy(&id(), None).await.map(drop),
    ] {
        must_be_migrated(&error.expect_err("no table"), &name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_cancelled_is_a_timeout_and_the_store_goes_on() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let (id, draft) = (id(), draft());
    assert!(store.create(&id, &draft).await.expect("up").is_done());
    let pool = pool().await;
    let mut holder = pool.begin().await.expect("up");
    let lock = format!("SELECT id FROM \"{name}\" FOR UPDATE");
    let locked = sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *holder);
    locked.await.expect("locked");
    let save = tokio::spawn({
        let (store, id, draft) = (store.clone(), id.clone(), draft.clone());
        async move { store.save(&id, &draft, &draft.stamp.into()).await }
    });
    let cancel = format!(
        "SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_stat_activity
        WHERE query LIKE '%UPDATE%\"{name}\"%' AND wait_event_type = 'Lock'"
    );
    let began = Instant::now();
    while number(&cancel).await == 0 {
        assert!(began.elapsed() < 5 * SECOND, "it waits for no lock");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = save.await.expect("no panic").expect_err("cancelled");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    holder.rollback().await.expect("up");
    let found = store.load(&id).await.expect("up").expect("there");
    assert_eq!(found.version, draft.stamp.into(), "nothing was written");
    drop_table(&name).await;
}

/// A way to the server on which connections stay open and carry nothing any more, when told.
async fn way(silent: watch::Receiver<usize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = url().split(['@', '/']).nth(3).expect("a host").to_owned();
    tokio::spawn(async move {
        for number in 1.. {
            let Ok((mut client, _)) = listener.accept().await else {
                return;
            };
            let (server, mut silent) = (server.clone(), silent.clone());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await?;
                tokio::select! {
                    done = copy_bidirectional(&mut client, &mut server) => done.map(drop),
                    () = until_silent(&mut silent, number) => std::future::pending().await,
                }
            });
        }
    });
    port
}

/// Waits until the connection of this number is to carry nothing any more.
async fn until_silent(silent: &mut watch::Receiver<usize>, number: usize) {
    let _ = silent.wait_for(|until| number <= *until).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_one_time_out_no_call_waits_for_a_silent_connection_again() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let (silent, on_way) = watch::channel(0);
    let port = way(on_way).await;
    let url = format!("postgres://postgres@127.0.0.1:{port}/test?sslmode=disable");
    let name = table();
    let builder = PostgresStore::builder().table(&name).timeout(SECOND);
    let store = builder.connect(&url).await.expect("up");
    let loads = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.load(&id()).await })
    });
    for load in loads.collect::<Vec<_>>() {
        load.await.expect("no panic").expect("up");
    }
    silent.send_replace(1_000);
    let error = store.load(&id()).await.expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    silent.send_replace(0);
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(store.load(&id()).await.expect("a new one"), None);
        assert!(began.elapsed() < SECOND / 2, "{:?}", began.elapsed());
    }
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_was_refused_for_a_time_is_tried_again() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    run(&format!("CREATE ROLE \"{name}\" LOGIN")).await;
    run(&format!("GRANT CREATE ON SCHEMA public TO \"{name}\"")).await;
    let url = url().replacen("postgres@", &format!("{name}@"), 1);
    let store = PostgresStore::builder().table(&name).connect(&url).await;
    let store = store.expect("set up");
    let kill = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{name}'"
    );
    run(&format!("ALTER ROLE \"{name}\" NOLOGIN")).await;
    number(&kill).await;
    let error = store.load(&id()).await.expect_err("no login");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    run(&format!("ALTER ROLE \"{name}\" LOGIN")).await;
    assert_eq!(store.load(&id()).await.expect("tried again"), None);
    drop(store);
    drop_table(&name).await;
    run(&format!("DROP OWNED BY \"{name}\"; DROP ROLE \"{name}\"")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_does_not_wait_for_the_disk_is_refused_by_its_name() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let options = "options=-c%20geqo=off%20-c%20synchronous_commit=";
    for (value, is_refused) in [("off", true), ("on", false)] {
        let url = format!("{}?{options}{value}", url());
        let name = table();
        let native = PostgresStore::builder().table(&name).connect(&url).await;
        let express = ExpressStore::builder(Express::new("secret"));
        let express = express.table(format!("{name}e")).connect(&url).await;
        if is_refused {
            for error in [native.expect_err(value), express.expect_err(value)] {
                assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
                assert!(
                    error.to_string().contains("synchronous_commit=off"),
                    "{error}"
                );
            }
        } else {
            native.expect("it is safe");
            express.expect("it is safe");
            drop_table(&format!("{name}e")).await;
        }
        drop_table(&name).await;
    }
}
