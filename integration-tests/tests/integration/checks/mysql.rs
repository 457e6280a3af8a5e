//! MySQL and MariaDB.

use integration_tests::servers::{self, Kind, Private};
use session_mysql::schema;
use session_mysql::sqlx::{self, AssertSqlSafe, MySqlPool};

use super::check;

async fn on(server: &Private, statements: &[&str]) {
    let pool = MySqlPool::connect(&server.url).await.expect("up");
    for &statement in statements {
        let text = AssertSqlSafe(statement.to_owned());
        let done = sqlx::raw_sql(text).execute(&pool).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// The URL of the user `app`, who may not administer.
fn app(server: &Private) -> String {
    server.url.replace("//root@", "//app@")
}

#[test]
fn a_log_that_is_not_flushed_is_named() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = Private::start(Kind::Mysql, &["--innodb-flush-log-at-trx-commit=2"]);
    check(&[&server.url])
        .names("mysql-flush-log", "weaker")
        .is_good();
}

#[test]
fn a_log_that_a_crash_of_the_server_loses_is_named() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = Private::start(Kind::Mysql, &["--innodb-flush-log-at-trx-commit=0"]);
    check(&[&server.url]).names("mysql-flush-log", "broken");
}

#[test]
fn a_binary_log_that_is_not_synchronised_is_named() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = Private::start(
        Kind::Mysql,
        &["--log-bin=b", "--server-id=1", "--sync-binlog=0"],
    );
    check(&[&server.url]).names("mysql-sync-binlog", "weaker");
}

/// As a replica is, and a primary that was demoted.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_server_is_named() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = Private::start(Kind::Mysql, &[]);
    let grant = "CREATE USER app@'%'; GRANT ALL ON test.* TO app@'%'";
    on(
        &server,
        &[&schema("session_store"), grant, "SET GLOBAL read_only = 1"],
    )
    .await;
    check(&[&app(&server)]).names("read-only-server", "broken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_takes_writes_is_named() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = Private::start(Kind::Mysql, &["--server-id=2"]);
    let follow = "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'x'";
    on(&server, &[follow]).await;
    check(&[&server.url]).names("writable-replica", "broken");
}

/// The version is what TiDB says; the rest is not.
#[test]
fn a_server_that_says_that_it_is_tidb_is_named() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = Private::start(Kind::Mysql, &["--version=8.0.11-TiDB-v8.5.0"]);
    check(&[&server.url]).names("tidb", "broken");
}

/// A real cluster. The second node gets no data, which does not matter here.
#[test]
fn several_galera_nodes_that_take_writes_are_named() {
    if servers::is_skipped(Kind::Mysql) || !std::path::Path::new(PROVIDER).exists() {
        return;
    }
    let first = galera("gcomm://", 1, &["--wsrep-new-cluster"]);
    let address = format!("gcomm://127.0.0.1:{}", first.1);
    let second = galera(&address, 2, &["--wsrep-dirty-reads=ON"]);
    let checked = check(&[&first.0.url]);
    checked.names("galera-writers", "broken");
    assert!(checked.what("galera-writers").contains("of 2 nodes"));
    drop(second);
}

const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";

/// A node, and the port of its group.
fn galera(address: &str, id: u16, more: &[&str]) -> (Private, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let options = format!(
        "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{port};\
         ist.recv_addr=127.0.0.1:{};base_port={port}",
        port.wrapping_add(1)
    );
    let own = [
        "--wsrep-on=ON".to_owned(),
        format!("--wsrep-provider={PROVIDER}"),
        format!("--wsrep-cluster-address={address}"),
        format!("--wsrep-node-address=127.0.0.1:{port}"),
        format!("--server-id={id}"),
        "--wsrep-sst-method=skip".to_owned(),
        "--binlog-format=ROW".to_owned(),
        options,
    ];
    let own = own.iter().map(String::as_str);
    let arguments: Vec<&str> = own.chain(more.iter().copied()).collect();
    (Private::start(Kind::Mysql, &arguments), port)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_stands_still_is_named() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = Private::start(Kind::Mysql, &["--init-connect=SET timestamp=1700000000"]);
    let grant = "CREATE USER app@'%'; GRANT ALL ON test.* TO app@'%'";
    on(&server, &[grant]).await;
    let checked = check(&[&app(&server)]);
    checked.names("mysql-timestamp", "broken");
    checked.names("clock-difference", "weaker");
    // What follows from it.
    checked.names("an_unused_session_ends_at_its_idle_limit", "broken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = Private::start(Kind::Mysql, &[]);
    let grant = "CREATE USER app@'%'; GRANT SELECT, INSERT, UPDATE ON test.* TO app@'%'";
    on(&server, &[&schema("session_store"), grant]).await;
    let checked = check(&[&app(&server)]);
    checked.names("refused", "broken");
    assert!(
        checked.what("refused").contains("DELETE"),
        "{:#}",
        checked.report
    );
}

/// One who may create a table but not drop it is left with one at most.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_drop_tables_is_not_left_with_many() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = Private::start(Kind::Mysql, &[]);
    let grant = "CREATE USER app@'%'; \
                 GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON test.* TO app@'%'";
    on(&server, &[&schema("session_store"), grant]).await;
    let checked = check(&[&app(&server)]);
    assert_eq!(checked.exit, Some(0), "{:#}", checked.report);
    let findings = checked.findings();
    assert!(findings.contains(&("no-scratch", "note")), "{findings:?}");
    assert!(findings.contains(&("leftovers", "note")), "{findings:?}");
    let pool = MySqlPool::connect(&server.url).await.expect("up");
    let left =
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME LIKE 'session\\_check%'";
    let left: i64 = sqlx::query_scalar(left)
        .fetch_one(&pool)
        .await
        .expect("a number");
    assert_eq!(left, 1);
}
