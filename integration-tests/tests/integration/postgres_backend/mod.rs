//! What only PostgreSQL has: migrations, roles, schemas, locks, rows, poolers, standbys.

mod endings;
mod foreign_tables;
mod locks;
mod pooler;
mod roles;
mod rows;
mod splitting;
mod wrong_server;

use std::time::Duration;

use integration_tests::servers::{self, Kind};
use session_core::{
    Draft, ErrorKind, Lifetime, Owner, SessionId, SessionStore, SessionToken, Stamp,
};
use session_postgres::sqlx::{self, AssertSqlSafe, PgPool};
use session_postgres::{PostgresStore, schema};

use crate::mysql_backend::contention;

const SECOND: Duration = Duration::from_secs(1);

fn url() -> &'static str {
    &servers::postgres()
        .expect("a test that is skipped has returned")
        .url
}

fn table() -> String {
    format!("t{:x}", u128::from_be_bytes(*Stamp::generate().as_bytes()))
}

async fn pool() -> PgPool {
    PgPool::connect(url()).await.expect("it is up")
}

async fn store(table: &str) -> PostgresStore {
    PostgresStore::builder()
        .timeout(servers::PATIENCE)
        .table(table)
        .connect(url())
        .await
        .expect("set up")
}

async fn run(statement: &str) {
    run_at(url(), statement).await;
}

pub(crate) async fn run_at(url: &str, statement: &str) {
    let pool = PgPool::connect(url).await.expect("it is up");
    let text = AssertSqlSafe(statement.to_owned());
    let done = sqlx::raw_sql(text).execute(&pool).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn drop_table(table: &str) {
    run(&format!("DROP TABLE IF EXISTS \"{table}\"")).await;
}

/// The number that `query` selects.
async fn number(query: &str) -> i64 {
    number_at(url(), query).await
}

async fn number_at(url: &str, query: &str) -> i64 {
    let pool = PgPool::connect(url).await.expect("it is up");
    let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
    query.fetch_one(&pool).await.expect("a number")
}

fn id() -> SessionId {
    SessionToken::generate().id()
}

fn owner(name: &str) -> Owner {
    Owner::new(name).expect("valid")
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_may_migrate_at_once() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let builder = PostgresStore::builder().table(&name).connections(1);
        tasks.push(tokio::spawn(async move { builder.connect(url()).await }));
    }
    for task in tasks {
        task.await.expect("no panic").expect("migrated");
    }
    let indexes = format!("SELECT count(*) FROM pg_indexes WHERE tablename = '{name}'");
    assert_eq!(number(&indexes).await, 3);
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_says_what_to_do_and_the_schema_makes_it() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let builder = || PostgresStore::builder().table(&name).migrate(false);
    let without = builder().connect(url()).await;
    let without = without.expect("it may be made later");
    let error = without.load(&id()).await.expect_err("no table");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("migrate"), "{error}");
    run(&schema(&name)).await;
    assert_eq!(without.load(&id()).await.expect("there is a table"), None);
    builder().connect(url()).await.expect("a store's table");
    drop_table(&name).await;
}

#[tokio::test]
async fn names_that_postgres_would_cut_off_are_refused_before_any_io() {
    let url = "postgres://postgres@127.0.0.1:1/test";
    for name in ["", "a\0b", &"x".repeat(64), &"ü".repeat(32)] {
        let table = PostgresStore::builder().table(name).connect(url).await;
        let schema = PostgresStore::builder().schema(name).connect(url).await;
        for error in [table.expect_err(name), schema.expect_err(name)] {
            let kind = error.kind();
            assert_eq!(kind, ErrorKind::Misconfigured, "{name:?}: {error:?}");
        }
    }
}

/// Quotes, backslashes, what is a fragment of the statements, and the longest name.
#[tokio::test(flavor = "multi_thread")]
async fn any_other_name_is_a_name() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    for part in [
        "it's",
        "a\"b",
        "c\\d",
        "{table}{live}{n.id}",
        "$1",
        "ü 🍪",
        "",
    ] {
        let name = format!("{part}{}", table());
        let name: String = name.chars().take(63 - part.len()).collect();
        let store = store(&name).await;
        let (id, draft) = (id(), Draft::new("{}", Lifetime::default()));
        assert!(store.create(&id, &draft).await.expect("up").is_done());
        let other = self::store(&name).await;
        assert!(other.load(&id).await.expect("up").is_some(), "{name}");
        drop_table(&name.replace('"', "\"\"")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_a_named_schema_is_apart_from_one_of_the_same_name() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let in_schema = || {
        PostgresStore::builder()
            .table(&name)
            .schema(format!("{name} s"))
    };
    let error = in_schema().connect(url()).await.expect_err("no schema");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("schema"), "{error}");
    run(&format!("CREATE SCHEMA \"{name} s\"")).await;
    let (plain, apart) = (store(&name).await, in_schema().connect(url()).await);
    let apart = apart.expect("set up");
    let (id, draft) = (id(), Draft::new("{}", Lifetime::default()));
    assert!(apart.create(&id, &draft).await.expect("up").is_done());
    assert!(apart.load(&id).await.expect("up").is_some());
    assert_eq!(plain.load(&id).await.expect("up"), None);
    let count = format!("SELECT count(*) FROM \"{name} s\".\"{name}\"");
    assert_eq!(number(&count).await, 1);
    run(&format!("DROP SCHEMA \"{name} s\" CASCADE")).await;
    let error = apart.load(&id).await.expect_err("no table");
    let quoted = format!("\"{name} s\".\"{name}\"");
    assert!(error.to_string().contains(&quoted), "{error}");
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_unlogged_if_asked_for() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    for (unlogged, persistence) in [(false, "p"), (true, "u")] {
        let name = table();
        let builder = PostgresStore::builder().table(&name).unlogged(unlogged);
        let text = builder.create_table();
        assert_eq!(text.contains("UNLOGGED"), unlogged, "{text}");
        let store = builder.connect(url()).await.expect("set up");
        let (id, draft) = (id(), Draft::new("{}", Lifetime::default()));
        assert!(store.create(&id, &draft).await.expect("up").is_done());
        let of_kind = format!(
            "SELECT count(*) FROM pg_class WHERE relname = '{name}' AND relpersistence = '{persistence}'"
        );
        assert_eq!(number(&of_kind).await, 1);
        drop_table(&name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_killed_under_load_lose_nothing() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let url = format!("{}?application_name={name}", url());
    let store = PostgresStore::builder().table(&name).connect(&url).await;
    let kill = async || {
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                    WHERE application_name =";
        number(&format!("{kill} '{name}'")).await
    };
    contention::updates_survive_killed_connections(store.expect("set up"), kill).await;
    drop_table(&name).await;
}
