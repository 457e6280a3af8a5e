//! Operations, and what they give, as batches carry them.

use crate::{Draft, Ended, Record, Saved, SessionId, Timeout, Ttl, Version};

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
    /// The version it must have.
    pub expected: Version,
}

/// A touch that waits to be sent.
#[derive(Clone, Debug)]
pub struct Touch {
    /// The session.
    pub id: SessionId,
    /// How long it shall live unused from now.
    pub idle: Timeout,
}

/// A destroy that waits to be sent.
#[derive(Clone, Debug)]
pub struct Destroy {
    /// The session.
    pub id: SessionId,
    /// The version it must have, if only one is to be ended.
    pub expected: Option<Version>,
}

/// A load.
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

impl Item for Destroy {
    fn id(&self) -> &SessionId {
        &self.id
    }
}

impl Item for Touch {
    fn id(&self) -> &SessionId {
        &self.id
    }
}

/// Of a load.
impl Answer for Option<Record> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, |record| record.data.len())
    }
}

/// Of a create, or a save.
impl Answer for Saved {}

/// Of a touch.
impl Answer for Option<Ttl> {}

/// Of a destroy.
impl Answer for Option<Ended> {}
