//! Touch: it extends the deadline, at most to the absolute limit, and changes nothing else.

use session_core::{Lifetime, Timeout, Ttl};

use crate::Fixture;
use crate::samples::{draft, draft_living, hours, id, ms, owner, secs};
use crate::timing::{TooSlow, check_ttl, invisible, timed, visible, wait_until, with_longer_units};

pub(super) async fn touch_extends_the_idle_limit(fixture: Fixture) {
    let store = fixture.store();
    with_longer_units(async |unit| {
        let (id, limit) = (id(), 2 * unit);
        let draft = draft_living("in use", Lifetime::idle(limit));
        let (_, created) = timed(store.must_create(&id, &draft)).await;
        wait_until(created.began + unit).await;
        let (ttl, touched) = timed(store.must_touch(&id, limit)).await;
        if touched.ended >= created.alive_until(limit) {
            return Err(TooSlow);
        }
        assert!(ttl.is_some(), "a touch in time finds the session");
        wait_until(created.dead_from(limit)).await;
        let what = "touched within its idle limit";
        visible(&store, &id, touched.alive_until(limit), what).await?;
        invisible(&store, &id, touched.dead_from(limit), what).await;
        Ok(())
    })
    .await;
}

pub(super) async fn touch_returns_the_time_left(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let draft = draft_living("in use", Lifetime::new(secs(60), secs(600)));
    let (_, created) = timed(store.must_create(&id, &draft)).await;
    for idle in [secs(60), secs(120), ms(180_001)] {
        let (ttl, touched) = timed(store.must_touch(&id, idle)).await;
        let ttl = ttl.expect("a live session can be touched");
        check_ttl(ttl, idle, touched, touched, "returned by touch");
        let (found, read) = timed(store.must_find(&id)).await;
        check_ttl(found.ttl, idle, touched, read, "loaded after the touch");
    }
    let (ttl, touched) = timed(store.must_touch(&id, secs(3600))).await;
    let ttl = ttl.expect("a live session can be touched");
    check_ttl(
        ttl,
        secs(600),
        created,
        touched,
        "returned by a touch past the absolute limit",
    );
}

pub(super) async fn touch_never_passes_the_absolute_deadline(fixture: Fixture) {
    let (store, limit) = (fixture.store(), ms(150));
    for idle in [Timeout::After(secs(60)), Timeout::Never] {
        let id = id();
        let draft = draft_living("in use", Lifetime::new(ms(100), limit));
        let (_, created) = timed(store.must_create(&id, &draft)).await;
        let (ttl, touched) = timed(store.must_touch(&id, idle)).await;
        if let Some(ttl) = ttl {
            check_ttl(ttl, limit, created, touched, "returned by touch");
        }
        let what = "touched for longer than its absolute limit";
        invisible(&store, &id, created.dead_from(limit), what).await;
    }
}

pub(super) async fn touch_again_and_again_never_passes_the_absolute_deadline(fixture: Fixture) {
    let (store, id, limit) = (fixture.store(), id(), ms(150));
    let draft = draft_living("in use", Lifetime::new(ms(100), limit));
    let (_, created) = timed(store.must_create(&id, &draft)).await;
    while std::time::Instant::now() < created.dead_from(limit) {
        store.must_touch(&id, ms(100)).await;
        tokio::time::sleep(ms(10)).await;
    }
    store
        .must_lack(&id, "it was touched until its absolute limit")
        .await;
    assert_eq!(
        store.must_touch(&id, ms(100)).await,
        None,
        "touch after the absolute limit"
    );
}

pub(super) async fn touch_never_shortens(fixture: Fixture) {
    let store = fixture.store();
    for (lifetime, limit) in [
        (Lifetime::new(secs(600), secs(6000)), secs(600)),
        (Lifetime::fixed(secs(300)), secs(300)),
    ] {
        let id = id();
        let draft = draft_living("long", lifetime);
        let (_, created) = timed(store.must_create(&id, &draft)).await;
        for idle in [secs(60), ms(1), ms(0)] {
            let (ttl, touched) = timed(store.must_touch(&id, idle)).await;
            let ttl = ttl.expect("a live session can be touched");
            check_ttl(ttl, limit, created, touched, "returned by a touch for less");
            let (found, read) = timed(store.must_find(&id)).await;
            check_ttl(
                found.ttl,
                limit,
                created,
                read,
                "loaded after a touch for less",
            );
        }
    }
}

pub(super) async fn touch_changes_nothing_else(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let lifetime = Lifetime::new(secs(60), hours(1).absolute);
    let draft = draft_living("untouched by touch", lifetime).with_owner(owner("ann"));
    store.must_create(&id, &draft).await;
    for idle in [
        Timeout::After(secs(1200)),
        Timeout::After(secs(5)),
        Timeout::Never,
    ] {
        store
            .must_touch(&id, idle)
            .await
            .expect("a live session can be touched");
        store.must_be(&id, &draft, "after a touch").await;
        let found = store.must_find(&id).await;
        assert!(
            found.age < secs(60),
            "the age after a touch is not {:?}",
            found.age
        );
    }
}

pub(super) async fn touch_causes_no_conflict_for_a_save(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let (first, second) = (draft("read"), draft("written"));
    store.must_create(&id, &first).await;
    let read = store.must_find(&id).await;
    store.must_touch(&id, hours(2).idle).await;
    store.must_replace(&id, &second, read.version).await;
    store.must_touch(&id, hours(2).idle).await;
    assert_eq!(
        store.must_find(&id).await.data,
        second.data,
        "the data of the save"
    );
}

pub(super) async fn save_after_touch_starts_from_its_own_idle_limit(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let lifetime = Lifetime::new(secs(60), secs(6000));
    let (first, second) = (draft_living("1", lifetime), draft_living("2", lifetime));
    store.must_create(&id, &first).await;
    store.must_touch(&id, secs(600)).await;
    let (_, saved) = timed(store.must_replace(&id, &second, first.stamp)).await;
    let (found, read) = timed(store.must_find(&id)).await;
    check_ttl(
        found.ttl,
        secs(60),
        saved,
        read,
        "60 s from the save, not 600 from the touch",
    );
}

pub(super) async fn touch_without_limits_stays_without(fixture: Fixture) {
    let (store, [endless, limited]) = (fixture.store(), [id(), id()]);
    let never = Lifetime::new(Timeout::Never, Timeout::Never);
    store
        .must_create(&endless, &draft_living("endless", never))
        .await;
    for idle in [Timeout::After(secs(5)), Timeout::Never] {
        let ttl = store.must_touch(&endless, idle).await;
        assert_eq!(
            ttl,
            Some(Ttl::Never),
            "touch must not give a session a deadline"
        );
        assert_eq!(
            store.must_find(&endless).await.ttl,
            Ttl::Never,
            "loaded after the touch"
        );
    }
    let idle_only = draft_living("limited", Lifetime::idle(secs(60)));
    store.must_create(&limited, &idle_only).await;
    let ttl = store.must_touch(&limited, Timeout::Never).await;
    assert_eq!(
        ttl,
        Some(Ttl::Never),
        "a touch without a limit, on a session without an absolute limit"
    );
    assert_eq!(
        store.must_find(&limited).await.ttl,
        Ttl::Never,
        "loaded after that touch"
    );
}
