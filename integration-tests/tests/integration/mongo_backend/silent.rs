//! Connections that stay open and carry nothing, while new ones work.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind};
use session_core::{ErrorKind, SessionStore, SessionToken};
use session_mongo::MongoStore;

use super::relay::Relay;
use super::{name, url};

const LIMIT: Duration = Duration::from_secs(1);

/// Loads several sessions at once, so that there are as many connections.
async fn load_eight(store: &MongoStore) {
    let loads = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.load(&SessionToken::generate().id()).await })
    });
    for load in loads.collect::<Vec<_>>() {
        load.await.expect("no panic").expect("up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_one_time_out_no_call_waits_for_a_silent_connection_again() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let server = url().split(['/', '?']).nth(2).expect("a host");
    let port = server.rsplit_once(':').expect("a port").1;
    let relay = Relay::start(port.parse().expect("a number")).await;
    let builder = MongoStore::builder().collection(name()).timeout(LIMIT);
    let store = builder.connect(&through(&relay)).await.expect("set up");
    load_eight(&store).await;
    relay.fall_silent();
    let load = async || store.load(&SessionToken::generate().id()).await;
    let error = load().await.expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(load().await.expect("a new one"), None);
        assert!(began.elapsed() < LIMIT / 2, "{:?}", began.elapsed());
    }
}

/// The URL that leads to the server by way of a relay.
fn through(relay: &Relay) -> String {
    let port = relay.port;
    format!("mongodb://127.0.0.1:{port}/app?directConnection=true")
}
