//! Operations and their answers, as batches hold them.

use crate::{Draft, Ended, Record, Saved, SessionId, Timeout, Ttl, Version};

/// One operation on one session.
pub(in crate::backend) trait Item: Size + Send + Sync + 'static {
    /// The session that it is about.
    fn id(&self) -> &SessionId;
}

/// What an operation or an answer adds to the size of its batch.
pub(in crate::backend) trait Size {
    /// In bytes of session data. Before there is an answer, an operation counts as many as recent
    /// answers had on average.
    fn bytes(&self) -> usize {
        0
    }
}

/// A session to create.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Create {
    /// The new session's id.
    pub id: SessionId,
    /// What is to be stored.
    pub draft: Draft,
}

/// A session to replace, if it is still the expected version.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Save {
    /// The session's id.
    pub id: SessionId,
    /// What is to be stored.
    pub draft: Draft,
    /// The version that it must have.
    pub expected: Version,
}

/// A session whose deadline is to move.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Touch {
    /// The session's id.
    pub id: SessionId,
    /// How long it may live unused from now.
    pub idle: Timeout,
}

/// A session to end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Destroy {
    /// The session's id.
    pub id: SessionId,
    /// The version that it must have, if only one is to be ended.
    pub expected: Option<Version>,
}

impl Create {
    /// Creates `id` from `draft`.
    #[must_use]
    pub const fn new(id: SessionId, draft: Draft) -> Self {
        Self { id, draft }
    }
}

impl Save {
    /// Replaces the version `expected` of `id` by `draft`.
    #[must_use]
    pub const fn new(id: SessionId, draft: Draft, expected: Version) -> Self {
        Self {
            id,
            draft,
            expected,
        }
    }
}

impl Touch {
    /// Has `id` live for `idle` from now.
    #[must_use]
    pub const fn new(id: SessionId, idle: Timeout) -> Self {
        Self { id, idle }
    }
}

impl Destroy {
    /// Ends `id`, or only its version `expected`.
    #[must_use]
    pub const fn new(id: SessionId, expected: Option<Version>) -> Self {
        Self { id, expected }
    }
}

/// To load.
impl Item for SessionId {
    fn id(&self) -> &SessionId {
        self
    }
}

impl Size for SessionId {}

macro_rules! items {
    ($($item:ident: $bytes:expr),*) => {$(
        impl Item for $item {
            fn id(&self) -> &SessionId {
                &self.id
            }
        }

        impl Size for $item {
            fn bytes(&self) -> usize {
                let bytes: fn(&Self) -> usize = $bytes;
                bytes(self)
            }
        }
    )*};
}

items! {
    Create: |create| create.draft.data.len(),
    Save: |save| save.draft.data.len(),
    Touch: |_| 0,
    Destroy: |_| 0
}

impl Size for Option<Record> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, |record| record.data.len())
    }
}

impl Size for Saved {}
impl Size for Option<Ttl> {}
impl Size for Option<Ended> {}
