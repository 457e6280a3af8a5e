//! What a store tells of sessions that end.

use std::pin::Pin;

use futures_core::Stream;

use crate::{Result, SessionId};

/// What a store tells of a session, as it happens: see
/// [`SessionStore::notices`](crate::SessionStore::notices).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The session of this id has ended.
    Ended(SessionId),
    /// The session of this id may have got a new token, or have ended: a reader has to load it. A
    /// store tells this of ends where its notices may be forged.
    Changed(SessionId),
    /// Notices may have been missed until now. Those of all later ends follow.
    Missed,
}

/// The notices of a store. It is over when an error has been given.
pub type NoticeStream = Pin<Box<dyn Stream<Item = Result<Notice>> + Send>>;
