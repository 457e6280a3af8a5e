//! Damaged rows cost nobody but their own readers.

use std::collections::BTreeSet;

use integration_tests::servers::{self, Kind};
use session_core::{Draft, ErrorKind, Lifetime, SessionDirectory, SessionId, SessionStore};
use session_mysql::MysqlStore;
use session_mysql::express::{Express, ExpressStore};
use session_mysql::sqlx::{self, AssertSqlSafe};

use super::{SECOND, drop_table, id, owner, pool, store, table, url};

async fn run(statement: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
    let done = done.execute(&pool().await).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Ids of every page.
async fn pages(
    directory: &dyn SessionDirectory,
    owned: bool,
    limit: usize,
    damage: &str,
) -> BTreeSet<SessionId> {
    let (mut ids, mut cursor) = (BTreeSet::new(), None);
    for _ in 0..20 {
        let page = match owned {
            true => {
                directory
                    .owned_by(&owner("ann"), cursor.as_ref(), limit)
                    .await
            }
            false => directory.list(cursor.as_ref(), limit).await,
        };
        let page = page.unwrap_or_else(|error| panic!("{damage}: {error}"));
        ids.extend(page.sessions.into_iter().map(|session| session.id));
        cursor = page.next;
        if cursor.is_none() {
            return ids;
        }
    }
    panic!("{damage}: the pages have no end");
}

/// What can be in a row, with the columns that have to allow it first.
const DAMAGES: [(&str, &str); 26] = [
    ("", "version = 0"),
    ("", "version = 255"),
    ("MODIFY version TINYINT UNSIGNED NULL", "version = NULL"),
    ("MODIFY version VARCHAR(9) NULL", "version = 'x'"),
    ("MODIFY stamp VARBINARY(64) NULL", "stamp = NULL"),
    ("MODIFY stamp VARBINARY(64) NULL", "stamp = ''"),
    ("MODIFY stamp VARBINARY(64) NULL", "stamp = REPEAT('x', 15)"),
    ("MODIFY stamp VARBINARY(64) NULL", "stamp = REPEAT('x', 64)"),
    ("MODIFY credential VARBINARY(999) NULL", "credential = NULL"),
    (
        "MODIFY credential VARBINARY(999) NULL",
        "credential = REPEAT('x', 193)",
    ),
    (
        "MODIFY description VARBINARY(999) NULL",
        "description = REPEAT('x', 256)",
    ),
    ("", "description = ''"),
    ("", "owner = X'FF00FF'"),
    ("", "owner = REPEAT('x', 1024)"),
    ("", "owner = ''"),
    ("MODIFY born DATETIME(6) NULL", "born = NULL"),
    ("", "born = '9999-12-31 23:59:59'"),
    ("", "born = '1000-01-01 00:00:00'"),
    ("", "idle = -1"),
    ("", "idle = -9223372036854775808"),
    ("", "absolute = -5"),
    ("MODIFY idle VARCHAR(20) NULL", "idle = 'soon'"),
    ("", "data = X'FF'"),
    ("MODIFY data LONGBLOB NULL", "data = NULL"),
    ("", "id = X'FF00FF'"),
    ("", "id = ''"),
];

#[tokio::test(flavor = "multi_thread")]
async fn damaged_rows_cost_only_their_own_sessions() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    for (alter, damage) in DAMAGES {
        let name = table();
        // With one connection, all but the first of many loads go together.
        let store = MysqlStore::builder().table(&name).connections(1);
        let store = store.connect(url()).await.expect("up");
        let draft = Draft::new("{}", Lifetime::idle(60 * SECOND)).with_owner(owner("ann"));
        let mut ids: Vec<SessionId> = (0..5).map(|_| id()).collect();
        ids.sort();
        for id in &ids {
            assert!(store.create(id, &draft).await.expect("up").is_done());
        }
        if !alter.is_empty() {
            // The row's own column only: the type does for the others too.
            run(&format!("ALTER TABLE `{name}` {alter}")).await;
        }
        // The last, which ends a page that is full.
        let bad = ids.pop().expect("five");
        let update = format!("UPDATE `{name}` SET {damage} WHERE id = '{}'", bad.as_str());
        run(&update).await;
        let retyped = alter.contains("VARCHAR");
        let loads = ids.iter().chain([&bad]).map(|id| {
            let (store, id) = (store.clone(), id.clone());
            tokio::spawn(async move { (store.load(&id).await, id) })
        });
        for load in loads.collect::<Vec<_>>() {
            let (found, id) = load.await.expect("no panic");
            match found {
                Ok(found) => assert!(found.is_some() || id == bad, "{damage}"),
                Err(error) => {
                    let its_own = id == bad || retyped;
                    assert!(
                        its_own && error.kind() == ErrorKind::Corrupt,
                        "{damage}: {error}"
                    );
                }
            }
        }
        assert!(store.count().await.expect("up") >= 4, "{damage}");
        let others: BTreeSet<SessionId> = ids.iter().cloned().collect();
        for owned in [false, true] {
            for limit in [1, 5, 100] {
                let listed = pages(&store, owned, limit, damage).await;
                assert!(
                    retyped || others.is_subset(&listed),
                    "{damage}: {owned} {limit}"
                );
            }
        }
        // A sign-out works for each, the damaged one included, and so does "log out everywhere".
        let ended = store.destroy(&bad, None).await;
        ended.unwrap_or_else(|error| panic!("{damage}: {error}"));
        let ended = store
            .destroy_owned_by(&owner("ann"), Some(&ids[0]), 100)
            .await;
        let ended = ended.unwrap_or_else(|error| panic!("{damage}: {error}"));
        assert!(ended.len() >= 3, "{damage}: {ended:?}");
        drop_table(&name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_rows_are_reaped_and_cleared_with_the_others() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    for (alter, damage) in DAMAGES {
        let store = store(&name).await;
        let draft = Draft::new("{}", Lifetime::idle(60 * SECOND)).with_owner(owner("ann"));
        for _ in 0..3 {
            assert!(store.create(&id(), &draft).await.expect("up").is_done());
        }
        if !alter.is_empty() {
            run(&format!("ALTER TABLE `{name}` {alter}")).await;
        }
        run(&format!("UPDATE `{name}` SET {damage} ORDER BY id LIMIT 1")).await;
        let past = "deadline = UTC_TIMESTAMP(6) - INTERVAL 1 HOUR";
        run(&format!("UPDATE `{name}` SET {past}")).await;
        let reaped = store.reap(10).await;
        let reaped = reaped.unwrap_or_else(|error| panic!("{damage}: {error}"));
        assert!(reaped.len() >= 2, "{damage}: {reaped:?}");
        store.confirm_reaped(&reaped).await.expect("up");
        let left = format!("SELECT COUNT(*) FROM `{name}`");
        let left = sqlx::query_scalar::<_, i64>(AssertSqlSafe(left));
        assert_eq!(
            left.fetch_one(&pool().await).await.expect("up"),
            0,
            "{damage}"
        );
        drop_table(&name).await;
    }
    let store = store(&name).await;
    let draft = Draft::new("{}", Lifetime::idle(60 * SECOND)).with_owner(owner("ann"));
    for (_, damage) in DAMAGES.iter().filter(|(alter, _)| alter.is_empty()) {
        assert!(store.create(&id(), &draft).await.expect("up").is_done());
        run(&format!(
            "UPDATE `{name}` SET {damage} ORDER BY born DESC LIMIT 1"
        ))
        .await;
    }
    assert!(store.clear().await.expect("up") > 10);
    assert_eq!(store.count().await.expect("up"), 0);
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_records_of_express_cost_only_their_own_sessions() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let create = "(session_id varbinary(128) NOT NULL PRIMARY KEY, expires int unsigned NULL, \
                  data mediumblob NULL)";
    run(&format!("CREATE TABLE `{name}` {create}")).await;
    let store = ExpressStore::builder(Express::new("secret")).table(&name);
    let store = store.connect(url()).await.expect("up");
    let directory = store.directory().expect("it has one");
    for damage in [
        "data = NULL",
        "data = ''",
        "data = X'FF00FF'",
        "data = 'null'",
        "data = '{'",
        "data = '[]'",
        "data = '{\"cookie\":1}'",
        "data = '{\"cookie\":{\"originalMaxAge\":\"x\"}}'",
        "expires = NULL",
        "expires = 0",
        "session_id = X'FF00FF'",
        "session_id = ''",
    ] {
        let draft = Draft::new("{\"a\":1}", Lifetime::idle(60 * SECOND));
        let mut ids: Vec<SessionId> = (0..4).map(|_| id()).collect();
        ids.sort();
        for id in &ids {
            assert!(store.create(id, &draft).await.expect("up").is_done());
        }
        let bad = ids.pop().expect("four");
        let update = format!(
            "UPDATE `{name}` SET {damage} WHERE session_id = '{}'",
            bad.as_str()
        );
        run(&update).await;
        for id in &ids {
            assert!(store.load(id).await.expect("up").is_some(), "{damage}");
        }
        if let Err(error) = store.load(&bad).await {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}: {error}");
        }
        let others: BTreeSet<SessionId> = ids.iter().cloned().collect();
        let plain: BTreeSet<String> = others.iter().map(|id| id.as_str().to_owned()).collect();
        for limit in [1, 4, 100] {
            let listed = pages(directory, false, limit, damage).await;
            let listed: BTreeSet<String> = listed.iter().map(|id| id.as_str().to_owned()).collect();
            assert!(plain.is_subset(&listed), "{damage}: {limit}");
        }
        directory.count().await.expect("up");
        directory.reap(100).await.expect("up");
        if let Err(error) = store.destroy(&bad, None).await {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}: {error}");
        }
        // Those that have expired, or never end, go with the others.
        run(&format!(
            "UPDATE `{name}` SET expires = 1 WHERE expires IS NOT NULL"
        ))
        .await;
        directory.reap(100).await.expect("up");
        let left = format!("SELECT COUNT(*) FROM `{name}`");
        let left = sqlx::query_scalar::<_, i64>(AssertSqlSafe(left));
        assert_eq!(
            left.fetch_one(&pool().await).await.expect("up"),
            0,
            "{damage}"
        );
    }
    drop_table(&name).await;
}
