//! Tables of Express with a column of type `JSON`. MySQL parses what it is given and keeps what it
//! has understood; MariaDB keeps the text. What is saved comes back as it was, or is refused.

use std::sync::Arc;

use integration_tests::servers::{self, Kind};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::value::RawValue;
use session_core::{Draft, ErrorKind, Lifetime, SessionStore, Sessions};
use session_mysql::express::{Express, ExpressStore};
use session_mysql::sqlx::{self, AssertSqlSafe};

use super::{SECOND, drop_table, id, is_mariadb, pool, table, url};

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

/// Saves these values in one session, twice.
async fn come_back(sessions: &Sessions, doubles: &[f64], whole: &[i128], texts: &[String]) {
    let session = sessions.start();
    session.insert("doubles", doubles).expect("JSON");
    session.insert("whole", whole).expect("JSON");
    session.insert("texts", texts).expect("JSON");
    for text in texts {
        session.insert(&format!("in {text}"), text).expect("JSON");
    }
    // MariaDB 10.11 takes no more than 31 for JSON, and the record is one.
    let levels = if is_mariadb().await { 30 } else { 99 };
    let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let deep = RawValue::from_string(deep).expect("JSON");
    session.insert("deep", &deep).expect("JSON");
    for again in 0..2 {
        session.insert("again", again).expect("JSON");
        session.save().await.expect("saved");
        let read = sessions.open(session.token().as_ref()).await.expect("read");
        let found: Vec<f64> = read.get("doubles").expect("numbers").expect("there");
        let bits = |numbers: &[f64]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(doubles));
        let found: Vec<i128> = read.get("whole").expect("numbers").expect("there");
        assert_eq!(found, whole);
        let found: Vec<String> = read.get("texts").expect("texts").expect("there");
        assert_eq!(found, texts);
        for text in texts {
            let found: Option<String> = read.get(&format!("in {text}")).expect("a text");
            assert_eq!(found.as_ref(), Some(text));
        }
        let found: Option<Box<RawValue>> = read.get("deep").expect("JSON");
        assert_eq!(found.expect("there").get(), deep.get());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_double_every_whole_number_of_64_bits_and_every_text_comes_back() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let (name, store) = open().await;
    let sessions = Sessions::new(Arc::new(store));
    let (least, most) = (i128::from(i64::MIN), i128::from(u64::MAX));
    let doubles = [
        -0.0,
        f64::MIN,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        0.975_326_292_508_770_3,
        9_007_199_254_740_993.0,
        18_446_744_073_709_551_616.0,
        1e21,
    ];
    let whole = [least, least + 1, -1, 0, 1, (1 << 53) + 1, most - 1, most];
    let texts = ["\0\u{1f}\"\\/\u{2028}\u{ffff}\u{10ffff}🦀".to_owned()];
    come_back(&sessions, &doubles, &whole, &texts).await;
    let any_double = any::<u64>().prop_map(f64::from_bits);
    let any_double = any_double.prop_filter("no JSON", |number| number.is_finite());
    let doubles = prop_oneof![any_double, 0.0..1.0_f64, -1e19..1e19_f64];
    let batch = (
        proptest::collection::vec(doubles, 2_000),
        proptest::collection::vec(least..=most, 500),
        proptest::collection::vec(any::<String>(), 8),
    );
    let mut runner = TestRunner::default();
    for _ in 0..25 {
        let batch = batch.new_tree(&mut runner).expect("values").current();
        come_back(&sessions, &batch.0, &batch.1, &batch.2).await;
    }
    drop_table(&name).await;
}
