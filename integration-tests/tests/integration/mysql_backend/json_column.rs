//! Tables of Express with a column of type `JSON`. MySQL parses what it is given and keeps what it
//! has understood; MariaDB keeps the text. What is saved comes back as it was, or is refused.

use std::sync::Arc;

use integration_tests::servers::{self, Kind};
use session_core::{Draft, ErrorKind, Lifetime, SessionStore, Sessions};
use session_mysql::express::{Express, ExpressStore};
use session_mysql::sqlx::{self, AssertSqlSafe};

use super::{SECOND, drop_table, id, is_mariadb, pool, table, url};
use crate::parsed_json::Keeps;

async fn open() -> (String, ExpressStore) {
    let name = table();
    let create = format!(
        "CREATE TABLE `{name}` (session_id varchar(128) NOT NULL PRIMARY KEY, \
         expires int unsigned NOT NULL, data json)"
    );
    let done = sqlx::raw_sql(AssertSqlSafe(create));
    done.execute(&pool().await).await.expect("valid");
    let builder = ExpressStore::builder(Express::new("secret")).table(&name);
    let store = builder.connect(url()).await.expect("up");
    (name, store)
}

fn draft(cart: &str) -> Draft {
    let data = format!(r#"{{"fine":1,"cart":{cart}}}"#);
    Draft::new(data, Lifetime::idle(60 * SECOND))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_column_would_change_is_refused_by_its_name_and_saved_nowhere() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let (name, store) = open().await;
    let is_text = is_mariadb().await;
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    for cart in [
        "18446744073709551616",
        "-9223372036854775809",
        "170141183460469231731687303715884105727",
        r#"{"a":[{"b":-18446744073709551615}]}"#,
        "-0",
        "1e400",
        r#""\ud800""#,
        r#"{"\udfff":1}"#,
        r#"[{"a":1,"a":2}]"#,
        &deep,
    ] {
        let (id, fine) = (id(), draft("1"));
        assert!(store.create(&id, &fine).await.expect("up").is_done());
        let found = store.load(&id).await.expect("up").expect("there");
        let saved = store.save(&id, &draft(cart), &found.version).await;
        let again = store.load(&id).await.expect("up").expect("there");
        if is_text && saved.is_ok() {
            assert_eq!(again.data, draft(cart).data);
            continue;
        }
        let error = saved.expect_err(cart);
        assert_eq!(again.version, found.version, "{cart}: nothing is saved");
        if is_text {
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{cart}: {error}");
            continue;
        }
        assert_eq!(error.kind(), ErrorKind::Value, "{cart}: {error}");
        assert!(error.to_string().contains("\"cart\""), "{cart}: {error}");
        let error = store.create(&super::id(), &draft(cart)).await;
        assert_eq!(error.expect_err(cart).kind(), ErrorKind::Value, "{cart}");
    }
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_double_every_whole_number_of_64_bits_and_every_text_comes_back() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let (name, store) = open().await;
    let keeps = Keeps {
        // MariaDB 10.11 takes no more than 31 for JSON, and the record is one.
        levels: if is_mariadb().await { 30 } else { 99 },
        nul: true,
        negative_zero: true,
    };
    keeps.come_back(&Sessions::new(Arc::new(store))).await;
    drop_table(&name).await;
}
