//! Create, load, save, destroy: one caller, nothing expires.

use session_core::{Error, Saved};

use super::Stage;
use super::fixture::{draft, hours, id, owner, related_ids};

pub(super) async fn a_created_session_is_loaded_as_it_was_created(stage: Stage) {
    let (store, id) = (stage.store(), id());
    let draft = draft("what was created").with_owner(owner("the owner"));
    store.must_create(&id, &draft).await;
    let found = store.must_find(&id).await;
    assert_eq!(found.data, draft.data, "the data as created");
    assert_eq!(found.stamp, draft.stamp, "the stamp as created");
    assert_eq!(found.owner, draft.owner, "the owner as created");
    assert_eq!(found.lifetime, draft.lifetime, "the lifetime as created");
}

pub(super) async fn an_unknown_id_is_absent(stage: Stage) {
    let (store, [unknown, other]) = (stage.store(), related_ids());
    store.must_lack(&unknown, "nobody created it").await;
    assert_eq!(
        store.must_touch(&unknown, hours(1).idle).await,
        None,
        "touch"
    );
    assert!(
        !store.must_destroy(&unknown).await,
        "destroy of an unknown id is false"
    );
    let draft = draft("adopted?");
    let expected = super::fixture::draft("").stamp;
    let saved = store.must_save(&unknown, &draft, expected).await;
    assert_eq!(saved, Saved::Gone, "save of an unknown id");
    let renamed = store.must_rename(&unknown, &other, &draft, expected).await;
    assert_eq!(renamed, Saved::Gone, "rename of an unknown id");
}

pub(super) async fn create_never_overwrites(stage: Stage) {
    let (store, id) = (stage.store(), id());
    let first = draft("the first").with_owner(owner("first"));
    store.must_create(&id, &first).await;
    let second = draft("the second").with_owner(owner("second"));
    let created = store.create(&id, &second).await;
    assert!(
        matches!(created, Err(Error::AlreadyExists)),
        "create on a live id must be AlreadyExists, was {created:?}"
    );
    let found = store.must_find(&id).await;
    assert_eq!(
        found.data, first.data,
        "the first session's data, untouched"
    );
    assert_eq!(
        found.stamp, first.stamp,
        "the first session's stamp, untouched"
    );
    assert_eq!(
        found.owner, first.owner,
        "the first session's owner, untouched"
    );
}

pub(super) async fn save_replaces_everything(stage: Stage) {
    let (store, id) = (stage.store(), id());
    let first = draft("before").with_owner(owner("before"));
    store.must_create(&id, &first).await;
    let mut second = draft("after").with_owner(owner("after"));
    second.lifetime = hours(2);
    store.must_replace(&id, &second, first.stamp).await;
    let found = store.must_find(&id).await;
    assert_eq!(found.data, second.data, "the data of the save");
    assert_eq!(found.stamp, second.stamp, "the stamp of the save");
    assert_eq!(found.owner, second.owner, "the owner of the save");
    assert_eq!(found.lifetime, second.lifetime, "the lifetime of the save");
    let third = draft("nobody's");
    store.must_replace(&id, &third, second.stamp).await;
    assert_eq!(
        store.must_find(&id).await.owner,
        None,
        "a save without an owner takes it away"
    );
}

pub(super) async fn save_of_another_stamp_is_a_conflict(stage: Stage) {
    let (store, id) = (stage.store(), id());
    let (first, second) = (draft("first"), draft("second"));
    store.must_create(&id, &first).await;
    store.must_replace(&id, &second, first.stamp).await;
    let late = draft("from an old read").with_owner(owner("late"));
    let saved = store.must_save(&id, &late, first.stamp).await;
    assert_eq!(saved, Saved::Conflict, "a save that read an older stamp");
    let found = store.must_find(&id).await;
    assert_eq!(
        (found.data, found.stamp),
        (second.data, second.stamp),
        "the session as it was"
    );
    assert_eq!(found.owner, None, "the owner as it was");
}

pub(super) async fn destroy_ends_the_session(stage: Stage) {
    let (store, [id, to]) = (stage.store(), related_ids());
    let first = draft("to be ended");
    store.must_create(&id, &first).await;
    assert!(
        store.must_destroy(&id).await,
        "destroy of a live session is true"
    );
    assert!(!store.must_destroy(&id).await, "a second destroy is false");
    store.must_lack(&id, "it was destroyed").await;
    let next = draft("afterwards");
    let saved = store.must_save(&id, &next, first.stamp).await;
    assert_eq!(saved, Saved::Gone, "save after destroy");
    let renamed = store.must_rename(&id, &to, &next, first.stamp).await;
    assert_eq!(renamed, Saved::Gone, "rename after destroy");
    assert_eq!(
        store.must_touch(&id, hours(1).idle).await,
        None,
        "touch after destroy"
    );
    store.must_lack(&id, "it was destroyed").await;
    store
        .must_lack(&to, "what was to become it was destroyed")
        .await;
}
