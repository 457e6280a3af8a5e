//! Time that tests move.

use std::time::Duration;

use session_memory::{Lifetime, MemoryStore, SessionDirectory, SessionStore, Timeout, Ttl};

use crate::support::{MINUTE, create, draft, id};

#[tokio::test]
async fn a_session_ends_when_its_stores_clock_was_moved_to_its_deadline() {
    let (store, id) = (MemoryStore::new(), id());
    create(&store, &id, &draft(Lifetime::idle(MINUTE))).await;
    store.clone().advance(MINUTE / 2);
    let record = store.load(&id).await.expect("up").expect("live");
    assert!(record.age >= MINUTE / 2 && record.ttl <= Ttl::Left(MINUTE / 2));

    store.touch(&id, Timeout::After(MINUTE)).await.expect("up");
    store.advance(MINUTE / 2);
    assert!(store.load(&id).await.expect("up").is_some(), "it was used");
    store.advance(MINUTE / 2);
    assert!(store.load(&id).await.expect("up").is_none());
    let ended = store.reap(10).await.expect("up");
    assert_eq!(ended.len(), 1, "its end is reported");
}

#[tokio::test]
async fn other_stores_and_sessions_without_a_deadline_are_left_alone() {
    let (store, other) = (MemoryStore::new(), MemoryStore::new());
    let (endless, id) = (id(), id());
    let never = Lifetime::new(Timeout::Never, Timeout::Never);
    create(&store, &endless, &draft(never)).await;
    create(&other, &id, &draft(Lifetime::idle(MINUTE))).await;
    for _ in 0..3 {
        store.advance(Duration::MAX);
        assert!(store.load(&endless).await.expect("up").is_some());
    }
    assert!(other.load(&id).await.expect("up").is_some());
}
