//! What can happen to a server.

use std::time::Duration;

use crate::clock::Micros;

/// The disk of the server, or of the file, is full.
pub const DISK_FULL: FaultKind = FaultKind::new("disk-full").explains(&["Store"]);

/// A fault that a topology can have.
#[derive(Clone, Copy, Debug)]
pub struct FaultKind {
    /// Its name on the command line and in reports, such as `kill-primary`.
    pub name: &'static str,
    /// What it does to writes that were acknowledged before.
    pub durability: Durability,
    /// How long after the end of the fault callers may need until their calls succeed again.
    pub recovery: Duration,
    /// The kinds of errors, such as `Misconfigured`, that callers may get while it lasts, beside
    /// those that any fault explains: `Unavailable`, `Timeout`, `OutcomeUnknown`, `Contention`.
    pub explains: &'static [&'static str],
    /// How far it moves the clock of the server, forward or back: deadlines are off by as much.
    pub clock: Duration,
}

impl FaultKind {
    /// A fault of this name that loses nothing, after which callers succeed within a second.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let recovery = Duration::from_secs(1);
        Self {
            name,
            durability: Durability::Keeps,
            recovery,
            explains: &[],
            clock: Duration::ZERO,
        }
    }

    /// The same, if it may lose the writes of this time before it.
    #[must_use]
    pub const fn may_lose(mut self, recent: Duration) -> Self {
        self.durability = Durability::MayLoseRecent(recent);
        self
    }

    /// The same, with this time until callers succeed again.
    #[must_use]
    pub const fn recovers_within(mut self, recovery: Duration) -> Self {
        self.recovery = recovery;
        self
    }

    /// The same, if callers may get errors of these kinds too.
    #[must_use]
    pub const fn explains(mut self, kinds: &'static [&'static str]) -> Self {
        self.explains = kinds;
        self
    }

    /// The same, if it moves the clock of the server by up to this much.
    #[must_use]
    pub const fn moves_clock(mut self, by: Duration) -> Self {
        self.clock = by;
        self
    }
}

/// What becomes of acknowledged writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// They stay.
    Keeps,
    /// Those of this time before the fault, and of the time of the fault, may be lost.
    MayLoseRecent(Duration),
}

/// A fault that was injected and has ended.
#[derive(Clone, Debug)]
pub struct Injected {
    /// Just before the first step.
    pub began: Micros,
    /// When the servers were meant to serve again.
    pub ended: Micros,
    /// What was chosen at random, for the report: which node, for how long.
    pub detail: String,
}

impl Injected {
    /// A fault that began at `began` and ends now.
    #[must_use]
    pub fn since(began: Micros, detail: impl Into<String>) -> Self {
        Self {
            began,
            ended: Micros::now(),
            detail: detail.into(),
        }
    }
}
