//! Two concurrent operations on one session: the result is that of one order or the other, and an
//! ended session does not come back (I4).

use std::time::{Duration, Instant};

use session_core::{Ended, Saved, SessionId, Version};

use crate::Fixture;
use crate::busy::Busy;
use crate::checked::CheckedStore;
use crate::concurrent::in_parallel;
use crate::random::{Random, rounds};
use crate::samples::{draft, draft_living, hours, id, ids, ms, secs};

/// How often destroy races save.
const DESTROYS: usize = 1_000;
/// How often the other pairs race.
const ROUNDS: usize = 250;
/// How many races run concurrently.
const CONCURRENT: usize = 25;

/// Runs `race` `count` times on two instances, some concurrently.
async fn repeat<R>(
    fixture: &Fixture,
    count: usize,
    race: impl Fn([CheckedStore; 2], Random) -> R + Clone + Send + Sync + 'static,
) where
    R: Future<Output = ()> + Send + 'static,
{
    let (stores, random) = (
        [fixture.store(), fixture.instance().await],
        fixture.random(),
    );
    in_parallel(CONCURRENT, move |task| {
        let (stores, race, random) = (stores.clone(), race.clone(), random.part(task));
        async move {
            for round in 0..count / CONCURRENT {
                race(stores.clone(), random.part(round)).await;
            }
        }
    })
    .await;
}

/// Awaits both in tasks of their own, which are started in random order.
async fn both<A, B>(
    mut random: Random,
    a: impl Future<Output = A> + Send + 'static,
    b: impl Future<Output = B> + Send + 'static,
) -> (A, B)
where
    A: Send + 'static,
    B: Send + 'static,
{
    let (a, b) = if random.coin() {
        let b = tokio::spawn(b);
        (tokio::spawn(a), b)
    } else {
        let a = tokio::spawn(a);
        (a, tokio::spawn(b))
    };
    (joined(a.await), joined(b.await))
}

fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> T {
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

pub(super) async fn destroy_racing_save_is_final(fixture: Fixture) {
    repeat(
        &fixture,
        DESTROYS,
        async |[one, other]: [CheckedStore; 2], random| {
            let (id, first, second) = (id(), draft("first"), draft("second"));
            one.must_create(&id, &first).await;
            let (store, saved, next) = (other.clone(), id.clone(), second.clone());
            let save = async move { store.must_save(&saved, &next, first.stamp).await };
            let (store, ended) = (one.clone(), id.clone());
            let destroy = async move {
                let destroyed = store.must_destroy(&ended).await;
                // The save may still be in flight here.
                store.must_lack(&ended, "destroy has returned").await;
                destroyed
            };
            let (saved, destroyed) = both(random, save, destroy).await;
            assert!(
                destroyed.is_some(),
                "destroy ends a live session, even during a save"
            );
            assert!(
                matches!(saved, Saved::Gone | Saved::Unknown | Saved::Done(_)),
                "a save racing destroy is done before it, or gone, and was {saved:?}"
            );
            one.must_lack(&id, "it was destroyed while a save was in flight")
                .await;
            let late = one.must_save(&id, &draft("late"), second.stamp).await;
            let is_over = matches!(late, Saved::Gone | Saved::Unknown);
            assert!(is_over, "a save after destroy was {late:?}");
        },
    )
    .await;
}

pub(super) async fn destroy_racing_touch_is_final(fixture: Fixture) {
    repeat(
        &fixture,
        ROUNDS,
        async |[one, other]: [CheckedStore; 2], mut random: Random| {
            let id = id();
            let created = one.must_create(&id, &draft("in use")).await;
            let (store, touched) = (other.clone(), id.clone());
            let touch = async move { store.must_touch(&touched, hours(3).idle).await };
            // A touch keeps the version.
            let destroy = destroying(&one, &id, by_coin(&mut random, &created));
            let (_, destroyed) = both(random, touch, destroy).await;
            assert!(
                destroyed.is_some(),
                "destroy ends a live session, even during a touch"
            );
            one.must_lack(&id, "it was destroyed while a touch was in flight")
                .await;
            assert_eq!(
                other.must_touch(&id, hours(1).idle).await,
                None,
                "a touch after destroy"
            );
        },
    )
    .await;
}

/// The version, or none, at random.
fn by_coin(random: &mut Random, version: &Version) -> Option<Version> {
    random.coin().then(|| version.clone())
}

/// Destroys the session, or only this version if there is one.
fn destroying(
    store: &CheckedStore,
    id: &SessionId,
    expected: Option<Version>,
) -> impl Future<Output = Option<Ended>> + Send + 'static {
    let (store, id) = (store.clone(), id.clone());
    async move {
        match expected {
            Some(version) => store.must_destroy_version(&id, version).await,
            None => store.must_destroy(&id).await,
        }
    }
}

pub(super) async fn destroy_racing_destroy_ends_it_once(fixture: Fixture) {
    repeat(
        &fixture,
        ROUNDS,
        async |[one, other]: [CheckedStore; 2], mut random: Random| {
            let id = id();
            let created = one.must_create(&id, &draft("to be ended")).await;
            let first = destroying(&one, &id, by_coin(&mut random, &created));
            let second = destroying(&other, &id, by_coin(&mut random, &created));
            let (first, second) = both(random, first, second).await;
            assert!(
                first.is_some() != second.is_some(),
                "of two destroys one ends it, were {first:?} and {second:?}"
            );
            one.must_lack(&id, "it was destroyed twice").await;
        },
    )
    .await;
}

pub(super) async fn a_save_or_a_destroy_of_its_version_wins(fixture: Fixture) {
    repeat(
        &fixture,
        200,
        async |[one, other]: [CheckedStore; 2], random| {
            let (id, first, second) = (id(), draft("first"), draft("second"));
            let created = one.must_create(&id, &first).await;
            let (store, saved) = (other.clone(), id.clone());
            let (next, version) = (second.clone(), created.clone());
            let save = async move { store.must_save(&saved, &next, version).await };
            let destroy = destroying(&one, &id, Some(created));
            match both(random, save, destroy).await {
                (Saved::Done(_), None) => one.must_be(&id, &second, "saved first").await,
                (Saved::Gone | Saved::Unknown, Some(_)) => {
                    one.must_lack(&id, "it was destroyed first").await;
                }
                (saved, destroyed) => panic!(
                    "of a save and a destroy of one version one wins: the save was {saved:?}, the \
                 destroy {destroyed:?}"
                ),
            }
        },
    )
    .await;
}

pub(super) async fn destroy_ends_a_session_that_keeps_changing(fixture: Fixture) {
    let stores = [fixture.store(), fixture.instance().await];
    for round in 0..rounds(20) {
        let (id, mut random) = (id(), fixture.random().part(round));
        stores[0].must_create(&id, &draft("in use")).await;
        let busy = Busy::begin(&stores, std::slice::from_ref(&id), &random);
        tokio::time::sleep(Duration::from_micros(random.below(3_000))).await;
        stores[1].must_end(&id).await;
        let why = "it was destroyed while it changed";
        stores[0].must_lack(&id, why).await;
        busy.end().await;
        stores[0].must_lack(&id, why).await;
    }
}

pub(super) async fn save_at_the_deadline_is_done_or_gone(fixture: Fixture) {
    let store = fixture.store();
    in_parallel(60, move |n| {
        let store = store.clone();
        async move {
            let (id, limit) = (id(), ms(40));
            let first = draft_living("brief", crate::samples::fixed(limit));
            store.must_create(&id, &first).await;
            tokio::time::sleep(limit + ms(n as u64 % 8) - ms(4)).await;
            match store.must_save(&id, &draft("saved"), first.stamp).await {
                Saved::Done(_) => {
                    let found = store.must_find(&id).await;
                    assert_eq!(found.data, "saved", "a save that was done in time");
                }
                Saved::Gone | Saved::Unknown => {
                    store.must_lack(&id, "the save came too late").await;
                }
                saved => panic!("no other caller writes this session, its save was {saved:?}"),
            }
        }
    })
    .await;
}

pub(super) async fn touch_at_the_deadline_finds_it_or_not(fixture: Fixture) {
    let store = fixture.store();
    in_parallel(60, move |n| {
        let store = store.clone();
        async move {
            let (id, limit) = (id(), ms(40));
            let lifetime = session_core::Lifetime::idle(limit);
            store
                .must_create(&id, &draft_living("brief", lifetime))
                .await;
            tokio::time::sleep(limit + ms(n as u64 % 8) - ms(4)).await;
            match store.must_touch(&id, secs(60)).await {
                Some(_) => drop(store.must_find(&id).await),
                None => store.must_lack(&id, "the touch came too late").await,
            }
        }
    })
    .await;
}

pub(super) async fn concurrent_operations_keep_every_invariant(fixture: Fixture) {
    let stores = [
        fixture.store(),
        fixture.instance().await,
        fixture.instance().await,
    ];
    let (ids, until) = (ids::<8>(), Instant::now() + secs(1));
    let (busy, shared, random) = (stores.clone(), ids.clone(), fixture.random());
    in_parallel(48, move |n| {
        let (store, ids, mut random) = (busy[n % 3].clone(), shared.clone(), random.part(n));
        async move {
            while Instant::now() < until {
                let id = random.one_of(&ids);
                act(&store, id, random.below(10)).await;
            }
        }
    })
    .await;
    for id in &ids {
        if let Some(found) = stores[0].must_load(id).await {
            let next = draft("at last");
            stores[1].must_replace(id, &next, found.version).await;
            stores[2].must_be(id, &next, "the last save").await;
            stores[0].must_end(id).await;
        }
        stores[2].must_lack(id, "all have been destroyed").await;
    }
}

/// Does one of ten operations, none of which may fail because of concurrent ones.
async fn act(store: &CheckedStore, id: &SessionId, number: u64) {
    match number {
        0 | 1 => {
            let created = store.create(id, &draft("new")).await;
            let created = created.expect("among many callers a create failed");
            assert_ne!(created, Saved::Gone, "a create is done, or a conflict");
        }
        2..=4 => {
            if let Some(found) = store.must_load(id).await {
                let _ = store.must_save(id, &draft("saved"), found.version).await;
            }
        }
        5 | 6 => drop(store.must_touch(id, hours(2).idle).await),
        7 => drop(store.must_destroy(id).await),
        8 => {
            if let Some(found) = store.must_load(id).await {
                store.must_destroy_version(id, found.version).await;
            }
        }
        _ => drop(store.must_load(id).await),
    }
}
