//! One case of the suite, its rule and its needs.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::Fixture;

/// The future of a running case.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A test of one behaviour that every store must have.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Case {
    /// The module that contains the case, such as `expiry`.
    pub group: &'static str,
    /// A sentence in snake_case, unique in the suite, that describes the behaviour.
    pub name: &'static str,
    /// The rule that it proves.
    pub invariant: Invariant,
    /// What the store must declare or its factory must support for the case to run.
    pub needs: &'static [Need],
    /// The case itself. It panics if the store is wrong.
    pub run: fn(Fixture) -> Running,
}

impl Case {
    /// Creates a case of a store's author, for behaviour that the store promises beyond the suite.
    /// Pass it to [`run_case`](crate::run_case); `conformance_tests!(…, own_cases = […])` calls
    /// this itself.
    #[must_use]
    pub const fn own(name: &'static str, run: fn(Fixture) -> Running) -> Self {
        Self {
            group: "own",
            name,
            invariant: Invariant::Own,
            needs: &[],
            run,
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &format_args!("{}::{}", self.group, self.name))
            .field("invariant", &self.invariant)
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}

/// What a case needs from a store or its factory beyond the contract of `SessionStore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// `directory()` is `Some`.
    Directory,
    /// `Capabilities::expiry_reports` is declared.
    ExpiryReports,
    /// `Capabilities::max_data` is declared.
    MaxData,
    /// `Capabilities::descriptions` is declared.
    Descriptions,
    /// `Capabilities::keeps_past` is declared.
    Past,
    /// [`StoreFactory::corrupt`](crate::StoreFactory::corrupt) works.
    Corruption,
}

impl Need {
    /// Returns the reason that is reported for cases that are not run because this is missing.
    #[must_use]
    pub const fn missing(self) -> &'static str {
        match self {
            Self::Directory => "the store has no directory",
            Self::ExpiryReports => "the store does not report expiry",
            Self::MaxData => "the store declares no data limit",
            Self::Descriptions => "the store keeps no descriptions",
            Self::Past => "the store begins every session anew",
            Self::Corruption => "the factory can't corrupt a session",
        }
    }
}

/// The rule that a case proves: `I1` to `I12` are the project's invariants, `Contract` is the
/// documentation of the traits beyond these, and `Own` a promise of the store's author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[allow(missing_docs, reason = "`rule` says what each is")]
pub enum Invariant {
    Contract,
    I1,
    I2,
    I3,
    I4,
    I5,
    I6,
    I7,
    I8,
    I9,
    I10,
    I11,
    I12,
    Own,
}

impl Invariant {
    /// Returns the rule in a few words.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Contract => "the documentation of SessionStore and SessionDirectory",
            Self::I1 => "a session is never visible after its deadline",
            Self::I2 => "one clock, the store's",
            Self::I3 => "no lost update",
            Self::I4 => "no resurrection",
            Self::I5 => "no adoption of an id that the server did not create",
            Self::I6 => "a retried write is harmless",
            Self::I7 => "touch extends the deadline and changes nothing else",
            Self::I8 => "bad input costs only itself",
            Self::I9 => "a dropped future leaves the store usable and no caller waiting",
            Self::I10 => "every expired session is reaped and reported once",
            Self::I11 => "keys and prefixes are data",
            Self::I12 => "as few round trips as the request needs",
            Self::Own => "what this store promises beyond the suite",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
