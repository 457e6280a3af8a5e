//! What a store tells of sessions that may have changed, for local copies of them.

use std::pin::Pin;

use futures_core::Stream;

use crate::{Result, SessionId};

/// A report that sessions may have been written, by any process: see
/// [`SessionStore::invalidations`](crate::SessionStore::invalidations).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidation {
    /// The session of this id may have been written or have ended: what was read of it before may
    /// be out of date.
    Session(SessionId),
    /// Any session may have been written until now. Later writes are told.
    All,
}

/// The invalidations of a store. It is over when an error has been given.
pub type InvalidationStream = Pin<Box<dyn Stream<Item = Result<Invalidation>> + Send>>;
