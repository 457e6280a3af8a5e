//! Sessions that survive a restart.

use std::time::Duration;

use session_core::{Draft, Saved};
use session_memory::{
    ErrorKind, Lifetime, MemoryStore, SessionDirectory, SessionStore, Timeout, Ttl,
};

use crate::support::{MINUTE, create, create_many, credential, draft, id, ids, owned, owner};

#[tokio::test]
async fn a_snapshot_restores_10_000_sessions() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sessions");
    let build = || MemoryStore::builder().snapshot(&path).build();
    let (store, owner) = (build().expect("no file yet"), owner());
    let all = create_many(&store, &owner, Lifetime::default()).await;
    assert_eq!(store.save_snapshot().await.ok(), Some(all.len()));
    let restored = build().expect("a good file");
    let owned = owned(&restored, &owner, 100).await;
    assert_eq!(owned.len(), all.len());
    assert_eq!(ids(&owned), all);
}

#[tokio::test]
async fn a_snapshot_restores_sessions_with_their_limits_and_owners() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sessions");
    let build = || MemoryStore::builder().snapshot(&path).build();
    let store = build().expect("no file yet");
    let (limited, never) = (id(), id());
    let kept = Draft::new("{\"a\":1}", Lifetime::new(MINUTE, 60 * MINUTE))
        .with_credential(credential(57))
        .with_owner(owner());
    create(&store, &limited, &kept).await;
    let endless = Draft::new(
        vec![7; 1_000],
        Lifetime::new(Timeout::Never, Timeout::Never),
    );
    let endless = endless.with_credential(credential(192));
    create(&store, &never, &endless).await;
    let short = draft(Lifetime::idle(Duration::from_millis(100)));
    create(&store, &id(), &short).await;
    assert_eq!(store.save_snapshot().await.ok(), Some(3));
    let before = store.load(&limited).await.expect("up").expect("there");

    tokio::time::sleep(Duration::from_millis(150)).await;
    let restored = build().expect("a good file");
    assert_eq!(
        restored.count().await.ok(),
        Some(2),
        "the short session has expired"
    );
    let after = restored.load(&limited).await.expect("up").expect("there");
    assert_eq!(
        (&after.data, &after.version, after.lifetime),
        (&before.data, &before.version, before.lifetime)
    );
    assert_eq!(after.credential, credential(57));
    assert!(
        after.ttl < before.ttl && after.age > before.age,
        "{before:?} {after:?}"
    );
    assert_eq!(owned(&restored, &owner(), 10).await.len(), 1);
    let found = restored.load(&never).await.expect("up").expect("there");
    assert_eq!(found.ttl, Ttl::Never);
    assert_eq!(
        (found.data, found.credential),
        (endless.data, credential(192))
    );
    let next = Draft::new("{}", Lifetime::default());
    let saved = restored.save(&limited, &next, &after.version).await;
    assert!(matches!(saved, Ok(Saved::Done(_))), "the stamp is restored");
}

#[cfg(unix)]
#[tokio::test]
async fn a_snapshot_is_private_and_leaves_no_temporary_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sessions");
    let build = || MemoryStore::builder().snapshot(&path).build();
    let store = build().expect("no file yet");
    create(&store, &id(), &draft(Lifetime::default())).await;
    for _ in 0..3 {
        store.save_snapshot().await.expect("written");
    }
    let files = std::fs::read_dir(&folder).expect("there").count();
    assert_eq!(files, 1, "no temporary file is left");
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
async fn a_truncated_or_changed_snapshot_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sessions");
    let build = || MemoryStore::builder().snapshot(&path).build();
    let store = build().expect("no file yet");
    create(&store, &id(), &draft(Lifetime::default())).await;
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
