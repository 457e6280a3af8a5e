//! Operations, and what they give, as batches carry them.

use crate::{Draft, Record, Saved, SessionId, Stamp, Timeout, Ttl};

/// One operation on one session.
pub trait Item: Send + Sync + 'static {
    /// The session that it is about.
    fn id(&self) -> &SessionId;

    /// What it adds to the size of its batch, in bytes.
    fn bytes(&self) -> usize {
        0
    }
}

/// What an operation gives.
pub trait Answer: Clone + Send + Sync + 'static {
    /// What it adds to the size of its batch, in bytes. Before there is one, an operation counts as
    /// much as late ones had on average.
    fn bytes(&self) -> usize {
        0
    }
}

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

/// A load, or a destroy.
impl Item for SessionId {
    fn id(&self) -> &SessionId {
        self
    }
}

impl Item for Create {
    fn id(&self) -> &SessionId {
        &self.id
    }

    fn bytes(&self) -> usize {
        self.draft.data.len()
    }
}

impl Item for Save {
    fn id(&self) -> &SessionId {
        &self.id
    }

    fn bytes(&self) -> usize {
        self.draft.data.len()
    }
}

impl Item for Touch {
    fn id(&self) -> &SessionId {
        &self.id
    }
}

/// Of a create.
impl Answer for Stamp {}

/// Of a load.
impl Answer for Option<Record> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, |record| record.data.len())
    }
}

impl Answer for Saved {}

/// Of a touch.
impl Answer for Option<Ttl> {}

/// Of a destroy.
impl Answer for bool {}

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
