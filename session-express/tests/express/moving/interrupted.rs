//! A move or a sign-out that is interrupted between its steps.

use super::*;

/// The state after a process dies between the two steps of a move.
async fn half_moved(setup: &Setup) -> (SessionId, Version) {
    let id = setup.stored_by_express();
    let version = setup.native.create(&id, &draft("moved")).await;
    (id, done(version))
}

#[tokio::test]
async fn after_an_interrupted_move_the_native_session_is_read() {
    let setup = setup();
    let (id, version) = half_moved(&setup).await;
    for id in [&id, &native_id()] {
        let read = setup.store.load(id).await.expect("read").expect("there");
        assert_eq!(read.data, draft("moved").data);
    }
    done(setup.store.save(&id, &draft("next"), &version).await);
    assert_eq!(setup.memory.text(SID), None, "a save removes the leftover");
}

#[tokio::test]
async fn a_sign_out_after_an_interrupted_move_is_final() {
    for is_presented in [true, false] {
        let setup = setup();
        let (id, _) = half_moved(&setup).await;
        let by = if is_presented { &id } else { &native_id() };
        let ended = setup.store.destroy(by, None).await.expect("answered");
        assert!(ended.is_some());
        assert!(!lives(&setup.store, &id).await);
        assert_eq!(setup.memory.text(SID).is_none(), is_presented);
        // Express' record lives at most as long as the tombstone.
        let read = setup.native.load(&id).await.expect("read").expect("there");
        assert_eq!(
            read.ttl,
            Ttl::from(setup.store.lifetime().idle).min(read.ttl)
        );
        assert!(read.ttl.left() > Some(23 * HOUR), "{}", read.ttl);
    }
}

#[tokio::test]
async fn an_interrupted_sign_out_is_completed_by_the_next() {
    let setup = setup();
    let id = setup.stored_by_express();
    setup.memory.cut.store(true, SeqCst);
    setup
        .store
        .destroy(&id, None)
        .await
        .expect_err("interrupted");
    assert!(!lives(&setup.store, &id).await, "it has ended all the same");
    setup.stored_by_express();
    let ended = setup.store.destroy(&id, None).await.expect("answered");
    assert!(ended.is_some(), "Express' record is what it ended");
    setup.assert_ended(&id).await;
}

#[tokio::test]
async fn a_repeated_move_whose_answer_was_lost_is_done() {
    let setup = setup();
    let (store, id) = (&setup.store, setup.stored_by_express());
    let read = store.load(&id).await.expect("read").expect("there");
    let moved = draft("moved");
    // The answer of the second step is lost.
    setup.memory.cut.store(true, SeqCst);
    let lost = store.save(&id, &moved, &read.version).await;
    lost.expect_err("the answer was lost");
    let version = done(store.save(&id, &moved, &read.version).await);
    assert_eq!(version.stamp(), moved.stamp);
    assert_eq!(setup.memory.text(SID), None);
    // The Express store is unreachable: the session is saved, and the record expires.
    setup.stored_by_express();
    setup.memory.cut.store(true, SeqCst);
    done(store.save(&id, &draft("next"), &version).await);
}
