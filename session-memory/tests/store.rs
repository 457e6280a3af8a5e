//! What only the memory store does: its bound, its snapshot, and freeing what has expired.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_memory::{
    Bytes, Draft, ErrorKind, Lifetime, MemoryStore, Owner, Saved, SessionDirectory, SessionId,
    SessionStore, SessionToken, Timeout, Ttl,
};

const MINUTE: Duration = Duration::from_secs(60);

fn id() -> SessionId {
    SessionToken::generate().id()
}

fn draft(lifetime: Lifetime) -> Draft {
    Draft::new("{}", lifetime)
}

#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_and_expired_sessions_make_room() {
    let store = MemoryStore::builder()
        .max_sessions(100)
        .build()
        .expect("good limits");
    let ids: Vec<SessionId> = (0..100).map(|_| id()).collect();
    for (n, id) in ids.iter().enumerate() {
        let lifetime = Lifetime::idle(if n < 10 { MINUTE } else { 60 * MINUTE });
        store.create(id, &draft(lifetime)).await.expect("room");
    }
    let late = || draft(Lifetime::default());
    let error = store.create(&id(), &late()).await.expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.to_string().contains("100"), "{error}");
    assert!(
        store.load(&ids[0]).await.expect("up").is_some(),
        "nobody was evicted"
    );

    store.destroy(&ids[99]).await.expect("up");
    store
        .create(&id(), &late())
        .await
        .expect("a destroyed one makes room");
    tokio::time::advance(MINUTE).await;
    for _ in 0..10 {
        store
            .create(&id(), &late())
            .await
            .expect("expired ones make room");
    }
    assert!(store.create(&id(), &late()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_do_not_pass_the_bound() {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn crossing_renames_do_not_wait_for_each_other() {
    let store = MemoryStore::new();
    let (a, b) = (id(), id());
    store
        .create(&a, &draft(Lifetime::default()))
        .await
        .expect("new");
    let mut tasks = Vec::new();
    for (from, to) in [(a.clone(), b.clone()), (b.clone(), a.clone())] {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut done = 0;
            for _ in 0..10_000 {
                if let Ok(Some(record)) = store.load(&from).await {
                    let next = draft(Lifetime::default());
                    let renamed = store.rename(&from, &to, &next, record.stamp).await;
                    done += u32::from(matches!(renamed, Ok(Saved::Done(_))));
                }
                tokio::task::yield_now().await;
            }
            done
        }));
    }
    for task in tasks {
        let done = tokio::time::timeout(MINUTE, task)
            .await
            .expect("no deadlock");
        assert!(done.expect("no panic") > 0);
    }
    assert_eq!(store.count().await.ok(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn what_expires_is_freed_without_traffic() {
    let store = MemoryStore::new();
    let data = Arc::new(vec![0_u8; 1_000]);
    for _ in 0..1_000 {
        let data = Bytes::from_owner(Held(Arc::clone(&data)));
        let lifetime = Lifetime::idle(MINUTE);
        store
            .create(&id(), &Draft::new(data, lifetime))
            .await
            .expect("new");
    }
    assert_eq!(Arc::strong_count(&data), 1_001);
    tokio::time::sleep(MINUTE + Duration::from_secs(3)).await;
    assert_eq!(Arc::strong_count(&data), 1, "the data is gone");
    assert_eq!(
        store.reap(5_000).await.expect("up").len(),
        1_000,
        "the ends wait"
    );
}

struct Held(Arc<Vec<u8>>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freeing_very_many_keeps_nobody_waiting_long() {
    let store = MemoryStore::new();
    let lifetime = Lifetime::idle(Duration::from_millis(1_500));
    for _ in 0..100_000 {
        store.create(&id(), &draft(lifetime)).await.expect("new");
    }
    let mut slowest = Duration::ZERO;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        let one = Instant::now();
        store.load(&id()).await.expect("up");
        slowest = slowest.max(one.elapsed());
    }
    // Generous, for machines are busy: it catches a full scan under a lock.
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
    assert_eq!(store.count().await.ok(), Some(0));
}

/// Many sessions of an owner, so that each shard has more than it looks at in one step.
async fn crowd(store: &MemoryStore, owner: &Owner, lifetime: Lifetime) -> BTreeSet<SessionId> {
    let mut ids = BTreeSet::new();
    for _ in 0..10_000 {
        let (id, draft) = (id(), draft(lifetime).with_owner(owner.clone()));
        store.create(&id, &draft).await.expect("new");
        ids.insert(id);
    }
    ids
}

#[tokio::test]
async fn a_listing_shows_once_each_who_stays() {
    let (store, owner) = (MemoryStore::new(), Owner::new("u").expect("valid"));
    let mut stay = crowd(&store, &owner, Lifetime::default()).await;
    let leave: Vec<SessionId> = stay.iter().take(3_000).cloned().collect();
    let (mut leaving, mut seen, mut cursor) = (leave.iter(), Vec::new(), None);
    loop {
        let page = store.list(cursor.as_ref(), 50).await.expect("up");
        assert!(page.sessions.len() <= 50, "the limit");
        seen.extend(page.sessions.into_iter().map(|info| info.id));
        // Others come and go between any two pages.
        for id in leaving.by_ref().take(15) {
            store.destroy(id).await.expect("up");
            stay.remove(id);
        }
        let new = draft(Lifetime::default());
        store.create(&id(), &new).await.expect("new");
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    for id in &stay {
        let times = seen.iter().filter(|seen| *seen == id).count();
        assert_eq!(times, 1, "{id:?}");
    }
}

#[tokio::test]
async fn an_owner_of_very_many_sessions_is_no_exception() {
    let (store, owner) = (MemoryStore::new(), Owner::new("u").expect("valid"));
    let ids = crowd(&store, &owner, Lifetime::default()).await;
    let other = Owner::new("v").expect("valid");
    let theirs = draft(Lifetime::default()).with_owner(other.clone());
    store.create(&id(), &theirs).await.expect("new");
    let owned = store.owned_by(&owner).await.expect("up");
    assert_eq!(owned.len(), ids.len());
    let owned: BTreeSet<SessionId> = owned.into_iter().map(|info| info.id).collect();
    assert_eq!(owned, ids);

    let except = ids.first().expect("many");
    let ended = store.destroy_owned_by(&owner, Some(except)).await;
    assert_eq!(ended.expect("up").len(), ids.len() - 1);
    let left = store.owned_by(&owner).await.expect("up");
    assert_eq!(left.len(), 1);
    assert_eq!(&left[0].id, except);
    assert_eq!(store.owned_by(&other).await.expect("up").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stays_is_an_owners_whatever_the_others_do() {
    let (store, owner) = (MemoryStore::new(), Owner::new("u").expect("valid"));
    let ids = Vec::from_iter(crowd(&store, &owner, Lifetime::default()).await);
    let (stay, leave) = ids.split_at(8_000);
    let leaving = {
        let (store, leave) = (store.clone(), leave.to_vec());
        tokio::spawn(async move {
            for id in leave {
                store.destroy(&id).await.expect("up");
            }
        })
    };
    while !leaving.is_finished() {
        let owned = store.owned_by(&owner).await.expect("up");
        let found: BTreeSet<_> = owned.iter().map(|info| &info.id).collect();
        assert_eq!(found.len(), owned.len(), "each once");
        assert!(stay.iter().all(|id| found.contains(id)));
    }
    leaving.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn clearing_counts_who_was_alive_and_leaves_nothing_to_report() {
    let (store, owner) = (MemoryStore::new(), Owner::new("u").expect("valid"));
    let lived = crowd(&store, &owner, Lifetime::idle(60 * MINUTE)).await;
    crowd(&store, &owner, Lifetime::idle(MINUTE)).await;
    tokio::time::advance(MINUTE).await;
    // Some of them have been found, some have not.
    store.reap(1_000).await.expect("up");
    assert_eq!(store.clear().await.ok(), Some(lived.len() as u64));
    assert_eq!(store.reap(50_000).await.expect("up"), []);
    assert_eq!(store.count().await.ok(), Some(0));
    let again = lived.first().expect("many");
    let anew = draft(Lifetime::default()).with_owner(owner.clone());
    store.create(again, &anew).await.expect("new again");
    assert_eq!(store.owned_by(&owner).await.expect("up").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reap_has_taken_nothing() {
    let (store, owner) = (MemoryStore::new(), Owner::new("u").expect("valid"));
    let ids = crowd(&store, &owner, Lifetime::idle(MINUTE)).await;
    tokio::time::advance(MINUTE).await;
    for _ in 0..10 {
        // It is polled, has not finished, and is dropped.
        tokio::select! {
            biased;
            _ = store.reap(ids.len()) => panic!("so much work, and others had no turn"),
            () = std::future::ready(()) => {}
        }
    }
    let reaped = store.reap(ids.len()).await.expect("up");
    assert_eq!(reaped.len(), ids.len());
    let reaped: BTreeSet<SessionId> = reaped.into_iter().map(|ended| ended.id).collect();
    assert_eq!(reaped, ids);
}

#[tokio::test(start_paused = true)]
async fn who_expired_is_reported_though_the_id_is_used_again() {
    let store = MemoryStore::new();
    let (created, renamed, from) = (id(), id(), id());
    for id in [&created, &renamed] {
        let brief = draft(Lifetime::idle(MINUTE));
        store.create(id, &brief).await.expect("new");
    }
    let first = draft(Lifetime::default());
    store.create(&from, &first).await.expect("new");
    tokio::time::advance(MINUTE).await;
    let again = draft(Lifetime::default());
    store.create(&created, &again).await.expect("free again");
    let moved = store.rename(&from, &renamed, &again, first.stamp).await;
    assert!(matches!(moved, Ok(Saved::Done(_))));
    let reaped = store.reap(10).await.expect("up");
    let reaped: BTreeSet<SessionId> = reaped.into_iter().map(|ended| ended.id).collect();
    assert_eq!(reaped, BTreeSet::from([created, renamed]));
    assert_eq!(store.count().await.ok(), Some(2));
}

#[tokio::test]
async fn a_snapshot_brings_very_many_sessions_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sessions");
    let build = || MemoryStore::builder().snapshot(&path).build();
    let (store, owner) = (
        build().expect("no file yet"),
        Owner::new("u").expect("valid"),
    );
    let ids = crowd(&store, &owner, Lifetime::default()).await;
    assert_eq!(store.save_snapshot().await.ok(), Some(ids.len()));
    let restored = build().expect("a good file");
    let owned = restored.owned_by(&owner).await.expect("up");
    assert_eq!(owned.len(), ids.len());
    let owned: BTreeSet<SessionId> = owned.into_iter().map(|info| info.id).collect();
    assert_eq!(owned, ids);
}

#[tokio::test]
async fn a_snapshot_brings_sessions_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sessions");
    let build = || MemoryStore::builder().snapshot(&path).build();
    let store = build().expect("no file yet");
    let owner = Owner::new("u").expect("valid");
    let (limited, never) = (id(), id());
    let kept =
        Draft::new("{\"a\":1}", Lifetime::new(MINUTE, 60 * MINUTE)).with_owner(owner.clone());
    store.create(&limited, &kept).await.expect("new");
    let endless = draft(Lifetime::new(Timeout::Never, Timeout::Never));
    store.create(&never, &endless).await.expect("new");
    let short = draft(Lifetime::idle(Duration::from_millis(100)));
    store.create(&id(), &short).await.expect("new");
    assert_eq!(store.save_snapshot().await.ok(), Some(3));
    let before = store.load(&limited).await.expect("up").expect("there");

    tokio::time::sleep(Duration::from_millis(150)).await;
    let restored = build().expect("a good file");
    assert_eq!(
        restored.count().await.ok(),
        Some(2),
        "the short one has ended meanwhile"
    );
    let after = restored.load(&limited).await.expect("up").expect("there");
    assert_eq!(
        (&after.data, after.stamp, after.lifetime),
        (&before.data, before.stamp, before.lifetime)
    );
    assert!(
        after.ttl < before.ttl && after.age > before.age,
        "{before:?} {after:?}"
    );
    assert_eq!(restored.owned_by(&owner).await.expect("up").len(), 1);
    let endless = restored.load(&never).await.expect("up").expect("there");
    assert_eq!(endless.ttl, Ttl::Never);
    let next = Draft::new("{}", Lifetime::default());
    let saved = restored.save(&limited, &next, after.stamp).await;
    assert!(matches!(saved, Ok(Saved::Done(_))), "the stamp goes on");
}

#[cfg(unix)]
#[tokio::test]
async fn a_snapshot_is_private_and_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sessions");
    let build = || MemoryStore::builder().snapshot(&path).build();
    let store = build().expect("no file yet");
    store
        .create(&id(), &draft(Lifetime::default()))
        .await
        .expect("new");
    for _ in 0..3 {
        store.save_snapshot().await.expect("written");
    }
    let files = std::fs::read_dir(&folder).expect("there").count();
    assert_eq!(files, 1, "no unfinished file is left");
    let mode = std::fs::metadata(&path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("ours");
    let error = build().expect_err("others may read it");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}

#[tokio::test]
async fn a_snapshot_that_was_cut_off_or_changed_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sessions");
    let build = || MemoryStore::builder().snapshot(&path).build();
    let store = build().expect("no file yet");
    store
        .create(&id(), &draft(Lifetime::default()))
        .await
        .expect("new");
    store.save_snapshot().await.expect("written");
    let good = std::fs::read(&path).expect("there");
    let mut broken: Vec<Vec<u8>> = (0..good.len()).map(|n| good[..n].to_vec()).collect();
    for n in 0..good.len() {
        let mut flipped = good.clone();
        flipped[n] ^= 0x40;
        broken.push(flipped);
    }
    for bytes in broken {
        std::fs::write(&path, &bytes).expect("ours");
        let error = build().expect_err("broken");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    std::fs::write(&path, good).expect("ours");
    build().expect("good again");
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    assert!(MemoryStore::builder().max_sessions(0).build().is_err());
    assert!(MemoryStore::builder().max_data(0).build().is_err());
    let error = MemoryStore::new()
        .save_snapshot()
        .await
        .expect_err("no file named");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}
