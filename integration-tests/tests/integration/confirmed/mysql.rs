//! MariaDB and MySQL: semi-synchronous replication, and the settings that make a commit durable.

use std::time::Instant;

use integration_tests::servers::{self, Kind, Private};
use session_core::Confirmation::{Durable, Replicated};
use session_core::SessionStore;
use session_mysql::MysqlStore;
use session_mysql::sqlx::mysql::MySqlConnection;
use session_mysql::sqlx::{AssertSqlSafe, Connection, Executor};

use super::{SECOND, late, refused, signs_out};

async fn on(server: &Private, statements: &[&str]) {
    let connection = MySqlConnection::connect(&server.url).await;
    let mut connection = connection.expect("up");
    for statement in statements {
        let statement = AssertSqlSafe((*statement).to_owned());
        let done = connection
            .execute(session_mysql::sqlx::raw_sql(statement))
            .await;
        done.unwrap_or_else(|error| panic!("{error}"));
    }
}

async fn store(server: &Private) -> MysqlStore {
    let builder = MysqlStore::builder().timeout(2 * SECOND);
    builder.connect(&server.url).await.expect("up")
}

/// MariaDB, whose plug-in is built in.
fn start(id: u8) -> Private {
    let id = format!("--server-id={id}");
    Private::start(Kind::Mysql, &[&id, "--log-bin=log", "--sync-binlog=1"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_semi_synchronous_replica_confirms() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let (primary, replica) = (start(1), start(2));
    let store = store(&primary).await;
    let why = refused(&store, Replicated).await;
    assert!(why.contains("rpl_semi_sync_master_enabled"), "{why}");

    on(&primary, &["SET GLOBAL rpl_semi_sync_master_enabled = ON"]).await;
    let why = late(&store, Replicated).await;
    assert!(why.contains("no replica acknowledges"), "{why}");

    let source = format!(
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='replica'",
        primary.port
    );
    on(
        &primary,
        &[
            "SET GLOBAL rpl_semi_sync_master_timeout = 500",
            "CREATE USER replica",
            "GRANT REPLICATION SLAVE ON *.* TO replica",
        ],
    )
    .await;
    let follow = [
        "SET GLOBAL rpl_semi_sync_slave_enabled = ON",
        &source,
        "START SLAVE",
    ];
    on(&replica, &follow).await;
    let until = Instant::now() + 30 * SECOND;
    while store.confirm(Replicated).await.is_err() {
        assert!(Instant::now() < until, "the replica does not follow");
    }
    signs_out(store.clone(), Replicated).await;

    replica.stand_still().expect("stopped");
    // The server finds out by the next commit.
    on(&primary, &["CREATE TABLE test.other (id INT)"]).await;
    late(&store, Replicated).await;
    replica.go_on().expect("it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_durable_by_the_settings() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = start(1);
    on(&server, &["SET GLOBAL innodb_flush_log_at_trx_commit = 1"]).await;
    let store = store(&server).await;
    signs_out(store.clone(), Durable).await;
    on(&server, &["SET GLOBAL sync_binlog = 0"]).await;
    let why = refused(&store, Durable).await;
    assert!(why.contains("sync_binlog is 0"), "{why}");
    on(&server, &["SET GLOBAL innodb_flush_log_at_trx_commit = 2"]).await;
    let why = refused(&store, Durable).await;
    assert!(why.contains("innodb_flush_log_at_trx_commit is 2"), "{why}");
}
