//! Destroy: what it ends, what it returns, and that the session stays ended.

use session_core::{Anchor, Ended, Lifetime, Saved, SessionId, Version};

use crate::Fixture;
use crate::checked::CheckedStore;
use crate::samples::{draft, draft_living, hours, id, ms, owner, secs};
use crate::timing::{Span, check_age, timed, wait_until};

pub(super) async fn destroy_ends_the_session(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let first = draft("to be ended");
    store.must_create(&id, &first).await;
    store.must_end(&id).await;
    store.must_lack(&id, "it was destroyed").await;
    let again = store.must_destroy(&id).await;
    assert_eq!(again, None, "a second destroy finds none");
    let saved = store.must_save(&id, &draft("late"), first.stamp).await;
    assert_eq!(saved, Saved::Gone, "save after destroy");
    let touched = store.must_touch(&id, hours(1).idle).await;
    assert_eq!(touched, None, "touch after destroy");
    store.must_lack(&id, "it was destroyed").await;
}

/// Checks what a destroy returns for a session whose age counts from `began`.
fn check_ended(ended: &Ended, whose: Option<&str>, began: Span, read: Span, what: &str) {
    let returned = ended.owner.as_ref().map(|owner| owner.as_str());
    assert_eq!(returned, whose, "{what}: the owner returned");
    let age = ended.age;
    let age = age.unwrap_or_else(|| panic!("{what}: the age is known, but destroy returned none"));
    check_age(age, began, read, what);
}

pub(super) async fn destroy_returns_owner_and_age(fixture: Fixture) {
    let store = fixture.store();
    for (named, what) in [(false, "destroyed"), (true, "destroyed by its version")] {
        for whose in [None, Some("ann")] {
            let (id, first) = (id(), draft("first").with_owner(owner("before")));
            let (_, created) = timed(store.must_create(&id, &first)).await;
            wait_until(created.ended + ms(20)).await;
            let saved = draft("saved").with_owner(whose.map(owner));
            store.must_replace(&id, &saved, first.stamp).await;
            let (ended, read) = timed(async {
                match named {
                    false => store.must_destroy(&id).await,
                    true => store.must_destroy_version(&id, saved.stamp).await,
                }
            })
            .await;
            let ended = ended.expect("a live session is ended");
            check_ended(&ended, whose, created, read, what);
        }
    }
    let (id, first) = (id(), draft("first"));
    let (_, created) = timed(store.must_create(&id, &first)).await;
    wait_until(created.ended + ms(20)).await;
    let second = draft("signed in").with_anchor(Anchor::Restart);
    let (_, saved) = timed(store.must_replace(&id, &second, first.stamp)).await;
    let (ended, read) = timed(store.must_end(&id)).await;
    check_ended(&ended, None, saved, read, "destroyed after a sign-in");
}

/// A session that was written three times, and its versions: those that were replaced as loads,
/// writes and stamps give them, and the present one.
async fn written_thrice(store: &CheckedStore, id: &SessionId) -> (Vec<Version>, Version) {
    let mut last = draft("0");
    let mut version = store.must_create(id, &last).await;
    let mut replaced = Vec::new();
    for n in 1..=3 {
        let loaded = store.must_find(id).await.version;
        replaced.extend([version, loaded.clone(), last.stamp.into()]);
        let next = draft(&n.to_string());
        version = store.must_replace(id, &next, loaded).await;
        last = next;
    }
    store.must_be(id, &last, "as saved").await;
    (replaced, version)
}

pub(super) async fn destroy_of_another_version_ends_nothing(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let (replaced, _) = written_thrice(&store, &id).await;
    let never = draft("").stamp.into();
    for other in replaced.into_iter().chain([never]) {
        let ended = store.must_destroy_version(&id, other).await;
        assert_eq!(ended, None, "destroy of another version");
        let found = store.must_find(&id).await;
        assert_eq!(found.data, "3", "the session as it was");
    }
}

pub(super) async fn destroy_of_the_version_in_place_ends_it(fixture: Fixture) {
    let store = fixture.store();
    for from in ["the save", "a load", "its stamp"] {
        let id = id();
        let (_, saved) = written_thrice(&store, &id).await;
        // A touch keeps the version.
        store.must_touch(&id, hours(2).idle).await;
        let named = match from {
            "the save" => saved,
            "a load" => store.must_find(&id).await.version,
            _ => saved.stamp().into(),
        };
        let ended = store.must_destroy_version(&id, named.clone()).await;
        assert!(
            ended.is_some(),
            "destroy of the version in place, by {from}"
        );
        store.must_lack(&id, "its version was destroyed").await;
        let again = store.must_destroy_version(&id, named).await;
        assert_eq!(again, None, "a second destroy of the version finds none");
    }
}

pub(super) async fn destroy_of_an_expired_session_finds_none(fixture: Fixture) {
    let (store, id, limit) = (fixture.store(), id(), ms(5));
    let brief = draft_living("over", Lifetime::fixed(limit));
    let (_, written) = timed(store.must_create(&id, &brief)).await;
    wait_until(written.dead_from(limit)).await;
    let ended = store.must_destroy_version(&id, brief.stamp).await;
    assert_eq!(ended, None, "destroy of a version after the deadline");
    let ended = store.must_destroy(&id).await;
    assert_eq!(ended, None, "destroy after the deadline");
}

pub(super) async fn a_destroyed_id_stays_absent_for_every_version(fixture: Fixture) {
    let (store, other) = (fixture.store(), fixture.instance().await);
    for named in [false, true] {
        let id = id();
        let (mut versions, last) = written_thrice(&store, &id).await;
        versions.push(store.must_find(&id).await.version);
        versions.push(last.clone());
        let ended = match named {
            false => store.must_destroy(&id).await,
            true => store.must_destroy_version(&id, last).await,
        };
        assert!(ended.is_some(), "destroy of a live session");
        for version in versions {
            let late = draft_living("late", Lifetime::idle(secs(60)));
            for store in [&store, &other] {
                let saved = store.must_save(&id, &late, version.clone()).await;
                assert_eq!(saved, Saved::Gone, "a save of {version:?} after destroy");
                let ended = store.must_destroy_version(&id, version.clone()).await;
                assert_eq!(ended, None, "a destroy of {version:?} after destroy");
                store.must_lack(&id, "it was destroyed").await;
            }
        }
    }
}
