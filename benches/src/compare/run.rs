//! One contender's part of a round.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use benches::results::Role;
use futures_util::{StreamExt, stream};
use tokio::sync::Barrier;

use super::contender::{Contender, text};

/// The figures of an operation in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) ops_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU time of this process, which runs the clients, for one operation.
    pub(crate) cpu_us: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Load,
    Save,
}

impl Operation {
    pub(crate) const ALL: [Self; 2] = [Self::Load, Self::Save];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Save => "save",
        }
    }
}

/// A contender that can be run, whatever its type.
#[async_trait]
pub(crate) trait Entrant: Send + Sync {
    fn name(&self) -> &str;
    fn role(&self) -> Role;
    /// Fills the store.
    async fn prepare(&self);
    /// Runs an operation for `time` with this number of concurrent callers.
    async fn run(&self, operation: Operation, callers: usize, time: Duration) -> Measured;
    /// Loads sessions and checks that no write was lost.
    async fn check(&self);
}

pub(crate) struct Entry<C> {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) contender: Arc<C>,
    /// The number of the last write of each session.
    writes: Arc<Vec<AtomicU64>>,
    payload: usize,
    /// One of this many operations is timed, because reading the clock takes as long as a memory
    /// store.
    timed: usize,
}

impl<C: Contender> Entry<C> {
    pub(crate) fn boxed(
        name: &str,
        role: Role,
        contender: C,
        (sessions, payload): (usize, usize),
        timed: usize,
    ) -> Box<dyn Entrant> {
        Box::new(Self {
            name: name.to_owned(),
            role,
            contender: Arc::new(contender),
            writes: Arc::new((0..sessions).map(|_| AtomicU64::new(0)).collect()),
            payload,
            timed,
        })
    }
}

#[async_trait]
impl<C: Contender> Entrant for Entry<C> {
    fn name(&self) -> &str {
        &self.name
    }

    fn role(&self) -> Role {
        self.role
    }

    async fn prepare(&self) {
        stream::iter(0..self.writes.len())
            .for_each_concurrent(64, |n| self.contender.create(n, text(0, self.payload)))
            .await;
    }

    async fn run(&self, operation: Operation, callers: usize, time: Duration) -> Measured {
        let barrier = Arc::new(Barrier::new(callers + 1));
        let end = Arc::new(OnceLock::new());
        let mut tasks = Vec::new();
        for caller in 0..callers {
            let caller = Caller {
                contender: Arc::clone(&self.contender),
                writes: Arc::clone(&self.writes),
                payload: self.payload,
                timed: self.timed,
                // Each caller has its own sessions, so that saves do not conflict.
                first: caller,
                step: callers,
            };
            let (barrier, end) = (Arc::clone(&barrier), Arc::clone(&end));
            tasks.push(tokio::spawn(async move {
                barrier.wait().await;
                let end = *end.get_or_init(|| Instant::now() + time);
                caller.call(operation, end).await
            }));
        }
        let cpu = cpu_time();
        barrier.wait().await;
        let began = Instant::now();
        let (mut count, mut latencies) = (0, Vec::new());
        for task in tasks {
            let (calls, timed) = task.await.expect("a caller");
            count += calls;
            latencies.extend(timed);
        }
        let took = began.elapsed();
        latencies.sort_unstable();
        let at = |share: usize| {
            let last = latencies.len().saturating_sub(1);
            let found = latencies.get(last * share / 100);
            found.copied().unwrap_or_default().as_secs_f64() * 1e6
        };
        Measured {
            ops_per_s: count as f64 / took.as_secs_f64(),
            p50_us: at(50),
            p99_us: at(99),
            cpu_us: (cpu_time() - cpu).as_secs_f64() * 1e6 / (count.max(1) as f64),
        }
    }

    async fn check(&self) {
        let sessions = self.writes.len();
        for n in (0..sessions).step_by((sessions / 200).max(1)) {
            let expected = self.writes[n].load(Relaxed);
            let (write, length) = self.contender.load(n).await;
            assert_eq!(write, expected, "{}: session {n} lost a write", self.name);
            assert_eq!(length, self.payload, "{}: session {n}", self.name);
        }
    }
}

struct Caller<C> {
    contender: Arc<C>,
    writes: Arc<Vec<AtomicU64>>,
    payload: usize,
    timed: usize,
    first: usize,
    step: usize,
}

impl<C: Contender> Caller<C> {
    /// Calls until the time is over. Returns the number of calls and the latencies of the timed
    /// ones.
    async fn call(self, operation: Operation, until: Instant) -> (usize, Vec<Duration>) {
        let own = (self.writes.len() - self.first).div_ceil(self.step);
        let mut latencies = Vec::with_capacity(1 << 16);
        let mut random = self.first as u64 * 0x9E37_79B9 + 0xD1B5_4A32_D192_ED03;
        let mut count = 0;
        loop {
            let began = Instant::now();
            if began > until {
                return (count, latencies);
            }
            for timed in 0..self.timed {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let n = self.first + (random as usize % own) * self.step;
                self.one(operation, n).await;
                if timed == 0 {
                    latencies.push(began.elapsed());
                }
            }
            count += self.timed;
            if self.timed > 1 {
                // Calls of a memory store never suspend, so the other callers would not run.
                tokio::task::yield_now().await;
            }
        }
    }

    async fn one(&self, operation: Operation, n: usize) {
        match operation {
            Operation::Load => {
                let (_, length) = self.contender.load(n).await;
                assert_eq!(length, self.payload);
            }
            Operation::Save => {
                let write = self.writes[n].load(Relaxed) + 1;
                self.contender.save(n, text(write, self.payload)).await;
                self.writes[n].store(write, Relaxed);
            }
        }
    }
}

/// The CPU time of this process so far, to a hundredth of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The fields after the name, which is in parentheses; the first is the state.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = |n: usize| -> u64 {
        let field = fields.split_whitespace().nth(n);
        field.and_then(|field| field.parse().ok()).unwrap_or(0)
    };
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
