//! Callers, reapers and killed connections at the same time, on any SQL store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::{
    Draft, ErrorKind, Lifetime, Session, SessionDirectory, SessionId, SessionStore, Sessions,
    Timeout,
};

use super::{SECOND, id};

/// Counts in one session by four callers, while `kill` ends the store's connections and says how
/// many: no change is lost, and none is made twice.
pub(crate) async fn updates_survive_killed_connections(
    store: impl SessionStore,
    kill: impl AsyncFn() -> i64,
) {
    let sessions = Sessions::new(Arc::new(store));
    let first = sessions.start();
    first.insert("n", 0).expect("a number");
    first.save().await.expect("saved");
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let session = sessions.open(first.token().as_ref()).await.expect("there");
        tasks.push(tokio::spawn(count_to_50(session)));
    }
    let mut killed = 0;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        killed += kill().await;
    }
    let mut in_doubt = 0;
    for task in tasks {
        in_doubt += task.await.expect("no panic");
    }
    assert!(killed > 0);
    let last = sessions.open(first.token().as_ref()).await.expect("there");
    let counted = last.get::<u32>("n").expect("a number").expect("set");
    assert!(
        (200..=200 + in_doubt).contains(&counted),
        "{counted} of 200 and {in_doubt} in doubt"
    );
}

/// Returns how many updates are in doubt.
async fn count_to_50(session: Session) -> u32 {
    let (mut done, mut in_doubt) = (0, 0);
    while done < 50 {
        let updated = session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1);
        match updated.await {
            Ok(_) => done += 1,
            // The store was away for too long, or too many others have saved since.
            Err(error) => {
                let is_unknown = error.kind() == ErrorKind::OutcomeUnknown;
                assert!(is_unknown || error.is_temporary(), "{error:?}");
                in_doubt += 1;
            }
        }
    }
    in_doubt
}

/// Reapers and writers on the same few hot rows: none deadlocks, and no writer waits long.
pub(crate) async fn reaping_does_not_disturb_writers<S>(store: S)
where
    S: SessionStore + SessionDirectory + Clone + 'static,
{
    let ids: Vec<SessionId> = (0..200).map(|_| id()).collect();
    let mut tasks = Vec::new();
    let until = Instant::now() + 4 * SECOND;
    for writer in 0..6 {
        let (store, ids) = (store.clone(), ids.clone());
        tasks.push(tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            for n in (writer * 31).. {
                if Instant::now() > until {
                    break;
                }
                let id = &ids[n % ids.len()];
                let brief = Draft::new("{}", Lifetime::idle(Duration::from_millis(40)));
                let began = Instant::now();
                let _ = store.create(id, &brief).await.expect("created, or taken");
                let longer = Timeout::After(Duration::from_millis(60));
                store.touch(id, longer).await.expect("touched");
                slowest = slowest.max(began.elapsed());
            }
            (0, slowest)
        }));
    }
    for _ in 0..2 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut reaped = 0;
            while Instant::now() < until {
                let some = store.reap(50).await.expect("reaped");
                store.confirm_reaped(&some).await.expect("confirmed");
                reaped += some.len();
            }
            (reaped, Duration::ZERO)
        }));
    }
    let (mut reaped, mut slowest) = (0, Duration::ZERO);
    for task in tasks {
        let (some, slow) = task.await.expect("no panic");
        reaped += some;
        slowest = slowest.max(slow);
    }
    assert!(reaped > 0);
    assert!(slowest < 2 * SECOND, "a writer waited {slowest:?}");
}
