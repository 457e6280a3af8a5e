//! The results of the cases.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use crate::Case;

/// The result of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The store behaves as the case requires.
    Passed,
    /// The store or its factory does not meet a need of the case; contains the reason.
    NotRun(&'static str),
    /// The store behaves differently; contains the expected and the actual behaviour.
    Failed(String),
}

/// The result of one case, and its duration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseReport {
    /// The case.
    pub case: &'static Case,
    /// The result.
    pub outcome: Outcome,
    /// How long the case took.
    pub took: Duration,
}

/// The results of all cases, in the order of [`CASES`](crate::CASES).
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "a report that is not read is no test: call `assert_passed`"]
pub struct Report {
    /// One entry for each case.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// Returns whether no case failed. Cases that were not run don't count as failed; see
    /// [`not_run`](Self::not_run).
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// Returns the cases that failed, with their messages.
    pub fn failed(&self) -> impl Iterator<Item = (&'static Case, &str)> {
        self.cases.iter().filter_map(|one| match &one.outcome {
            Outcome::Failed(message) => Some((one.case, message.as_str())),
            _ => None,
        })
    }

    /// Returns the cases that were not run, with the reasons.
    pub fn not_run(&self) -> impl Iterator<Item = (&'static Case, &'static str)> {
        self.cases.iter().filter_map(|one| match one.outcome {
            Outcome::NotRun(reason) => Some((one.case, reason)),
            _ => None,
        })
    }

    /// Panics with the whole report if a case failed. Otherwise prints the cases that were not run
    /// to standard error, where the test harness does not capture it.
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

/// Prints to standard error, past the test harness's capture, that a case was not run.
pub(super) fn announce_not_run(path: &str, case: &Case, reason: &str) {
    let line = format!("conformance: NOT RUN {path}::{}: {reason}\n", case.name);
    // If standard error is closed, there is nowhere to print it.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
