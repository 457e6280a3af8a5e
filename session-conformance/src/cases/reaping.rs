//! Removing and reporting expired sessions (I10).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use session_core::{Draft, Ended, Lifetime, Saved, SessionId};

use crate::Fixture;
use crate::checked::CheckedStore;
use crate::concurrent::{in_parallel, together};
use crate::samples::{draft, draft_living, fixed, id, ids, ms, owner, secs};
use crate::timing::{check_age, timed, wait_until};

/// Sessions that ten instances reap.
const MANY: usize = 5_000;

/// A draft that expires almost at once.
fn brief(data: &str) -> Draft {
    draft_living(data, fixed(ms(5)))
}

/// Waits until sessions with a lifetime of 5 ms that were written before this call have expired.
async fn let_expire() {
    wait_until(Instant::now() + ms(5)).await;
}

/// Reaps until nothing is due.
async fn reap_all(store: &CheckedStore) -> Vec<Ended> {
    let mut all = Vec::new();
    loop {
        let reaped = store.must_reap(500).await;
        let last = reaped.len() < 500;
        all.extend(reaped);
        if last {
            return all;
        }
    }
}

fn ids_of(ended: &[Ended]) -> Vec<&SessionId> {
    ended.iter().map(|one| &one.id).collect()
}

pub(super) async fn ten_instances_reap_each_session_once(fixture: Fixture) {
    let mut stores = vec![fixture.store()];
    for _ in 1..10 {
        stores.push(fixture.instance().await);
    }
    let store = &stores[0];
    let created = together(MANY, async |n| {
        let (id, whose) = (id(), owner(&format!("owner {}", n % 7)));
        let draft = brief("to be reaped").with_owner(whose.clone());
        store.must_create(&id, &draft).await;
        (id, whose)
    });
    let mut expected: BTreeMap<_, _> = created.await.into_iter().collect();
    let live = id();
    store.must_create(&live, &draft("lives")).await;
    let_expire().await;
    let reaped = in_parallel(10, move |n| {
        let store = stores[n].clone();
        async move {
            let mut all = Vec::new();
            // After ten empty answers in a row, every session is reaped.
            let mut empty = 0;
            while empty < 10 {
                let reaped = store.must_reap(100).await;
                assert!(reaped.len() <= 100, "reaped over the limit of 100");
                empty = if reaped.is_empty() { empty + 1 } else { 0 };
                all.extend(reaped);
                tokio::task::yield_now().await;
            }
            all
        }
    })
    .await;
    for one in reaped.into_iter().flatten() {
        let whose = expected.remove(&one.id);
        let whose = whose.unwrap_or_else(|| panic!("reported twice or never there: {one:?}"));
        assert_eq!(one.owner, Some(whose), "the owner reported");
    }
    assert!(expected.is_empty(), "{} were not reported", expected.len());
    fixture.store().must_find(&live).await;
}

pub(super) async fn reap_returns_id_owner_and_age(fixture: Fixture) {
    let store = fixture.store();
    let (owned, unowned, ann) = (id(), id(), owner("ann"));
    let (_, written) = timed(async {
        store
            .must_create(&owned, &brief("ann's").with_owner(ann.clone()))
            .await;
        store.must_create(&unowned, &brief("without owner")).await;
    })
    .await;
    wait_until(written.ended + ms(50)).await;
    let (reaped, read) = timed(reap_all(&store)).await;
    assert_eq!(reaped.len(), 2, "reaped: {reaped:?}");
    for one in &reaped {
        let whose = (one.id == owned).then(|| ann.clone());
        assert_eq!(one.owner, whose, "the owner reported of {:?}", one.id);
        assert!(
            one.id == owned || one.id == unowned,
            "the id reported: {one:?}"
        );
        let age = one.age.expect("the age of what is reaped is known");
        check_age(age, written, read, "as reaped");
    }
    assert!(store.must_reap(10).await.is_empty(), "reaped again");
}

pub(super) async fn reap_leaves_live_sessions(fixture: Fixture) {
    let store = fixture.store();
    let lifetimes = [
        Lifetime::new(secs(60), secs(60)),
        Lifetime::idle(secs(60)),
        Lifetime::idle(session_core::Timeout::Never),
    ];
    let mut live = Vec::new();
    for lifetime in lifetimes {
        let id = id();
        store
            .must_create(&id, &draft_living("lives", lifetime))
            .await;
        live.push(id);
    }
    store.must_create(&id(), &brief("expires")).await;
    let_expire().await;
    for one in reap_all(&store).await {
        assert!(!live.contains(&one.id), "reaped alive: {one:?}");
    }
    for id in &live {
        store.must_find(id).await;
    }
    assert_eq!(store.must_count().await, 3, "left");
}

pub(super) async fn reap_keeps_to_its_limit(fixture: Fixture) {
    let store = fixture.store();
    together(12, async |_| {
        store.must_create(&id(), &brief("one of 12")).await
    })
    .await;
    let_expire().await;
    assert!(store.must_reap(0).await.is_empty(), "a limit of 0");
    let mut taken = Vec::new();
    for limit in [1, 5, 5, 5] {
        taken.push(store.must_reap(limit).await.len());
    }
    assert_eq!(taken, [1, 5, 5, 1], "taken of 12 by 1, 5, 5 and 5");
    assert!(store.must_reap(usize::MAX).await.is_empty(), "all are gone");
}

pub(super) async fn a_destroyed_session_is_not_reaped(fixture: Fixture) {
    let (store, ann) = (fixture.store(), owner("ann"));
    let limit = ms(300);
    let ((ended, left), written) = timed(async {
        let ([destroyed, by_version, owned], left) = (ids(), id());
        let living = || draft_living("brief", fixed(limit));
        store.must_create(&destroyed, &living()).await;
        let version = store.must_create(&by_version, &living()).await;
        let anns = living().with_owner(ann.clone());
        store.must_create(&owned, &anns).await;
        store.must_create(&left, &living()).await;
        // On a machine that is too slow for this, they have expired and may be reaped.
        store.must_destroy(&destroyed).await;
        store.must_destroy_version(&by_version, version).await;
        store.must_destroy_owned_by(&ann, None).await;
        ([destroyed, by_version, owned], left)
    })
    .await;
    wait_until(written.dead_from(limit)).await;
    let reaped = reap_all(&store).await;
    let reaped = ids_of(&reaped);
    if written.ended - written.began < limit {
        for (id, how) in ended
            .iter()
            .zip(["by its id", "by its version", "by owner"])
        {
            assert!(!reaped.contains(&id), "reaped, though destroyed {how}");
        }
        assert_eq!(reaped, [&left], "reaped, as it was left");
    }
}

pub(super) async fn a_touched_session_is_not_reaped(fixture: Fixture) {
    let (store, reaper) = (fixture.store(), fixture.instance().await);
    let limit = ms(60);
    let ids = together(30, async |_| {
        let (id, draft) = (id(), draft_living("in use", Lifetime::idle(limit)));
        store.must_create(&id, &draft).await;
        id
    })
    .await;
    // Touched around its deadline, a session is either reaped or extended, never both.
    let until = Instant::now() + 3 * limit;
    let reaping = tokio::spawn(async move {
        let mut reaped = Vec::new();
        while Instant::now() < until {
            reaped.extend(reaper.must_reap(5).await);
            tokio::task::yield_now().await;
        }
        reaped
    });
    let extended = together(ids.len(), async |n| {
        let delay = limit.as_secs_f64() * (0.5 + n as f64 / 30.0);
        tokio::time::sleep(Duration::from_secs_f64(delay)).await;
        store.must_touch(&ids[n], secs(60)).await.is_some()
    })
    .await;
    let reaped = match reaping.await {
        Ok(reaped) => reaped,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    for (id, extended) in ids.iter().zip(extended) {
        let reaped = reaped.iter().filter(|one| one.id == *id).count();
        if extended {
            assert_eq!(reaped, 0, "extended and reaped: {id:?}");
            store.must_find(id).await;
        } else {
            store.must_lack(id, "touch did not find it").await;
            assert!(reaped <= 1, "reaped {reaped} times: {id:?}");
        }
    }
}

pub(super) async fn a_reused_id_is_not_reaped(fixture: Fixture) {
    let store = fixture.store();
    let again = id();
    store.must_create(&again, &brief("before")).await;
    let_expire().await;
    let after = draft("after");
    store.must_create(&again, &after).await;
    reap_all(&store).await;
    store
        .must_be(&again, &after, "the session that has its id now")
        .await;
}

pub(super) async fn a_report_that_is_not_confirmed_comes_again(fixture: Fixture) {
    let (store, other, ann) = (fixture.store(), fixture.instance().await, owner("ann"));
    together(3, async |_| {
        let draft = brief("one of 3").with_owner(ann.clone());
        store.must_create(&id(), &draft).await;
    })
    .await;
    let_expire().await;
    let sorted = |mut ended: Vec<Ended>| {
        ended.sort_by(|one, other| one.id.cmp(&other.id));
        let known: Vec<_> = ended.into_iter().map(|one| (one.id, one.owner)).collect();
        known
    };
    let first = store.must_reap_unconfirmed(10).await;
    assert_eq!(first.len(), 3, "reaped: {first:?}");
    let meanwhile = other.must_reap_unconfirmed(10).await;
    assert!(meanwhile.is_empty(), "reported by two: {meanwhile:?}");
    if !fixture.lapse_claims().await {
        store.must_confirm(&first).await;
        assert!(other.must_reap(10).await.is_empty(), "reported again");
        return;
    }
    let again = other.must_reap_unconfirmed(10).await;
    let (first, known) = (sorted(first), sorted(again.clone()));
    assert_eq!(known, first, "reported again after the claims had lapsed");
    other.must_confirm(&again[..1]).await;
    // What was confirmed may be confirmed again, and what another has claimed may be too.
    store.must_confirm(&again[..1]).await;
    fixture.lapse_claims().await;
    let rest = store.must_reap(10).await;
    let unconfirmed = sorted(again[1..].to_vec());
    assert_eq!(sorted(rest), unconfirmed, "reported without the confirmed");
    fixture.lapse_claims().await;
    for store in [&store, &other] {
        let reaped = store.must_reap(10).await;
        assert!(reaped.is_empty(), "reported though confirmed: {reaped:?}");
    }
}

pub(super) async fn a_session_that_is_being_reported_stays_ended(fixture: Fixture) {
    let (store, again, ann) = (fixture.store(), id(), owner("ann"));
    let written = brief("before").with_owner(ann.clone());
    let version = store.must_create(&again, &written).await;
    let_expire().await;
    let reaped = store.must_reap_unconfirmed(10).await;
    assert_eq!(ids_of(&reaped), [&again], "reaped");
    store.must_lack(&again, "it is being reported").await;
    let touched = store.must_touch(&again, secs(60)).await;
    assert_eq!(touched, None, "touched");
    let saved = store.save(&again, &draft("saved"), &version).await;
    assert_eq!(saved.expect("save failed"), Saved::Gone, "saved");
    let destroyed = store.destroy(&again, None).await;
    assert_eq!(destroyed.expect("destroy failed"), None, "destroyed");
    assert_eq!(store.must_count().await, 0, "counted");
    let after = draft("after");
    store.must_create(&again, &after).await;
    store.must_confirm(&reaped).await;
    store.must_be(&again, &after, "created after it").await;
    fixture.lapse_claims().await;
    let reaped = store.must_reap(10).await;
    assert!(!ids_of(&reaped).contains(&&again), "reaped alive");
    store.must_be(&again, &after, "created after it").await;
}

pub(super) async fn reap_leaves_other_namespaces_alone(fixture: Fixture) {
    let other = format!("{}b", fixture.namespace());
    let other = fixture
        .open(&other)
        .await
        .expect("a plain namespace must open");
    let (store, here, there) = (fixture.store(), id(), id());
    store.must_create(&here, &brief("here")).await;
    other.must_create(&there, &brief("there")).await;
    let_expire().await;
    assert_eq!(ids_of(&reap_all(&store).await), [&here], "reaped here");
    assert_eq!(ids_of(&reap_all(&other).await), [&there], "reaped there");
}

pub(super) async fn a_corrupt_session_does_not_stop_reaping(fixture: Fixture) {
    let store = fixture.store();
    let ids = together(5, async |_| {
        let (id, draft) = (id(), draft_living("brief", fixed(ms(500))));
        store.must_create(&id, &draft).await;
        id
    })
    .await;
    let written = Instant::now();
    fixture.corrupt(&ids[2]).await;
    wait_until(written + ms(500)).await;
    // One session a call, so that a corrupt one could block the others.
    let mut reaped = Vec::new();
    for _ in 0..10 {
        reaped.extend(store.must_reap(1).await);
    }
    for (n, id) in ids.iter().enumerate() {
        let times = reaped.iter().filter(|one| one.id == *id).count();
        assert!(
            times == 1 || n == 2 && times == 0,
            "the session {n} of 5, of which 2 is corrupt, was reaped {times} times"
        );
    }
}
