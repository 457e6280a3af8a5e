//! MySQL and MariaDB: the lease alone.

use integration_tests::servers::{self, Kind};
use session_core::Stamp;
use session_mysql::MysqlStore;

use super::{SHORT, manager, the_lease_closes_streams};

#[tokio::test(flavor = "multi_thread")]
async fn mysql_has_the_lease() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = servers::mysql().expect("a test that is skipped has returned");
    let table = format!("t{:x}", u128::from_be_bytes(*Stamp::generate().as_bytes()));
    let store = async || {
        let builder = MysqlStore::builder().table(&table);
        builder.connect(&server.url).await.expect("set up")
    };
    let (here, elsewhere) = (manager(store().await, SHORT), manager(store().await, SHORT));
    the_lease_closes_streams(&here, &elsewhere).await;
}
