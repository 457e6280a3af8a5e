//! Latencies, with the time spent waiting for a CPU reported separately: the caller's own, or that
//! of another thread of this process for which the caller was waiting.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The scheduler's figures are read for calls that take at least this long.
const LONG: Duration = Duration::from_micros(300);
const MILLISECOND: Duration = Duration::from_millis(1);
/// How many calls are made between two reads of the scheduler's figures.
const CALLS: u64 = 256;

/// The latencies of this thread's calls.
pub(crate) struct Watch {
    /// The scheduler's figures of this thread, which is the first, and of the others.
    threads: Vec<File>,
    seen: Seen,
    calls: u64,
    /// Calls by latency in nanoseconds, with four buckets for each power of two.
    histogram: [u64; 256],
    longest: Duration,
    over: u64,
    /// The longest latency without the time spent waiting for a CPU.
    longest_own: Duration,
    over_own: u64,
}

/// The scheduler's figures so far.
#[derive(Clone, Copy, Default)]
struct Seen {
    ran: Duration,
    waited: Duration,
    others_waited: Duration,
}

pub(crate) const HEAD: &str = "\
| | calls | median µs | 99.9 % µs | longest ms | over 1 ms | longest, but for the scheduler | over 1 ms |
|---|---|---|---|---|---|---|---|";

impl Watch {
    /// Starts to measure the calls of the current thread.
    pub(crate) fn new() -> Self {
        let own = std::fs::read_link("/proc/thread-self").unwrap_or_default();
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
        let mut tasks: Vec<_> = tasks.flatten().map(|task| task.path()).collect();
        tasks.sort_by_key(|task| task.file_name() != own.file_name());
        let open = |task: &PathBuf| File::open(task.join("schedstat")).ok();
        let mut watch = Self {
            threads: tasks.iter().filter_map(open).collect(),
            seen: Seen::default(),
            calls: 0,
            histogram: [0; 256],
            longest: Duration::ZERO,
            over: 0,
            longest_own: Duration::ZERO,
            over_own: 0,
        };
        watch.seen = watch.look();
        watch
    }

    pub(crate) async fn time<T>(&mut self, work: impl Future<Output = T>) -> T {
        if self.calls.is_multiple_of(CALLS) {
            self.seen = self.look();
        }
        let began = Instant::now();
        let done = work.await;
        self.add(began.elapsed());
        done
    }

    fn add(&mut self, took: Duration) {
        self.calls += 1;
        self.histogram[bucket(took)] += 1;
        if took < LONG {
            return;
        }
        let (before, now) = (self.seen, self.look());
        self.seen = now;
        let waited = now.waited.saturating_sub(before.waited);
        let slept = took.saturating_sub(waited + now.ran.saturating_sub(before.ran));
        let others = now.others_waited.saturating_sub(before.others_waited);
        let own = took.saturating_sub(waited + slept.min(others));
        self.longest = self.longest.max(took);
        self.over += u64::from(took > MILLISECOND);
        self.longest_own = self.longest_own.max(own);
        self.over_own += u64::from(own > MILLISECOND);
    }

    /// Reads how long the threads have run and have waited for a CPU (Linux).
    fn look(&self) -> Seen {
        let mut seen = Seen::default();
        for (n, file) in self.threads.iter().enumerate() {
            let mut text = [0; 64];
            let read = file.read_at(&mut text, 0).unwrap_or(0);
            let text = std::str::from_utf8(&text[..read]).unwrap_or_default();
            let mut fields = text.split(' ').map(|field| field.parse().unwrap_or(0));
            let mut next = || Duration::from_nanos(fields.next().unwrap_or(0));
            let (ran, waited) = (next(), next());
            if n == 0 {
                (seen.ran, seen.waited) = (ran, waited);
            } else {
                seen.others_waited += waited;
            }
        }
        seen
    }

    pub(crate) fn print(&self, what: &str) {
        let us = |share| self.per_mille(share).as_secs_f64() * 1e6;
        println!(
            "| {what} | {} | {:.2} | {:.1} | {:.2} | {} | {:.2} | {} |",
            self.calls,
            us(500),
            us(999),
            self.longest.as_secs_f64() * 1e3,
            self.over,
            self.longest_own.as_secs_f64() * 1e3,
            self.over_own
        );
    }

    fn per_mille(&self, share: u64) -> Duration {
        let mut left = self.calls * share / 1_000;
        let found = self.histogram.iter().position(|count| {
            let here = left < *count;
            left = left.saturating_sub(*count);
            here
        });
        let (power, step) = (found.unwrap_or(0) / 4, found.unwrap_or(0) % 4);
        Duration::from_nanos((4 + step as u64) << power >> 2)
    }
}

fn bucket(took: Duration) -> usize {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(4);
    let power = nanos.ilog2() as usize;
    let step = (nanos >> (power - 2)) & 3;
    power * 4 + step as usize
}
