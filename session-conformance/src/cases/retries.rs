//! Repeated writes, as after a broken connection: the draft's own stamp shows whether it was done.

use session_core::{Anchor, Draft, Record, Saved};

use crate::Fixture;
use crate::concurrent::in_parallel;
use crate::samples::{credential, draft, hours, id, ms, owner, secs};
use crate::timing::{Span, check_age, check_ttl, timed, wait_until};

/// How often writes are sent twice concurrently.
const ROUNDS: usize = 40;

/// A draft with an owner and a credential.
fn whole(data: &str) -> Draft {
    draft(data)
        .with_owner(owner(&format!("who {data}")))
        .with_credential(credential(data.as_bytes()))
}

pub(super) async fn a_repeated_create_succeeds(fixture: Fixture) {
    let (store, again, id) = (fixture.store(), fixture.instance().await, id());
    let draft = whole("created once");
    store.must_create(&id, &draft).await;
    store.must_create(&id, &draft).await;
    store.must_touch(&id, hours(2).idle).await;
    again.must_create(&id, &draft).await;
    store.must_be(&id, &draft, "created thrice").await;
}

pub(super) async fn a_repeated_create_does_not_undo_a_save(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let (first, second) = (whole("created"), whole("saved"));
    store.must_create(&id, &first).await;
    store.must_replace(&id, &second, first.stamp).await;
    let created = store.create(&id, &first).await.expect("create failed");
    check_overtaken(&created, "a create repeated after a save");
    store
        .must_be(&id, &second, "after the repeated create")
        .await;
}

/// Checks the outcome of a repeated write that was done and then replaced by another. `Done` would
/// mean that it is still stored. A store may know that it was done, but need not.
fn check_overtaken(saved: &Saved, what: &str) {
    assert!(
        matches!(saved, Saved::Conflict | Saved::Unknown),
        "{what} was overtaken, which is Conflict or Unknown, and was {saved:?}"
    );
}

pub(super) async fn a_repeated_save_succeeds(fixture: Fixture) {
    let (store, again, id) = (fixture.store(), fixture.instance().await, id());
    let (first, second) = (whole("created"), whole("saved once"));
    let created = store.must_create(&id, &first).await;
    store.must_replace(&id, &second, created.clone()).await;
    store.must_replace(&id, &second, first.stamp).await;
    store.must_touch(&id, hours(2).idle).await;
    again.must_replace(&id, &second, created).await;
    store.must_be(&id, &second, "saved thrice").await;
}

pub(super) async fn a_repeated_save_does_not_undo_another(fixture: Fixture) {
    let (store, other, id) = (fixture.store(), fixture.instance().await, id());
    let first = whole("created");
    let created = store.must_create(&id, &first).await;
    let lost = whole("saved, and the answer lost");
    let saved = store.must_replace(&id, &lost, created.clone()).await;
    let mut last = (lost.clone(), saved);
    for n in 0..3 {
        let theirs = whole(&format!("by another, {n}"));
        let version = other.must_replace(&id, &theirs, last.1).await;
        let (_, touched) = timed(other.must_touch(&id, hours(3).idle)).await;
        for expected in [created.clone(), first.stamp.into()] {
            let again = store.must_save(&id, &lost, expected).await;
            check_overtaken(&again, "a save repeated after another's");
            store.must_be(&id, &theirs, "after the repeated save").await;
        }
        let (found, read) = timed(store.must_find(&id)).await;
        check_ttl(found.ttl, secs(3 * 3_600), touched, read, "as touched");
        last = (theirs, version);
    }
}

pub(super) async fn a_save_repeated_after_destroy_is_gone(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let (first, second) = (draft("created"), draft("saved"));
    store.must_create(&id, &first).await;
    store.must_replace(&id, &second, first.stamp).await;
    store.must_end(&id).await;
    let saved = store.must_save(&id, &second, first.stamp).await;
    assert_eq!(saved, Saved::Gone, "a save repeated after destroy");
    store.must_lack(&id, "it was destroyed").await;
}

/// Creates and saves a session, touches it after each write, repeats the write, and calls `check`
/// with the record, which must show only the touch.
async fn repeat_after_a_touch(fixture: Fixture, check: impl Fn(&Record, Touched)) {
    let (store, id) = (fixture.store(), id());
    let anew = |data| draft(data).with_anchor(Anchor::Restart);
    let (first, second) = (anew("created"), anew("saved"));
    for (what, draft) in [("created", &first), ("saved", &second)] {
        let send = async || match what {
            "created" => store.must_create(&id, draft).await,
            _ => store.must_replace(&id, draft, first.stamp).await,
        };
        let (_, written) = timed(send()).await;
        let (_, touched) = timed(store.must_touch(&id, hours(3).idle)).await;
        wait_until(touched.ended + ms(50)).await;
        send().await;
        let (found, read) = timed(store.must_find(&id)).await;
        let what = format!("{what}, touched, and sent again");
        let spans = [written, touched, read];
        check(&found, Touched { what, spans });
    }
}

/// The spans of the write, the touch and the read of a session.
struct Touched {
    what: String,
    spans: [Span; 3],
}

pub(super) async fn a_repeated_write_does_not_undo_a_touch(fixture: Fixture) {
    repeat_after_a_touch(fixture, |found, Touched { what, spans }| {
        let [_, touched, read] = spans;
        check_ttl(found.ttl, secs(3 * 3600), touched, read, &what);
    })
    .await;
}

pub(super) async fn a_repeated_write_does_not_restart_the_age(fixture: Fixture) {
    repeat_after_a_touch(fixture, |found, Touched { what, spans }| {
        let [written, _, read] = spans;
        check_age(found.age, written, read, &what);
    })
    .await;
}

pub(super) async fn a_write_sent_twice_at_once_succeeds_twice(fixture: Fixture) {
    let stores = [fixture.store(), fixture.instance().await];
    for _ in 0..ROUNDS {
        let (id, first, second) = (id(), whole("created"), whole("saved"));
        let (senders, there, draft) = (stores.clone(), id.clone(), first.clone());
        in_parallel(2, move |n| {
            let (store, id, draft) = (senders[n].clone(), there.clone(), draft.clone());
            async move { store.must_create(&id, &draft).await }
        })
        .await;
        let (senders, there, draft) = (stores.clone(), id.clone(), second.clone());
        in_parallel(2, move |n| {
            let (store, id, draft) = (senders[n].clone(), there.clone(), draft.clone());
            async move { store.must_replace(&id, &draft, first.stamp).await }
        })
        .await;
        stores[0].must_be(&id, &second, "the last write").await;
    }
}
