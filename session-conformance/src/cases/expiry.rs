//! When sessions end: the idle limit, the absolute limit, and the store's clock.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use session_core::{Draft, ErrorKind, Lifetime, Saved, Timeout, Ttl};

use crate::Fixture;
use crate::concurrent::together;
use crate::samples::{credential, draft, draft_living, ended_ids, hours, id, ms, owner, secs};
use crate::timing::{TooSlow, check_ttl, invisible, timed, visible, wait_until, with_longer_units};

/// A draft that has expired once [`wait_until`] its deadline has returned.
fn brief(data: &str) -> Draft {
    // Without an absolute limit, which would hide that a late use revives the session.
    draft_living(data, Lifetime::idle(ms(5)))
}

pub(super) async fn an_unused_session_ends_at_its_idle_limit(fixture: Fixture) {
    let store = fixture.store();
    with_longer_units(async |unit| {
        let (id, limit) = (id(), 2 * unit);
        let draft = draft_living("idle", Lifetime::idle(limit));
        let (_, written) = timed(store.must_create(&id, &draft)).await;
        wait_until(written.began + unit).await;
        let what = "an idle limit alone";
        visible(&store, &id, written.alive_until(limit), what).await?;
        invisible(&store, &id, written.dead_from(limit), what).await;
        Ok(())
    })
    .await;
}

pub(super) async fn a_session_ends_at_its_absolute_limit(fixture: Fixture) {
    let store = fixture.store();
    with_longer_units(async |unit| {
        let (id, limit) = (id(), 2 * unit);
        let draft = draft_living("absolute", Lifetime::new(Timeout::Never, limit));
        let (_, written) = timed(store.must_create(&id, &draft)).await;
        wait_until(written.began + unit).await;
        let what = "an absolute limit alone";
        visible(&store, &id, written.alive_until(limit), what).await?;
        invisible(&store, &id, written.dead_from(limit), what).await;
        Ok(())
    })
    .await;
}

pub(super) async fn the_earlier_of_both_limits_ends_a_session(fixture: Fixture) {
    let store = fixture.store();
    let (short, long) = (ms(80), secs(60));
    for (lifetime, which) in [
        (Lifetime::new(short, long), "idle before absolute"),
        (Lifetime::new(long, short), "absolute before idle"),
        (Lifetime::fixed(short), "both the same"),
    ] {
        let id = id();
        let (_, written) = timed(store.must_create(&id, &draft_living(which, lifetime))).await;
        let (found, read) = timed(store.must_load(&id)).await;
        if let Some(found) = found {
            check_ttl(found.ttl, short, written, read, which);
        }
        invisible(&store, &id, written.dead_from(short), which).await;
    }
}

pub(super) async fn a_session_without_limits_has_no_deadline(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let endless = Lifetime::new(Timeout::Never, Timeout::Never);
    let first = draft_living("endless", endless);
    store.must_create(&id, &first).await;
    let found = store.must_find(&id).await;
    assert_eq!(found.ttl, Ttl::Never, "the ttl of a session without limits");
    assert_eq!(found.lifetime, endless, "both limits as created");
    let second = draft_living("endless still", endless);
    store.must_replace(&id, &second, first.stamp).await;
    assert_eq!(
        store.must_find(&id).await.ttl,
        Ttl::Never,
        "the ttl after a save"
    );
}

pub(super) async fn a_lifetime_of_one_millisecond_ends(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let draft = draft_living("a blink", Lifetime::fixed(ms(1)));
    let (_, written) = timed(store.must_create(&id, &draft)).await;
    invisible(&store, &id, written.dead_from(ms(1)), "1 ms").await;
}

pub(super) async fn a_lifetime_of_zero_is_over_or_refused(fixture: Fixture) {
    let store = fixture.store();
    for limit in [Duration::ZERO, Duration::from_micros(999)] {
        let id = id();
        let draft = draft_living("never there", Lifetime::fixed(limit));
        let created = store.create(&id, &draft).await;
        assert!(
            match &created {
                Ok(saved) => saved.is_done(),
                Err(error) => error.kind() == ErrorKind::InvalidLifetime,
            },
            "a lifetime of {limit:?} is an ended session or InvalidLifetime, was {created:?}"
        );
        store
            .must_lack(&id, "its lifetime is no whole millisecond")
            .await;
    }
}

pub(super) async fn a_lifetime_of_400_days_is_kept_whole(fixture: Fixture) {
    let store = fixture.store();
    for lifetime in [
        Lifetime::fixed(Lifetime::MAX),
        Lifetime::idle(Lifetime::MAX),
        Lifetime::new(Timeout::Never, Lifetime::MAX),
    ] {
        let id = id();
        let draft = draft_living("remember me", lifetime);
        let (_, written) = timed(store.must_create(&id, &draft)).await;
        let (found, read) = timed(store.must_find(&id)).await;
        assert_eq!(found.lifetime, lifetime, "the lifetime as created");
        check_ttl(found.ttl, Lifetime::MAX, written, read, "400 days");
    }
}

pub(super) async fn an_enormous_lifetime_is_long_or_refused(fixture: Fixture) {
    let (store, year) = (fixture.store(), secs(365 * 86_400));
    for limit in [
        Duration::MAX,
        Duration::from_millis(u64::MAX),
        100_000 * year,
    ] {
        let id = id();
        let draft = draft_living("a geological age", Lifetime::idle(limit));
        match store.create(&id, &draft).await {
            Ok(Saved::Done(_)) => {}
            Err(error) if error.kind() == ErrorKind::InvalidLifetime => continue,
            created => panic!("a lifetime that is too long is InvalidLifetime, was {created:?}"),
        }
        let found = store.must_find(&id).await;
        assert!(
            found.ttl > Ttl::Left(10 * year),
            "{limit:?} left {:?}",
            found.ttl
        );
        let ttl = store.must_touch(&id, limit).await;
        assert!(ttl > Some(Ttl::Left(10 * year)), "after a touch {ttl:?}");
    }
}

pub(super) async fn a_lifetime_is_kept_to_the_millisecond(fixture: Fixture) {
    let store = fixture.store();
    for limit in [ms(59_999), ms(60_001), ms(86_400_001), ms(1_234_567_890)] {
        let id = id();
        let lifetime = Lifetime::new(limit, limit + ms(1));
        let draft = draft_living("odd", lifetime);
        let (_, written) = timed(store.must_create(&id, &draft)).await;
        let (found, read) = timed(store.must_find(&id)).await;
        assert_eq!(found.lifetime, lifetime, "both limits as created");
        check_ttl(found.ttl, limit, written, read, "what is left");
    }
}

pub(super) async fn fractions_of_a_millisecond_are_cut_off(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let fraction = Duration::from_nanos(999_999);
    let lifetime = Lifetime::new(secs(60) + fraction, secs(90) + fraction);
    let first = draft_living("fraction", lifetime);
    store.must_create(&id, &first).await;
    let cut = Lifetime::new(secs(60), secs(90));
    let found = store.must_find(&id).await;
    assert_eq!(
        found.lifetime, cut,
        "created with fractions of a millisecond"
    );
    assert!(
        found.ttl <= Ttl::Left(secs(60)),
        "more is left than the limit: {}",
        found.ttl
    );
    let second = draft_living("fraction", lifetime);
    store.must_replace(&id, &second, first.stamp).await;
    assert_eq!(
        store.must_find(&id).await.lifetime,
        cut,
        "saved with fractions of a millisecond"
    );
}

pub(super) async fn no_session_is_visible_a_millisecond_too_long(fixture: Fixture) {
    let stores = [fixture.store(), fixture.instance().await];
    together(12, async |n| {
        let (id, store) = (id(), &stores[n % 2]);
        let limit = ms(60 + 7 * n as u64);
        let (_, written) =
            timed(store.must_create(&id, &draft_living("exact", Lifetime::fixed(limit)))).await;
        let dead = written.dead_from(limit);
        wait_until(dead - ms(3)).await;
        while Instant::now() < dead + ms(10) {
            let (found, read) = timed(stores[(n + 1) % 2].must_load(&id)).await;
            let late = read.began.checked_duration_since(dead);
            if let (Some(late), Some(_)) = (late, found) {
                panic!("visible to a load that began {late:?} after the deadline");
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(super) async fn instances_agree_about_a_deadline(fixture: Fixture) {
    let (writer, id) = (fixture.store(), id());
    let readers = [fixture.instance().await, fixture.instance().await];
    let limit = secs(3600);
    let draft = draft_living("agreed", Lifetime::new(limit, 2 * limit));
    let (_, mut used) = timed(writer.must_create(&id, &draft)).await;
    for reader in &readers {
        let (found, read) = timed(reader.must_find(&id)).await;
        check_ttl(found.ttl, limit, used, read, "as another instance reads it");
        let (ttl, touched) = timed(reader.must_touch(&id, limit)).await;
        let ttl = ttl.expect("a live session can be touched");
        check_ttl(
            ttl,
            limit,
            touched,
            touched,
            "as another instance touches it",
        );
        let (found, read) = timed(writer.must_find(&id)).await;
        check_ttl(
            found.ttl,
            limit,
            touched,
            read,
            "as the first instance reads that",
        );
        used = touched;
    }
}

pub(super) async fn instances_agree_that_a_session_has_ended(fixture: Fixture) {
    let (writer, id, limit) = (fixture.store(), id(), ms(60));
    let readers = [fixture.instance().await, fixture.instance().await];
    let draft = draft_living("agreed", Lifetime::fixed(limit));
    let (_, written) = timed(writer.must_create(&id, &draft)).await;
    for reader in &readers {
        let what = "read by another instance";
        invisible(reader, &id, written.dead_from(limit), what).await;
        assert_eq!(
            reader.must_touch(&id, limit).await,
            None,
            "touched by another instance"
        );
    }
}

pub(super) async fn touch_of_an_expired_session_finds_none(fixture: Fixture) {
    let (store, id, draft) = (fixture.store(), id(), brief("over"));
    let (_, written) = timed(store.must_create(&id, &draft)).await;
    wait_until(written.dead_from(ms(5))).await;
    assert_eq!(
        store.must_touch(&id, secs(60)).await,
        None,
        "touch after the deadline"
    );
    store.must_lack(&id, "a touch must not revive it").await;
}

pub(super) async fn save_of_an_expired_session_is_gone(fixture: Fixture) {
    let (store, id, first) = (fixture.store(), id(), brief("over"));
    let (_, written) = timed(store.must_create(&id, &first)).await;
    wait_until(written.dead_from(ms(5))).await;
    let saved = store.must_save(&id, &draft("revived?"), first.stamp).await;
    assert_eq!(saved, Saved::Gone, "save after the deadline");
    store.must_lack(&id, "a save must not revive it").await;
}

pub(super) async fn create_on_an_expired_id_works(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let first = brief("over")
        .with_owner(owner("old"))
        .with_credential(credential(b"old"));
    let (_, written) = timed(store.must_create(&id, &first)).await;
    wait_until(written.dead_from(ms(5))).await;
    let second = draft("a new one");
    store.must_create(&id, &second).await;
    store
        .must_be(&id, &second, "created where another has expired")
        .await;
    assert!(store.must_find(&id).await.age < secs(60), "it begins anew");
}

pub(super) async fn an_expired_session_is_in_no_listing(fixture: Fixture) {
    let (store, owner) = (fixture.store(), owner("ann"));
    let (lives, over) = (id(), id());
    let brief = brief("over").with_owner(owner.clone());
    let (_, written) = timed(store.must_create(&over, &brief)).await;
    store
        .must_create(&lives, &draft("lives").with_owner(owner.clone()))
        .await;
    wait_until(written.dead_from(ms(5))).await;
    assert_eq!(
        store.must_count().await,
        1,
        "count without the expired session"
    );
    let only = BTreeSet::from([lives.clone()]);
    let listed = store.must_list_ids(10).await;
    assert_eq!(listed, only, "list without the expired session");
    let owned = store.must_own_ids(&owner).await;
    assert_eq!(owned, only, "owned_by without the expired session");
    let ended = store.must_destroy_owned_by(&owner, None).await;
    assert_eq!(
        ended_ids(&ended),
        [lives],
        "destroy_owned_by without the expired session"
    );
}

pub(super) async fn save_changes_when_a_session_ends(fixture: Fixture) {
    let (store, limit) = (fixture.store(), ms(80));
    let endless = Lifetime::new(Timeout::Never, Timeout::Never);
    for (before, what) in [
        (hours(1), "a save to 80 ms from an hour"),
        (endless, "a save to 80 ms from never"),
    ] {
        let id = id();
        let first = draft_living("long", before);
        store.must_create(&id, &first).await;
        let second = draft_living("short", Lifetime::idle(limit));
        let (_, written) = timed(store.must_replace(&id, &second, first.stamp)).await;
        invisible(&store, &id, written.dead_from(limit), what).await;
    }
    with_longer_units(async |unit| {
        let ids = [id(), id()];
        let first = draft_living("short", Lifetime::fixed(unit));
        for (id, after) in ids.iter().zip([hours(1), endless]) {
            let (_, written) = timed(store.must_create(id, &first)).await;
            let second = draft_living("long", after);
            let (saved, save) = timed(store.must_save(id, &second, first.stamp)).await;
            if save.ended >= written.alive_until(unit) {
                return Err(TooSlow);
            }
            assert!(saved.is_done(), "a save in time, was {saved:?}");
            wait_until(written.dead_from(unit)).await;
            store.must_find(id).await;
        }
        Ok(())
    })
    .await;
}
