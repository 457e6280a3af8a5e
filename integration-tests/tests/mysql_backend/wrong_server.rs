//! Connections that lead to a server which is not the right one any more: demoted, read-only or
//! shutting down. The store drops them and goes on with new ones.

use std::time::Duration;

use integration_tests::servers::{self, Kind, Private};
use session_core::{ErrorKind, SessionStore};
use session_mysql::express::{Express, ExpressStore};
use session_mysql::sqlx::{self, AssertSqlSafe, MySqlPool};
use session_mysql::{MysqlStore, schema};

use crate::operations::{ANY, OWNED, call};
use crate::relay::{Relay, address};
use crate::{drop_table, id, store, table, url};

/// What servers say that stop, serve no writes or are not ready to.
const WRONG: [u16; 12] = [
    1290, 1836, 1792, 1053, 3572, 1047, 1077, 1223, 1927, 3032, 3100, 4031,
];

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_leaves_a_connection_to_a_wrong_server_and_succeeds_on_a_new_one() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let near = store(&name).await;
    let relay = Relay::to(&address()).await;
    let far = MysqlStore::builder().table(&name);
    let far = far.connect(&relay.url("root", "test")).await.expect("up");
    for operation in ANY.into_iter().chain(OWNED) {
        call(operation, &far, &near).await.expect("up");
        relay.refuse(1290);
        let done = call(operation, &far, &near).await;
        done.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
    for number in WRONG {
        relay.refuse(number);
        let done = call("save", &far, &near).await;
        done.unwrap_or_else(|error| panic!("{number}: {error}"));
    }
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_an_express_store_leaves_a_connection_to_a_wrong_server() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let builder = || ExpressStore::builder(Express::new("secret")).table(&name);
    let near = builder().connect(url()).await.expect("up");
    let relay = Relay::to(&address()).await;
    let far = builder().connect(&relay.url("root", "test")).await;
    let far = far.expect("up");
    for operation in ANY {
        call(operation, &far, &near).await.expect("up");
        relay.refuse(1836);
        let done = call(operation, &far, &near).await;
        done.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
    drop_table(&name).await;
}

/// A MariaDB server with a user `app` that has no right to write while it is read-only.
fn own_server(arguments: &[&str]) -> Private {
    Private::start(Kind::Mysql, arguments)
}

async fn prepare(server: &Private, name: &str) {
    let pool = MySqlPool::connect(&server.url).await.expect("up");
    let express = "CREATE TABLE visits (session_id varchar(128) COLLATE utf8mb4_bin NOT NULL \
                   PRIMARY KEY, expires int unsigned NOT NULL, data mediumtext)";
    for statement in [
        schema(name),
        express.to_owned(),
        "CREATE USER app@'%'".to_owned(),
        "GRANT SELECT, INSERT, UPDATE, DELETE ON test.* TO app@'%'".to_owned(),
    ] {
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&pool).await;
        done.expect("a server of this test's own");
    }
}

/// As after a failover: the old primary is read-only, and the address leads to the new one.
#[tokio::test(flavor = "multi_thread")]
async fn stores_follow_an_address_from_a_read_only_server_to_the_writable_one() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let (old, new) = (own_server(&[]), own_server(&[]));
    let name = table();
    prepare(&old, &name).await;
    prepare(&new, &name).await;
    let [old_address, new_address] = [&old, &new].map(|one| format!("127.0.0.1:{}", one.port));
    let relay = Relay::to(&old_address).await;
    let url = relay.url("app", "test");
    let native = MysqlStore::builder().table(&name);
    let native = native.connect(&url).await.expect("up");
    let express = ExpressStore::builder(Express::new("secret")).table("visits");
    let express = express.connect(&url).await.expect("up");
    let near = MysqlStore::builder().table(&name);
    let near = near.connect(&new.url).await.expect("up");
    let near_express = ExpressStore::builder(Express::new("secret")).table("visits");
    let near_express = near_express.connect(&new.url).await.expect("up");
    let admin = MySqlPool::connect(&old.url).await.expect("up");
    for operation in ["create", "save", "touch", "destroy", "destroy_owned_by"] {
        let pairs: [(&dyn SessionStore, &dyn SessionStore); 2] =
            [(&native, &near), (&express, &near_express)];
        for (far, near) in pairs {
            // The others of Express' layout read first, which the old server does: it is not known
            // to be the wrong one until something is written.
            if far.capabilities().plain_ids && !["create", "save"].contains(&operation) {
                continue;
            }
            // A connection to the old one, which is told to be read-only afterwards.
            relay.switch(&old_address);
            set_read_only(&admin, false).await;
            // The connections there are lead to the new one still: they go by being refused.
            relay.refuse(1053);
            call("create", far, far).await.expect("it is writable");
            set_read_only(&admin, true).await;
            relay.switch(&new_address);
            let done = call(operation, far, near).await;
            done.unwrap_or_else(|error| panic!("{operation}: {error}"));
        }
    }
    // Where no server is the right one, the answer is temporary and names the cause.
    relay.switch(&old_address);
    relay.refuse(1053);
    let error = call("create", &native, &near).await.expect_err("read-only");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("read-only"), "{error}");
}

async fn set_read_only(admin: &MySqlPool, is_read_only: bool) {
    let set = format!("SET GLOBAL read_only = {}", u8::from(is_read_only));
    let done = sqlx::raw_sql(AssertSqlSafe(set)).execute(admin).await;
    done.expect("root may");
}

/// As behind a firewall that has forgotten the connections there are.
#[tokio::test(flavor = "multi_thread")]
async fn after_one_time_out_no_call_waits_for_a_silent_connection_again() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let near = store(&name).await;
    let relay = Relay::to(&address()).await;
    let far = MysqlStore::builder().table(&name);
    let far = far.timeout(Duration::from_millis(500));
    let far = far.connect(&relay.url("root", "test")).await.expect("up");
    for operation in ["load", "save", "destroy_owned_by"] {
        let loads = (0..8).map(|_| {
            let far = far.clone();
            tokio::spawn(async move { far.load(&id()).await })
        });
        for load in loads.collect::<Vec<_>>() {
            load.await.expect("no panic").expect("up");
        }
        relay.swallow();
        let error = call(operation, &far, &near).await.expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{operation}: {error}");
        for _ in 0..3 {
            let done = call(operation, &far, &near).await;
            done.unwrap_or_else(|error| panic!("{operation}: {error}"));
        }
    }
    drop_table(&name).await;
}
