//! A write sent again, as after a broken connection: the draft's own stamp tells that it happened.

use session_core::{Anchor, Draft, Error, Record, Saved};

use super::Stage;
use super::crowd::in_parallel;
use super::fixture::{draft, hours, id, ms, owner, related_ids, secs};
use super::timing::{Span, check_age, check_ttl, timed, wait_until};

/// How often writes are sent twice at the same moment.
const ROUNDS: usize = 40;

pub(super) async fn a_repeated_create_succeeds(stage: Stage) {
    let (store, again, id) = (stage.store(), stage.instance().await, id());
    let draft = draft("created once").with_owner(owner("somebody"));
    store.must_create(&id, &draft).await;
    store.must_create(&id, &draft).await;
    store.must_touch(&id, hours(2).idle).await;
    again.must_create(&id, &draft).await;
    let found = store.must_find(&id).await;
    assert_eq!(
        (found.data, found.stamp),
        (draft.data, draft.stamp),
        "the session as created"
    );
}

pub(super) async fn a_repeated_create_does_not_undo_a_save(stage: Stage) {
    let (store, id) = (stage.store(), id());
    let (first, second) = (draft("created"), draft("saved"));
    store.must_create(&id, &first).await;
    store.must_replace(&id, &second, first.stamp).await;
    let created = store.create(&id, &first).await;
    assert!(
        matches!(created, Err(Error::AlreadyExists)),
        "a create repeated after a save must be AlreadyExists, was {created:?}"
    );
    assert_eq!(
        store.must_find(&id).await.data,
        second.data,
        "the data of the save"
    );
}

pub(super) async fn a_repeated_save_succeeds(stage: Stage) {
    let (store, again, id) = (stage.store(), stage.instance().await, id());
    let (first, second) = (draft("created"), draft("saved once"));
    store.must_create(&id, &first).await;
    store.must_replace(&id, &second, first.stamp).await;
    store.must_replace(&id, &second, first.stamp).await;
    store.must_touch(&id, hours(2).idle).await;
    again.must_replace(&id, &second, first.stamp).await;
    let found = store.must_find(&id).await;
    assert_eq!(
        (found.data, found.stamp),
        (second.data, second.stamp),
        "the session as saved"
    );
}

pub(super) async fn a_repeated_save_does_not_undo_another(stage: Stage) {
    let (store, id) = (stage.store(), id());
    let (first, second, third) = (draft("created"), draft("saved"), draft("by another"));
    store.must_create(&id, &first).await;
    store.must_replace(&id, &second, first.stamp).await;
    store.must_replace(&id, &third, second.stamp).await;
    let saved = store.must_save(&id, &second, first.stamp).await;
    assert_eq!(saved, Saved::Conflict, "a save repeated after another's");
    assert_eq!(
        store.must_find(&id).await.data,
        third.data,
        "the data of the other save"
    );
}

pub(super) async fn a_save_repeated_after_destroy_is_gone(stage: Stage) {
    let (store, id) = (stage.store(), id());
    let (first, second) = (draft("created"), draft("saved"));
    store.must_create(&id, &first).await;
    store.must_replace(&id, &second, first.stamp).await;
    store.must_destroy(&id).await;
    let saved = store.must_save(&id, &second, first.stamp).await;
    assert_eq!(saved, Saved::Gone, "a save repeated after destroy");
    store.must_lack(&id, "it was destroyed").await;
}

pub(super) async fn a_repeated_rename_succeeds(stage: Stage) {
    let (store, again, [from, to]) = (stage.store(), stage.instance().await, related_ids());
    let (first, second) = (draft("created"), draft("renamed once"));
    store.must_create(&from, &first).await;
    store.must_move(&from, &to, &second, first.stamp).await;
    store.must_move(&from, &to, &second, first.stamp).await;
    store.must_touch(&to, hours(2).idle).await;
    again.must_move(&from, &to, &second, first.stamp).await;
    store.must_lack(&from, "it was renamed").await;
    let found = store.must_find(&to).await;
    assert_eq!(
        (found.data, found.stamp),
        (second.data, second.stamp),
        "the session as renamed"
    );
}

pub(super) async fn a_rename_repeated_after_destroy_is_gone(stage: Stage) {
    let (store, [from, to]) = (stage.store(), related_ids());
    let (first, second) = (draft("created"), draft("renamed"));
    store.must_create(&from, &first).await;
    store.must_move(&from, &to, &second, first.stamp).await;
    store.must_destroy(&to).await;
    let renamed = store.must_rename(&from, &to, &second, first.stamp).await;
    assert_eq!(renamed, Saved::Gone, "a rename repeated after destroy");
    store
        .must_lack(&from, "it was renamed, then destroyed")
        .await;
    store.must_lack(&to, "it was destroyed").await;
}

/// Writes a session by create, save and rename, has it touched, sends each write again, and hands
/// over what is then there, with what is expected: only the touch is to be seen.
async fn repeat_after_a_touch(stage: Stage, check: impl Fn(&Record, Touched)) {
    let (store, [from, to]) = (stage.store(), related_ids());
    let anew = |data| draft(data).with_anchor(Anchor::Restart);
    let (first, second, third) = (anew("created"), anew("saved"), anew("renamed"));
    let writes = [
        (Write::Create, &from, &first),
        (Write::Save(&first), &from, &second),
        (Write::Rename(&second), &to, &third),
    ];
    for (write, id, draft) in writes {
        let send = async || match write {
            Write::Create => store.must_create(&from, draft).await,
            Write::Save(before) => store.must_replace(&from, draft, before.stamp).await,
            Write::Rename(before) => store.must_move(&from, &to, draft, before.stamp).await,
        };
        let ((), written) = timed(send()).await;
        let (_, touched) = timed(store.must_touch(id, hours(3).idle)).await;
        wait_until(touched.ended + ms(50)).await;
        send().await;
        let (found, read) = timed(store.must_find(id)).await;
        let what = format!("{}, touched, and sent again", write.name());
        let spans = [written, touched, read];
        check(&found, Touched { what, spans });
    }
}

/// A write, and what it is written over.
#[derive(Clone, Copy)]
enum Write<'d> {
    Create,
    Save(&'d Draft),
    Rename(&'d Draft),
}

impl Write<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Save(_) => "saved",
            Self::Rename(_) => "renamed",
        }
    }
}

/// A session that was written, touched and read, in these spans of time.
struct Touched {
    what: String,
    spans: [Span; 3],
}

pub(super) async fn a_repeated_write_does_not_undo_a_touch(stage: Stage) {
    repeat_after_a_touch(stage, |found, Touched { what, spans }| {
        let [_, touched, read] = spans;
        check_ttl(found.ttl, secs(3 * 3600), touched, read, &what);
    })
    .await;
}

pub(super) async fn a_repeated_write_does_not_begin_anew(stage: Stage) {
    repeat_after_a_touch(stage, |found, Touched { what, spans }| {
        let [written, _, read] = spans;
        check_age(found.age, written, read, &what);
    })
    .await;
}

pub(super) async fn a_write_sent_twice_at_once_succeeds_twice(stage: Stage) {
    let stores = [stage.store(), stage.instance().await];
    for _ in 0..ROUNDS {
        let [from, to] = related_ids();
        let (first, second, third) = (draft("created"), draft("saved"), draft("renamed"));
        let senders = stores.clone();
        let (there, draft) = (from.clone(), first.clone());
        in_parallel(2, move |n| {
            let (store, id, draft) = (senders[n].clone(), there.clone(), draft.clone());
            async move { store.must_create(&id, &draft).await }
        })
        .await;
        let senders = stores.clone();
        let (there, draft, expected) = (from.clone(), second.clone(), first.stamp);
        in_parallel(2, move |n| {
            let (store, id, draft) = (senders[n].clone(), there.clone(), draft.clone());
            async move { store.must_replace(&id, &draft, expected).await }
        })
        .await;
        let senders = stores.clone();
        let (old, new, draft, expected) = (from.clone(), to.clone(), third.clone(), second.stamp);
        in_parallel(2, move |n| {
            let (store, draft) = (senders[n].clone(), draft.clone());
            let (from, to) = (old.clone(), new.clone());
            async move { store.must_move(&from, &to, &draft, expected).await }
        })
        .await;
        stores[0].must_lack(&from, "it was renamed").await;
        let found = stores[0].must_find(&to).await;
        assert_eq!(
            (found.data, found.stamp),
            (third.data, third.stamp),
            "the last write"
        );
    }
}
