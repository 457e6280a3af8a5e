//! A corrupt record affects its own client only (I8).

use session_core::{ErrorKind, SessionId, Sessions};

use crate::Fixture;
use crate::checked::CheckedStore;
use crate::samples::{draft, ended_ids, hours, id, ms, owner};

/// Three sessions of one owner, of which the second is corrupt.
async fn three(fixture: &Fixture) -> (CheckedStore, [SessionId; 3]) {
    let (store, ids) = (fixture.store(), [id(), id(), id()]);
    for id in &ids {
        let draft = draft("readable").with_owner(owner("ann"));
        store.must_create(id, &draft).await;
    }
    fixture.corrupt(&ids[1]).await;
    (store, ids)
}

pub(super) async fn a_corrupt_session_is_an_error_for_its_reader(fixture: Fixture) {
    let (store, [before, corrupt, after]) = three(&fixture).await;
    let loaded = store.load(&corrupt).await;
    assert!(
        matches!(&loaded, Err(error) if error.kind() == ErrorKind::Corrupt),
        "load of a corrupt session is Corrupt, was {loaded:?}"
    );
    for id in [&before, &after] {
        assert_eq!(store.must_find(id).await.data, "readable", "its neighbours");
    }
}

pub(super) async fn a_corrupt_session_can_be_destroyed(fixture: Fixture) {
    let (store, [_, corrupt, _]) = three(&fixture).await;
    // Owner and age may be unreadable.
    store.must_end(&corrupt).await;
    store.must_lack(&corrupt, "it was destroyed").await;
    store.must_create(&corrupt, &draft("anew")).await;
    assert_eq!(store.must_find(&corrupt).await.data, "anew", "created anew");
}

pub(super) async fn writes_to_a_corrupt_session_affect_no_other(fixture: Fixture) {
    let (store, [before, corrupt, after]) = three(&fixture).await;
    let known = store.must_find(&before).await.version;
    // A store may let these writes succeed or fail, but they must not affect other sessions.
    let _ = store.save(&corrupt, &draft("new"), &known).await;
    let _ = store.touch(&corrupt, hours(2).idle).await;
    let _ = store.create(&corrupt, &draft("new")).await;
    let _ = store.destroy(&corrupt, Some(&known)).await;
    for id in [&before, &after] {
        let found = store.must_find(id).await;
        let next = draft("still works");
        store.must_replace(id, &next, found.version).await;
        store.must_be(id, &next, "its neighbours").await;
    }
}

pub(super) async fn a_corrupt_session_hides_no_others(fixture: Fixture) {
    let (store, [before, corrupt, after]) = three(&fixture).await;
    for limit in [1, 10] {
        let listed = store.must_list_ids(limit).await;
        assert!(listed.contains(&before), "listed by {limit}: {listed:?}");
        assert!(listed.contains(&after), "listed by {limit}: {listed:?}");
    }
    let count = store.must_count().await;
    assert!((2..=3).contains(&count), "counted {count} of 3");
    let owned = store.must_own_ids(&owner("ann")).await;
    assert!(
        owned.contains(&before) && owned.contains(&after),
        "owned: {owned:?}"
    );
    let ended = store.must_destroy_owned_by(&owner("ann"), None).await;
    assert!((2..=3).contains(&ended.len()), "ended: {ended:?}");
    for id in [&before, &after] {
        store.must_lack(id, "its owner logged out everywhere").await;
    }
    store.must_clear().await;
    store.must_lack(&corrupt, "all were cleared").await;
}

/// Creates sessions of one owner, the oldest first, and corrupts those with odd indices.
async fn every_other(fixture: &Fixture, store: &CheckedStore, name: &str) -> [SessionId; 7] {
    let ids: [SessionId; 7] = crate::samples::ids();
    for id in &ids {
        let draft = draft("readable").with_owner(owner(name));
        store.must_create(id, &draft).await;
        // Gives each session another age.
        tokio::time::sleep(ms(3)).await;
    }
    for id in ids.iter().skip(1).step_by(2) {
        fixture.corrupt(id).await;
    }
    ids
}

/// The sessions that are not corrupt.
fn readable(ids: &[SessionId]) -> impl DoubleEndedIterator<Item = &SessionId> {
    ids.iter().step_by(2)
}

pub(super) async fn corrupt_sessions_do_not_stop_logging_out_in_steps(fixture: Fixture) {
    let store = fixture.store();
    for limit in [1, 2, 100] {
        let name = format!("ann {limit}");
        let ids = every_other(&fixture, &store, &name).await;
        let but = &ids[2];
        let ended = store
            .must_destroy_owned_by_steps(&owner(&name), Some(but), limit)
            .await;
        let ended = ended_ids(&ended);
        for id in readable(&ids).filter(|&id| id != but) {
            let times = ended.iter().filter(|&one| one == id).count();
            assert_eq!(times, 1, "each that can be read is ended, by {limit}");
            store.must_lack(id, "its owner logged out").await;
        }
        store.must_find(but).await;
        store.must_end(but).await;
    }
}

pub(super) async fn corrupt_sessions_do_not_stop_a_limit_on_sessions(fixture: Fixture) {
    let store = fixture.store();
    let ids = every_other(&fixture, &store, "ann").await;
    let sessions = Sessions::new(store.shared());
    let ended = sessions.keep_newest(&owner("ann"), 2).await;
    ended.expect("keep_newest failed");
    // A store may or may not count corrupt sessions.
    let mut newest_first = readable(&ids).rev();
    let newest = newest_first.next().expect("there are four");
    store.must_find(newest).await;
    for id in newest_first.skip(1) {
        store.must_lack(id, "two were newer").await;
    }
}
