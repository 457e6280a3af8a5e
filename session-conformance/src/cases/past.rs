//! Sessions that began in another store: a create continues their age and what was left to them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use session_core::{Anchor, Draft, Lifetime, Past, Timeout, Ttl};

use crate::Fixture;
use crate::samples::{credential, description, draft, draft_living, id, ms, owner, secs};
use crate::timing::{Span, check_age, check_ttl, invisible, timed, wait_until};

/// Of a session with this age and remaining time.
fn past(age: Duration, left: impl Into<Option<Duration>>) -> Past {
    let left = left.into().map_or(Ttl::Never, Ttl::Left);
    Past::new(age, left, Instant::now())
}

/// How much older than it is a session may seem: an age is rounded up, and so is what a client knows
/// of the server's clock.
const OLDER: Duration = ms(5);

/// The call that would have begun a session, which `created` has created with this age.
fn begun(created: Span, age: Duration) -> Span {
    let before = |moment: Instant, age| moment.checked_sub(age);
    let span = before(created.began, age + OLDER).zip(before(created.ended, age));
    let (began, ended) = span.expect("the machine runs for longer than a session's age here");
    Span { began, ended }
}

pub(super) async fn a_create_continues_the_past_of_a_session(fixture: Fixture) {
    let store = fixture.store();
    let lifetime = Lifetime::new(secs(3_600), secs(7_200));
    for (age, left) in [
        (secs(40), secs(20)),
        (ms(0), secs(3_600)),
        (secs(9), ms(5_001)),
    ] {
        let id = id();
        let draft = draft_living("copied", lifetime)
            .with_owner(owner("copied"))
            .with_credential(credential(b"copied"))
            .with_past(past(age, left));
        let (_, created) = timed(store.must_create(&id, &draft)).await;
        let (found, read) = timed(store.must_find(&id)).await;
        check_age(found.age, begun(created, age), read, "of a copy");
        check_ttl(found.ttl, left, begun(created, ms(0)), read, "of a copy");
        assert_eq!(found.lifetime, lifetime, "the limits of a copy");
        let kept = (found.version.stamp(), &found.owner, &found.credential);
        assert_eq!(kept, (draft.stamp, &draft.owner, &draft.credential));
    }
}

/// `Draft::continuing` of what one store gives, created in it under another id.
pub(super) async fn a_copied_record_is_the_same_session(fixture: Fixture) {
    let (store, first, second) = (fixture.store(), id(), id());
    let original = draft_living("original", Lifetime::new(secs(60), Timeout::Never))
        .with_owner(owner("original"))
        .with_credential(credential(b"original"));
    let described = store.capabilities().descriptions;
    let original = original.with_description(described.then(|| description(b"laptop")).flatten());
    let (_, created) = timed(store.must_create(&first, &original)).await;
    wait_until(created.ended + ms(30)).await;
    let (record, asked) = timed(store.must_find(&first)).await;
    wait_until(Instant::now() + ms(30)).await;
    let draft = Draft::continuing(&record, asked.began);
    let (_, copied) = timed(store.must_create(&second, &draft)).await;
    let (copy, read) = timed(store.must_find(&second)).await;
    // A load's way counts twice, and a create's way not at all.
    let began = begun(created, asked.ended - asked.began).began;
    let ended = created.ended + (copied.ended - copied.began);
    let begun = Span { began, ended };
    check_age(copy.age, begun, read, "of the copy");
    check_ttl(copy.ttl, secs(60), begun, read, "of the copy");
    let mut expected = record.clone();
    (expected.age, expected.ttl) = (copy.age, copy.ttl);
    expected.is_copy = copy.is_copy;
    assert_eq!(copy, expected, "but for its times");
}

pub(super) async fn a_continued_session_ends_at_its_absolute_limit(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let (age, limit) = (secs(30), secs(30) + ms(300));
    let lifetime = Lifetime::new(Timeout::Never, limit);
    // What is left is said wrongly: the absolute limit counts all the same.
    let draft = draft_living("copied", lifetime).with_past(past(age, None));
    let (_, created) = timed(store.must_create(&id, &draft)).await;
    store.must_touch(&id, secs(60)).await;
    let saved = draft_living("saved", lifetime);
    drop(store.must_save(&id, &saved, draft.stamp).await);
    let what = "of 300 ms left, touched and saved";
    invisible(&store, &id, created.dead_from(ms(300)), what).await;
}

pub(super) async fn a_continued_session_may_have_no_limits(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let endless = Lifetime::new(Timeout::Never, Timeout::Never);
    let draft = draft_living("copied", endless).with_past(past(secs(20), None));
    let (_, created) = timed(store.must_create(&id, &draft)).await;
    let (found, read) = timed(store.must_find(&id)).await;
    assert_eq!((found.ttl, found.lifetime), (Ttl::Never, endless));
    check_age(found.age, begun(created, secs(20)), read, "without limits");
}

pub(super) async fn a_session_whose_time_has_passed_is_not_copied_alive(fixture: Fixture) {
    let store = fixture.store();
    for (lifetime, past) in [
        (Lifetime::idle(secs(60)), past(secs(70), ms(0))),
        (Lifetime::fixed(secs(60)), past(secs(60), secs(60))),
    ] {
        let id = id();
        let draft = draft_living("too late", lifetime)
            .with_owner(owner("too late"))
            .with_past(past);
        drop(store.create(&id, &draft).await);
        store.must_lack(&id, "its time had passed before").await;
        let found = store.must_touch(&id, secs(60)).await;
        assert_eq!(found, None, "a touch of what has ended");
    }
}

pub(super) async fn a_repeated_create_of_a_continued_session_succeeds(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let draft = draft("copied").with_past(past(secs(40), secs(20)));
    let (_, created) = timed(store.must_create(&id, &draft)).await;
    wait_until(created.ended + ms(20)).await;
    store.must_create(&id, &draft).await;
    let (found, read) = timed(store.must_find(&id)).await;
    check_age(found.age, begun(created, secs(40)), read, "created twice");
    check_ttl(
        found.ttl,
        secs(20),
        begun(created, ms(0)),
        read,
        "created twice",
    );
}

pub(super) async fn a_sign_in_restarts_the_age_of_a_continued_session(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let first = draft("copied").with_past(past(secs(40), secs(20)));
    store.must_create(&id, &first).await;
    let second = draft("signed in").with_anchor(Anchor::Restart);
    let (_, saved) = timed(store.must_replace(&id, &second, first.stamp)).await;
    let (found, read) = timed(store.must_find(&id)).await;
    check_age(found.age, saved, read, "after a sign-in");
}

/// Stores create several at once.
pub(super) async fn pasts_are_not_mixed_up(fixture: Fixture) {
    let store = fixture.store();
    let creates = join_all((0..64_u64).map(async |n| {
        let (id, age) = (id(), secs(n));
        let draft = draft("many");
        let draft = match n {
            0 => draft,
            n => draft.with_past(past(age, secs(1_000 + n))),
        };
        let (_, created) = timed(store.must_create(&id, &draft)).await;
        (id, age, created)
    }));
    for (id, age, created) in creates.await {
        let (found, read) = timed(store.must_find(&id)).await;
        // They differ by a second, and a busy machine knows the server's clock less well.
        let about = |span: Span| Span {
            began: begun(span, ms(300)).began,
            ended: span.ended,
        };
        check_age(found.age, about(begun(created, age)), read, "one of many");
        let left = match age {
            Duration::ZERO => secs(3_600),
            age => secs(1_000) + age,
        };
        check_ttl(found.ttl, left, about(created), read, "one of many");
    }
}
