//! The suite on PostgreSQL.

use integration_tests::servers::{self, Server};
use session_conformance::{StoreFactory, TestStore, conformance_tests};
use session_core::{Result, SessionId, async_trait};
use session_postgres::PostgresStore;
use session_postgres::sqlx::{self, AssertSqlSafe, PgPool};

struct Postgres(Option<&'static Server>);

impl Postgres {
    fn url(&self) -> &'static str {
        &self.0.expect("no case runs if there is none").url
    }
}

/// Removes the table when its case is over.
struct Table {
    pool: PgPool,
    name: String,
}

impl Drop for Table {
    fn drop(&mut self) {
        let name = self.name.replace('"', "\"\"");
        let drop = format!("DROP TABLE IF EXISTS \"{name}\"");
        let pool = self.pool.clone();
        let work = async move {
            // An empty table that stays does no harm.
            let _ = sqlx::query(AssertSqlSafe(drop)).execute(&pool).await;
        };
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| runtime.block_on(work));
    }
}

#[async_trait]
impl StoreFactory for Postgres {
    fn absent(&self) -> Option<&'static str> {
        self.0
            .is_none()
            .then_some("SESSION_TEST_SKIP names postgres")
    }

    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let store = PostgresStore::builder()
            .table(namespace)
            .max_data(2 * 1024 * 1024)
            .timeout(servers::PATIENCE)
            .connect(self.url())
            .await?;
        let pool = PgPool::connect_lazy(self.url()).expect("a good URL");
        let name = namespace.to_owned();
        Ok(TestStore::new(store).with_guard(Table { pool, name }))
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        let pool = PgPool::connect(self.url()).await.expect("it is up");
        let update = format!("UPDATE \"{namespace}\" SET owner = '\\xFF00FF' WHERE id = $1");
        let done = sqlx::query(AssertSqlSafe(update))
            .bind(id.as_str().as_bytes())
            .execute(&pool)
            .await
            .expect("overwritten");
        assert_eq!(done.rows_affected(), 1);
        Ok(true)
    }

    async fn lapse_claims(&self, namespace: &str) -> Result<bool> {
        let pool = PgPool::connect(self.url()).await.expect("it is up");
        let lapse = format!("UPDATE \"{namespace}\" SET claimed = now() WHERE claimed IS NOT NULL");
        let done = sqlx::query(AssertSqlSafe(lapse)).execute(&pool).await;
        done.expect("lapsed");
        Ok(true)
    }
}

conformance_tests!(Postgres(servers::postgres()));
