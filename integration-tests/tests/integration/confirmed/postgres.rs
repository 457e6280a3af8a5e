//! PostgreSQL: standbys, synchronous or not, and the write-ahead log.

use integration_tests::servers::{self, Kind, Private};
use session_core::Confirmation::{Durable, Replicated};
use session_postgres::PostgresStore;
use session_postgres::sqlx::postgres::PgConnection;
use session_postgres::sqlx::{AssertSqlSafe, Connection, Executor};

use super::{SECOND, late, refused, signs_out};

async fn on(server: &Private, statements: &[&str]) {
    let mut connection = PgConnection::connect(&server.url).await.expect("up");
    for statement in statements {
        let statement = AssertSqlSafe((*statement).to_owned());
        let done = connection
            .execute(session_postgres::sqlx::raw_sql(statement))
            .await;
        done.unwrap_or_else(|error| panic!("{error}"));
    }
}

async fn store(url: &str) -> PostgresStore {
    let builder = PostgresStore::builder().timeout(2 * SECOND);
    builder.connect(url).await.expect("up")
}

#[tokio::test(flavor = "multi_thread")]
async fn standbys_confirm_whether_commits_wait_for_them_or_not() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let primary = Private::start(Kind::Postgres, &[]);
    let store = store(&primary.url).await;
    let why = late(&store, Replicated).await;
    assert!(why.contains("no standby has what was written"), "{why}");
    let standby = Private::standby(&primary);
    signs_out(store.clone(), Replicated).await;

    // A user that may not see the standbys' positions.
    let app = "CREATE ROLE app LOGIN; GRANT ALL ON session_store TO app;";
    on(&primary, &[app]).await;
    let url = primary.url.replace("//postgres", "//app");
    assert_ne!(url, primary.url);
    let of_app = PostgresStore::builder().timeout(2 * SECOND).migrate(false);
    let of_app = of_app.connect(&url).await.expect("up");
    let why = refused(&of_app, Replicated).await;
    assert!(why.contains("pg_read_all_stats"), "{why}");
    let synchronous = "ALTER SYSTEM SET synchronous_standby_names = '*'";
    on(&primary, &[synchronous, "SELECT pg_reload_conf()"]).await;
    tokio::time::sleep(SECOND / 2).await;
    signs_out(of_app.clone(), Replicated).await;

    standby.stand_still().expect("stopped");
    late(&of_app, Replicated).await;
    // The disk of the primary needs no standby.
    signs_confirmed(&of_app).await;
    standby.go_on().expect("it goes on");
}

/// Commits of the session itself would wait for the standby.
async fn signs_confirmed(store: &PostgresStore) {
    use session_core::SessionStore;

    store.confirm(Durable).await.expect("on the disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_for_the_disk_confirms_unless_nothing_reaches_it() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let lazy = Private::start(Kind::Postgres, &["-c", "synchronous_commit=off"]);
    on(
        &lazy,
        &["ALTER SYSTEM SET fsync = on", "SELECT pg_reload_conf()"],
    )
    .await;
    tokio::time::sleep(SECOND / 2).await;
    let store = store(&lazy.url).await;
    signs_out(store.clone(), Durable).await;

    on(&lazy, &["ALTER TABLE session_store SET UNLOGGED"]).await;
    let why = refused(&store, Durable).await;
    assert!(why.contains("unlogged"), "{why}");
    on(&lazy, &["ALTER TABLE session_store SET LOGGED"]).await;
    on(
        &lazy,
        &["ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"],
    )
    .await;
    tokio::time::sleep(SECOND / 2).await;
    let why = refused(&store, Durable).await;
    assert!(why.contains("fsync is off"), "{why}");
}
