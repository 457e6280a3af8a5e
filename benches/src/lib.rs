//! Shared parts of the benchmarks: latencies, medians of rounds, a credential, and the format,
//! tables and charts of published results.
#![forbid(unsafe_code)]

pub mod results;

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use session_core::{Credential, SessionToken};

/// Returns a credential of 57 bytes, as a new native session has. It is always the same, because
/// drafts are created while stores are measured.
#[must_use]
pub fn credential() -> Credential {
    static CREDENTIAL: LazyLock<Credential> =
        LazyLock::new(|| Credential::opened_by(&SessionToken::generate(), None));
    CREDENTIAL.clone()
}

/// Returns the median; NaN if there are no values.
#[must_use]
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The latencies of calls.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one call.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Awaits `work`, adds its latency and returns its result.
    pub async fn time<T>(&mut self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.await;
        self.add(began.elapsed());
        done
    }

    /// Adds the latencies of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns the number of calls.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the latency that `share` of 1,000 calls did not exceed; zero if there were no calls.
    #[must_use]
    pub fn per_mille(&self, share: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get(last * share / 1000).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |share| self.per_mille(share).as_secs_f64() * 1e3;
        let (p50, p99, max) = (ms(500), ms(990), ms(1000));
        write!(f, "p50 {p50:.2} ms, p99 {p99:.1} ms, max {max:.0} ms")
    }
}
