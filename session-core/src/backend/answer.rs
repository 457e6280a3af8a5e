//! What operations answer, in the words of spans and metrics.

use crate::{Ended, Page, Record, Saved, Ttl};

/// How an operation of a store has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It was done.
    Done,
    /// There is no live session of that id.
    Absent,
    /// [`Saved::Conflict`](crate::Saved::Conflict): another writer came first.
    Conflict,
    /// [`Saved::Unknown`](crate::Saved::Unknown): an earlier sending may have been done.
    Unknown,
    /// It has failed; `error.type` says how.
    Error,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Done,
        Self::Absent,
        Self::Conflict,
        Self::Unknown,
        Self::Error,
    ];

    /// The name, as in spans and labels: `conflict`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Absent => "absent",
            Self::Conflict => "conflict",
            Self::Unknown => "unknown",
            Self::Error => "error",
        }
    }
}

/// The answer of an operation, for its span and metrics. Nothing of it is secret.
pub trait Answer {
    /// How the operation has ended.
    fn outcome(&self) -> Outcome {
        Outcome::Done
    }

    /// How many bytes of session data are in it.
    fn bytes(&self) -> Option<usize> {
        None
    }

    /// How many sessions are in it.
    fn sessions(&self) -> Option<usize> {
        None
    }
}

impl Answer for () {}

impl Answer for u64 {}

impl Answer for Saved {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Done(_) => Outcome::Done,
            Self::Conflict => Outcome::Conflict,
            Self::Gone => Outcome::Absent,
            Self::Unknown => Outcome::Unknown,
        }
    }
}

impl Answer for Option<Record> {
    fn outcome(&self) -> Outcome {
        found(self)
    }

    fn bytes(&self) -> Option<usize> {
        self.as_ref().map(|record| record.data.len())
    }
}

impl Answer for Option<Ttl> {
    fn outcome(&self) -> Outcome {
        found(self)
    }
}

impl Answer for Option<Ended> {
    fn outcome(&self) -> Outcome {
        found(self)
    }
}

impl Answer for Vec<Ended> {
    fn sessions(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl Answer for Page {
    fn sessions(&self) -> Option<usize> {
        Some(self.sessions.len())
    }
}

const fn found<T>(answer: &Option<T>) -> Outcome {
    match answer {
        Some(_) => Outcome::Done,
        None => Outcome::Absent,
    }
}
