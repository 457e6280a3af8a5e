//! Rows: what a save changes, how they are found, and settings that must change nothing.

use std::time::Instant;

use integration_tests::servers::{self, Kind};
use session_core::{
    Anchor, Draft, ErrorKind, Lifetime, SessionDirectory, SessionId, SessionStore, Timeout, Ttl,
};
use session_postgres::PostgresStore;
use session_postgres::sqlx::{self, AssertSqlSafe, Row};

use super::{SECOND, drop_table, id, number, owner, pool, run, store, table, url};
use crate::mysql_backend::operations::{ANY, OWNED, call};

async fn created(store: &PostgresStore, draft: &Draft) -> SessionId {
    let id = id();
    assert!(store.create(&id, draft).await.expect("up").is_done());
    id
}

/// All updates, and those that are HOT: the others write to every index.
async fn updates(name: &str, expected: i64) -> (i64, i64) {
    let counted = |kind| {
        let of = format!("FROM pg_stat_user_tables WHERE relname = '{name}'");
        async move { number(&format!("SELECT n_tup{kind}_upd {of}")).await }
    };
    let until = Instant::now() + 30 * SECOND;
    // Connections report what they have done when they are closed, or once in a while.
    while counted("").await < expected && Instant::now() < until {
        tokio::time::sleep(SECOND / 5).await;
    }
    (counted("").await, counted("_hot").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn saves_and_touches_within_ten_minutes_leave_the_indexes_alone() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let draft = || Draft::new("x".repeat(300), Lifetime::idle(600 * SECOND));
    let mut sessions = Vec::new();
    for _ in 0..20 {
        let id = created(&store, &draft().with_owner(Some(owner("ann")))).await;
        let version = store.load(&id).await.expect("up").expect("there").version;
        sessions.push((id, version));
    }
    for (id, version) in &mut sessions {
        for _ in 0..10 {
            let draft = draft().with_owner(Some(owner("ann")));
            let saved = store.save(id, &draft, version).await.expect("up");
            assert!(saved.is_done());
            *version = session_core::Version::new(draft.stamp);
            let touched = store.touch(id, Timeout::After(600 * SECOND)).await;
            assert!(touched.expect("up").is_some());
        }
    }
    drop(store);
    let (all, hot) = updates(&name, 400).await;
    assert_eq!(all, 400);
    // The ten minutes may change once, and a page may be full until it is cleaned up.
    assert!(hot > 320, "{hot} of {all}");
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_go_by_an_index() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    for n in 0..300 {
        let draft = Draft::new("{}", Lifetime::default());
        created(&store, &draft.with_owner(Some(owner(&format!("u{n}"))))).await;
    }
    run(&format!("ANALYZE \"{name}\"")).await;
    let live = "(deadline IS NULL OR deadline > clock_timestamp())";
    let unit = "floor(date_part('epoch', statement_timestamp() \
                  - timestamptz '2000-01-01 00:00:00+00') / 600)::bigint";
    for (filter, index) in [
        (format!("id = 'x' AND {live}"), "pkey"),
        (
            format!("id = ANY(ARRAY['x', 'y']::bytea[]) AND {live}"),
            "pkey",
        ),
        (
            format!("owner = 'u7' AND id > '' AND {live} ORDER BY id LIMIT 100"),
            "owner_id_idx",
        ),
        (
            format!("due <= {unit} AND deadline <= clock_timestamp() LIMIT 10"),
            "due_idx",
        ),
    ] {
        // The table is so small that reading all of it would be cheaper.
        let explain =
            format!("SET enable_seqscan = off; EXPLAIN SELECT data FROM \"{name}\" WHERE {filter}");
        let explain = sqlx::raw_sql(AssertSqlSafe(explain));
        let rows = explain.fetch_all(&pool().await).await.expect("explained");
        let lines = rows.iter().map(|row| row.get::<String, _>(0));
        let plan: Vec<String> = lines.collect();
        let plan = plan.join("\n");
        assert!(
            plan.contains(&format!("{name}_{index}")),
            "{filter}: {plan}"
        );
    }
    drop_table(&name).await;
}

/// What an administrator may have set for a role, a database or the server.
#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_connection_change_nothing() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let near = store(&name).await;
    for settings in [
        "TimeZone=Pacific/Kiritimati",
        "DateStyle=SQL,DMY",
        "IntervalStyle=iso_8601",
        "bytea_output=escape",
        "standard_conforming_strings=off",
        "backslash_quote=off",
        "default_transaction_isolation=serializable",
        "default_transaction_isolation=repeatable\\ read",
        "default_transaction_deferrable=on",
        "plan_cache_mode=force_generic_plan",
        "jit_above_cost=0",
        "enable_nestloop=off",
        "transform_null_equals=on",
    ] {
        let far = format!("{}?options=-c%20{}", url(), settings.replace(' ', "%20"));
        let far = PostgresStore::builder().table(&name).connect(&far).await;
        let far = far.unwrap_or_else(|error| panic!("{settings}: {error}"));
        for operation in ANY.into_iter().chain(OWNED) {
            let done = call(operation, &far, &near).await;
            done.unwrap_or_else(|error| panic!("{settings}: {operation}: {error}"));
        }
        let lifetime = Lifetime::new(60 * SECOND, 90 * SECOND);
        let id = created(&far, &Draft::new(&b"a\\x\0\xff'"[..], lifetime)).await;
        let record = near.load(&id).await.expect("up").expect("there");
        assert_eq!(&record.data[..], b"a\\x\0\xff'", "{settings}");
        let Ttl::Left(left) = record.ttl else {
            panic!("{settings}: {:?}", record.ttl);
        };
        assert!(
            left > 50 * SECOND && left <= 60 * SECOND,
            "{settings}: {left:?}"
        );
        assert!(record.age < 10 * SECOND, "{settings}: {:?}", record.age);
        let draft = Draft::new("{}", Lifetime::new(Timeout::Never, 90 * SECOND));
        let saved = far.save(&id, &draft, &record.version).await.expect("up");
        assert!(saved.is_done(), "{settings}: {saved:?}");
    }
    drop_table(&name).await;
}

/// No interval leads to `-infinity`, so computing with it is an error of the whole statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_never_born_costs_only_itself() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let draft = |lifetime| Draft::new("{}", lifetime).with_owner(Some(owner("ann")));
    let mut ids = Vec::new();
    for lifetime in [Lifetime::idle(600 * SECOND), Lifetime::idle(SECOND / 5)] {
        for _ in 0..2 {
            ids.push(created(&store, &draft(lifetime)).await);
        }
    }
    for id in [&ids[0], &ids[2]] {
        let spoil =
            format!("UPDATE \"{name}\" SET born = '-infinity', absolute = -1 WHERE id = $1");
        let spoil = sqlx::query(AssertSqlSafe(spoil)).bind(id.as_str().as_bytes());
        spoil.execute(&pool().await).await.expect("spoilt");
    }
    tokio::time::sleep(SECOND / 4).await;
    let error = store.load(&ids[0]).await.expect_err("corrupt");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(store.load(&ids[1]).await.expect("up").is_some());
    let touched = store.touch(&ids[0], Timeout::After(900 * SECOND)).await;
    assert!(touched.expect("up").is_some());
    for page in [
        store.list(None, 10).await.expect("up"),
        store.owned_by(&owner("ann"), None, 10).await.expect("up"),
    ] {
        let listed: Vec<&SessionId> = page.sessions.iter().map(|info| &info.id).collect();
        assert_eq!(listed, [&ids[1]]);
    }
    let reaped = store.reap(10).await.expect("up");
    let age = |id: &SessionId| {
        reaped
            .iter()
            .find(|ended| ended.id == *id)
            .map(|ended| ended.age)
    };
    assert_eq!(age(&ids[2]), Some(None), "{reaped:?}");
    assert!(age(&ids[3]).is_some_and(|age| age.is_some()), "{reaped:?}");
    let ended = store.destroy_owned_by(&owner("ann"), None, 10).await;
    assert_eq!(ended.expect("up").len(), 2);
    drop_table(&name).await;
}

/// The queue of notices is the whole server's, and a statement that announces needs room in it. Here
/// functions of the same names say how full it is, and refuse as the server does.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_of_notices_keeps_no_session_alive() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    drop(store(&name).await);
    run(&format!(
        "CREATE SCHEMA {name}s;
         CREATE TABLE {name}s.usage AS SELECT 0.5::float8 AS usage;
         CREATE FUNCTION {name}s.pg_notification_queue_usage() RETURNS float8 VOLATILE
         LANGUAGE sql AS 'SELECT usage FROM {name}s.usage';
         CREATE FUNCTION {name}s.pg_notify(text, text) RETURNS void VOLATILE LANGUAGE plpgsql
         AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''54000''; END'"
    ))
    .await;
    let path = format!("?options=-c%20search_path={name}s,pg_catalog,public");
    let builder = PostgresStore::builder().table(&name).schema("public");
    let far = builder.connect(&format!("{}{path}", url())).await;
    let far = far.expect("set up");
    let draft = || Draft::new("{}", Lifetime::default());
    let ids = [created(&far, &draft()).await, created(&far, &draft()).await];
    let version = far.load(&ids[0]).await.expect("up").expect("there").version;
    far.destroy(&ids[0], None).await.expect_err("it announces");
    run(&format!("UPDATE {name}s.usage SET usage = 0.91")).await;
    let sign_in = draft().with_anchor(Anchor::Restart);
    let saved = far.save(&ids[0], &sign_in, &version).await.expect("up");
    assert!(saved.is_done(), "{saved:?}");
    assert!(far.destroy(&ids[0], None).await.expect("up").is_some());
    assert_eq!(far.clear().await.expect("up"), 1);
    drop_table(&name).await;
    run(&format!("DROP SCHEMA {name}s CASCADE")).await;
}
