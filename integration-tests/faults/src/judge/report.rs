//! What a run has shown.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::clock::Micros;

/// A promise, and how it can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Rule {
    IncrementLost,
    AppliedTwice,
    MessageTwice,
    CameBack,
    AfterDeadline,
    OldToken,
    WrongOwner,
    /// No order of the calls explains all answers.
    NoOrder,
    WronglyEnded,
    Untold,
    /// The same, where a caller that was to end the session went away.
    UntoldAfterDrop,
    ToldTwice,
    Corrupt,
    /// An error that no fault explains.
    Unexplained,
    Overlong,
    SlowRecovery,
    /// A session is listed or reported that no call has made.
    UnknownSession,
}

impl Rule {
    /// Whether lost writes explain it, where the servers' settings may lose writes.
    #[must_use]
    pub const fn is_of_durability(self) -> bool {
        !matches!(
            self,
            Self::AfterDeadline
                | Self::AppliedTwice
                | Self::WrongOwner
                | Self::WronglyEnded
                | Self::Unexplained
                | Self::Overlong
                | Self::SlowRecovery
        )
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    pub rule: Rule,
    pub session: Option<String>,
    pub at: Micros,
    pub text: String,
}

impl Violation {
    pub(super) const fn new(rule: Rule, session: Option<String>, at: Micros, text: String) -> Self {
        Self {
            rule,
            session,
            at,
            text,
        }
    }

    pub(super) fn of_session(rule: Rule, session: &str, at: Micros, text: String) -> Self {
        Self::new(rule, Some(session.to_owned()), at, text)
    }
}

/// How long callers waited for their first success after a kind of fault had ended.
#[derive(Clone, Debug, Serialize)]
pub struct Recovery {
    pub fault: String,
    pub times: usize,
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
}

impl Recovery {
    /// Of these waits, which are sorted.
    pub(super) fn of(fault: &str, times: usize, waits: &[Duration]) -> Self {
        let at = |percent: usize| {
            let index = (waits.len() * percent).div_ceil(100).saturating_sub(1);
            waits.get(index).copied().unwrap_or_default()
        };
        let fault = fault.to_owned();
        Self {
            fault,
            times,
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

/// What a run has shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub topology: String,
    pub description: String,
    pub seed: u64,
    pub seconds: f64,
    pub processes: usize,
    pub killed: usize,
    /// Calls that were sent.
    pub operations: usize,
    pub sessions: usize,
    pub told: usize,
    /// Calls that failed, by kind.
    pub errors: BTreeMap<String, u64>,
    pub longest: Duration,
    pub recoveries: Vec<Recovery>,
    /// Sessions whose latest writes were lost, where the servers' settings may lose them.
    pub lost_as_documented: usize,
    /// Sessions with so many open calls that the search was given up.
    pub undecided: Vec<String>,
    pub violations: Vec<Violation>,
}

impl Report {
    /// The heading of a table of runs.
    pub const HEADING: &str = "\
| topology | operations | faults | callers succeed again (p99) | lost as documented | undecided | violations |
|---|---|---|---|---|---|---|";

    /// Its row in a table of runs.
    #[must_use]
    pub fn row(&self) -> String {
        let faults: usize = self.recoveries.iter().map(|recovery| recovery.times).sum();
        let slowest = self.recoveries.iter().map(|recovery| recovery.p99).max();
        format!(
            "| {} | {} | {faults} | {} ms | {} | {} | {} |",
            self.topology,
            self.operations,
            slowest.unwrap_or_default().as_millis(),
            self.lost_as_documented,
            self.undecided.len(),
            self.violations.len()
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.topology, self.description)?;
        writeln!(
            f,
            "  seed {}, {:.1} s, {} processes, {} killed",
            self.seed, self.seconds, self.processes, self.killed
        )?;
        let rate = self.operations as f64 / self.seconds.max(0.001);
        writeln!(
            f,
            "  {} operations ({rate:.0} a second), {} sessions, {} ends told, longest call {:?}",
            self.operations, self.sessions, self.told, self.longest
        )?;
        writeln!(f, "  errors: {:?}", self.errors)?;
        for Recovery {
            fault,
            times,
            p50,
            p99,
            max,
        } in &self.recoveries
        {
            writeln!(
                f,
                "  {fault}, {times} times: callers succeed again after {p50:?} (p50), {p99:?} (p99), {max:?} (max)"
            )?;
        }
        writeln!(
            f,
            "  lost as documented: {}, undecided: {}, violations: {}",
            self.lost_as_documented,
            self.undecided.len(),
            self.violations.len()
        )?;
        if !self.undecided.is_empty() {
            writeln!(f, "  undecided sessions: {:?}", self.undecided)?;
        }
        let mut shown: BTreeMap<Rule, usize> = BTreeMap::new();
        for Violation {
            rule,
            session,
            at,
            text,
        } in &self.violations
        {
            let count = shown.entry(*rule).or_default();
            *count += 1;
            if *count <= 5 {
                let session = session.as_deref().unwrap_or("-");
                writeln!(f, "  {rule:?}: session {session} at {}: {text}", at.0)?;
            }
        }
        for (rule, count) in shown {
            writeln!(f, "  {rule:?}: {count} in all")?;
        }
        Ok(())
    }
}
