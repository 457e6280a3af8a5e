//! Many writers of one session: no update is lost, and readers see complete writes (I3).

use std::time::{Duration, Instant};

use session_core::{Bytes, Draft, Lifetime, Saved, SessionId};

use crate::Fixture;
use crate::checked::CheckedStore;
use crate::concurrent::in_parallel;
use crate::random::Random;
use crate::samples::{credential, draft, hours, id, ms, owner, secs};

/// Writers of one session at the same time.
const WRITERS: usize = 64;
/// Tasks that increment a number, and how often each does so at most.
const COUNTERS: usize = 32;
const COUNTS: usize = 100;
/// How long the tasks run at most, because stores that write durably are slower.
const COUNTING: Duration = Duration::from_millis(1_500);
/// Tasks that create one id.
const CREATORS: usize = 200;

/// Applies `change` to the session's data, retrying conflicts.
async fn update(
    store: &CheckedStore,
    id: &SessionId,
    random: &mut Random,
    change: impl Fn(&[u8]) -> Vec<u8>,
) {
    loop {
        let found = store.must_find(id).await;
        let draft = Draft::new(change(&found.data), hours(1));
        match store.must_save(id, &draft, found.version).await {
            Saved::Done(_) => return,
            Saved::Conflict => tokio::time::sleep(ms(random.below(8))).await,
            saved => panic!("no caller has ended the session, and its save was {saved:?}"),
        }
    }
}

pub(super) async fn no_update_of_64_concurrent_writers_is_lost(fixture: Fixture) {
    let stores = [
        fixture.store(),
        fixture.instance().await,
        fixture.instance().await,
    ];
    let id = id();
    stores[0].must_create(&id, &draft("")).await;
    let (writers, written, random) = (stores.clone(), id.clone(), fixture.random());
    in_parallel(WRITERS, move |n| {
        let (store, id, mut random) = (writers[n % 3].clone(), written.clone(), random.part(n));
        async move {
            update(&store, &id, &mut random, |data| [data, &[n as u8]].concat()).await;
        }
    })
    .await;
    let mut found = stores[0].must_find(&id).await.data.to_vec();
    found.sort_unstable();
    let all: Vec<u8> = (0..WRITERS as u8).collect();
    assert_eq!(
        found, all,
        "the marks that {WRITERS} writers left, each one"
    );
}

pub(super) async fn increments_by_many_tasks_add_up(fixture: Fixture) {
    let stores = [fixture.store(), fixture.instance().await];
    let id = id();
    stores[0].must_create(&id, &draft("0")).await;
    let (counters, counted, random) = (stores.clone(), id.clone(), fixture.random());
    let until = Instant::now() + COUNTING;
    let counts = in_parallel(COUNTERS, move |n| {
        let (store, id, mut random) = (counters[n % 2].clone(), counted.clone(), random.part(n));
        async move {
            let mut count = 0;
            while count < COUNTS && Instant::now() < until {
                update(&store, &id, &mut random, |data| {
                    (number(data) + 1).to_string().into_bytes()
                })
                .await;
                count += 1;
            }
            count
        }
    })
    .await;
    let total: usize = counts.iter().sum();
    let found = number(&stores[0].must_find(&id).await.data);
    assert_eq!(found, total, "the sum of what {COUNTERS} tasks counted");
}

fn number(data: &[u8]) -> usize {
    let text = std::str::from_utf8(data).expect("the number that was written");
    text.parse().expect("the number that was written")
}

pub(super) async fn one_of_many_saves_of_one_version_is_done(fixture: Fixture) {
    let stores = [fixture.store(), fixture.instance().await];
    for _ in 0..5 {
        let (id, first) = (id(), draft("read by all"));
        let version = stores[0].must_create(&id, &first).await;
        let (writers, written) = (stores.clone(), id.clone());
        let saved = in_parallel(32, move |n| {
            let (store, id) = (writers[n % 2].clone(), written.clone());
            let version = match n % 3 {
                0 => first.stamp.into(),
                _ => version.clone(),
            };
            async move {
                let draft = draft(&format!("written by {n}"));
                let saved = store.must_save(&id, &draft, version).await;
                (draft, saved)
            }
        })
        .await;
        let done: Vec<_> = saved.iter().filter(|(_, saved)| saved.is_done()).collect();
        assert_eq!(done.len(), 1, "saves done of 32 that expect one version");
        let conflicts = saved.iter().filter(|(_, saved)| *saved == Saved::Conflict);
        assert_eq!(conflicts.count(), 31, "the others are conflicts");
        stores[0].must_be(&id, &done[0].0, "by the one done").await;
    }
}

pub(super) async fn one_of_200_creators_of_one_id_wins(fixture: Fixture) {
    let stores = [
        fixture.store(),
        fixture.instance().await,
        fixture.instance().await,
    ];
    let id = id();
    let (creators, created) = (stores.clone(), id.clone());
    let results = in_parallel(CREATORS, move |n| {
        let (store, id) = (creators[n % 3].clone(), created.clone());
        async move {
            let draft = draft(&format!("created by {n}"));
            (draft.clone(), store.create(&id, &draft).await)
        }
    })
    .await;
    let mut winners = Vec::new();
    for (draft, created) in results {
        match created.expect("create failed") {
            Saved::Done(version) => {
                assert_eq!(version.stamp(), draft.stamp, "the returned stamp");
                winners.push(draft);
            }
            created => assert_eq!(created, Saved::Conflict, "the others are conflicts"),
        }
    }
    assert_eq!(winners.len(), 1, "creates done, of {CREATORS} at once");
    stores[0].must_be(&id, &winners[0], "by the one done").await;
}

/// A draft whose owner, credential, limits and data all contain the same number.
fn coherent(n: usize) -> Draft {
    let data = n.to_string().repeat(1 + 500 * (n % 3));
    let absolute = secs(10_000 + n as u64);
    Draft::new(Bytes::from(data), Lifetime::new(secs(5_000), absolute))
        .with_owner(owner(&n.to_string()))
        .with_credential(credential(&n.to_le_bytes()))
}

pub(super) async fn readers_see_whole_writes(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let mut last = coherent(0);
    store.must_create(&id, &last).await;
    let (reader, read) = (fixture.instance().await, id.clone());
    let readers = tokio::spawn(in_parallel(4, move |_| {
        let (store, id) = (reader.clone(), read.clone());
        async move {
            for _ in 0..60 {
                let found = store.must_find(&id).await;
                let owner = found.owner.expect("every write has an owner");
                let whole = coherent(owner.as_str().parse().expect("a number"));
                assert_eq!(found.data, whole.data, "the data beside the owner {owner}");
                assert_eq!(
                    found.credential, whole.credential,
                    "the credential beside the owner {owner}"
                );
                assert_eq!(
                    found.lifetime, whole.lifetime,
                    "the limits beside the owner {owner}"
                );
            }
        }
    }));
    let mut n = 1;
    while !readers.is_finished() {
        let next = coherent(n);
        store.must_replace(&id, &next, last.stamp).await;
        (n, last) = (n + 1, next);
        // Calls of an in-memory store never suspend, so the readers of the thread would not run.
        tokio::task::yield_now().await;
    }
    if let Err(error) = readers.await {
        std::panic::resume_unwind(error.into_panic());
    }
}

pub(super) async fn touches_between_saves_lose_nothing(fixture: Fixture) {
    let (store, other, id) = (fixture.store(), fixture.instance().await, id());
    store.must_create(&id, &draft("0")).await;
    let touched = id.clone();
    let touching = tokio::spawn(in_parallel(4, move |_| {
        let (store, id) = (other.clone(), touched.clone());
        async move {
            for n in 0..50 {
                let ttl = store.must_touch(&id, secs(3600 + n)).await;
                assert!(ttl.is_some(), "touch of a live session finds it");
            }
        }
    }));
    let mut count = 0;
    while count < 50 || !touching.is_finished() {
        let found = store.must_find(&id).await;
        assert_eq!(
            number(&found.data),
            count,
            "the last save, whatever touched it since"
        );
        count += 1;
        let draft = draft(&count.to_string());
        store.must_replace(&id, &draft, found.version).await;
        tokio::task::yield_now().await;
    }
    if let Err(error) = touching.await {
        std::panic::resume_unwind(error.into_panic());
    }
    assert_eq!(
        number(&store.must_find(&id).await.data),
        count,
        "the last save"
    );
}

pub(super) async fn another_instance_sees_a_write_at_once(fixture: Fixture) {
    let (here, there) = (fixture.store(), fixture.instance().await);
    for n in 0..20 {
        let (id, first, second) = (id(), draft("created"), draft("saved"));
        here.must_create(&id, &first).await;
        let what = format!("created elsewhere, round {n}");
        there.must_be(&id, &first, &what).await;
        there.must_replace(&id, &second, first.stamp).await;
        let what = format!("saved elsewhere, round {n}");
        here.must_be(&id, &second, &what).await;
        there.must_end(&id).await;
        here.must_lack(&id, "it was destroyed elsewhere").await;
    }
}
