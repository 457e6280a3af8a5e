//! What can go wrong, and whether trying again can help.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Timeout;

/// The result of a session operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of a driver or codec underneath.
pub type Source = Arc<dyn std::error::Error + Send + Sync>;

/// What a [`Source`] is made of: an error or a text.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong. `Display` says what failed and why, with the causes that [`source`] gives;
/// messages never hold a token, a password or session data.
///
/// [`source`]: std::error::Error::source
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store can't be reached, or refuses for now: connection refused or lost, starting up,
    /// failing over, out of memory, deadlocked. A write may or may not have happened.
    #[error("{}: {}", failed(operation), Chain(&**source))]
    Unavailable {
        /// The store operation that was under way.
        operation: &'static str,
        /// The driver's error.
        #[source]
        source: Source,
    },
    /// The store did not answer in time. The operation may or may not have happened.
    #[error("{}: {}", failed(operation), Chain(&**source))]
    Timeout {
        /// The store operation that was under way.
        operation: &'static str,
        /// The driver's error, or the deadline that passed.
        #[source]
        source: Source,
    },
    /// The store refused the operation for good: a missing right, a wrong type, a bug.
    #[error("{}: {}", failed(operation), Chain(&**source))]
    Store {
        /// The store operation that was under way.
        operation: &'static str,
        /// The driver's error.
        #[source]
        source: Source,
    },
    /// Something given is larger than its limit; nothing was sent.
    #[error("the {what} has {size} bytes, over the limit of {limit}")]
    TooLarge {
        /// What is too large: `record`, `session key`, `owner`, `session id`, …
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A lifetime breaks a rule; nothing was sent.
    #[error("the {limit} lifetime of {value} {rule}")]
    InvalidLifetime {
        /// `idle` or `absolute`.
        limit: &'static str,
        /// The value given.
        value: Timeout,
        /// The rule it breaks.
        rule: String,
    },
    /// What is stored can't be read as a session.
    #[error("the stored session is corrupt: {reason}")]
    Corrupt {
        /// What is wrong with it, without showing it.
        reason: String,
    },
    /// A value can't be written as, or read from, the JSON of a session key.
    #[error("cannot {action} session key {key:?} as {expected}: {reason}")]
    Value {
        /// `read` or `write`.
        action: &'static str,
        /// The session key.
        key: String,
        /// The Rust type that was asked for or given.
        expected: &'static str,
        /// What is wrong and where, in the library's words, without showing the value.
        reason: String,
    },
    /// The client can't be told any more what it would have to know, because its response has
    /// begun. Nothing was written.
    #[error("cannot {what}: the response has begun; do it before the handler returns its response")]
    TooLate {
        /// What could not be done.
        what: &'static str,
    },
    /// The session ended while it was in use: it was destroyed, it expired, or another request gave
    /// it a new token, by a sign-in for example. Nothing may bring it back for this request.
    #[error("the session has ended{}", unknown_before(*.unknown))]
    Gone {
        /// Whether an earlier attempt to write it was never answered, so that it may have been
        /// written before it ended. If not, nothing was written.
        unknown: bool,
    },
    /// An earlier write was never answered, and others have written the session so often since
    /// that no record tells whether it happened. It is not sent again: it could happen twice.
    #[error(
        "whether an earlier change of the session was written is unknown: its answer was lost, \
         and others have changed the session since"
    )]
    OutcomeUnknown,
    /// Other writers changed the session at every attempt. Nothing was written; the changes are
    /// kept and can be saved again.
    #[error("the session was changed by others at each of {attempts} attempts to save it")]
    Contention {
        /// How often it was tried.
        attempts: u32,
    },
    /// A store, a URL or an option is set up wrongly; trying again won't help.
    #[error("{message}")]
    Misconfigured {
        /// What is wrong, and what to do.
        message: String,
    },
    /// The store can't do this at all.
    #[error("this session store does not support {what}")]
    Unsupported {
        /// What was asked.
        what: &'static str,
    },
    /// The store is full: it has the most sessions it was allowed.
    #[error("the session store is full: it may hold {limit} sessions")]
    Full {
        /// The limit, in sessions.
        limit: usize,
    },
}

/// The kind of an [`Error`], for matching without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each is the variant of `Error` of the same name"
)]
pub enum ErrorKind {
    Unavailable,
    Timeout,
    Store,
    TooLarge,
    InvalidLifetime,
    Corrupt,
    Value,
    TooLate,
    Gone,
    OutcomeUnknown,
    Contention,
    Misconfigured,
    Unsupported,
    Full,
}

/// Whether the same call may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryStatus {
    /// It won't: something must change first.
    Permanent,
    /// It may: the cause passes. Writes are safe to repeat with the same [`Draft`](crate::Draft).
    Temporary,
}

/// For conversions that can't fail.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// What a failed store operation could not do, in words.
fn failed(operation: &str) -> Cow<'static, str> {
    Cow::Borrowed(match operation {
        "create" | "save" => "cannot save the session",
        "load" => "cannot load the session",
        "touch" => "cannot extend the session",
        "destroy" => "cannot destroy the session",
        "rename" => "cannot give the session a new id",
        "owned_by" => "cannot list the sessions of the owner",
        "destroy_owned_by" => "cannot destroy the sessions of the owner",
        "list" => "cannot list sessions",
        "count" => "cannot count sessions",
        "clear" => "cannot clear the session store",
        "reap" => "cannot reap expired sessions",
        "connect" => "cannot connect to the session store",
        "migrate" => "cannot migrate the session store",
        "snapshot" => "cannot use the snapshot of sessions",
        other => return Cow::Owned(format!("the session store failed ({other})")),
    })
}

/// Shows an error and each of its sources that it does not quote itself.
#[derive(Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = self.0.to_string();
        f.write_str(&told)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let text = error.to_string();
            if !told.contains(&text) {
                write!(f, ": {text}")?;
                told = text;
            }
            next = error.source();
        }
        Ok(())
    }
}

const fn unknown_before(unknown: bool) -> &'static str {
    if unknown {
        "; whether an earlier change was written before that is unknown"
    } else {
        ""
    }
}

impl Error {
    /// The session has ended, and nothing was written.
    pub(crate) const GONE: Self = Self::Gone { unknown: false };

    /// The kind of this error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Store { .. } => ErrorKind::Store,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::InvalidLifetime { .. } => ErrorKind::InvalidLifetime,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Value { .. } => ErrorKind::Value,
            Self::TooLate { .. } => ErrorKind::TooLate,
            Self::Gone { .. } => ErrorKind::Gone,
            Self::OutcomeUnknown => ErrorKind::OutcomeUnknown,
            Self::Contention { .. } => ErrorKind::Contention,
            Self::Misconfigured { .. } => ErrorKind::Misconfigured,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Full { .. } => ErrorKind::Full,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn status(&self) -> RetryStatus {
        match self.kind() {
            ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::Contention
            | ErrorKind::Full => RetryStatus::Temporary,
            _ => RetryStatus::Permanent,
        }
    }

    /// Whether a write that failed so may have happened all the same.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Store
        )
    }

    /// Shorthand for `status() == RetryStatus::Temporary`.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.status() == RetryStatus::Temporary
    }

    /// [`Error::Unavailable`] during `operation`.
    pub fn unavailable(operation: &'static str, source: impl Into<Cause>) -> Self {
        Self::Unavailable {
            operation,
            source: Arc::from(source.into()),
        }
    }

    /// [`Error::Timeout`] during `operation`, with the driver's own error.
    pub fn timeout(operation: &'static str, source: impl Into<Cause>) -> Self {
        Self::Timeout {
            operation,
            source: Arc::from(source.into()),
        }
    }

    /// [`Error::Timeout`] during `operation`: no answer within `after`.
    #[must_use]
    pub fn deadline(operation: &'static str, after: Duration) -> Self {
        Self::timeout(operation, format!("no answer within {after:?}"))
    }

    /// [`Error::Timeout`] during `operation`: no answer from `place` within `after`.
    #[must_use]
    pub fn no_answer(operation: &'static str, place: &str, after: Duration) -> Self {
        Self::timeout(operation, format!("{place}: no answer within {after:?}"))
    }

    /// [`Error::Store`] during `operation`.
    pub fn store(operation: &'static str, source: impl Into<Cause>) -> Self {
        Self::Store {
            operation,
            source: Arc::from(source.into()),
        }
    }

    /// [`Error::Corrupt`] for this reason, which must not show what is stored.
    pub fn corrupt(reason: impl Into<String>) -> Self {
        Self::Corrupt {
            reason: reason.into(),
        }
    }

    /// [`Error::Misconfigured`] with a message that says what to do.
    pub fn misconfigured(message: impl Into<String>) -> Self {
        Self::Misconfigured {
            message: message.into(),
        }
    }

    /// [`Error::TooLarge`] if `size` is over `limit`, both in bytes.
    ///
    /// # Errors
    /// That one.
    pub fn check_size(what: &'static str, size: usize, limit: usize) -> Result<()> {
        if size > limit {
            return Err(Self::TooLarge { what, size, limit });
        }
        Ok(())
    }

    /// [`Error::Value`] for a `T` that is to be stored under `key`.
    pub(crate) fn unwritable<T: ?Sized>(key: &str, reason: impl Into<String>) -> Self {
        Self::value::<T>("write", key, reason.into())
    }

    /// [`Error::Value`] for what is stored under `key` and is no `T`.
    pub(crate) fn unreadable<T: ?Sized>(key: &str, reason: impl Into<String>) -> Self {
        Self::value::<T>("read", key, reason.into())
    }

    fn value<T: ?Sized>(action: &'static str, key: &str, reason: String) -> Self {
        Self::Value {
            action,
            key: key.to_owned(),
            expected: std::any::type_name::<T>(),
            reason,
        }
    }

    pub(crate) fn lifetime(limit: &'static str, value: Timeout, rule: impl Into<String>) -> Self {
        Self::InvalidLifetime {
            limit,
            value,
            rule: rule.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("Redis at 127.0.0.1:6379")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn display_names_what_failed_and_every_cause_once() {
        let refused = || std::io::Error::other("connection refused");
        for (error, text) in [
            (
                Error::unavailable("load", Outer(refused())),
                "cannot load the session: Redis at 127.0.0.1:6379: connection refused",
            ),
            (
                Error::unavailable("create", refused()),
                "cannot save the session: connection refused",
            ),
            (
                Error::deadline("reap", Duration::from_secs(5)),
                "cannot reap expired sessions: no answer within 5s",
            ),
            (
                Error::store("odd", "no such thing"),
                "the session store failed (odd): no such thing",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
