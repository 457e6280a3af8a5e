//! What names an end, so that an observer knows one that it is told again.

use std::fmt;

use crate::SessionId;

/// Names one end of one session: the same each time that end is told, by whichever process.
///
/// Each end is told at least once. It is told once unless a process dies, an answer of the store is
/// lost, or a clock is set back. An observer that must not act twice, such as one that sends mail,
/// keeps the ids of the ends that it has acted on and drops those that it knows. In a database that is
/// a unique key on the session's id and the kind: a session's id is never used again.
///
/// ```
/// use std::collections::HashSet;
/// use std::sync::Mutex;
/// use session_core::{EndId, Event, Observer};
///
/// #[derive(Default)]
/// struct Once(Mutex<HashSet<EndId>>);
///
/// impl Observer for Once {
///     fn expired(&self, event: Event<'_>) {
///         let Some(end) = event.end_id() else { return };
///         if self.0.lock().unwrap().insert(end) {
///             // … this end is new to this process
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct EndId {
    /// The session that has ended.
    pub session: SessionId,
    /// How it has ended.
    pub kind: EndKind,
}

/// How a session has ended, to tell its ends apart. The [reason](crate::EndReason) of a destroy is no
/// part of it: a sign-out may be told again as a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EndKind {
    /// It was destroyed: [`Observer::destroyed`](crate::Observer::destroyed).
    Destroyed,
    /// Its time was over: [`Observer::expired`](crate::Observer::expired).
    Expired,
}

/// In lower case, for a column or a key.
impl fmt::Display for EndKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Destroyed => "destroyed",
            Self::Expired => "expired",
        })
    }
}
