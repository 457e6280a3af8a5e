//! Tables of Express whose columns can't hold every character, or not every record, on servers
//! that cut off silently unless a session is strict.

use integration_tests::servers::{self, Kind};
use session_core::{Draft, ErrorKind, Lifetime, SessionStore, Sessions};
use session_mysql::MysqlStore;
use session_mysql::express::{Express, ExpressStore};
use session_mysql::sqlx::{self, AssertSqlSafe};
use tokio::sync::MutexGuard;

use super::modes::{INIT_CONNECT, init_connect};
use super::{SECOND, User, drop_table, id, pool, table};

const ODD: &str = "🦀 é ÿ € \u{2028} \u{10ffff} 漢字";

async fn made(data: &str) -> String {
    let name = table();
    let create = format!(
        "CREATE TABLE `{name}` (session_id varchar(128) NOT NULL PRIMARY KEY, \
         expires int unsigned NOT NULL, data {data})"
    );
    let done = sqlx::raw_sql(AssertSqlSafe(create));
    done.execute(&pool().await).await.expect("valid");
    name
}

/// A user whose sessions are not strict, unless they say so themselves.
struct Lenient {
    user: User,
    _alone: MutexGuard<'static, ()>,
}

impl Lenient {
    async fn new() -> Self {
        let alone = INIT_CONNECT.lock().await;
        init_connect(&pool().await, "SET SESSION sql_mode = ''").await;
        Self {
            user: User::new("").await,
            _alone: alone,
        }
    }

    async fn express(&self, name: &str) -> ExpressStore {
        let builder = ExpressStore::builder(Express::new("secret")).table(name);
        builder.connect(&self.user.url()).await.expect("up")
    }

    async fn native(&self, name: &str) -> MysqlStore {
        let builder = MysqlStore::builder().table(name);
        builder.connect(&self.user.url()).await.expect("up")
    }

    async fn remove(self) {
        init_connect(&pool().await, "").await;
        self.user.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_survives_in_columns_of_every_character_set() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let lenient = Lenient::new().await;
    for data in [
        "mediumtext CHARACTER SET utf8mb4",
        "mediumtext CHARACTER SET utf8mb3",
        "text CHARACTER SET latin1",
        "longtext CHARACTER SET ascii",
        "mediumtext CHARACTER SET ucs2",
        "mediumtext CHARACTER SET utf16",
        "mediumtext CHARACTER SET cp932",
        "mediumblob",
        "json",
        "varchar(16000) CHARACTER SET latin1",
    ] {
        let name = made(data).await;
        let sessions = Sessions::new(std::sync::Arc::new(lenient.express(&name).await));
        let session = sessions.start();
        session.insert("text", ODD).expect("JSON");
        session.insert(ODD, 1).expect("JSON");
        session
            .save()
            .await
            .unwrap_or_else(|error| panic!("{data}: {error}"));
        let found = sessions.open(session.token().as_ref()).await.expect("up");
        assert_eq!(
            found.get::<String>("text").expect("JSON").as_deref(),
            Some(ODD),
            "{data}"
        );
        assert_eq!(found.get::<u8>(ODD).expect("JSON"), Some(1), "{data}");
        // And again, over what is there.
        found.insert("more", ODD).expect("JSON");
        found
            .save()
            .await
            .unwrap_or_else(|error| panic!("{data}: {error}"));
        let found = sessions.open(session.token().as_ref()).await.expect("up");
        assert_eq!(
            found.get::<String>("more").expect("JSON").as_deref(),
            Some(ODD),
            "{data}"
        );
        drop_table(&name).await;
    }
    lenient.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_its_column_can_not_hold_is_too_large_and_nothing_is_cut_off() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let lenient = Lenient::new().await;
    for (data, limit) in [
        ("text CHARACTER SET utf8mb4", 65_535),
        ("text CHARACTER SET latin1", 65_535),
        ("varchar(16000) CHARACTER SET latin1", 16_000),
        ("blob", 65_535),
    ] {
        let name = made(data).await;
        let store = lenient.express(&name).await;
        let draft =
            |text: String| Draft::new(format!("{{\"a\":\"{text}\"}}"), Lifetime::idle(60 * SECOND));
        for text in [
            "x".repeat(limit),
            "é".repeat(limit / 2),
            "🦀".repeat(limit / 4),
        ] {
            let error = store.create(&id(), &draft(text)).await.expect_err(data);
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{data}: {error}");
        }
        let (id, small) = (id(), draft("x".repeat(limit / 2)));
        assert!(store.create(&id, &small).await.expect("up").is_done());
        let found = store.load(&id).await.expect("up").expect("there");
        let error = store
            .save(&id, &draft("y".repeat(limit)), &found.version)
            .await;
        assert_eq!(error.expect_err(data).kind(), ErrorKind::TooLarge);
        let again = store.load(&id).await.expect("up").expect("there");
        assert_eq!(again.data, found.data, "{data}");
        drop_table(&name).await;
    }
    lenient.remove().await;
}

/// A table may change under a store: the server refuses what no longer fits, and so does the
/// store.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_has_shrunk_since_is_an_error_and_never_a_success() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let lenient = Lenient::new().await;
    let express_name = made("mediumtext").await;
    let express = lenient.express(&express_name).await;
    let name = table();
    let native = lenient.native(&name).await;
    for alter in [
        format!("ALTER TABLE `{express_name}` MODIFY data varchar(100)"),
        format!("ALTER TABLE `{name}` MODIFY data VARBINARY(100) NOT NULL"),
    ] {
        let done = sqlx::raw_sql(AssertSqlSafe(alter));
        done.execute(&pool().await).await.expect("valid");
    }
    let stores: [&dyn SessionStore; 2] = [&express, &native];
    for store in stores {
        let draft = |data: String| Draft::new(data, Lifetime::idle(60 * SECOND));
        let long = draft(format!("{{\"a\":\"{}\"}}", "x".repeat(200)));
        let error = store.create(&id(), &long).await.expect_err("cut off");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        let short = draft("{}".to_owned());
        let id = id();
        assert!(store.create(&id, &short).await.expect("up").is_done());
        let found = store.load(&id).await.expect("up").expect("there");
        store
            .save(&id, &long, &found.version)
            .await
            .expect_err("cut off");
        let again = store.load(&id).await.expect("up").expect("there");
        assert_eq!(again.data, found.data);
    }
    drop_table(&name).await;
    drop_table(&express_name).await;
    lenient.remove().await;
}
