//! Two operations on one session at the same time: each order of them is right, nothing between,
//! and nothing that has ended comes back (I4).

use std::time::Instant;

use session_core::{Error, Saved, SessionId};

use super::Stage;
use super::crowd::in_parallel;
use super::fixture::{draft, draft_living, hours, id, ms, random_below, related_ids, secs};
use super::subject::Subject;

/// How often destroy races save.
const DESTROYS: usize = 1_000;
/// How often the other pairs race.
const ROUNDS: usize = 250;
/// Races that are run at the same time.
const LANES: usize = 25;

/// Runs `race` so many times on two instances, some at a time.
async fn rounds<R>(
    stage: &Stage,
    count: usize,
    race: impl Fn([Subject; 2]) -> R + Clone + Send + Sync + 'static,
) where
    R: Future<Output = ()> + Send + 'static,
{
    let stores = [stage.store(), stage.instance().await];
    in_parallel(LANES, move |_| {
        let (stores, race) = (stores.clone(), race.clone());
        async move {
            for _ in 0..count / LANES {
                race(stores.clone()).await;
            }
        }
    })
    .await;
}

/// Awaits both at once, each in a task of its own and either one first.
async fn both<A, B>(
    a: impl Future<Output = A> + Send + 'static,
    b: impl Future<Output = B> + Send + 'static,
) -> (A, B)
where
    A: Send + 'static,
    B: Send + 'static,
{
    let swapped = random_below(2) == 0;
    let (a, b) = if swapped {
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

pub(super) async fn destroy_racing_save_is_final(stage: Stage) {
    rounds(&stage, DESTROYS, async |[one, other]: [Subject; 2]| {
        let (id, first, second) = (id(), draft("first"), draft("second"));
        one.must_create(&id, &first).await;
        let (store, saved, next) = (other.clone(), id.clone(), second.clone());
        let save = async move { store.must_save(&saved, &next, first.stamp).await };
        let (store, ended) = (one.clone(), id.clone());
        let destroy = async move {
            let destroyed = store.must_destroy(&ended).await;
            // The save may still be under way here.
            store.must_lack(&ended, "destroy has returned").await;
            destroyed
        };
        let (saved, destroyed) = both(save, destroy).await;
        assert!(
            destroyed,
            "destroy of a live session is true, whoever saves it"
        );
        assert_ne!(
            saved,
            Saved::Conflict,
            "a save racing destroy is done before it, or gone"
        );
        one.must_lack(&id, "it was destroyed while a save was under way")
            .await;
        let late = one.must_save(&id, &draft("late"), second.stamp).await;
        assert_eq!(late, Saved::Gone, "a save after destroy");
    })
    .await;
}

pub(super) async fn destroy_racing_touch_is_final(stage: Stage) {
    rounds(&stage, ROUNDS, async |[one, other]: [Subject; 2]| {
        let id = id();
        one.must_create(&id, &draft("in use")).await;
        let (store, touched) = (other.clone(), id.clone());
        let touch = async move { store.must_touch(&touched, hours(3).idle).await };
        let (store, ended) = (one.clone(), id.clone());
        let destroy = async move { store.must_destroy(&ended).await };
        let (_, destroyed) = both(touch, destroy).await;
        assert!(
            destroyed,
            "destroy of a live session is true, whoever touches it"
        );
        one.must_lack(&id, "it was destroyed while a touch was under way")
            .await;
        assert_eq!(
            other.must_touch(&id, hours(1).idle).await,
            None,
            "a touch after destroy"
        );
    })
    .await;
}

pub(super) async fn destroy_racing_destroy_is_true_once(stage: Stage) {
    rounds(&stage, ROUNDS, async |[one, other]: [Subject; 2]| {
        let id = id();
        one.must_create(&id, &draft("to be ended")).await;
        let (store, ended) = (one.clone(), id.clone());
        let first = async move { store.must_destroy(&ended).await };
        let (store, ended) = (other.clone(), id.clone());
        let second = async move { store.must_destroy(&ended).await };
        let (first, second) = both(first, second).await;
        assert!(
            first != second,
            "of two destroys one is true, were {first} and {second}"
        );
        one.must_lack(&id, "it was destroyed twice").await;
    })
    .await;
}

pub(super) async fn destroy_racing_rename_leaves_one_or_none(stage: Stage) {
    rounds(&stage, ROUNDS, async |[one, other]: [Subject; 2]| {
        let ([from, to], first, second) = (related_ids(), draft("first"), draft("second"));
        one.must_create(&from, &first).await;
        let (store, old, new, next) = (other.clone(), from.clone(), to.clone(), second.clone());
        let rename = async move { store.must_rename(&old, &new, &next, first.stamp).await };
        let (store, ended) = (one.clone(), from.clone());
        let destroy = async move { store.must_destroy(&ended).await };
        let (renamed, destroyed) = both(rename, destroy).await;
        one.must_lack(&from, "it was renamed or destroyed").await;
        match (renamed, destroyed) {
            (Saved::Done(_), false) => {
                let found = one.must_find(&to).await;
                assert_eq!(found.data, second.data, "renamed before the destroy");
            }
            (Saved::Gone, true) => one.must_lack(&to, "it was destroyed first").await,
            (renamed, destroyed) => panic!(
                "a session is renamed or destroyed: rename was {renamed:?}, destroy {destroyed}"
            ),
        }
    })
    .await;
}

pub(super) async fn rename_racing_save_loses_neither(stage: Stage) {
    rounds(&stage, ROUNDS, async |[one, other]: [Subject; 2]| {
        let ([from, to], first) = (related_ids(), draft("first"));
        let (by_rename, by_save) = (draft("renamed"), draft("saved"));
        one.must_create(&from, &first).await;
        let (store, old, new, next) = (one.clone(), from.clone(), to.clone(), by_rename.clone());
        let rename = async move { store.must_rename(&old, &new, &next, first.stamp).await };
        let (store, old, next) = (other.clone(), from.clone(), by_save.clone());
        let save = async move { store.must_save(&old, &next, first.stamp).await };
        match both(rename, save).await {
            (Saved::Done(_), Saved::Gone) => {
                one.must_lack(&from, "it was renamed").await;
                assert_eq!(one.must_find(&to).await.data, by_rename.data, "as renamed");
            }
            (Saved::Conflict, Saved::Done(_)) => {
                one.must_lack(&to, "the rename was a conflict").await;
                assert_eq!(one.must_find(&from).await.data, by_save.data, "as saved");
            }
            (renamed, saved) => panic!(
                "of a rename and a save of one stamp one is done: rename was {renamed:?}, save \
                 {saved:?}"
            ),
        }
    })
    .await;
}

pub(super) async fn of_two_renames_of_a_session_one_is_done(stage: Stage) {
    rounds(&stage, ROUNDS, async |[one, other]: [Subject; 2]| {
        let ([from, left, right], first) = (related_ids(), draft("first"));
        one.must_create(&from, &first).await;
        let rename = |store: &Subject, to: &SessionId| {
            let (store, from, to) = (store.clone(), from.clone(), to.clone());
            async move {
                store
                    .must_rename(&from, &to, &draft("renamed"), first.stamp)
                    .await
            }
        };
        let done = both(rename(&one, &left), rename(&other, &right)).await;
        one.must_lack(&from, "it was renamed").await;
        match done {
            (Saved::Done(_), Saved::Gone) => {
                one.must_find(&left).await;
                one.must_lack(&right, "the other rename was done").await;
            }
            (Saved::Gone, Saved::Done(_)) => {
                one.must_find(&right).await;
                one.must_lack(&left, "the other rename was done").await;
            }
            other => panic!("of two renames one is done and the other gone, were {other:?}"),
        }
    })
    .await;
}

pub(super) async fn of_two_renames_to_one_id_one_is_done(stage: Stage) {
    rounds(&stage, ROUNDS, async |[one, other]: [Subject; 2]| {
        let ([left, right, to], a, b) = (related_ids(), draft("left"), draft("right"));
        one.must_create(&left, &a).await;
        one.must_create(&right, &b).await;
        let rename = |store: &Subject, from: &SessionId, expected| {
            let (store, from, to) = (store.clone(), from.clone(), to.clone());
            let draft = draft(from.as_str());
            async move { store.rename(&from, &to, &draft, expected).await }
        };
        let done = both(
            rename(&one, &left, a.stamp),
            rename(&other, &right, b.stamp),
        )
        .await;
        let (moved, stayed, stays) = match done {
            (Ok(Saved::Done(_)), Err(Error::AlreadyExists)) => (&left, &right, b),
            (Err(Error::AlreadyExists), Ok(Saved::Done(_))) => (&right, &left, a),
            other => panic!("of two renames to one id one is AlreadyExists, were {other:?}"),
        };
        one.must_lack(moved, "it was renamed").await;
        assert_eq!(
            one.must_find(&to).await.data,
            moved.as_str(),
            "the one that was renamed"
        );
        assert_eq!(
            one.must_find(stayed).await.data,
            stays.data,
            "the one that was not"
        );
    })
    .await;
}

pub(super) async fn create_racing_rename_to_its_id_overwrites_nothing(stage: Stage) {
    rounds(&stage, ROUNDS, async |[one, other]: [Subject; 2]| {
        let ([from, to], first) = (related_ids(), draft("first"));
        let (created, renamed) = (draft("created"), draft("renamed"));
        one.must_create(&from, &first).await;
        let (store, old, new, next) = (one.clone(), from.clone(), to.clone(), renamed.clone());
        let rename = async move { store.rename(&old, &new, &next, first.stamp).await };
        let (store, new, next) = (other.clone(), to.clone(), created.clone());
        let create = async move { store.create(&new, &next).await };
        match both(rename, create).await {
            (Ok(Saved::Done(_)), Err(Error::AlreadyExists)) => {
                one.must_lack(&from, "it was renamed").await;
                assert_eq!(one.must_find(&to).await.data, renamed.data, "as renamed");
            }
            (Err(Error::AlreadyExists), Ok(_)) => {
                assert_eq!(one.must_find(&to).await.data, created.data, "as created");
                assert_eq!(one.must_find(&from).await.data, first.data, "not renamed");
            }
            other => panic!("of rename and create one is AlreadyExists, were {other:?}"),
        }
    })
    .await;
}

pub(super) async fn a_renamed_session_is_always_under_one_of_its_ids(stage: Stage) {
    let (store, watching) = (stage.store(), stage.instance().await);
    for _ in 0..60 {
        let ([from, to], first) = (related_ids(), draft("first"));
        store.must_create(&from, &first).await;
        let watch = |backwards: bool| {
            let (store, from, to) = (watching.clone(), from.clone(), to.clone());
            async move { while watch_once(&store, &from, &to, backwards).await {} }
        };
        let watchers = [tokio::spawn(watch(false)), tokio::spawn(watch(true))];
        tokio::time::sleep(std::time::Duration::from_micros(random_below(2_000) as u64)).await;
        store
            .must_move(&from, &to, &draft("second"), first.stamp)
            .await;
        for watcher in watchers {
            joined(watcher.await);
        }
    }
}

/// Looks at both ids of a session that is renamed once; `false` when it has been. What is seen
/// first limits what may be seen after it.
async fn watch_once(store: &Subject, from: &SessionId, to: &SessionId, backwards: bool) -> bool {
    if backwards {
        let new = store.must_load(to).await;
        let old = store.must_load(from).await;
        assert!(
            new.is_none() || old.is_none(),
            "the session was there under its new id, and then still under its old one"
        );
        return new.is_none();
    }
    let old = store.must_load(from).await;
    let new = store.must_load(to).await;
    assert!(
        old.is_some() || new.is_some(),
        "the session was gone under its old id, and then not yet there under its new one"
    );
    old.is_some()
}

pub(super) async fn save_at_the_deadline_is_done_or_gone(stage: Stage) {
    let store = stage.store();
    in_parallel(60, move |n| {
        let store = store.clone();
        async move {
            let (id, limit) = (id(), ms(40));
            let first = draft_living("brief", super::fixture::fixed(limit));
            store.must_create(&id, &first).await;
            tokio::time::sleep(limit + ms(n as u64 % 8) - ms(4)).await;
            match store.must_save(&id, &draft("saved"), first.stamp).await {
                Saved::Done(_) => {
                    let found = store.must_find(&id).await;
                    assert_eq!(found.data, "saved", "a save that was done in time");
                }
                Saved::Gone => store.must_lack(&id, "the save came too late").await,
                Saved::Conflict => panic!("nobody else writes this session"),
            }
        }
    })
    .await;
}

pub(super) async fn touch_at_the_deadline_finds_it_or_not(stage: Stage) {
    let store = stage.store();
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

pub(super) async fn everything_at_once_ends_well(stage: Stage) {
    let stores = [
        stage.store(),
        stage.instance().await,
        stage.instance().await,
    ];
    let (ids, until) = (related_ids::<8>(), Instant::now() + secs(1));
    let busy = stores.clone();
    let shared = ids.clone();
    in_parallel(48, move |n| {
        let (store, ids) = (busy[n % 3].clone(), shared.clone());
        async move {
            while Instant::now() < until {
                let (id, to) = (&ids[random_below(8)], &ids[random_below(8)]);
                act(&store, id, to).await;
            }
        }
    })
    .await;
    for id in &ids {
        if let Some(found) = stores[0].must_load(id).await {
            let next = draft("at last");
            stores[1].must_replace(id, &next, found.stamp).await;
            assert_eq!(
                stores[2].must_find(id).await.data,
                next.data,
                "the last save"
            );
            assert!(stores[0].must_destroy(id).await, "destroy of what is left");
        }
        stores[2].must_lack(id, "all have been destroyed").await;
    }
}

/// Does something with `id`, perhaps with `to`; whatever others do meanwhile, it is no error.
async fn act(store: &Subject, id: &SessionId, to: &SessionId) {
    let no_error = |error: Error| match error {
        Error::AlreadyExists => {}
        error => panic!("among many callers an operation failed: {error:?}"),
    };
    match random_below(10) {
        0 | 1 => store
            .create(id, &draft("new"))
            .await
            .map_or_else(no_error, drop),
        2..=4 => {
            if let Some(found) = store.must_load(id).await {
                let _ = store.must_save(id, &draft("saved"), found.stamp).await;
            }
        }
        5 | 6 => drop(store.must_touch(id, hours(2).idle).await),
        7 => drop(store.must_destroy(id).await),
        _ if id != to => {
            if let Some(found) = store.must_load(id).await {
                let renamed = store.rename(id, to, &draft("renamed"), found.stamp).await;
                renamed.map_or_else(no_error, drop);
            }
        }
        _ => drop(store.must_load(id).await),
    }
}
