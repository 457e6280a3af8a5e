//! MongoDB: a change stream on a replica set, the lease elsewhere.

use integration_tests::servers::{self, Kind, Private};
use session_core::Stamp;
use session_mongo::MongoStore;

use super::{LONG, SHORT, a_notice_closes_streams, manager, the_lease_closes_streams};

async fn store(url: &str, collection: &str) -> MongoStore {
    let builder = MongoStore::builder().collection(collection);
    builder.connect(url).await.expect("set up")
}

fn collection() -> String {
    let random = u128::from_be_bytes(*Stamp::generate().as_bytes());
    format!("streams{random:x}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_stream_tells_of_ends() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let server = servers::mongo().expect("a test that is skipped has returned");
    let name = collection();
    let here = manager(store(&server.url, &name).await, LONG);
    let elsewhere = manager(store(&server.url, &name).await, LONG);
    a_notice_closes_streams(&here, &elsewhere).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_server_has_the_lease() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let server = Private::start_bare(Kind::Mongo, &[]);
    let here = manager(store(&server.url, "x").await, SHORT);
    let elsewhere = manager(store(&server.url, "x").await, SHORT);
    the_lease_closes_streams(&here, &elsewhere).await;
}
