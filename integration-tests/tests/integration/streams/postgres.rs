//! PostgreSQL: `NOTIFY`, the lease where it is switched off or behind a pooler.

use integration_tests::servers::{self, Kind};
use session_core::Stamp;
use session_postgres::sqlx::PgPool;
use session_postgres::{PostgresStore, PostgresStoreBuilder};

use super::{
    LIMIT, LONG, SECOND, SHORT, a_notice_closes_streams, manager, must_close, streams,
    the_lease_closes_streams,
};

fn builder() -> PostgresStoreBuilder {
    let random = u128::from_be_bytes(*Stamp::generate().as_bytes());
    PostgresStore::builder().table(format!("t{random:x}"))
}

async fn store(builder: &PostgresStoreBuilder, parameters: &str) -> PostgresStore {
    let server = servers::postgres().expect("a test that is skipped has returned");
    let url = format!("{}{parameters}", server.url);
    builder.clone().connect(&url).await.expect("set up")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_tells_of_ends() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let builder = builder();
    let here = manager(store(&builder, "").await, LONG);
    // A name of the same table.
    let named = builder.clone().schema("public");
    let elsewhere = manager(store(&named, "").await, LONG);
    a_notice_closes_streams(&here, &elsewhere).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_notices_has_the_lease() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    for builder in [builder().notices(false), builder().named_statements(false)] {
        let here = manager(store(&builder, "").await, SHORT);
        let elsewhere = manager(store(&builder, "").await, SHORT);
        the_lease_closes_streams(&here, &elsewhere).await;
    }
}

/// What was announced while nothing listened is found by asking for all sessions.
#[tokio::test(flavor = "multi_thread")]
async fn ends_during_an_outage_close_streams_when_listening_goes_on() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let builder = builder();
    let name = format!("{:x}", u128::from_be_bytes(*Stamp::generate().as_bytes()));
    let parameters = format!("?application_name={name}");
    let here = manager(store(&builder, &parameters).await, LONG);
    let elsewhere = manager(store(&builder, "").await, LONG);
    let hers = streams(&here, "ann", 5).await;
    let server = servers::postgres().expect("it is up");
    let pool = PgPool::connect(&server.url).await.expect("up");
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE application_name = $1";
    let kill = session_postgres::sqlx::query_scalar::<_, i64>(kill).bind(name);
    let killed = kill.fetch_one(&pool).await.expect("a superuser may");
    assert!(killed > 0);
    elsewhere.destroy_owned_by("ann", None).await.expect("up");
    let took = must_close(hers, LIMIT).await;
    assert!(took < LONG - SECOND, "{took:?}");
}
