//! Create, load and save by one caller, without expiry.

use session_core::Saved;

use crate::Fixture;
use crate::samples::{credential, draft, hours, id, owner};

pub(super) async fn a_created_session_is_loaded_as_it_was_created(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let draft = draft("what was created")
        .with_owner(owner("the owner"))
        .with_credential(credential(b"the credential"));
    store.must_create(&id, &draft).await;
    store.must_be(&id, &draft, "as created").await;
}

pub(super) async fn an_unknown_id_is_absent(fixture: Fixture) {
    let (store, unknown) = (fixture.store(), id());
    let never = draft("");
    store.must_lack(&unknown, "it was never created").await;
    assert_eq!(
        store.must_touch(&unknown, hours(1).idle).await,
        None,
        "touch of an unknown id"
    );
    let destroyed = [
        store.must_destroy(&unknown).await,
        store.must_destroy_version(&unknown, never.stamp).await,
    ];
    assert_eq!(destroyed, [None, None], "destroy of an unknown id");
    let saved = store
        .must_save(&unknown, &draft("adopted?"), never.stamp)
        .await;
    assert_eq!(saved, Saved::Gone, "save of an unknown id");
    store.must_lack(&unknown, "it was never created").await;
}

pub(super) async fn create_never_overwrites(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let first = draft("the first").with_owner(owner("first"));
    store.must_create(&id, &first).await;
    let second = draft("the second").with_owner(owner("second"));
    let created = store.create(&id, &second).await.expect("create failed");
    assert_eq!(created, Saved::Conflict, "create of an id that is taken");
    store.must_be(&id, &first, "after a create of its id").await;
}

pub(super) async fn save_replaces_everything(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let first = draft("before")
        .with_owner(owner("before"))
        .with_credential(credential(b"before"));
    store.must_create(&id, &first).await;
    let mut second = draft("after")
        .with_owner(owner("after"))
        .with_credential(credential(b"after"));
    second.lifetime = hours(2);
    store.must_replace(&id, &second, first.stamp).await;
    store.must_be(&id, &second, "as saved").await;
    let third = draft("without owner");
    store.must_replace(&id, &third, second.stamp).await;
    store
        .must_be(&id, &third, "saved without owner and credential")
        .await;
}

pub(super) async fn save_of_another_version_is_a_conflict(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let (first, second) = (draft("first"), draft("second"));
    let old = store.must_create(&id, &first).await;
    let read = store.must_find(&id).await.version;
    store.must_replace(&id, &second, read.clone()).await;
    let late = draft("from an old read").with_owner(owner("late"));
    for version in [old, read, first.stamp.into(), late.stamp.into()] {
        let unlike = draft("from an old read").with_owner(owner("late"));
        let saved = store.must_save(&id, &unlike, version).await;
        assert_eq!(saved, Saved::Conflict, "a save of another version");
        store.must_be(&id, &second, "after a conflict").await;
    }
}

/// The version of a load, the version of the write, and the stamp alone are equally good.
pub(super) async fn a_version_from_any_source_is_equally_good(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let mut last = draft("0");
    let mut version = store.must_create(&id, &last).await;
    for n in 1..=9 {
        store.must_touch(&id, hours(2).idle).await;
        let loaded = store.must_find(&id).await.version;
        let named = match n % 3 {
            0 => last.stamp.into(),
            1 => version,
            _ => loaded,
        };
        let next = draft(&n.to_string());
        version = store.must_replace(&id, &next, named).await;
        store.must_be(&id, &next, "as saved").await;
        last = next;
    }
}
