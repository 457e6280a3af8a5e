//! What happened in a run: one JSON line for each call, answer, told end and fault.
//!
//! A call is written before it is sent and its answer after it has come, so the lines of a killed
//! process end with calls that have no answer.

mod log;
mod read;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use session_core::SessionToken;

use crate::clock::Micros;

pub use log::Log;
pub use read::{Call, History};

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// A run begins.
    Run(RunLine),
    /// A worker is connected.
    Worker(WorkerLine),
    /// A call is about to be sent.
    Call(CallLine),
    /// A call has returned.
    Answer(AnswerLine),
    /// An observer was told of a session's end.
    Told(ToldLine),
    /// A process did not run for longer than it should have: its calls may take that much longer.
    Lag {
        process: u32,
        from: Micros,
        to: Micros,
    },
    /// A fault was injected and has ended.
    Fault(FaultLine),
    /// A process was killed.
    Killed { process: u32, at: Micros },
    /// The last call of a process has ended and no expired session is left to report.
    Drained { process: u32, at: Micros },
}

/// What a run is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunLine {
    pub at: Micros,
    pub topology: String,
    pub description: String,
    pub seed: u64,
    /// The grace of renewed tokens, in microseconds.
    pub grace: u64,
    /// Whether it waits for ends that a killed process has claimed.
    pub patient: bool,
}

/// A worker and what its store says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerLine {
    pub process: u32,
    pub at: Micros,
    /// How long one call of the store may take, in microseconds.
    pub limit: u64,
    pub expiry_reports: bool,
}

/// A call of a caller of a process; `call` is its number in the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallLine {
    #[serde(rename = "p")]
    pub process: u32,
    #[serde(rename = "c")]
    pub caller: u32,
    #[serde(rename = "n")]
    pub call: u64,
    pub at: Micros,
    /// The id of the session, unless it is about to begin or the call is about many.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(flatten)]
    pub act: Act,
}

/// The answer to the call of the same process and number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnswerLine {
    #[serde(rename = "p")]
    pub process: u32,
    #[serde(rename = "n")]
    pub call: u64,
    pub at: Micros,
    #[serde(flatten)]
    pub answer: Answer,
}

/// A session's end, as an observer was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToldLine {
    #[serde(rename = "p")]
    pub process: u32,
    pub at: Micros,
    #[serde(rename = "s")]
    pub session: String,
    pub what: Told,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// Which kind of end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Expired,
    SignedOut,
    Revoked,
    Limit,
    Reused,
    /// A stored session could not be read.
    Corrupt,
}

/// A fault, as injected.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaultLine {
    pub name: String,
    pub began: Micros,
    pub ended: Micros,
    pub detail: String,
    /// How far back acknowledged writes may be lost, in microseconds.
    pub may_lose: Option<u64>,
    /// How long callers may need after it, in microseconds.
    pub recovery: u64,
    pub explains: Vec<String>,
    /// By how much the servers' clock may have been moved, in microseconds.
    #[serde(default)]
    pub moves_clock: u64,
}

/// A token without its secret: which sign-in it is of, and how often it was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    #[serde(rename = "l")]
    pub lineage: u64,
    #[serde(rename = "g")]
    pub generation: u64,
}

impl Mark {
    /// The mark of a token.
    #[must_use]
    pub fn of(token: &SessionToken) -> Self {
        let text = token.expose();
        let part = |range| text.get(range).unwrap_or_default();
        Self {
            // The greatest numbers stand for lineages that were never told.
            lineage: fingerprint(part(16..28)) >> 1,
            generation: part(28..30).bytes().fold(0, |sum, c| sum * 64 + digit(c)),
        }
    }
}

/// The value of a character of base64url.
fn digit(character: u8) -> u64 {
    let number = match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    u64::from(number)
}

fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A session as an open shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct View {
    /// The counters, by key.
    #[serde(rename = "k", default)]
    pub counters: BTreeMap<String, u64>,
    /// The value that was inserted last; 0 if none was.
    #[serde(rename = "v", default)]
    pub note: u64,
    /// The messages that wait, by number.
    #[serde(rename = "f", default)]
    pub flashes: Vec<u64>,
    #[serde(rename = "o", default)]
    pub owner: Option<String>,
}

/// The limits of a session, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub idle: u64,
    pub absolute: u64,
}

impl Limits {
    /// The idle limit.
    #[must_use]
    pub const fn idle(&self) -> Duration {
        Duration::from_micros(self.idle)
    }

    /// The absolute limit.
    #[must_use]
    pub const fn absolute(&self) -> Duration {
        Duration::from_micros(self.absolute)
    }
}

/// What is called. `mark` is that of the token that was presented, or of the handle.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    Create {
        note: u64,
        owner: Option<String>,
        limits: Limits,
    },
    Open {
        mark: Mark,
        renews: bool,
    },
    Increment {
        mark: Mark,
        key: String,
    },
    Insert {
        mark: Mark,
        note: u64,
    },
    Flash {
        mark: Mark,
        number: u64,
    },
    TakeFlashes {
        mark: Mark,
        numbers: Vec<u64>,
    },
    Touch {
        mark: Mark,
    },
    SignIn {
        mark: Mark,
        owner: String,
    },
    CycleId {
        mark: Mark,
    },
    SignOut,
    Revoke,
    LogOutEverywhere {
        owner: String,
        except: Option<String>,
    },
    OwnedBy {
        owner: String,
    },
    List,
    Reap,
}

impl Act {
    /// Its name in reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Open { .. } => "open",
            Self::Increment { .. } => "update",
            Self::Insert { .. } => "insert",
            Self::Flash { .. } => "flash",
            Self::TakeFlashes { .. } => "take_flashes",
            Self::Touch { .. } => "touch",
            Self::SignIn { .. } => "sign_in",
            Self::CycleId { .. } => "cycle_id",
            Self::SignOut => "sign-out",
            Self::Revoke => "destroy",
            Self::LogOutEverywhere { .. } => "destroy_owned_by",
            Self::OwnedBy { .. } => "owned_by",
            Self::List => "list",
            Self::Reap => "reap",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Answer {
    /// Done, with nothing to tell.
    Done,
    /// A session began, or has another token: also that of a sign-in that made one of its own.
    Stored {
        session: String,
        mark: Mark,
        view: View,
        limits: Limits,
    },
    /// The open session.
    Opened { view: View },
    /// The token opened nothing; `barred`: it has just been replaced.
    NotOpened { barred: bool },
    /// The counter after an increment.
    Count { value: u64 },
    /// Whether a live session was ended.
    Ended { found: bool },
    /// How many were ended.
    EndedMany { count: u64 },
    /// The ids of a listing.
    Listed { sessions: Vec<String> },
    /// An error of this kind; `doubtful`: what was to be written may have been written.
    Failed {
        kind: String,
        doubtful: bool,
        text: String,
    },
    /// The caller went away.
    Dropped,
    /// The task has panicked.
    Panicked,
}

impl Answer {
    /// Whether the call succeeded.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        !matches!(self, Self::Failed { .. } | Self::Dropped | Self::Panicked)
    }

    /// Whether the session has ended, or is another sign-in's, and nothing was written.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Failed { kind, doubtful: false, .. } if kind == "Gone")
    }
}
