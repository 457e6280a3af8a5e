//! What only MySQL and MariaDB have: migrations, server modes, time zones, locks, rows.

mod certificates;
pub(crate) mod contention;
mod damaged;
mod destroy;
mod endings;
mod few_connections;
mod foreign_tables;
mod json_column;
mod lost;
mod modes;
pub(crate) mod operations;
mod owners;
mod proxy;
mod relay;
mod rows;
mod setup;
mod splitting;
mod truncated;
mod wrong_server;

use std::time::Duration;

use integration_tests::servers::{self, Kind};
use session_core::{
    Draft, ErrorKind, Lifetime, Owner, SessionDirectory, SessionId, SessionStore, SessionToken,
    Stamp, Timeout,
};
use session_mysql::sqlx::mysql::MySqlRow;
use session_mysql::sqlx::{self, AssertSqlSafe, MySqlPool, Row};
use session_mysql::{MysqlStore, schema};

const SECOND: Duration = Duration::from_secs(1);

fn url() -> &'static str {
    &servers::mysql()
        .expect("a test that is skipped has returned")
        .url
}

fn table() -> String {
    format!("t{:x}", u128::from_be_bytes(*Stamp::generate().as_bytes()))
}

async fn pool() -> MySqlPool {
    MySqlPool::connect(url()).await.expect("it is up")
}

async fn store(table: &str) -> MysqlStore {
    MysqlStore::builder()
        .timeout(servers::PATIENCE)
        .table(table)
        .connect(url())
        .await
        .expect("set up")
}

async fn drop_table(table: &str) {
    let drop = format!("DROP TABLE IF EXISTS `{table}`");
    sqlx::query(AssertSqlSafe(drop))
        .execute(&pool().await)
        .await
        .expect("dropped");
}

fn id() -> SessionId {
    SessionToken::generate().id()
}

fn owner(name: &str) -> Owner {
    Owner::new(name).expect("valid")
}

/// A user of the server that a test has to itself, without the right to administer. Its connections
/// are limited and counted apart from those of other tests.
struct User {
    name: String,
}

impl User {
    /// With all rights on the tests' database, and `options` of the account.
    async fn new(options: &str) -> Self {
        let user = Self::without_rights(options).await;
        user.grant("ALL", "test.*").await;
        user
    }

    async fn without_rights(options: &str) -> Self {
        // MySQL allows 32 characters.
        let user = Self {
            name: table()[..20].to_owned(),
        };
        user.run(&format!("CREATE USER '{}'@'%' {options}", user.name))
            .await;
        user
    }

    async fn grant(&self, rights: &str, on: &str) {
        self.run(&format!("GRANT {rights} ON {on} TO '{}'@'%'", self.name))
            .await;
    }

    async fn remove(self) {
        self.run(&format!("DROP USER '{}'@'%'", self.name)).await;
    }

    async fn run(&self, statement: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
        let done = done.execute(&pool().await).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    fn url(&self) -> String {
        format!("mysql://{}@{}/test", self.name, relay::address())
    }

    /// Its connections.
    async fn connections(&self) -> Vec<i64> {
        let mut connections = processes().await;
        connections.retain(|process| process.user == self.name);
        connections.into_iter().map(|process| process.id).collect()
    }
}

/// A connection, as the server shows it.
struct Process {
    id: i64,
    user: String,
    /// How its statement begins.
    statement: String,
}

fn text(row: &MySqlRow, index: usize) -> String {
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(index).expect("bytes");
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

async fn processes() -> Vec<Process> {
    // The view of the same name can't show statements with bytes in them.
    let ask = sqlx::raw_sql("SHOW PROCESSLIST");
    let rows = ask.fetch_all(&pool().await).await.expect("up");
    let process = |row: &MySqlRow| Process {
        id: text(row, 0).parse().expect("a number"),
        user: text(row, 1),
        statement: text(row, 7),
    };
    rows.iter().map(process).collect()
}

/// Whether the server is MariaDB.
async fn is_mariadb() -> bool {
    let ask = sqlx::query_scalar("SELECT VERSION()");
    let version: String = ask.fetch_one(&pool().await).await.expect("up");
    version.contains("MariaDB")
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_may_migrate_at_once() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let builder = MysqlStore::builder().table(&name).connections(1);
        tasks.push(tokio::spawn(async move { builder.connect(url()).await }));
    }
    for task in tasks {
        task.await.expect("no panic").expect("migrated");
    }
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_says_what_to_do_and_the_schema_makes_it() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let builder = || MysqlStore::builder().table(&name).migrate(false);
    let without = builder()
        .connect(url())
        .await
        .expect("it may be made later");
    let error = without.load(&id()).await.expect_err("no table");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("migrate"), "{error}");
    sqlx::query(AssertSqlSafe(schema(&name)))
        .execute(&pool().await)
        .await
        .expect("valid");
    assert_eq!(without.load(&id()).await.expect("there is a table"), None);
    drop_table(&name).await;
}

#[tokio::test]
async fn names_that_mysql_can_not_have_are_refused_before_any_io() {
    let url = "mysql://root@127.0.0.1:1/test";
    for name in ["", "a\0b", "a ", "🍪", &"x".repeat(65), &"*".repeat(64)] {
        let built = MysqlStore::builder().table(name).connect(url).await;
        let error = built.expect_err(name);
        assert_eq!(
            error.kind(),
            ErrorKind::Misconfigured,
            "{name:?}: {error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_killed_under_load_lose_nothing() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let user = User::new("").await;
    let store = MysqlStore::builder()
        .table(&name)
        .connect(&user.url())
        .await
        .expect("set up");
    let killer = pool().await;
    let kill = async || {
        let mut killed = 0;
        for id in user.connections().await {
            // It may have ended by itself.
            let kill = sqlx::raw_sql(AssertSqlSafe(format!("KILL {id}")));
            killed += i64::from(kill.execute(&killer).await.is_ok());
        }
        killed
    };
    contention::updates_survive_killed_connections(store, kill).await;
    drop_table(&name).await;
    user.remove().await;
}

/// Reapers and writers on the same few hot rows: nobody deadlocks, nobody loses a session.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reaping_under_traffic_does_not_disturb_it() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    contention::reaping_does_not_disturb_writers(store).await;
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_reap_leaves_no_lock_behind() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    for _ in 0..300 {
        let brief = Draft::new("{}", Lifetime::idle(Duration::from_millis(1)));
        let created = store.create(&id(), &brief).await.expect("up");
        assert!(created.is_done());
    }
    let mut reported = 0;
    for patience in 0..40 {
        let limit = Duration::from_micros(250 * patience);
        if let Ok(reaped) = tokio::time::timeout(limit, store.reap(10)).await {
            reported += reaped.expect("reaped").len();
        }
    }
    reported += store.reap(1_000).await.expect("reaped").len();
    assert!(reported > 0);
    let left = format!("SELECT COUNT(*) FROM `{name}` WHERE claimed IS NULL");
    let left = sqlx::query(AssertSqlSafe(left))
        .fetch_one(&pool().await)
        .await
        .expect("up");
    assert_eq!(left.get::<i64, _>(0), 0, "nothing stayed locked");
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_go_by_an_index() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    for n in 0..300 {
        let draft = Draft::new("{}", Lifetime::default()).with_owner(owner(&format!("u{n}")));
        let created = store.create(&id(), &draft).await.expect("up");
        assert!(created.is_done());
    }
    let one = store.list(None, 1).await.expect("listed").sessions[0]
        .id
        .clone();
    let live = "(deadline IS NULL OR deadline > UTC_TIMESTAMP(6))";
    for (filter, key) in [
        (format!("id = '{}' AND {live}", one.as_str()), "PRIMARY"),
        (
            format!("owner = 'u7' AND id > '' AND {live} ORDER BY id LIMIT 100"),
            "owner",
        ),
        (
            format!("owner = 'u7' AND id <> '' AND {live} LIMIT 128"),
            "owner",
        ),
        (
            "due <= TO_SECONDS(UTC_TIMESTAMP()) DIV 60 AND deadline <= UTC_TIMESTAMP(6) \
             AND (claimed IS NULL OR claimed NOT BETWEEN UTC_TIMESTAMP(6) \
             AND UTC_TIMESTAMP(6) + INTERVAL 120 SECOND) LIMIT 10"
                .to_owned(),
            "due",
        ),
    ] {
        let explain = format!("EXPLAIN FORMAT=JSON SELECT data FROM `{name}` WHERE {filter}");
        let explain = sqlx::query(AssertSqlSafe(explain));
        let row = explain.fetch_one(&pool().await).await.expect("explained");
        let plan: String = row.try_get_unchecked(0).expect("text");
        // MariaDB and the versions of MySQL have different words for it; a row that MySQL reads
        // before it executes anything, it finds by the primary key.
        let used = [
            "rows_fetched_before_execution".to_owned(),
            format!("\"key\": \"{key}\""),
            format!("\"index_name\": \"{key}\""),
        ];
        assert!(
            used.iter().any(|used| plan.contains(used)),
            "{filter}: {plan}"
        );
    }
    drop_table(&name).await;
}

/// Operations of each kind may be in flight at once, more in all than there are connections. None
/// may wait while others use the same connections again and again.
#[tokio::test(flavor = "multi_thread")]
async fn operations_of_all_kinds_at_once_get_a_connection_in_turn() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let until = std::time::Instant::now() + 4 * SECOND;
    let mut tasks = Vec::new();
    for _ in 0..40 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            while std::time::Instant::now() < until {
                let (id, draft) = (id(), Draft::new("{}", Lifetime::default()));
                let began = std::time::Instant::now();
                assert!(store.create(&id, &draft).await.expect("up").is_done());
                assert!(store.load(&id).await.expect("up").is_some());
                let touched = store.touch(&id, Timeout::After(SECOND)).await;
                assert!(touched.expect("up").is_some());
                assert!(store.destroy(&id, None).await.expect("up").is_some());
                slowest = slowest.max(began.elapsed());
            }
            slowest
        }));
    }
    for task in tasks {
        let slowest = task.await.expect("no panic");
        assert!(slowest < 2 * SECOND, "{slowest:?}");
    }
    drop_table(&name).await;
}
