//! What a check leaves behind: nothing, whatever happens to it.

use std::process::{Command, Stdio};
use std::time::Duration;

use integration_tests::servers::{self, Kind, Private};
use session_postgres::sqlx::{self, PgPool};

use super::{check, command};
use crate::redis_backend::ask;

const SCRATCH: &str = "SELECT count(*) FROM pg_class WHERE relname LIKE 'session\\_check%'";

async fn tables(pool: &PgPool) -> i64 {
    sqlx::query_scalar(SCRATCH)
        .fetch_one(pool)
        .await
        .expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_leaves_nothing_behind() {
    if servers::is_skipped(Kind::Postgres) || servers::is_skipped(Kind::Redis) {
        return;
    }
    let postgres = Private::start(Kind::Postgres, &[]);
    let pool = PgPool::connect(&postgres.url).await.expect("up");
    check(&[&postgres.url]).is_good();
    assert_eq!(tables(&pool).await, 0);
    let redis = Private::start(Kind::Redis, &[]);
    check(&[&redis.url]).is_good();
    let keys = ask(&redis.url, &["DBSIZE"]).await;
    assert_eq!(keys, redis::Value::Int(0));
}

/// It is interrupted as soon as it has made its first tables.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_interrupted_leaves_nothing_behind() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let server = Private::start(Kind::Postgres, &[]);
    let pool = PgPool::connect(&server.url).await.expect("up");
    for signal in ["-INT", "-TERM"] {
        let mut check = command(&[&server.url]);
        check.stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = check.spawn().expect("it runs");
        let mut seen = 0;
        while seen < 4 {
            seen = tables(&pool).await;
            assert_eq!(running.try_wait().expect("ours"), None, "it was too quick");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let pid = running.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("there is kill").success());
        let ended = running.wait().expect("ours");
        assert_eq!(ended.code(), Some(1), "{signal}");
        assert_eq!(tables(&pool).await, 0, "{signal}");
    }
}
