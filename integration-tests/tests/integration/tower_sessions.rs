//! A site on tower-sessions over Redis and MySQL, by the adapter.

#[path = "../../../session-tower-sessions/tests/adapter/app.rs"]
mod app;

use std::time::Duration;

use integration_tests::servers;
use serde_json::json;
use session_core::{SessionDirectory, Sessions};
use session_mysql::MysqlStore;
use session_postgres::PostgresStore;
use session_redis::RedisStore;
use session_tower_sessions::TowerSessionsStore;
use session_web::testing::TestClient;
use time::OffsetDateTime;
use tower_sessions::session::{Id, Record};
use tower_sessions::{ExpiredDeletion, SessionStore};

/// Runs all of it on one store, which nothing else uses.
async fn run_on(store: impl SessionDirectory + Clone) {
    store.clear().await.expect("empty");
    let adapter = TowerSessionsStore::new(store.clone()).expect("a native store");
    a_browser_visits(adapter.clone()).await;
    assert_eq!(
        store.count().await.expect("up"),
        0,
        "the flush has ended it"
    );
    records_keep_the_contract(&adapter).await;
    let sessions = Sessions::new(store);
    assert_eq!(sessions.count().await.expect("up"), 0);
}

async fn a_browser_visits(adapter: TowerSessionsStore) {
    let app = app::app(adapter);
    let (client, other) = (TestClient::new(app.clone()), TestClient::new(app.clone()));
    assert_eq!(client.get("/count").await.body(), "1");
    assert_eq!(client.get("/count").await.body(), "2");
    assert_eq!(other.get("/read").await.body(), "None");
    let before = client.cookies().await.expect("none open");
    client.get("/cycle").await;
    assert_ne!(client.cookies().await.expect("none open"), before);
    assert_eq!(client.get("/read").await.body(), "Some(2)");
    let old = http::Request::get("/read").header("cookie", before);
    let old = old.body(String::new()).expect("a good request");
    assert_eq!(TestClient::new(app).send(old).await.body(), "None");
    client.get("/flush").await;
    assert_eq!(client.get("/read").await.body(), "None");
}

async fn records_keep_the_contract(adapter: &TowerSessionsStore) {
    let soon = time::Duration::seconds(2);
    let mut one = Record {
        id: Id::default(),
        data: [("n".to_owned(), json!(1))].into(),
        expiry_date: OffsetDateTime::now_utc() + soon,
    };
    adapter.create(&mut one).await.expect("created");
    let mut two = Record {
        data: [].into(),
        ..one.clone()
    };
    adapter.create(&mut two).await.expect("created");
    assert_ne!(one.id, two.id, "the id was taken");
    let loaded = adapter.load(&one.id).await.expect("up").expect("there");
    assert_eq!(loaded.data, one.data);
    assert!((loaded.expiry_date - one.expiry_date).abs() < time::Duration::SECOND);

    adapter.delete(&two.id).await.expect("deleted");
    adapter.save(&two).await.expect_err("it has ended");
    assert_eq!(adapter.load(&two.id).await.expect("up"), None);

    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(
        adapter.load(&one.id).await.expect("up"),
        None,
        "it has expired"
    );
    one.expiry_date += time::Duration::HOUR;
    adapter.save(&one).await.expect_err("it has expired");
    adapter.delete_expired().await.expect("up");
}

#[tokio::test]
async fn redis_keeps_the_sessions_of_a_site_on_tower_sessions() {
    let Some(server) = servers::redis() else {
        return;
    };
    let builder = RedisStore::builder().prefix("tower_sessions:");
    run_on(builder.connect(&server.url).await.expect("up")).await;
}

#[tokio::test]
async fn mysql_keeps_the_sessions_of_a_site_on_tower_sessions() {
    let Some(server) = servers::mysql() else {
        return;
    };
    let builder = MysqlStore::builder().table("tower_sessions");
    run_on(builder.connect(&server.url).await.expect("up")).await;
}

#[tokio::test]
async fn postgres_keeps_the_sessions_of_a_site_on_tower_sessions() {
    let Some(server) = servers::postgres() else {
        return;
    };
    let builder = PostgresStore::builder().table("tower_sessions");
    run_on(builder.connect(&server.url).await.expect("up")).await;
}
