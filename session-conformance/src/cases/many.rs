//! Many concurrent operations, each with its own outcome (I8): a store that batches them must not
//! mix them up, and an error of one must not affect the others.

use std::sync::Arc;

use session_core::{Draft, Ended, ErrorKind, Lifetime, Record, Result, Saved, SessionId, Timeout};

use crate::Fixture;
use crate::concurrent::{in_parallel, together};
use crate::samples::{credential, draft, hours, id, noise, owner, secs};

/// More than any store sends in one batch.
const MANY: usize = 300;

/// Creates `MANY` sessions, each with its number as data.
async fn numbered(fixture: &Fixture) -> Arc<Vec<(SessionId, Draft)>> {
    let store = fixture.store();
    let session = |n: usize| {
        let whose = (!n.is_multiple_of(3)).then(|| owner(&format!("owner {n}")));
        draft(&n.to_string()).with_owner(whose)
    };
    let sessions = (0..MANY).map(|n| (id(), session(n)));
    let sessions: Vec<_> = sessions.collect();
    let create = async |n: usize| store.must_create(&sessions[n].0, &sessions[n].1).await;
    together(MANY, create).await;
    Arc::new(sessions)
}

pub(super) async fn each_of_many_concurrent_creates_has_its_own_outcome(fixture: Fixture) {
    let (store, sessions) = (fixture.store().shared(), numbered(&fixture).await);
    let fresh: Arc<Vec<_>> = Arc::new((0..MANY).map(|_| (id(), draft("new"))).collect());
    let outcomes = in_parallel(MANY, {
        let (store, sessions, fresh) = (store.clone(), sessions.clone(), fresh.clone());
        move |n| {
            let (store, sessions, fresh) = (store.clone(), sessions.clone(), fresh.clone());
            async move {
                match n % 3 {
                    0 => store.create(&fresh[n].0, &fresh[n].1).await,
                    // Repeated, as after a lost answer.
                    1 => store.create(&sessions[n].0, &sessions[n].1).await,
                    _ => store.create(&sessions[n].0, &draft("another")).await,
                }
            }
        }
    });
    for (n, outcome) in outcomes.await.into_iter().enumerate() {
        let is_expected = match n % 3 {
            0 => is_done(&outcome, &fresh[n].1),
            1 => is_done(&outcome, &sessions[n].1),
            _ => matches!(outcome, Ok(Saved::Conflict)),
        };
        assert!(is_expected, "create {n} of many at once was {outcome:?}");
        let (id, data) = match n % 3 {
            0 => (&fresh[n].0, "new".to_owned()),
            _ => (&sessions[n].0, n.to_string()),
        };
        let found = fixture.store().must_find(id).await;
        assert_eq!(found.data, data, "session {n} after many creates");
    }
}

/// Whether this write has stored `draft`.
fn is_done(outcome: &Result<Saved>, draft: &Draft) -> bool {
    matches!(outcome, Ok(Saved::Done(version)) if version.stamp() == draft.stamp)
}

pub(super) async fn each_of_many_concurrent_loads_has_its_own_outcome(fixture: Fixture) {
    let (store, sessions) = (fixture.store().shared(), numbered(&fixture).await);
    let loaded = in_parallel(2 * MANY, move |n| {
        let (store, sessions) = (store.clone(), sessions.clone());
        async move {
            match n % 4 {
                0 => store.load(&id()).await,
                // Some callers load the same session.
                1 => store.load(&sessions[7].0).await,
                _ => store.load(&sessions[n % MANY].0).await,
            }
        }
    });
    for (n, loaded) in loaded.await.into_iter().enumerate() {
        let expected = match n % 4 {
            0 => None,
            1 => Some("7".to_owned()),
            _ => Some((n % MANY).to_string()),
        };
        let found = loaded.map(|found| found.map(|Record { data, .. }| data));
        let found = found.unwrap_or_else(|error| panic!("load {n} of many at once: {error:?}"));
        assert_eq!(
            found,
            expected.map(Into::into),
            "load {n} of many at once gives its own session"
        );
    }
}

pub(super) async fn each_of_many_concurrent_saves_has_its_own_outcome(fixture: Fixture) {
    let (checked, sessions) = (fixture.store(), numbered(&fixture).await);
    for (id, _) in sessions.iter().skip(2).step_by(5) {
        checked.must_end(id).await;
    }
    let saves: Arc<Vec<Draft>> = Arc::new((0..MANY).map(saved).collect());
    let store = checked.shared();
    let outcomes = in_parallel(MANY, {
        let (sessions, saves) = (sessions.clone(), saves.clone());
        move |n| {
            let (store, sessions, saves) = (store.clone(), sessions.clone(), saves.clone());
            async move {
                let (id, created) = &sessions[n];
                let (right, wrong) = (created.stamp.into(), draft("").stamp.into());
                match n % 5 {
                    1 => store.save(id, &saves[n], &wrong).await,
                    // Twice, as after a lost answer.
                    3 => {
                        let first = store.save(id, &saves[n], &right).await;
                        first.and(store.save(id, &saves[n], &right).await)
                    }
                    _ => store.save(id, &saves[n], &right).await,
                }
            }
        }
    });
    for (n, outcome) in outcomes.await.into_iter().enumerate() {
        let is_expected = match n % 5 {
            1 => matches!(outcome, Ok(Saved::Conflict)),
            2 => matches!(outcome, Ok(Saved::Gone)),
            _ => is_done(&outcome, &saves[n]),
        };
        assert!(is_expected, "save {n} of many at once was {outcome:?}");
        let ((id, created), what) = (&sessions[n], format!("session {n} after many saves"));
        match n % 5 {
            1 => checked.must_be(id, created, &what).await,
            2 => checked.must_lack(id, "it was destroyed").await,
            _ => checked.must_be(id, &saves[n], &what).await,
        }
    }
}

/// The save of session `n`: of several lengths, lifetimes, owners and credentials.
fn saved(n: usize) -> Draft {
    let data = format!("saved {n} {}", "x".repeat(n * 37 % 1_000));
    let lifetime = match n % 7 {
        0 => Lifetime::new(Timeout::Never, Timeout::Never),
        1 => hours(7),
        _ => hours(2),
    };
    let owner = (!n.is_multiple_of(4)).then(|| owner(&format!("user {}", n % 9)));
    let credential = credential(&noise(n % 193));
    Draft::new(data, lifetime)
        .with_owner(owner)
        .with_credential(credential)
}

pub(super) async fn each_of_many_concurrent_touches_has_its_own_outcome(fixture: Fixture) {
    let (checked, sessions) = (fixture.store(), numbered(&fixture).await);
    for (id, _) in sessions.iter().step_by(3) {
        checked.must_end(id).await;
    }
    let store = checked.shared();
    let idle = |n: usize| match n % 2 {
        0 => hours(3).idle,
        _ => hours(4).idle,
    };
    let touched = in_parallel(MANY, {
        let sessions = sessions.clone();
        move |n| {
            let (store, sessions) = (store.clone(), sessions.clone());
            async move { store.touch(&sessions[n].0, idle(n)).await }
        }
    });
    for (n, touched) in touched.await.into_iter().enumerate() {
        let left = touched.unwrap_or_else(|error| panic!("touch {n} of many: {error:?}"));
        if n % 3 == 0 {
            assert_eq!(left, None, "touch {n} of many at once: it was destroyed");
            continue;
        }
        let (left, idle) = (left.and_then(|left| left.left()), idle(n).duration());
        let (left, idle) = (left.expect("it lives"), idle.expect("a limit"));
        assert!(
            left <= idle && left + secs(60) > idle,
            "touch {n} of many at once left {left:?}, and should have left {idle:?}"
        );
    }
}

pub(super) async fn each_of_many_concurrent_destroys_has_its_own_outcome(fixture: Fixture) {
    let (checked, sessions) = (fixture.store(), numbered(&fixture).await);
    let store = checked.shared();
    // Each session is destroyed by two callers, one of them by version. As many calls find nothing:
    // they use an unknown id or another version.
    let destroyed = in_parallel(4 * MANY, {
        let sessions = sessions.clone();
        move |n| {
            let (store, sessions) = (store.clone(), sessions.clone());
            async move {
                let (id, created) = &sessions[n % MANY];
                match n / MANY {
                    0 => store.destroy(id, None).await,
                    1 => store.destroy(id, Some(&created.stamp.into())).await,
                    2 => store.destroy(&crate::samples::id(), None).await,
                    _ => store.destroy(id, Some(&draft("").stamp.into())).await,
                }
            }
        }
    });
    let destroyed: Vec<Option<Ended>> = destroyed
        .await
        .into_iter()
        .map(|done| done.unwrap_or_else(|error| panic!("a destroy of many: {error:?}")))
        .collect();
    for (n, (id, created)) in sessions.iter().enumerate() {
        let both = [&destroyed[n], &destroyed[n + MANY]];
        let ended: Vec<_> = both.into_iter().flatten().collect();
        assert_eq!(ended.len(), 1, "of two destroys of session {n} one ends it");
        let returned = (&ended[0].id, &ended[0].owner);
        assert_eq!(
            returned,
            (id, &created.owner),
            "what destroy returns for {n}"
        );
        for none in [&destroyed[n + 2 * MANY], &destroyed[n + 3 * MANY]] {
            assert_eq!(none, &None, "what is not there is not destroyed");
        }
        checked.must_lack(id, "it was destroyed").await;
    }
}

pub(super) async fn a_corrupt_session_among_many_affects_no_other(fixture: Fixture) {
    let (store, sessions) = (fixture.store().shared(), numbered(&fixture).await);
    for n in [3, 150, 299] {
        fixture.corrupt(&sessions[n].0).await;
    }
    let loaded = in_parallel(MANY, move |n| {
        let (store, sessions) = (store.clone(), sessions.clone());
        async move { store.load(&sessions[n].0).await }
    });
    for (n, loaded) in loaded.await.into_iter().enumerate() {
        if [3, 150, 299].contains(&n) {
            let is_corrupt = matches!(&loaded, Err(error) if error.kind() == ErrorKind::Corrupt);
            assert!(is_corrupt, "load {n}, which is corrupt, was {loaded:?}");
            continue;
        }
        let found = loaded.unwrap_or_else(|error| panic!("load {n} of many: {error:?}"));
        let found = found.map(|found| found.data);
        assert_eq!(found, Some(n.to_string().into()), "load {n} of many");
    }
}
