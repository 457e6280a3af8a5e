//! A database in memory.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use session_sqlite::{SessionStore, SqliteStore};
use tokio::runtime::Builder;

use crate::support::{create, data};

#[tokio::test]
async fn a_database_in_memory_ends_with_its_store_and_is_its_own() {
    let store = SqliteStore::connect("sqlite::memory:")
        .await
        .expect("opened");
    let other = SqliteStore::connect("sqlite::memory:")
        .await
        .expect("opened");
    let id = create(&store, b"here").await;
    assert_eq!(data(&store, &id).await, Some(b"here".to_vec()));
    assert_eq!(data(&other, &id).await, None);
}

/// A connection is closed by the first operation after the end of the runtime that opened it.
#[test]
fn a_database_in_memory_outlives_its_connections() {
    let runtime = || {
        let mut runtime = Builder::new_current_thread();
        runtime.enable_all().build().expect("a runtime")
    };
    let (store, id) = runtime().block_on(async {
        let store = SqliteStore::connect("sqlite::memory:").await;
        let store = store.expect("opened");
        let id = create(&store, b"here").await;
        (store, id)
    });
    // It closes the connection, and does not get as far as to open another.
    runtime().block_on(async {
        let mut load = store.load(&id);
        let begun = poll_fn(|context| Poll::Ready(load.as_mut().poll(context)));
        assert!(begun.await.is_pending());
    });
    std::thread::sleep(Duration::from_millis(200));
    let found = runtime().block_on(data(&store, &id));
    assert_eq!(found, Some(b"here".to_vec()));
}
