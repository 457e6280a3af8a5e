//! Two processes with copies over one store: random interleavings of loads and writes, in virtual
//! time. A copy is never served later than the contract says.

#![allow(clippy::print_stdout, reason = "its counts are worth telling")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use session_cached::CachedStore;
use session_core::{Draft, Lifetime, SessionId, SessionStore, SessionToken, Stamp, Ttl};
use session_memory::MemoryStore;
use support::random::Random;
use support::slow::{Effect, Feed, Slow};
use tokio::time::Instant;

const LEASE: Duration = Duration::from_millis(500);
/// How soon a copy is dropped while invalidations come.
const TOLD: Duration = Duration::from_millis(50);
/// How many interleavings run at the same time.
const WAVE: u64 = 2_000;

/// What the store tells.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    Nothing,
    Everything,
    /// What happens while a stream holds, which it does for a random time.
    WithBreaks,
}

type Cached = CachedStore<Arc<Slow>>;

/// Two nodes on one store.
struct World {
    slow: Arc<Slow>,
    nodes: [Cached; 2],
}

/// A load of one node.
#[derive(Debug)]
struct Read {
    node: usize,
    began: Instant,
    ended: Instant,
    found: Option<(Stamp, Option<Instant>)>,
}

/// A write of one node that was done.
#[derive(Debug)]
struct Write {
    node: usize,
    ended: Instant,
    /// What it has left; `None` if it has ended the session.
    stamp: Option<Stamp>,
}

/// What loads of one node found after writes of the other.
#[derive(Default)]
struct Tally {
    /// Loads from [`TOLD`] after the write on.
    told: u64,
    /// Those of them that found what was there before.
    late: u64,
    /// Loads that a copy has answered.
    copies: u64,
}

impl World {
    fn new(told: Told) -> Self {
        let feed = match told {
            Told::Nothing => None,
            Told::Everything => Some(Feed::new(false)),
            Told::WithBreaks => Some(Feed::new(true)),
        };
        let slow = Arc::new(Slow::new(MemoryStore::new(), 2 * LEASE, feed));
        let node = || {
            let builder = CachedStore::builder(slow.clone()).lease(LEASE);
            builder.build().expect("good limits")
        };
        Self {
            nodes: [node(), node()],
            slow,
        }
    }

    /// One session, which both nodes load and write at random times.
    async fn interleaving(self: Arc<Self>, seed: u64) -> Tally {
        let mut random = Random::new(seed);
        let id = SessionToken::generate().id();
        let idle = Duration::from_millis(100 + random.below(4_000));
        let draft = Draft::new("{}", Lifetime::idle(idle));
        let created = self.nodes[random.below(2) as usize].create(&id, &draft);
        assert!(created.await.expect("up").is_done());
        let start = Instant::now();
        let mut reads = Vec::new();
        for _ in 0..8 {
            let at = start + random.up_to(3 * LEASE);
            reads.push(tokio::spawn(self.clone().read(id.clone(), at, &mut random)));
        }
        let mut writes = Vec::new();
        for _ in 0..=random.below(3) {
            let at = start + random.up_to(2 * LEASE);
            let write = self.clone().write(id.clone(), at, idle, &mut random);
            writes.push(tokio::spawn(write));
        }
        let (mut read, mut written) = (Vec::new(), Vec::new());
        for one in reads {
            read.push(one.await.expect("no panic"));
        }
        for one in writes {
            written.extend(one.await.expect("no panic"));
        }
        let effects = self.slow.take_effects(&id);
        self.check(&read, &written, &effects)
    }

    fn read(
        self: Arc<Self>,
        id: SessionId,
        at: Instant,
        random: &mut Random,
    ) -> impl Future<Output = Read> + Send + use<> {
        let node = random.below(2) as usize;
        async move {
            tokio::time::sleep_until(at).await;
            let began = Instant::now();
            let found = self.nodes[node].load(&id).await.expect("up");
            let ended = Instant::now();
            let found = found.map(|record| {
                let copied = record.is_copy.then_some(record.ttl);
                let deadline = copied.and_then(Ttl::left).map(|left| ended + left);
                (record.version.stamp(), deadline)
            });
            Read {
                node,
                began,
                ended,
                found,
            }
        }
    }

    fn write(
        self: Arc<Self>,
        id: SessionId,
        at: Instant,
        idle: Duration,
        random: &mut Random,
    ) -> impl Future<Output = Option<Write>> + Send + use<> {
        let (node, what) = (random.below(2) as usize, random.below(4));
        async move {
            tokio::time::sleep_until(at).await;
            let store = &self.nodes[node];
            let stamp = match what {
                0 => {
                    store.destroy(&id, None).await.expect("up");
                    None
                }
                1 => {
                    store.touch(&id, idle.into()).await.expect("up")?;
                    return None;
                }
                _ => {
                    let version = self.slow.now(&id).await?.version;
                    let draft = Draft::new("{\"n\":1}", Lifetime::idle(idle));
                    let saved = store.save(&id, &draft, &version).await.expect("up");
                    saved.is_done().then_some(Some(draft.stamp))?
                }
            };
            let ended = Instant::now();
            Some(Write { node, ended, stamp })
        }
    }

    fn check(&self, reads: &[Read], writes: &[Write], effects: &[Effect]) -> Tally {
        let mut tally = Tally::default();
        for read in reads {
            for write in writes {
                self.check_order(read, write, effects, &mut tally);
            }
            if let Some((stamp, deadline)) = read.found {
                check_deadline(read, stamp, deadline, effects);
                tally.copies += u64::from(deadline.is_some());
            }
        }
        tally
    }

    /// What a load finds that began after a write had ended.
    fn check_order(&self, read: &Read, write: &Write, effects: &[Effect], tally: &mut Tally) {
        let place = |stamp| effects.iter().position(|effect| effect.stamp == stamp);
        let is_outdated = read.found.is_some_and(|(found, _)| match write.stamp {
            None => true,
            Some(_) => place(Some(found)) < place(write.stamp),
        });
        // Virtual time has whole milliseconds: in the same one either may have been first.
        let is_after = match read.node == write.node {
            true => read.began > write.ended,
            false => read.began >= write.ended + LEASE,
        };
        assert!(
            !(is_after && is_outdated),
            "{read:?} after {write:?} of {effects:?}"
        );
        if read.node != write.node && read.began >= write.ended + TOLD {
            tally.told += 1;
            tally.late += u64::from(is_outdated);
        }
    }
}

/// What is found after the deadline was there before it, and a copy's own time left says so.
fn check_deadline(read: &Read, found: Stamp, copied: Option<Instant>, effects: &[Effect]) {
    let before = effects.iter().filter(|effect| effect.at <= read.ended);
    let deadline = before.filter_map(|effect| effect.deadline).max();
    let deadline = deadline.unwrap_or_else(|| panic!("{found:?} was never written"));
    assert!(read.began < deadline, "{read:?} after {deadline:?}");
    if let Some(copied) = copied {
        assert!(
            copied <= deadline,
            "{read:?} says {copied:?}, not {deadline:?}"
        );
    }
}

/// Runs so many interleavings.
fn run(told: Told, interleavings: u64) -> Tally {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let seed = support::random::seed();
    runtime.block_on(async {
        let mut sum = Tally::default();
        for wave in 0..interleavings.div_ceil(WAVE) {
            let world = Arc::new(World::new(told));
            let numbers = wave * WAVE..(wave + 1) * WAVE;
            let started: Vec<_> = numbers
                .map(|n| tokio::spawn(world.clone().interleaving(seed.wrapping_add(n))))
                .collect();
            for one in started {
                let tally = one.await.unwrap_or_else(|_| panic!("seed {seed}"));
                sum.told += tally.told;
                sum.late += tally.late;
                sum.copies += tally.copies;
            }
        }
        let Tally { told, late, copies } = sum;
        println!(
            "{interleavings} interleavings: {copies} copies served; {late} of {told} late by 50 ms"
        );
        assert!(copies > interleavings / 4, "the copies were not tried");
        sum
    })
}

#[test]
fn without_invalidations_copies_end_with_the_lease() {
    let tally = run(Told::Nothing, 25_000);
    assert!(tally.late > 0, "the lease has ended nothing");
}

#[test]
fn invalidations_end_copies_at_once() {
    let Tally { told, late, .. } = run(Told::Everything, 50_000);
    assert!(late * 100 <= told, "{late} of {told} were late");
}

#[test]
fn invalidations_that_break_off_leave_no_copy_after_the_lease() {
    run(Told::WithBreaks, 25_000);
}

/// `cargo test --release -p session-cached --test interleavings -- --ignored --nocapture`
#[test]
#[ignore = "minutes, also in a release build"]
fn copies_end_in_a_million_interleavings() {
    run(Told::Nothing, 250_000);
    let Tally { told, late, .. } = run(Told::Everything, 500_000);
    assert!(late * 100 <= told, "{late} of {told} were late");
    run(Told::WithBreaks, 250_000);
}
