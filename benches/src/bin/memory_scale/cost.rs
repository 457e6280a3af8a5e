//! Operations on few and on many sessions, interleaved, compared with the cost of memory accesses.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use benches::{credential, median};
use session_core::{
    Bytes, Draft, Lifetime, Saved, SessionId, SessionStore, SessionToken, Stamp, Version,
};
use session_memory::MemoryStore;

use super::{HOUR, PAYLOAD, SESSIONS};

const SIZES: [usize; 3] = [SESSIONS / 100, SESSIONS / 10, SESSIONS];
const ROUNDS: usize = 31;
const BATCHES: usize = 40;
const BATCH: usize = 512;

/// A store with sessions, a sharded map with as many, and a plain array of as many.
struct Subject {
    store: MemoryStore,
    sessions: Vec<(SessionId, Stamp)>,
    shards: Vec<RwLock<HashMap<String, (Instant, Bytes)>>>,
    array: Vec<Bytes>,
    random: u64,
}

/// Nanoseconds for each operation.
#[derive(Clone, Copy, Debug, Default)]
struct Costs {
    load: f64,
    save: f64,
    map: f64,
    array: f64,
}

fn draft() -> Draft {
    Draft::new(vec![7; PAYLOAD], Lifetime::fixed(HOUR)).with_credential(credential())
}

/// Data that was cloned before, like the data in the stores.
fn data() -> Bytes {
    let data = Bytes::from(vec![7; PAYLOAD]);
    drop(data.clone());
    data
}

impl Subject {
    async fn new(size: usize) -> Self {
        let mut subject = Self {
            store: MemoryStore::new(),
            sessions: Vec::new(),
            shards: (0..64).map(|_| RwLock::default()).collect(),
            array: Vec::new(),
            random: size as u64,
        };
        for _ in 0..size {
            let (id, draft) = (SessionToken::generate().id(), draft());
            let created = subject.store.create(&id, &draft).await.expect("up");
            assert_eq!(created, Saved::done(&draft));
            subject.sessions.push((id, draft.stamp));
        }
        for n in 0..size {
            let id = subject.sessions[n].0.as_str().to_owned();
            let value = (Instant::now() + HOUR, data());
            let mut shard = subject
                .shard(&id)
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            shard.insert(id, value);
        }
        subject.array = (0..size).map(|_| data()).collect();
        subject
    }

    fn shard(&self, id: &str) -> &RwLock<HashMap<String, (Instant, Bytes)>> {
        let last = id.as_bytes().last().copied().unwrap_or_default();
        &self.shards[usize::from(last) % 64]
    }

    /// Random sessions, with newly allocated ids, as those of requests are.
    fn batch(&mut self) -> Vec<(usize, SessionId)> {
        let session = |_| {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let n = self.random as usize % self.sessions.len();
            let id = SessionId::from_stored(self.sessions[n].0.as_str());
            (n, id.expect("it is one"))
        };
        (0..BATCH).map(session).collect()
    }

    async fn round(&mut self) -> Costs {
        let mut total = [Duration::ZERO; 4];
        for _ in 0..BATCHES {
            let batch = self.batch();
            total[0] += self.load(&batch).await;
            let batch = self.batch();
            total[1] += self.save(&batch).await;
            let batch = self.batch();
            total[2] += self.load_map(&batch);
            let batch = self.batch();
            total[3] += self.load_array(&batch);
        }
        let [load, save, map, array] =
            total.map(|time| time.as_nanos() as f64 / (BATCHES * BATCH) as f64);
        Costs {
            load,
            save,
            map,
            array,
        }
    }

    async fn load(&self, batch: &[(usize, SessionId)]) -> Duration {
        let began = Instant::now();
        for (_, id) in batch {
            let found = self.store.load(id).await.expect("loaded");
            black_box(found.expect("there"));
        }
        began.elapsed()
    }

    async fn save(&mut self, batch: &[(usize, SessionId)]) -> Duration {
        let mut saves = Vec::new();
        for (n, id) in batch {
            let draft = draft();
            // A session may occur twice.
            let expected = std::mem::replace(&mut self.sessions[*n].1, draft.stamp);
            saves.push((id, draft, Version::new(expected)));
        }
        let began = Instant::now();
        for (id, draft, expected) in &saves {
            let saved = self.store.save(id, draft, expected).await.expect("up");
            assert_eq!(saved, Saved::done(draft));
        }
        began.elapsed()
    }

    fn load_map(&self, batch: &[(usize, SessionId)]) -> Duration {
        let began = Instant::now();
        for (_, id) in batch {
            let shard = self.shard(id.as_str()).read();
            let shard = shard.unwrap_or_else(PoisonError::into_inner);
            let (deadline, data) = shard.get(id.as_str()).expect("there").clone();
            drop(shard);
            assert!(deadline > Instant::now());
            black_box(data);
        }
        began.elapsed()
    }

    /// The cost without a lookup: the session's index is known.
    fn load_array(&self, batch: &[(usize, SessionId)]) -> Duration {
        let began = Instant::now();
        for (n, _) in batch {
            black_box(self.array[*n].clone());
        }
        began.elapsed()
    }
}

pub(crate) async fn run() {
    let mut subjects = Vec::new();
    for size in SIZES {
        subjects.push((Subject::new(size).await, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (subject, costs) in &mut subjects {
            costs.push(subject.round().await);
        }
    }
    println!("Operations on sessions at random, medians of {ROUNDS} rounds, ns:\n");
    println!("| sessions | load | save | load of a sharded map | clone from an array |");
    println!("|---|---|---|---|---|");
    for (subject, costs) in &subjects {
        let columns: [fn(&Costs) -> f64; 4] = [|c| c.load, |c| c.save, |c| c.map, |c| c.array];
        print!("| {} |", subject.sessions.len());
        for column in columns {
            let own = median(costs.iter().map(column));
            let few = median(subjects[0].1.iter().map(column));
            print!(" {own:.0} ({:.2}) |", own / few);
        }
        println!();
    }
}
