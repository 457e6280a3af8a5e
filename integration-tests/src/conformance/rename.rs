//! Rename: the session under a new id, and nothing under the old one.

use session_core::{Error, Saved};

use super::Stage;
use super::fixture::{draft, hours, owner, related_ids};

pub(super) async fn rename_moves_the_session(stage: Stage) {
    let (store, [from, to]) = (stage.store(), related_ids());
    let first = draft("before").with_owner(owner("before"));
    store.must_create(&from, &first).await;
    let mut second = draft("after").with_owner(owner("after"));
    second.lifetime = hours(2);
    store.must_move(&from, &to, &second, first.stamp).await;
    store.must_lack(&from, "it was renamed").await;
    let found = store.must_find(&to).await;
    assert_eq!(found.data, second.data, "the data of the rename");
    assert_eq!(found.stamp, second.stamp, "the stamp of the rename");
    assert_eq!(found.owner, second.owner, "the owner of the rename");
    assert_eq!(
        found.lifetime, second.lifetime,
        "the lifetime of the rename"
    );
}

pub(super) async fn the_old_id_of_a_rename_is_absent_for_every_operation(stage: Stage) {
    let (store, [from, to, elsewhere]) = (stage.store(), related_ids());
    let (first, second) = (draft("before"), draft("after"));
    store.must_create(&from, &first).await;
    store.must_move(&from, &to, &second, first.stamp).await;
    for expected in [first.stamp, second.stamp] {
        let late = draft("late");
        let saved = store.must_save(&from, &late, expected).await;
        assert_eq!(saved, Saved::Gone, "save under the old id");
        let renamed = store.must_rename(&from, &elsewhere, &late, expected).await;
        assert_eq!(renamed, Saved::Gone, "rename of the old id");
    }
    assert_eq!(
        store.must_touch(&from, hours(1).idle).await,
        None,
        "touch of the old id"
    );
    assert!(
        !store.must_destroy(&from).await,
        "destroy of the old id is false"
    );
    store.must_lack(&from, "it was renamed").await;
    store
        .must_lack(&elsewhere, "there was nothing to rename")
        .await;
    assert_eq!(
        store.must_find(&to).await.data,
        second.data,
        "the session under its new id"
    );
}

pub(super) async fn rename_of_another_stamp_is_a_conflict(stage: Stage) {
    let (store, [from, to]) = (stage.store(), related_ids());
    let (first, second) = (draft("first"), draft("second"));
    store.must_create(&from, &first).await;
    store.must_replace(&from, &second, first.stamp).await;
    let renamed = store
        .must_rename(&from, &to, &draft("late"), first.stamp)
        .await;
    assert_eq!(
        renamed,
        Saved::Conflict,
        "a rename that read an older stamp"
    );
    store.must_lack(&to, "the rename was a conflict").await;
    let found = store.must_find(&from).await;
    assert_eq!(
        (found.data, found.stamp),
        (second.data, second.stamp),
        "the session as it was"
    );
}

pub(super) async fn rename_onto_a_live_session_is_refused(stage: Stage) {
    let (store, [from, to]) = (stage.store(), related_ids());
    let (one, other) = (draft("one"), draft("other").with_owner(owner("other")));
    store.must_create(&from, &one).await;
    store.must_create(&to, &other).await;
    let renamed = store
        .rename(&from, &to, &draft("taken over?"), one.stamp)
        .await;
    assert!(
        matches!(renamed, Err(Error::AlreadyExists)),
        "rename onto a live session must be AlreadyExists, was {renamed:?}"
    );
    let found = store.must_find(&from).await;
    assert_eq!(
        (found.data, found.stamp),
        (one.data, one.stamp),
        "the first, as it was"
    );
    let found = store.must_find(&to).await;
    assert_eq!(
        (found.data, found.stamp),
        (other.data, other.stamp),
        "the other, as it was"
    );
    assert_eq!(found.owner, other.owner, "the other's owner, as it was");
}

pub(super) async fn an_id_may_be_used_again_after_a_rename(stage: Stage) {
    let (store, [here, there]) = (stage.store(), related_ids());
    let mut last = draft("0");
    store.must_create(&here, &last).await;
    for n in 0..6 {
        let (from, to) = if n % 2 == 0 {
            (&here, &there)
        } else {
            (&there, &here)
        };
        let next = draft(&n.to_string());
        store.must_move(from, to, &next, last.stamp).await;
        store.must_lack(from, "it was renamed").await;
        assert_eq!(
            store.must_find(to).await.data,
            next.data,
            "rename {n} back and forth"
        );
        last = next;
    }
    let new = draft("a new session");
    store.must_create(&there, &new).await;
    assert_eq!(
        store.must_find(&there).await.data,
        new.data,
        "created under an old id"
    );
    assert_eq!(
        store.must_find(&here).await.data,
        last.data,
        "the renamed session beside it"
    );
}

pub(super) async fn rename_takes_the_owner_along(stage: Stage) {
    let (store, [from, to]) = (stage.store(), related_ids());
    let (ann, bob) = (owner("ann"), owner("bob"));
    let first = draft("ann's").with_owner(ann.clone());
    store.must_create(&from, &first).await;
    let second = draft("ann's still").with_owner(ann.clone());
    store.must_move(&from, &to, &second, first.stamp).await;
    assert_eq!(
        store.must_own_ids(&ann).await,
        [to.clone()].into(),
        "ann's, by its new id"
    );
    let third = draft("bob's").with_owner(bob.clone());
    store.must_move(&to, &from, &third, second.stamp).await;
    assert!(store.must_own(&ann).await.is_empty(), "ann has none left");
    assert_eq!(
        store.must_own_ids(&bob).await,
        [from].into(),
        "bob's, by its new id"
    );
    assert_eq!(
        store.must_count().await,
        1,
        "one session, whatever it is called"
    );
}
