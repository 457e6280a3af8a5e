//! The moments from which the idle limit, the absolute limit and the age count, through saves.

use session_core::{Anchor, Draft, Lifetime, Saved, Timeout, Ttl};

use crate::Fixture;
use crate::samples::{draft, draft_living, id, ms, secs};
use crate::timing::{
    check_age, check_ttl, invisible, timed, visible, wait_until, with_longer_units,
};

pub(super) async fn save_restarts_the_idle_limit(fixture: Fixture) {
    let store = fixture.store();
    with_longer_units(async |unit| {
        let (id, lifetime) = (id(), Lifetime::idle(2 * unit));
        let first = draft_living("unused so far", lifetime);
        let (_, created) = timed(store.must_create(&id, &first)).await;
        wait_until(created.began + unit).await;
        let what = "before the save";
        visible(&store, &id, created.alive_until(2 * unit), what).await?;
        let second = draft_living("used", lifetime);
        let (saved, save) = timed(store.must_save(&id, &second, first.stamp)).await;
        if save.ended >= created.alive_until(2 * unit) {
            return Err(crate::timing::TooSlow);
        }
        assert!(saved.is_done(), "a save in time, was {saved:?}");
        wait_until(created.dead_from(2 * unit)).await;
        let what = "saved within its idle limit";
        visible(&store, &id, save.alive_until(2 * unit), what).await?;
        invisible(&store, &id, save.dead_from(2 * unit), what).await;
        Ok(())
    })
    .await;
}

pub(super) async fn save_keeps_the_absolute_deadline(fixture: Fixture) {
    let store = fixture.store();
    let (id, limit) = (id(), ms(250));
    let lifetime = Lifetime::new(Timeout::Never, limit);
    let mut last = draft_living("0", lifetime);
    let (_, created) = timed(store.must_create(&id, &last)).await;
    for n in 1..=3 {
        wait_until(created.began + n * ms(40)).await;
        let next = draft_living("saved again", lifetime);
        match store.must_save(&id, &next, last.stamp).await {
            Saved::Done(_) => last = next,
            // On a slow machine the session has already ended.
            Saved::Gone | Saved::Unknown => break,
            other => panic!("no other caller writes this session, its save was {other:?}"),
        }
    }
    let what = "saved thrice, keeping its anchor";
    invisible(&store, &id, created.dead_from(limit), what).await;
}

pub(super) async fn a_saves_absolute_limit_counts_from_the_beginning(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let first = draft_living("first", Lifetime::new(Timeout::Never, secs(60)));
    let (_, created) = timed(store.must_create(&id, &first)).await;
    wait_until(created.ended + ms(50)).await;
    let second = draft_living("second", Lifetime::new(Timeout::Never, secs(90)));
    store.must_replace(&id, &second, first.stamp).await;
    let (found, read) = timed(store.must_find(&id)).await;
    check_ttl(
        found.ttl,
        secs(90),
        created,
        read,
        "90 s from when it began",
    );
}

pub(super) async fn a_restarted_anchor_moves_the_absolute_deadline(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let lifetime = Lifetime::fixed(secs(60));
    let first = draft_living("signed in", lifetime);
    let (_, created) = timed(store.must_create(&id, &first)).await;
    wait_until(created.ended + ms(50)).await;
    let second = draft_living("signed in again", lifetime).with_anchor(Anchor::Restart);
    let (_, saved) = timed(store.must_replace(&id, &second, first.stamp)).await;
    let (found, read) = timed(store.must_find(&id)).await;
    check_ttl(found.ttl, secs(60), saved, read, "60 s from the restart");
    check_age(found.age, saved, read, "the age from the restart");
}

pub(super) async fn create_begins_now_whatever_its_anchor(fixture: Fixture) {
    let store = fixture.store();
    for anchor in [Anchor::Keep, Anchor::Restart] {
        let id = id();
        let draft = draft("new").with_anchor(anchor);
        let (_, created) = timed(store.must_create(&id, &draft)).await;
        let (found, read) = timed(store.must_find(&id)).await;
        check_age(found.age, created, read, "the age of a new session");
    }
}

/// A draft whose absolute limit has passed for a session that began 30 ms ago.
fn overdue() -> Draft {
    draft_living("overdue", Lifetime::fixed(ms(20)))
}

pub(super) async fn a_save_whose_time_is_over_ends_the_session(fixture: Fixture) {
    let (store, id, first) = (fixture.store(), id(), draft("long"));
    let (_, created) = timed(store.must_create(&id, &first)).await;
    wait_until(created.ended + ms(30)).await;
    let overdue = overdue();
    store.must_replace(&id, &overdue, first.stamp).await;
    store
        .must_lack(&id, "its new absolute limit has passed")
        .await;
    let saved = store
        .must_save(&id, &draft("revived?"), overdue.stamp)
        .await;
    assert_eq!(saved, Saved::Gone, "a save after that");
}

pub(super) async fn age_counts_from_the_beginning(fixture: Fixture) {
    let (store, id, first) = (fixture.store(), id(), draft("first"));
    let (_, created) = timed(store.must_create(&id, &first)).await;
    let mut age = ms(0);
    for what in ["after create", "after a touch", "after a save"] {
        wait_until(created.ended + age + ms(20)).await;
        match what {
            "after a touch" => drop(store.must_touch(&id, secs(60)).await),
            "after a save" => drop(store.must_replace(&id, &draft("saved"), first.stamp).await),
            _ => {}
        }
        let (found, read) = timed(store.must_find(&id)).await;
        check_age(found.age, created, read, what);
        assert!(
            found.age >= age,
            "{what} the age went back from {age:?} to {:?}",
            found.age
        );
        age = found.age;
    }
}

pub(super) async fn a_session_may_lose_its_limits_and_get_them_back(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let endless = Lifetime::new(Timeout::Never, Timeout::Never);
    let first = draft("limited");
    let (_, created) = timed(store.must_create(&id, &first)).await;
    let second = draft_living("endless", endless);
    store.must_replace(&id, &second, first.stamp).await;
    let found = store.must_find(&id).await;
    assert_eq!(
        (found.ttl, found.lifetime),
        (Ttl::Never, endless),
        "no limits"
    );
    let third = draft_living("limited", Lifetime::new(Timeout::Never, secs(60)));
    store.must_replace(&id, &third, second.stamp).await;
    let (found, read) = timed(store.must_find(&id)).await;
    check_ttl(
        found.ttl,
        secs(60),
        created,
        read,
        "60 s from when it began",
    );
}
