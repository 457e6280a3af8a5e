//! A file that another connection holds.

use std::time::{Duration, Instant};

use session_core::ErrorKind;
use session_sqlite::{SessionStore, SqliteStore};

use crate::support::{Place, create, data, draft, new_id, run};

const LIMIT: Duration = Duration::from_secs(1);

async fn impatient(place: &Place) -> SqliteStore {
    let builder = SqliteStore::builder().timeout(LIMIT);
    builder.connect(&place.url()).await.expect("opened")
}

#[tokio::test]
async fn a_write_waits_for_another_process_and_is_done_then() {
    let place = Place::new();
    let store = impatient(&place).await;
    create(&store, b"before").await;
    let mut other = place.connection().await;
    run(&mut other, "BEGIN IMMEDIATE").await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { create(&store, b"waited").await }
    });
    tokio::time::sleep(LIMIT / 4).await;
    assert!(!waiting.is_finished());
    run(&mut other, "COMMIT").await;
    let id = waiting.await.expect("done");
    assert_eq!(data(&store, &id).await, Some(b"waited".to_vec()));
}

#[tokio::test]
async fn a_write_that_waits_to_its_limit_times_out_and_is_not_done() {
    let place = Place::new();
    let store = impatient(&place).await;
    let known = create(&store, b"known").await;
    let mut other = place.connection().await;
    run(&mut other, "BEGIN IMMEDIATE").await;
    let (id, began) = (new_id(), Instant::now());
    let error = store.create(&id, &draft(b"late")).await;
    let error = error.expect_err("it is held");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("another process or connection holds"),
        "{text}"
    );
    assert!(text.contains("SQLITE_BUSY"), "{text}");
    let waited = began.elapsed();
    assert!(waited >= LIMIT / 2 && waited <= LIMIT, "{waited:?}");
    // Readers do not wait meanwhile.
    assert_eq!(data(&store, &known).await, Some(b"known".to_vec()));
    run(&mut other, "ROLLBACK").await;
    assert_eq!(data(&store, &id).await, None);
    create(&store, b"after").await;
}

#[tokio::test]
async fn ten_stores_that_start_at_once_make_one_table() {
    let place = Place::new();
    let url = place.url();
    let starts = (0..10).map(|_| {
        let url = url.clone();
        tokio::spawn(async move { SqliteStore::connect(&url).await })
    });
    let starts: Vec<_> = starts.collect();
    for start in starts {
        let store = start.await.expect("no panic").expect("opened");
        create(&store, b"each writes").await;
    }
}

#[tokio::test]
async fn a_time_limit_may_be_longer_than_any_clock() {
    let place = Place::new();
    let builder = SqliteStore::builder().timeout(Duration::MAX);
    let store = builder.connect(&place.url()).await.expect("opened");
    let id = create(&store, b"patient").await;
    assert_eq!(data(&store, &id).await, Some(b"patient".to_vec()));
}
