//! The server's modes and settings: a store's connections have their own.

use std::time::Duration;

use integration_tests::servers::{self, Kind};
use session_core::{Draft, Lifetime, SessionDirectory, SessionStore, Ttl};
use session_mysql::MysqlStore;
use session_mysql::express::{Express, ExpressStore};
use session_mysql::sqlx::{self, AssertSqlSafe, MySqlPool};
use tokio::sync::Mutex;

use super::operations::{ANY, OWNED, call};
use super::{SECOND, User, drop_table, id, is_mariadb, owner, pool, store, table};

/// Every mode of MySQL 9, combinations included.
const MYSQL: [&str; 20] = [
    "",
    "ALLOW_INVALID_DATES",
    "ANSI",
    "ANSI_QUOTES",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "HIGH_NOT_PRECEDENCE",
    "IGNORE_SPACE",
    "NO_AUTO_VALUE_ON_ZERO",
    "NO_BACKSLASH_ESCAPES",
    "NO_DIR_IN_CREATE",
    "NO_ENGINE_SUBSTITUTION",
    "NO_UNSIGNED_SUBTRACTION",
    "NO_ZERO_DATE",
    "NO_ZERO_IN_DATE",
    "ONLY_FULL_GROUP_BY",
    "PAD_CHAR_TO_FULL_LENGTH",
    "PIPES_AS_CONCAT",
    "REAL_AS_FLOAT",
    "TRADITIONAL",
    "TIME_TRUNCATE_FRACTIONAL",
];
/// What MariaDB has besides.
const MARIADB: [&str; 14] = [
    "DB2",
    "EMPTY_STRING_IS_NULL",
    "IGNORE_BAD_TABLE_OPTIONS",
    "MAXDB",
    "MSSQL",
    "MYSQL323",
    "MYSQL40",
    "NO_AUTO_CREATE_USER",
    "NO_FIELD_OPTIONS",
    "NO_KEY_OPTIONS",
    "NO_TABLE_OPTIONS",
    "ORACLE",
    "POSTGRESQL",
    "TIME_ROUND_FRACTIONAL",
];
/// What else the server's administrator may set for all.
const SETTINGS: [&str; 6] = [
    "autocommit = 0",
    "sql_safe_updates = 1",
    "sql_select_limit = 1",
    "sql_auto_is_null = 1",
    "time_zone = '-11:30'",
    "NAMES latin1",
];

/// `init_connect` is one for all of a server.
pub(crate) static INIT_CONNECT: Mutex<()> = Mutex::const_new(());

/// Runs `set` on each new connection of a user without the right to administer, which no other
/// test's are.
pub(crate) async fn init_connect(admin: &MySqlPool, set: &str) {
    let set = format!("SET GLOBAL init_connect = \"{set}\"");
    let done = sqlx::raw_sql(AssertSqlSafe(set)).execute(admin).await;
    done.expect("root may");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mode_or_setting_of_the_server_changes_what_a_store_does() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let _alone = INIT_CONNECT.lock().await;
    let user = User::new("").await;
    let [name, express_name] = [table(), table()];
    let near = store(&name).await;
    let express = || ExpressStore::builder(Express::new("secret")).table(&express_name);
    let near_express = express().connect(super::url()).await.expect("up");
    let admin = pool().await;
    let of_mariadb = is_mariadb().await.then_some(MARIADB);
    let modes = MYSQL.into_iter().filter(|mode| {
        // MariaDB knows it by another name.
        of_mariadb.is_none() || *mode != "TIME_TRUNCATE_FRACTIONAL"
    });
    let modes = modes.chain(of_mariadb.into_iter().flatten());
    let sets = modes.map(|mode| format!("SET SESSION sql_mode = '{mode}'"));
    let sets = sets.chain(SETTINGS.map(|setting| format!("SET {setting}")));
    for set in sets {
        init_connect(&admin, &set).await;
        let far = MysqlStore::builder().table(&name).connections(2);
        let far = far.connect(&user.url()).await;
        let far = far.unwrap_or_else(|error| panic!("{set}: {error}"));
        for operation in ANY.into_iter().chain(OWNED) {
            let done = call(operation, &far, &near).await;
            done.unwrap_or_else(|error| panic!("{set}: {operation}: {error}"));
        }
        // What text, empty values and dates become.
        let id = id();
        let lifetime = Lifetime::new(100 * SECOND, 200 * SECOND);
        let draft = Draft::new("", lifetime).with_owner(owner("o'\\\"`  "));
        assert!(
            far.create(&id, &draft).await.expect("up").is_done(),
            "{set}"
        );
        for store in [&near, &far] {
            let record = store.load(&id).await.expect("up");
            let record = record.unwrap_or_else(|| panic!("{set}: it is not found"));
            assert_eq!(record.data, draft.data, "{set}");
            assert_eq!(record.owner, draft.owner, "{set}");
            assert!(record.ttl > Ttl::Left(95 * SECOND), "{set}: {record:?}");
            assert!(record.age < 60 * SECOND, "{set}: {record:?}");
        }
        let far_express = express().connections(2).connect(&user.url()).await;
        let far_express = far_express.unwrap_or_else(|error| panic!("{set}: {error}"));
        for operation in ANY {
            let done = call(operation, &far_express, &near_express).await;
            done.unwrap_or_else(|error| panic!("{set}: Express: {operation}: {error}"));
        }
    }
    init_connect(&admin, "").await;
    drop_table(&name).await;
    drop_table(&express_name).await;
    user.remove().await;
}

/// A table that a store makes under an odd mode is the same table.
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_alike_under_every_mode() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let _alone = INIT_CONNECT.lock().await;
    let user = User::new("").await;
    let admin = pool().await;
    let modes = match is_mariadb().await {
        true => &[
            "ORACLE",
            "ANSI",
            "MYSQL40",
            "EMPTY_STRING_IS_NULL",
            "MSSQL",
            "",
        ][..],
        false => &["ANSI", "TRADITIONAL", "NO_DIR_IN_CREATE", ""][..],
    };
    for mode in modes {
        init_connect(&admin, &format!("SET SESSION sql_mode = '{mode}'")).await;
        let name = table();
        let odd = MysqlStore::builder()
            .table(&name)
            .connect(&user.url())
            .await;
        let odd = odd.unwrap_or_else(|error| panic!("{mode}: {error}"));
        for migrate in [true, false] {
            let plain = MysqlStore::builder().table(&name).migrate(migrate);
            let plain = plain.connect(super::url()).await;
            plain.unwrap_or_else(|error| panic!("{mode}: {error}"));
        }
        let brief = Draft::new("{}", Lifetime::idle(Duration::from_millis(1)));
        assert!(odd.create(&id(), &brief).await.expect("up").is_done());
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(odd.reap(10).await.expect("up").len(), 1, "{mode}");
        drop_table(&name).await;
    }
    init_connect(&admin, "").await;
    user.remove().await;
}
