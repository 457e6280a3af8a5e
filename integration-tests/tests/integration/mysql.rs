//! The suite on MySQL or MariaDB.

use integration_tests::servers::{self, Server};
use session_conformance::{StoreFactory, TestStore, conformance_tests};
use session_core::{Result, SessionId, async_trait};
use session_mysql::MysqlStore;
use session_mysql::sqlx::{self, AssertSqlSafe, MySqlPool};

struct Mysql(Option<&'static Server>);

impl Mysql {
    fn url(&self) -> &'static str {
        &self.0.expect("no case runs if there is none").url
    }
}

/// Removes the table when its case is over.
struct Table {
    pool: MySqlPool,
    name: String,
}

impl Drop for Table {
    fn drop(&mut self) {
        let drop = format!("DROP TABLE IF EXISTS `{}`", self.name.replace('`', "``"));
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
impl StoreFactory for Mysql {
    fn absent(&self) -> Option<&'static str> {
        self.0.is_none().then_some("SESSION_TEST_SKIP names mysql")
    }

    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let store = MysqlStore::builder()
            .table(namespace)
            .max_data(2 * 1024 * 1024)
            .timeout(servers::PATIENCE)
            .connect(self.url())
            .await?;
        let pool = MySqlPool::connect_lazy(self.url()).expect("a good URL");
        let name = namespace.to_owned();
        Ok(TestStore::new(store).with_guard(Table { pool, name }))
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        let pool = MySqlPool::connect(self.url()).await.expect("it is up");
        // The stamp's own width is fixed, so it is the owner that is no text.
        let update = format!("UPDATE `{namespace}` SET owner = X'FF00FF' WHERE id = ?");
        let done = sqlx::query(AssertSqlSafe(update))
            .bind(id.as_str().as_bytes())
            .execute(&pool)
            .await
            .expect("overwritten");
        assert_eq!(done.rows_affected(), 1);
        Ok(true)
    }

    async fn lapse_claims(&self, namespace: &str) -> Result<bool> {
        let pool = MySqlPool::connect(self.url()).await.expect("it is up");
        let lapse = format!(
            "UPDATE `{namespace}` SET claimed = UTC_TIMESTAMP(6) WHERE claimed IS NOT NULL"
        );
        let done = sqlx::query(AssertSqlSafe(lapse)).execute(&pool).await;
        done.expect("lapsed");
        Ok(true)
    }
}

conformance_tests!(Mysql(servers::mysql()));
