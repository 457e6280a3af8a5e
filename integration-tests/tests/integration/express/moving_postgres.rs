//! From connect-pg-simple to this library's own table, both under their default names, and tables of
//! Express' with times in other zones.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use integration_tests::servers::{Client, ExpressApp, Private};
use serde_json::{Value, json};
use session_core::{Draft, ErrorKind, Lifetime, SessionDirectory, SessionStore, Sessions};
use session_postgres::PostgresStore;
use session_postgres::express::{ExpressStore, MovingStore};
use session_postgres::sqlx::postgres::PgConnection;
use session_postgres::sqlx::{self, AssertSqlSafe, Connection as _};
use session_web::SessionLayer;
use session_web::express::Express;

use super::rust_app;
use super::setup::{
    SECRET, Store, config, database_of, merge, namespace, prepare, run_on_postgres, session_id,
};
use crate::parsed_json::Keeps;

/// A database of one test's, in which nothing is.
async fn database() -> (String, String) {
    let name = namespace();
    run_on_postgres(Store::Postgres.url(), format!("CREATE DATABASE {name}")).await;
    let url = database_of(Store::Postgres.url(), &name);
    (name, url)
}

async fn drop_database(name: &str) {
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    run_on_postgres(Store::Postgres.url(), drop).await;
}

async fn count(url: &str, table: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.expect("up");
    let count = format!("SELECT count(*) FROM {table}");
    let count = sqlx::query_scalar(AssertSqlSafe(count));
    count.fetch_one(&mut connection).await.expect("it is there")
}

/// What an app is told that has connect-pg-simple's defaults, but for `more`.
fn defaults(url: &str, more: Value) -> Value {
    let mut config = config(Store::Postgres, "");
    merge(&mut config, json!({ "url": url, "schemaName": null }));
    merge(&mut config, json!({ "createTableIfMissing": true }));
    merge(&mut config, more);
    config
}

async fn layout(url: &str) -> ExpressStore {
    let builder = ExpressStore::builder(Express::new(SECRET));
    builder.connect(url).await.expect("Express' table")
}

/// Step 3 of `docs/express.md`, with a database in which nothing but Express' table is.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_move_from_connect_pg_simple_under_default_names_on_both_sides() {
    if Store::Postgres.is_skipped() {
        return;
    }
    let (name, url) = database().await;
    let app = ExpressApp::start(&defaults(&url, json!({})));
    let express = Client::new(app.port);
    express.post("/login", &json!({ "user": "napoléon" })).await;
    let unmoved = Client::new(app.port);
    unmoved
        .post("/login", &json!({ "user": "joséphine" }))
        .await;

    let native = PostgresStore::connect(&url).await.expect("its own table");
    let moving = MovingStore::new(Arc::new(native.clone()), layout(&url).await);
    let layer = SessionLayer::express_compatible(moving).expect("good options");
    let port = rust_app::serve(layer.build().expect("good options")).await;
    let rust = express.at(port);
    let user = json!({ "user": "napoléon" });
    assert_eq!(rust.get("/session").await.json()["data"], user);
    assert_eq!(count(&url, "session").await, 2);
    rust.post("/set", &json!({ "moved": true })).await;
    let both = json!({ "user": "napoléon", "moved": true });
    assert_eq!(rust.get("/session").await.json()["data"], both);
    assert_eq!(count(&url, "session").await, 1);
    assert_eq!(count(&url, "session_store").await, 1);

    // What clears ours leaves Express' alone.
    native.clear().await.expect("up");
    assert_eq!(rust.get("/session").await.json()["data"], json!({}));
    let theirs = unmoved.get("/session").await.json();
    assert_eq!(theirs["data"], json!({ "user": "joséphine" }));
    drop(app);
    drop_database(&name).await;
}

/// The most specific setting counts, as for Express' connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_as_long_here_as_there_in_any_time_zone() {
    if Store::Postgres.is_skipped() {
        return;
    }
    let (name, url) = database().await;
    let set = |whose: &str, zone: &str| format!("ALTER {whose} SET TimeZone TO '{zone}'");
    let database_zone = set(&format!("DATABASE {name}"), "America/St_Johns");
    run_on_postgres(&url, database_zone).await;
    let more = json!({ "cookie": { "maxAge": 7_200_000 } });
    let remaining = async |store: &ExpressStore| {
        let app = ExpressApp::start(&defaults(&url, more.clone()));
        let theirs = Client::new(app.port).post("/set", &json!({ "n": 1 })).await;
        let id = session_id(&theirs.json()["id"]);
        let found = store.load(&id).await.expect("up");
        found
            .and_then(|record| record.ttl.left())
            .unwrap_or_default()
    };
    let about_two_hours = Duration::from_secs(7_100)..=Duration::from_secs(7_201);
    let _table = ExpressApp::start(&defaults(&url, json!({})));
    let left = remaining(&layout(&url).await).await;
    assert!(about_two_hours.contains(&left), "the database's: {left:?}");
    let role = format!("ROLE postgres IN DATABASE {name}");
    run_on_postgres(&url, set(&role, "Asia/Kathmandu")).await;
    let left = remaining(&layout(&url).await).await;
    assert!(about_two_hours.contains(&left), "the role's: {left:?}");

    // A zone that is not the app's is as wrong as it is far away: a quarter of an hour.
    let builder = || ExpressStore::builder(Express::new(SECRET));
    let chosen = builder().time_zone("Asia/Kolkata").connect(&url).await;
    let left = remaining(&chosen.expect("up")).await;
    let off = left.saturating_sub(Duration::from_secs(900));
    assert!(about_two_hours.contains(&off), "chosen: {left:?}");
    let unknown = builder().time_zone("Mars/Olympus").connect(&url).await;
    let error = unknown.expect_err("no such zone");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("Mars/Olympus"), "{error}");
    drop_database(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_side_removes_expired_rows_and_no_other() {
    if Store::Postgres.is_skipped() {
        return;
    }
    let (name, url) = database().await;
    let store = layout(&url).await;
    let rows = async || count(&url, "session").await;
    let create = async |seconds| {
        let lifetime = Lifetime::idle(Duration::from_secs(seconds));
        let draft = Draft::new("{}", lifetime);
        let id = session_id(&json!(namespace()));
        assert!(store.create(&id, &draft).await.expect("up").is_done());
    };
    create(3_600).await;
    create(1).await;
    assert_eq!(rows().await, 2);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(store.count().await.expect("up"), 1);
    assert!(store.reap(100).await.expect("up").is_empty());
    assert_eq!(rows().await, 1);

    create(1).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    // It prunes as it starts.
    let _app = ExpressApp::start(&defaults(&url, json!({})));
    assert_eq!(rows().await, 1);
    drop_database(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_jsonb_column_would_change_is_refused_by_its_name_and_the_rest_comes_back() {
    if Store::Postgres.is_skipped() {
        return;
    }
    let schema = namespace();
    prepare(Store::PostgresJsonb, &schema).await;
    let builder = ExpressStore::builder(Express::new(SECRET)).schema(&schema);
    let store = builder.connect(Store::PostgresJsonb.url()).await;
    let store = Arc::new(store.expect("up"));
    let draft = |cart: &str| {
        let data = format!(r#"{{"fine":1,"cart":{cart}}}"#);
        Draft::new(data, Lifetime::idle(Duration::from_secs(60)))
    };
    for cart in [
        r#""\u0000""#,
        r#"{"\u0000":1}"#,
        r#""\ud800""#,
        r#"[{"a":1,"a":2}]"#,
        "[-0.0]",
        "1e400",
    ] {
        let id = session_id(&json!(namespace()));
        assert!(store.create(&id, &draft("1")).await.expect("up").is_done());
        let found = store.load(&id).await.expect("up").expect("there");
        let saved = store.save(&id, &draft(cart), &found.version).await;
        let error = saved.expect_err(cart);
        assert_eq!(error.kind(), ErrorKind::Value, "{cart}: {error}");
        assert!(error.to_string().contains("\"cart\""), "{cart}: {error}");
        let again = store.load(&id).await.expect("up").expect("there");
        assert_eq!(again.version, found.version, "{cart}: nothing is saved");
    }
    let keeps = Keeps {
        // Of a session's value; the column keeps 999.
        levels: 127,
        nul: false,
        negative_zero: false,
    };
    keeps.come_back(&Sessions::new(store)).await;
}

/// Its statements come over whichever of two connections is free.
#[tokio::test(flavor = "multi_thread")]
async fn writers_behind_pgbouncer_lose_nothing() {
    if Store::Postgres.is_skipped() {
        return;
    }
    let (name, url) = database().await;
    let bouncer = Private::pgbouncer(&url, 2);
    let url = database_of(&bouncer.url, &name);
    let builder = ExpressStore::builder(Express::new(SECRET)).named_statements(false);
    let sessions = Sessions::new(Arc::new(builder.connect(&url).await.expect("up")));
    let session = sessions.start();
    session.insert("n", 0).expect("JSON");
    session.save().await.expect("saved");
    let token = session.token();
    let count = async || {
        let session = sessions.open(token.as_ref()).await.expect("read");
        let add = |n: Option<u32>| n.unwrap_or(0) + 1;
        session.update("n", add).await.expect("counted");
    };
    join_all((0..8).map(|_| count())).await;
    let session = sessions.open(token.as_ref()).await.expect("read");
    assert_eq!(session.get::<u32>("n").expect("a number"), Some(8));
    session.destroy().await.expect("destroyed");
    assert_eq!(sessions.count().await.expect("counted"), 0);
    drop(bouncer);
    drop_database(&name).await;
}

/// What is wrong with a table or a database is said when connecting.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_can_not_hold_expresss_sessions_is_refused_by_what_differs() {
    if Store::Postgres.is_skipped() {
        return;
    }
    let (name, url) = database().await;
    let refused = async |url: &str, part: &str| {
        let builder = ExpressStore::builder(Express::new(SECRET));
        let error = builder.connect(url).await.expect_err(part);
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    for (columns, part) in [
        (
            "sid varchar PRIMARY KEY, sess text, expire timestamp",
            "\"sess\"",
        ),
        (
            "sid varchar PRIMARY KEY, sess json, expire bigint",
            "\"expire\"",
        ),
        ("sid varchar, sess json, expire timestamp", "unique index"),
        (
            "sid varchar PRIMARY KEY, sess json, expire timestamp, site text NOT NULL",
            "\"site\"",
        ),
    ] {
        run_on_postgres(&url, format!("CREATE TABLE session ({columns})")).await;
        refused(&url, part).await;
        run_on_postgres(&url, "DROP TABLE session".to_owned()).await;
    }
    let latin = namespace();
    let create = format!("CREATE DATABASE {latin} ENCODING LATIN1 TEMPLATE template0");
    run_on_postgres(&url, create).await;
    refused(&database_of(&url, &latin), "LATIN1").await;
    drop_database(&latin).await;
    drop_database(&name).await;
}
