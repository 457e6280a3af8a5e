//! What the measurements share: latencies, medians of rounds, a credential, and the format, tables
//! and charts of published results.
#![forbid(unsafe_code)]

pub mod results;

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use session_core::{Credential, SessionToken};

/// A credential as every native session has one: 57 bytes. The same one each time, for drafts are
/// made while stores are measured.
#[must_use]
pub fn credential() -> Credential {
    static CREDENTIAL: LazyLock<Credential> =
        LazyLock::new(|| Credential::opened_by(&SessionToken::generate(), None));
    CREDENTIAL.clone()
}

/// The value in the middle; NaN if there is none.
#[must_use]
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How long calls took.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one call.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Adds what `work` takes, and gives what it gives.
    pub async fn time<T>(&mut self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.await;
        self.add(began.elapsed());
        done
    }

    /// Adds the calls of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many calls there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// What so many of a thousand calls did not exceed; zero if there were none.
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
