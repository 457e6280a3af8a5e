//! Concurrent requests while a session moves, on slow stores that lose answers.

use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Draft, ErrorKind, Lifetime, Result, Saved, SessionId, SessionStore, SessionToken, Sessions,
    Timeout, Version,
};
use session_express::{ExpressStore, MovingStore};
use session_memory::MemoryStore;

use crate::fixture::{HOUR, ROUNDS, done, lives, store};
use crate::slow::{Faults, Slow};
use crate::support::Memory;

const SID: &str = "x8_4i3md4GT-YSO5u41ROgZDabcdefgh";

struct Race {
    memory: Memory,
    native: MemoryStore,
    store: Arc<MovingStore<ExpressStore<Slow<Memory>>>>,
    id: SessionId,
}

impl Race {
    /// A session stored by an Express app, on stores that lose the answers of `lost` of 1,000
    /// writes.
    fn begin(seed: u64, lost: u64) -> Self {
        let (memory, native) = (Memory::default(), MemoryStore::new());
        memory.put(SID, r#"{"cookie":{},"n":0}"#, HOUR);
        let faults = Faults {
            lost_answers: lost,
            ..Faults::default()
        };
        let slow = Slow::new(native.clone(), seed, faults);
        let express = store(Slow::new(memory.clone(), seed + ROUNDS, faults));
        let store = Arc::new(MovingStore::new(Arc::new(slow), express));
        let id = token().id();
        Self {
            memory,
            native,
            store,
            id,
        }
    }

    /// The id without the presented text.
    fn native_id(&self) -> SessionId {
        SessionId::from_stored(self.id.as_str()).expect("valid")
    }

    async fn load(&self, id: &SessionId) -> Option<(u64, Vec<u64>, Version)> {
        let read = self.store.load(id).await.expect("read")?;
        let json: serde_json::Value = serde_json::from_slice(&read.data).expect("JSON");
        let writers = json["writers"].as_array().cloned().unwrap_or_default();
        let writers = writers.iter().filter_map(serde_json::Value::as_u64);
        let n = json["n"].as_u64().expect("a number");
        Some((n, writers.collect(), read.version))
    }

    /// Adds one and the writer's name to the session, retrying conflicts. Returns the last outcome.
    async fn write(&self, id: &SessionId, writer: u64) -> Saved {
        loop {
            let Some((n, mut writers, version)) = self.load(id).await else {
                return Saved::Gone;
            };
            writers.push(writer);
            let json = serde_json::json!({ "n": n + 1, "writers": writers });
            let draft = Draft::new(json.to_string(), Lifetime::idle(HOUR));
            loop {
                match self.store.save(id, &draft, &version).await {
                    Err(error) if error.kind() == ErrorKind::Unavailable => {}
                    Ok(Saved::Conflict) => break,
                    Ok(outcome) => return outcome,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Destroys the session, retrying errors.
    async fn destroy(&self, id: &SessionId) {
        loop {
            match self.store.destroy(id, None).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                answered => {
                    answered.expect("destroyed");
                    return;
                }
            }
        }
    }

    async fn assert_ended(&self, what: &str) {
        assert!(!lives(&self.store, &self.id).await, "{what}");
        assert!(!lives(&self.store, &self.native_id()).await, "{what}");
        let left = self.native.load(&self.id).await.expect("read");
        let left = left.expect("there is a tombstone");
        assert_eq!(&left.data[..], b"\0ended", "{what}");
    }
}

fn token() -> SessionToken {
    SessionToken::foreign(SID).expect("any text")
}

#[tokio::test]
async fn a_sign_out_beside_saves_of_an_unmoved_session_is_final() {
    for lost in [0, 200] {
        for seed in 0..ROUNDS {
            let race = Race::begin(seed, lost);
            let id = &race.id;
            let _ = tokio::join!(
                race.write(id, 1),
                race.write(id, 2),
                race.destroy(id),
                race.write(id, 3),
            );
            race.assert_ended(&format!("round {seed}, {lost} lost"))
                .await;
            assert_eq!(race.memory.text(SID), None);
        }
    }
}

#[tokio::test]
async fn a_sign_out_by_the_native_id_is_final_beside_an_interrupted_move() {
    for seed in 0..ROUNDS {
        let race = Race::begin(seed, 0);
        let (native_id, id) = (race.native_id(), &race.id);
        let polls = seed % 12;
        // Its process dies at some point.
        let dying = async {
            tokio::select! {
                biased;
                _ = race.write(id, 1) => {}
                () = async { for _ in 0..polls { tokio::task::yield_now().await } } => {}
            }
        };
        let _ = tokio::join!(dying, race.write(id, 2), async {
            // A client gets the native token only once the session has moved.
            for _ in 0..10_000 {
                if lives(&race.store, &native_id).await {
                    break;
                }
            }
            race.destroy(&native_id).await;
        });
        race.assert_ended(&format!("round {seed}")).await;
    }
}

#[tokio::test]
async fn a_reader_beside_a_move_always_finds_the_session() {
    for seed in 0..ROUNDS {
        let race = Race::begin(seed, 0);
        let id = &race.id;
        let reading = async || {
            for _ in 0..3 {
                assert!(race.load(id).await.is_some(), "round {seed}");
                let touched = race.store.touch(id, Timeout::After(HOUR)).await;
                assert!(touched.expect("touched").is_some(), "round {seed}");
            }
        };
        let (moved, (), ()) = tokio::join!(race.write(id, 1), reading(), reading());
        assert!(moved.is_done());
        assert_eq!(race.memory.text(SID), None);
    }
}

#[tokio::test]
async fn parallel_writers_of_an_unmoved_session_lose_no_update() {
    for seed in 0..ROUNDS {
        let race = Race::begin(seed, 0);
        let id = &race.id;
        let saved = tokio::join!(
            race.write(id, 1),
            race.write(id, 2),
            race.write(id, 3),
            race.write(id, 4),
        );
        for saved in [saved.0, saved.1, saved.2, saved.3] {
            assert!(saved.is_done(), "round {seed}: {saved:?}");
        }
        let (n, mut writers, _) = race.load(id).await.expect("there");
        writers.sort_unstable();
        assert_eq!((n, writers), (4, vec![1, 2, 3, 4]), "round {seed}");
        assert_eq!(race.memory.text(SID), None);
    }
}

/// Through the manager, which reads the trail.
#[tokio::test]
async fn updates_beside_a_move_add_up_when_answers_are_lost() {
    let mut unknown = 0;
    for seed in 0..ROUNDS / 4 {
        let race = Race::begin(seed, 150);
        let sessions = Sessions::builder(Arc::clone(&race.store) as Arc<dyn SessionStore>)
            .attempts(32)
            .build()
            .expect("good rules");
        let update = async || {
            let session = sessions.open(Some(&token())).await?;
            session
                .update("n", |n: Option<u64>| n.unwrap_or(0) + 1)
                .await
        };
        let outcomes: [Result<u64>; 3] = tokio::join!(update(), update(), update()).into();
        let mut counted = 0;
        for outcome in &outcomes {
            match outcome {
                Ok(_) => counted += 1,
                Err(error)
                    if [ErrorKind::Unavailable, ErrorKind::OutcomeUnknown]
                        .contains(&error.kind()) =>
                {
                    unknown += 1
                }
                Err(error) => panic!("round {seed}: {error:?}"),
            }
        }
        let (n, ..) = race.load(&race.id).await.expect("there");
        assert!(
            (counted..=3).contains(&n),
            "round {seed}: {n} counted of {outcomes:?}"
        );
    }
    assert!(unknown < ROUNDS / 10, "{unknown} are unknown");
}

#[tokio::test]
async fn of_a_save_and_a_destroy_of_one_version_one_is_done() {
    for seed in 0..ROUNDS {
        let race = Race::begin(seed, 0);
        let id = &race.id;
        let (_, _, mut version) = race.load(id).await.expect("there");
        if seed % 2 == 1 {
            let moved = Draft::new(r#"{"n":1}"#, Lifetime::idle(HOUR));
            version = done(race.store.save(id, &moved, &version).await);
        }
        let draft = Draft::new(r#"{"n":2}"#, Lifetime::idle(HOUR));
        let (saved, ended) = tokio::join!(
            race.store.save(id, &draft, &version),
            race.store.destroy(id, Some(&version)),
        );
        match (saved.expect("answered"), ended.expect("answered")) {
            (Saved::Done(_), None) => {
                assert_eq!(race.load(id).await.expect("there").0, 2, "round {seed}");
            }
            (Saved::Gone, Some(_)) => race.assert_ended(&format!("round {seed}")).await,
            other => panic!("round {seed}: {other:?}"),
        }
    }
}

/// An attacker who has copied a cookie and writes the session without a pause does not keep it
/// alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_is_final_beside_writers_without_a_pause() {
    for seed in 0..20 {
        let race = Arc::new(Race::begin(seed, 0));
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let race = Arc::clone(&race);
                tokio::spawn(async move { while race.write(&race.id, writer).await.is_done() {} })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(2)).await;
        race.destroy(&race.id).await;
        race.assert_ended(&format!("round {seed}")).await;
        for writer in writers {
            writer.await.expect("no panic");
        }
        race.assert_ended(&format!("round {seed}, later")).await;
    }
}
