//! The operations, the limit, and freeing expired sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::{Bytes, Draft, Saved};
use session_memory::{ErrorKind, Lifetime, MemoryStore, SessionDirectory, SessionId, SessionStore};

use crate::support::{MINUTE, create, credential, destroy, draft, id, owner};

#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_and_expired_sessions_make_room() {
    let store = MemoryStore::builder()
        .max_sessions(100)
        .build()
        .expect("good limits");
    let ids: Vec<SessionId> = (0..100).map(|_| id()).collect();
    for (n, id) in ids.iter().enumerate() {
        let lifetime = Lifetime::idle(if n < 10 { MINUTE } else { 60 * MINUTE });
        create(&store, id, &draft(lifetime)).await;
    }
    let late = || draft(Lifetime::default());
    let error = store.create(&id(), &late()).await.expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.to_string().contains("100"), "{error}");
    assert!(
        store.load(&ids[0]).await.expect("up").is_some(),
        "no session was evicted"
    );

    destroy(&store, &ids[99]).await;
    // A destroyed session makes room, and so do expired ones.
    create(&store, &id(), &late()).await;
    tokio::time::advance(MINUTE).await;
    for _ in 0..10 {
        create(&store, &id(), &late()).await;
    }
    assert!(store.create(&id(), &late()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_creates_do_not_exceed_the_limit() {
    let store = MemoryStore::builder()
        .max_sessions(500)
        .build()
        .expect("good limits");
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut created = 0;
            for _ in 0..200 {
                let made = store.create(&id(), &draft(Lifetime::default())).await;
                created += usize::from(made.is_ok());
            }
            created
        }));
    }
    let mut created = 0;
    for task in tasks {
        created += task.await.expect("no panic");
    }
    assert_eq!(created, 500);
    assert_eq!(store.count().await.ok(), Some(500));
}

#[tokio::test]
async fn a_credential_is_replaced_by_saves_and_kept_by_touches() {
    let store = MemoryStore::new();
    for size in [0, 300, 512, 513, 10_000] {
        let id = id();
        let mut version = None;
        for length in [57, 95, 96, 133, 192, 0, 1] {
            let draft =
                Draft::new(vec![7; size], Lifetime::default()).with_credential(credential(length));
            match &version {
                None => create(&store, &id, &draft).await,
                Some(version) => {
                    let saved = store.save(&id, &draft, version).await;
                    assert_eq!(saved.expect("up"), Saved::done(&draft));
                }
            }
            store.touch(&id, MINUTE.into()).await.expect("up");
            let found = store.load(&id).await.expect("up").expect("live");
            assert_eq!(found.credential, credential(length), "{length}, {size}");
            assert_eq!(found.data, draft.data, "{length}, {size}");
            version = Some(found.version);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_destroy_returns_the_session_it_ended_and_spares_other_versions() {
    let store = MemoryStore::new();
    let (id, first) = (id(), draft(Lifetime::default()).with_owner(owner()));
    create(&store, &id, &first).await;
    tokio::time::advance(MINUTE).await;
    let second = draft(Lifetime::default()).with_owner(owner());
    let saved = store.save(&id, &second, &first.stamp.into()).await;
    assert_eq!(saved.expect("up"), Saved::done(&second));

    let replaced = first.stamp.into();
    let spared = store.destroy(&id, Some(&replaced)).await.expect("up");
    assert_eq!(spared, None, "another version");
    assert!(store.load(&id).await.expect("up").is_some());
    let present = second.stamp.into();
    let ended = store.destroy(&id, Some(&present)).await.expect("up");
    let ended = ended.expect("that version");
    assert_eq!((ended.id, ended.owner), (id.clone(), Some(owner())));
    assert_eq!(ended.age, Some(MINUTE));
    for expected in [None, Some(&present)] {
        let again = store.destroy(&id, expected).await.expect("up");
        assert_eq!(again, None, "there is none");
    }
}

#[tokio::test(start_paused = true)]
async fn expired_sessions_are_freed_without_traffic() {
    let store = MemoryStore::new();
    let data = Arc::new(vec![0_u8; 1_000]);
    for _ in 0..1_000 {
        let data = Bytes::from_owner(SharedData(Arc::clone(&data)));
        let lifetime = Lifetime::idle(MINUTE);
        create(&store, &id(), &Draft::new(data, lifetime)).await;
    }
    assert_eq!(Arc::strong_count(&data), 1_001);
    tokio::time::sleep(MINUTE + Duration::from_secs(3)).await;
    assert_eq!(Arc::strong_count(&data), 1, "the data is gone");
    assert_eq!(
        store.reap(5_000).await.expect("up").len(),
        1_000,
        "all are still reported"
    );
}

struct SharedData(Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedData {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freeing_100_000_sessions_does_not_block_a_load_for_long() {
    let store = MemoryStore::new();
    let lifetime = Lifetime::idle(Duration::from_millis(1_500));
    for _ in 0..100_000 {
        create(&store, &id(), &draft(lifetime)).await;
    }
    let mut slowest = Duration::ZERO;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        let one = Instant::now();
        store.load(&id()).await.expect("up");
        slowest = slowest.max(one.elapsed());
    }
    // Generous, because the machine may be busy; it catches a full scan under a lock.
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
    assert_eq!(store.count().await.ok(), Some(0));
}

#[tokio::test]
async fn invalid_settings_are_refused() {
    assert!(MemoryStore::builder().max_sessions(0).build().is_err());
    assert!(MemoryStore::builder().max_data(0).build().is_err());
    let error = MemoryStore::new()
        .save_snapshot()
        .await
        .expect_err("no file named");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}
