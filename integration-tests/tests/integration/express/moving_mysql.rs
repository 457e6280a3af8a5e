//! From express-mysql-session to this library's own table, both under their default names, and
//! tables of Express' in other character sets.

use std::sync::Arc;

use integration_tests::servers::{Client, ExpressApp};
use serde_json::{Value, json};
use session_mysql::MysqlStore;
use session_mysql::express::{ExpressStore, MovingStore};
use session_mysql::sqlx::{self, AssertSqlSafe};
use session_web::SessionLayer;
use session_web::express::Express;

use super::rust_app;
use super::setup::{SECRET, Store, config, merge, namespace};

async fn pool() -> sqlx::MySqlPool {
    let pool = sqlx::MySqlPool::connect(Store::Mysql.url());
    pool.await.expect("up")
}

async fn run(statement: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement));
    done.execute(&pool().await).await.expect("valid");
}

async fn count(table: &str) -> i64 {
    let count = format!("SELECT COUNT(*) FROM {table}");
    let count = sqlx::query_scalar(AssertSqlSafe(count));
    let count = count.fetch_one(&pool().await).await;
    count.expect("it is there")
}

async fn app_at(config: &Value, layer: SessionLayer) -> (ExpressApp, Client, Client) {
    let app = ExpressApp::start(config);
    let express = Client::new(app.port);
    let rust = express.at(rust_app::serve(layer).await);
    (app, express, rust)
}

/// Step 3 of `docs/express.md`, with a database in which nothing but Express' table is.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_move_from_express_mysql_session_under_default_names_on_both_sides() {
    if Store::Mysql.is_skipped() {
        return;
    }
    let database = namespace();
    run(format!("CREATE DATABASE `{database}`")).await;
    let mut url: Vec<&str> = Store::Mysql.url().split('/').collect();
    url[3] = &database;
    let url = url.join("/");
    let mut config = config(Store::Mysql, "");
    merge(&mut config, json!({ "url": url, "table": null }));
    let app = ExpressApp::start(&config);
    let express = Client::new(app.port);
    express.post("/login", &json!({ "user": "napoléon" })).await;
    let unmoved = Client::new(app.port);
    unmoved
        .post("/login", &json!({ "user": "joséphine" }))
        .await;

    let native = MysqlStore::connect(&url).await.expect("a table of its own");
    let layout = ExpressStore::builder(Express::new(SECRET))
        .connect(&url)
        .await;
    let moving = MovingStore::new(Arc::new(native.clone()), layout.expect("Express' table"));
    let layer = SessionLayer::express_compatible(moving).expect("good options");
    let port = rust_app::serve(layer.build().expect("good options")).await;
    let rust = express.at(port);
    let user = json!({ "user": "napoléon" });
    assert_eq!(rust.get("/session").await.json()["data"], user);
    assert_eq!(count(&format!("`{database}`.sessions")).await, 2);
    rust.post("/set", &json!({ "moved": true })).await;
    let both = json!({ "user": "napoléon", "moved": true });
    assert_eq!(rust.get("/session").await.json()["data"], both);
    assert_eq!(count(&format!("`{database}`.sessions")).await, 1);
    assert_eq!(count(&format!("`{database}`.session_store")).await, 1);

    // What clears ours leaves Express' alone.
    session_mysql::SessionDirectory::clear(&native)
        .await
        .expect("up");
    assert_eq!(rust.get("/session").await.json()["data"], json!({}));
    let theirs = unmoved.get("/session").await.json();
    assert_eq!(theirs["data"], json!({ "user": "joséphine" }));
    drop(app);
    run(format!("DROP DATABASE `{database}`")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn express_reads_what_is_written_into_columns_of_few_characters() {
    if Store::Mysql.is_skipped() {
        return;
    }
    for charset in ["latin1", "utf8mb3"] {
        let table = namespace();
        run(format!(
            "CREATE TABLE `{table}` (session_id varchar(128) NOT NULL PRIMARY KEY, \
             expires int unsigned NOT NULL, data mediumtext) CHARACTER SET {charset}"
        ))
        .await;
        let layout = ExpressStore::builder(Express::new(SECRET)).table(&table);
        let layout = layout.connect(Store::Mysql.url()).await.expect("up");
        let layer = SessionLayer::express_compatible(layout).expect("good options");
        let config = config(Store::Mysql, &table);
        let layer = layer.build().expect("good options");
        let (_app, express, rust) = app_at(&config, layer).await;
        express.post("/set", &json!({ "theirs": "é" })).await;
        let odd = json!({ "🦀 é": "漢字 🍪 \"\\ \u{0} \u{2028}", "n": [1, "ÿ€"], "theirs": "é" });
        // Express itself could not write this here: the server refuses it.
        rust.post("/set", &odd).await;
        assert_eq!(
            express.get("/session").await.json()["data"],
            odd,
            "{charset}"
        );
        assert_eq!(rust.get("/session").await.json()["data"], odd, "{charset}");
        rust.post("/set", &json!({ "ours": "é" })).await;
        let data = express.get("/session").await.json()["data"].clone();
        assert_eq!(data["ours"], json!("é"), "{charset}");
        run(format!("DROP TABLE `{table}`")).await;
    }
}
