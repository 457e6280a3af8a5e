//! How the cases went.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use crate::Case;

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The store does what the case says.
    Passed,
    /// The case needs something that the store does not declare; this says what.
    NotRun(&'static str),
    /// The store does not; this says what was expected and what came.
    Failed(String),
}

/// How one case ended, and after how long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseReport {
    /// The case.
    pub case: &'static Case,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// How all cases ended, in the order of [`CASES`](crate::CASES).
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "a report that is not read is no test: call `assert_passed`"]
pub struct Report {
    /// One entry a case.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// Whether no case failed. Cases that were not run don't count as failed; see
    /// [`not_run`](Self::not_run).
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The cases that failed, and why.
    pub fn failed(&self) -> impl Iterator<Item = (&'static Case, &str)> {
        self.cases.iter().filter_map(|one| match &one.outcome {
            Outcome::Failed(message) => Some((one.case, message.as_str())),
            _ => None,
        })
    }

    /// The cases that were not run, and why.
    pub fn not_run(&self) -> impl Iterator<Item = (&'static Case, &'static str)> {
        self.cases.iter().filter_map(|one| match one.outcome {
            Outcome::NotRun(reason) => Some((one.case, reason)),
            _ => None,
        })
    }

    /// Panics with the whole report if a case failed. Otherwise says on standard error which
    /// cases were not run, where the test harness does not hide it.
    ///
    /// # Panics
    /// If a case failed.
    pub fn assert_passed(&self) {
        assert!(self.passed(), "{self}");
        for (case, reason) in self.not_run() {
            announce_not_run(case.group, case, reason);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, not_run) = (self.failed().count(), self.not_run().count());
        let passed = self.cases.len() - failed - not_run;
        write!(
            f,
            "conformance: {passed} passed, {failed} failed, {not_run} not run"
        )?;
        for (case, message) in self.failed() {
            let Case {
                group,
                name,
                invariant,
                ..
            } = case;
            write!(f, "\n  FAILED   {group}::{name}\n           ")?;
            write!(f, "{invariant}, {}: {message}", invariant.rule())?;
        }
        for (case, reason) in self.not_run() {
            write!(f, "\n  not run  {}::{}: {reason}", case.group, case.name)?;
        }
        Ok(())
    }
}

/// Says on standard error, past the test harness's capturing, that a case was not run.
pub(super) fn announce_not_run(path: &str, case: &Case, reason: &str) {
    let line = format!("conformance: NOT RUN {path}::{}: {reason}\n", case.name);
    // Nowhere else to say it if standard error is closed.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
