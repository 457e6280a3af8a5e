//! Concurrent writers whose answers are lost or whose futures are dropped: each gets the right
//! outcome.

use session_core::{Draft, ErrorKind, Saved, SessionId, SessionStore, Version};
use session_express::ExpressLayout;

use crate::fixture::{ROUNDS, done, lives, new_plain_id, store};
use crate::slow::{Faults, Slow};
use crate::support::Memory;

/// Creates a session with the number zero. Returns its id and version.
async fn create(store: &impl ExpressLayout) -> (SessionId, Version) {
    let id = new_plain_id();
    let version = store.create(&id, &counted(store, 0)).await;
    (id, done(version))
}

/// A draft with the number `n`.
fn counted(store: &impl ExpressLayout, n: u32) -> Draft {
    let unique = new_plain_id();
    let json = format!(r#"{{"n":{n},"by":"{}"}}"#, unique.as_str());
    Draft::new(json, store.lifetime())
}

async fn number(store: &impl SessionStore, id: &SessionId) -> (u32, Version) {
    let read = store.load(id).await.expect("read").expect("there");
    let json: serde_json::Value = serde_json::from_slice(&read.data).expect("JSON");
    let number = json["n"].as_u64().expect("a number");
    (number as u32, read.version)
}

/// Adds one. Returns the outcome.
async fn increment(store: &impl ExpressLayout, id: &SessionId) -> Saved {
    loop {
        let (n, version) = number(store, id).await;
        let draft = counted(store, n + 1);
        loop {
            match store.save(id, &draft, &version).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                Ok(Saved::Conflict) => break,
                Ok(outcome) => return outcome,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn increments_are_counted_once_when_answers_are_lost() {
    let mut all_unknown = 0;
    for seed in 0..ROUNDS / 10 {
        let faults = Faults {
            lost_answers: 200,
            ..Faults::default()
        };
        let memory = Memory::default();
        let quick = store(memory.clone());
        let (id, _) = create(&quick).await;
        let slow = store(Slow::new(memory, seed, faults));
        let writers = (0..3).map(|_| {
            let (store, id) = (slow.clone(), id.clone());
            tokio::spawn(async move {
                let mut known = 0;
                for _ in 0..5 {
                    known += u32::from(increment(&store, &id).await.is_done());
                }
                known
            })
        });
        let mut known = 0;
        for writer in writers.collect::<Vec<_>>() {
            known += writer.await.expect("no panic");
        }
        let found = number(&quick, &id).await.0;
        let unknown = 15 - known;
        assert!(
            (known..=15).contains(&found),
            "round {seed}: {known} were done, {unknown} unknown, {found} counted"
        );
        all_unknown += unknown;
    }
    assert!(all_unknown > 0, "unknown outcomes are tested too");
}

#[tokio::test]
async fn a_write_dropped_at_any_point_is_done_once_when_it_is_repeated() {
    let mut cut_off = 0;
    for seed in 0..ROUNDS {
        let slow = store(Slow::new(Memory::default(), seed, Faults::default()));
        let (id, version) = create(&slow).await;
        let draft = counted(&slow, 1);
        let polls = seed % 8;
        tokio::select! {
            biased;
            saved = slow.save(&id, &draft, &version) => {
                done(saved);
                continue;
            }
            () = async { for _ in 0..polls { tokio::task::yield_now().await } } => cut_off += 1,
        }
        done(slow.save(&id, &draft, &version).await);
        assert_eq!(number(&slow, &id).await.0, 1, "round {seed}");
    }
    assert!(cut_off > ROUNDS / 4, "{cut_off}");
}

#[tokio::test]
async fn of_a_save_and_a_destroy_of_one_version_one_is_done() {
    for seed in 0..ROUNDS {
        let store = store(Slow::new(Memory::default(), seed, Faults::default()));
        let (id, version) = create(&store).await;
        let draft = counted(&store, 1);
        let (saved, ended) = tokio::join!(
            store.save(&id, &draft, &version),
            store.destroy(&id, Some(&version))
        );
        let lives = lives(&store, &id).await;
        match (saved.expect("answered"), ended.expect("answered")) {
            (Saved::Done(_), None) => assert!(lives, "round {seed}"),
            (Saved::Gone, Some(_)) => assert!(!lives, "round {seed}"),
            other => panic!("round {seed}: {other:?}"),
        }
    }
}
