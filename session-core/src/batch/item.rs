//! Operations, as batches carry them.

use crate::{Draft, Saved, SessionId, Stamp, Timeout};

/// A create that waits to be sent.
#[derive(Clone, Debug)]
pub struct Create {
    /// The new session.
    pub id: SessionId,
    /// What it shall be.
    pub draft: Draft,
}

/// A save that waits to be sent.
#[derive(Clone, Debug)]
pub struct Save {
    /// The session.
    pub id: SessionId,
    /// What it shall become.
    pub draft: Draft,
    /// The stamp it must have.
    pub expected: Stamp,
}

/// A touch that waits to be sent.
#[derive(Clone, Debug)]
pub struct Touch {
    /// The session.
    pub id: SessionId,
    /// How long it shall live unused from now.
    pub idle: Timeout,
}

impl Saved {
    /// What a save of `draft` that matched nothing has come to, by the stamp that the
    /// session has now: the draft's own means that it was written before.
    pub fn by_stamp(found: Option<Stamp>, draft: &Draft) -> Self {
        match found {
            Some(stamp) if stamp == draft.stamp => Self::Done(stamp),
            Some(_) => Self::Conflict,
            None => Self::Gone,
        }
    }
}
