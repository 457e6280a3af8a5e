//! What can go wrong, and whether trying again can help.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Confirmation, Timeout};

mod kind;

pub use kind::{ErrorKind, RetryStatus};

/// The result of a session operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of a driver or codec underneath.
pub type Source = Arc<dyn std::error::Error + Send + Sync>;

/// What a [`Source`] is made of: an error or a text.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, by its [`kind`](Self::kind). `Display` says what failed and why, with the
/// causes that [`source`] gives; messages never hold a token, a password or session data. Cheap to
/// clone.
///
/// Opaque, so that more can be known of an error later. A store makes one with the function of its
/// kind, such as [`Error::unavailable`].
///
/// [`source`]: std::error::Error::source
#[derive(Clone)]
pub struct Error(Arc<Reason>);

/// What an error knows, by kind.
#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("{}: {}", failed(operation), Chain(&**source))]
    Unavailable {
        operation: &'static str,
        #[source]
        source: Source,
    },
    #[error("{}: {}", failed(operation), Chain(&**source))]
    NotSent {
        operation: &'static str,
        #[source]
        source: Source,
    },
    #[error("{}: {}", failed(operation), Chain(&**source))]
    Timeout {
        operation: &'static str,
        #[source]
        source: Source,
    },
    #[error("{}: {}", failed(operation), Chain(&**source))]
    Refused {
        operation: &'static str,
        #[source]
        source: Source,
    },
    #[error("the {what} has {size} bytes, over the limit of {limit}")]
    TooLarge {
        what: &'static str,
        size: usize,
        limit: usize,
    },
    #[error("the {limit} lifetime of {value} {rule}")]
    InvalidLifetime {
        limit: &'static str,
        value: Timeout,
        rule: String,
    },
    #[error("the stored session is corrupt: {reason}")]
    Corrupt { reason: String },
    #[error("cannot {action} session key {key:?} as {expected}: {reason}")]
    Value {
        action: &'static str,
        key: String,
        expected: &'static str,
        reason: String,
    },
    #[error("cannot {what}: the response has begun; do it before the handler returns its response")]
    TooLate { what: &'static str },
    #[error("the session has ended{}", unknown_before(*.unknown))]
    Gone { unknown: bool },
    #[error(
        "whether an earlier change of the session was written is unknown: its answer was lost, \
         and others have changed the session since"
    )]
    OutcomeUnknown,
    #[error("the session was changed by others at each of {attempts} attempts to save it")]
    Contention { attempts: u32 },
    #[error("{message}")]
    Misconfigured { message: String },
    #[error("the session has ended, but whether that is {confirmation} is unknown: {source}")]
    Unconfirmed {
        confirmation: Confirmation,
        #[source]
        source: Error,
    },
    #[error("this session store does not support {what}")]
    Unsupported { what: &'static str },
    #[error("the session store is full: it may hold {limit} sessions")]
    Full { limit: usize },
    #[error(
        "{}: too many sessions were asked for that are not there; try again in {retry_after:?}",
        failed(operation)
    )]
    RateLimited {
        operation: &'static str,
        retry_after: Duration,
    },
    #[error("no user is signed in")]
    Unauthenticated,
    #[error("the user has not authenticated within the last {within:?}")]
    ReauthenticationRequired { within: Duration },
    #[error("the request may be forged: {reason}")]
    Forged { reason: &'static str },
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
        "confirm" => "cannot confirm what was written",
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
        let mut shown = self.0.to_string();
        f.write_str(&shown)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let text = error.to_string();
            if !shown.contains(&text) {
                write!(f, ": {text}")?;
                shown = text;
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
    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Reason::Unavailable { .. } | Reason::NotSent { .. } => ErrorKind::Unavailable,
            Reason::Timeout { .. } => ErrorKind::Timeout,
            Reason::Refused { .. } => ErrorKind::Refused,
            Reason::TooLarge { .. } => ErrorKind::TooLarge,
            Reason::InvalidLifetime { .. } => ErrorKind::InvalidLifetime,
            Reason::Corrupt { .. } => ErrorKind::Corrupt,
            Reason::Value { .. } => ErrorKind::Value,
            Reason::TooLate { .. } => ErrorKind::TooLate,
            Reason::Gone { .. } => ErrorKind::Gone,
            Reason::OutcomeUnknown => ErrorKind::OutcomeUnknown,
            Reason::Contention { .. } => ErrorKind::Contention,
            Reason::Misconfigured { .. } => ErrorKind::Misconfigured,
            Reason::Unconfirmed { .. } => ErrorKind::Unconfirmed,
            Reason::Unsupported { .. } => ErrorKind::Unsupported,
            Reason::Full { .. } => ErrorKind::Full,
            Reason::RateLimited { .. } => ErrorKind::RateLimited,
            Reason::Unauthenticated => ErrorKind::Unauthenticated,
            Reason::ReauthenticationRequired { .. } => ErrorKind::ReauthenticationRequired,
            Reason::Forged { .. } => ErrorKind::Forged,
        }
    }

    /// The store operation that failed, such as `load`, if the store or the way to it is the cause.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        match &*self.0 {
            Reason::Unavailable { operation, .. }
            | Reason::NotSent { operation, .. }
            | Reason::Timeout { operation, .. }
            | Reason::Refused { operation, .. }
            | Reason::RateLimited { operation, .. } => Some(operation),
            Reason::Unconfirmed { source, .. } => source.operation(),
            _ => None,
        }
    }

    /// The session key whose value can't be read or written, for [`ErrorKind::Value`].
    #[must_use]
    pub fn session_key(&self) -> Option<&str> {
        match &*self.0 {
            Reason::Value { key, .. } => Some(key),
            _ => None,
        }
    }

    /// After how long the same call may succeed, where the error tells: the response has it as
    /// `Retry-After`.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &*self.0 {
            Reason::RateLimited { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn status(&self) -> RetryStatus {
        if let Reason::Unconfirmed { source, .. } = &*self.0 {
            return source.status();
        }
        match self.kind() {
            ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::Contention
            | ErrorKind::Full
            | ErrorKind::RateLimited => RetryStatus::Temporary,
            _ => RetryStatus::Permanent,
        }
    }

    /// Shorthand for `status() == RetryStatus::Temporary`.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.status() == RetryStatus::Temporary
    }

    /// Whether the request is refused though everything works: its user is not signed in, or it
    /// may be forged. Such an error is no reason to wake an administrator.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Unauthenticated | ErrorKind::ReauthenticationRequired | ErrorKind::Forged
        )
    }

    /// Whether a write that failed with this error may have happened all the same: the answer did
    /// not come, or the store's own error does not say so.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        match &*self.0 {
            Reason::Gone { unknown } => *unknown,
            Reason::Unavailable { .. }
            | Reason::Timeout { .. }
            | Reason::Refused { .. }
            | Reason::OutcomeUnknown => true,
            _ => false,
        }
    }

    /// [`ErrorKind::Unavailable`] during `operation`.
    pub fn unavailable(operation: &'static str, source: impl Into<Cause>) -> Self {
        let source = Arc::from(source.into());
        Reason::Unavailable { operation, source }.into()
    }

    /// [`ErrorKind::Unavailable`] during `operation`, which was not sent: it is not
    /// [doubtful](Self::is_doubtful).
    pub fn not_sent(operation: &'static str, source: impl Into<Cause>) -> Self {
        let source = Arc::from(source.into());
        Reason::NotSent { operation, source }.into()
    }

    /// [`ErrorKind::RateLimited`] during `operation`, which was not sent, and may be after
    /// `retry_after`.
    #[must_use]
    pub fn rate_limited(operation: &'static str, retry_after: Duration) -> Self {
        let reason = Reason::RateLimited {
            operation,
            retry_after,
        };
        reason.into()
    }

    /// [`ErrorKind::Timeout`] during `operation`, with the driver's own error.
    pub fn timeout(operation: &'static str, source: impl Into<Cause>) -> Self {
        let source = Arc::from(source.into());
        Reason::Timeout { operation, source }.into()
    }

    /// [`ErrorKind::Timeout`] during `operation`: no answer within `after`.
    #[must_use]
    pub fn deadline(operation: &'static str, after: Duration) -> Self {
        Self::timeout(operation, format!("no answer within {after:?}"))
    }

    /// [`ErrorKind::Timeout`] during `operation`: no answer from `place` within `after`.
    #[must_use]
    pub fn no_answer(operation: &'static str, place: &str, after: Duration) -> Self {
        Self::timeout(operation, format!("{place}: no answer within {after:?}"))
    }

    /// [`ErrorKind::Refused`] during `operation`.
    pub fn refused(operation: &'static str, source: impl Into<Cause>) -> Self {
        let source = Arc::from(source.into());
        Reason::Refused { operation, source }.into()
    }

    /// [`ErrorKind::TooLarge`]: `what`, such as `record`, has `size` bytes, over the `limit`.
    #[must_use]
    pub fn too_large(what: &'static str, size: usize, limit: usize) -> Self {
        Reason::TooLarge { what, size, limit }.into()
    }

    /// [`ErrorKind::TooLarge`] if `size` is over `limit`, both in bytes.
    ///
    /// # Errors
    /// That one.
    pub fn check_size(what: &'static str, size: usize, limit: usize) -> Result<()> {
        match size > limit {
            true => Err(Self::too_large(what, size, limit)),
            false => Ok(()),
        }
    }

    /// [`ErrorKind::Corrupt`] for this reason, which must not show what is stored.
    pub fn corrupt(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Reason::Corrupt { reason }.into()
    }

    /// [`ErrorKind::Value`]: the value of the session key `key` can't be written as `expected`, for
    /// this reason, which must not show the value.
    pub fn unwritable(key: &str, expected: &'static str, reason: impl Into<String>) -> Self {
        Self::value("write", key, expected, reason.into())
    }

    /// [`ErrorKind::Value`]: the value that is stored under `key` can't be read as `expected`, for
    /// this reason, which must not show the value.
    pub fn unreadable(key: &str, expected: &'static str, reason: impl Into<String>) -> Self {
        Self::value("read", key, expected, reason.into())
    }

    /// [`ErrorKind::Gone`]: the session has ended, and nothing was written. Not for stores, which
    /// answer [`Saved::Gone`](crate::Saved::Gone) or `None`.
    #[must_use]
    pub fn gone() -> Self {
        Self::gone_after(false)
    }

    /// [`ErrorKind::OutcomeUnknown`].
    #[must_use]
    pub fn outcome_unknown() -> Self {
        Reason::OutcomeUnknown.into()
    }

    /// [`ErrorKind::Contention`] after so many attempts.
    #[must_use]
    pub fn contention(attempts: u32) -> Self {
        Reason::Contention { attempts }.into()
    }

    /// [`ErrorKind::Misconfigured`] with a message that says what to do.
    pub fn misconfigured(message: impl Into<String>) -> Self {
        let message = message.into();
        Reason::Misconfigured { message }.into()
    }

    /// [`ErrorKind::Unsupported`]: the store can't do `what`, such as `listing`.
    #[must_use]
    pub fn unsupported(what: &'static str) -> Self {
        Reason::Unsupported { what }.into()
    }

    /// [`ErrorKind::Full`] with so many sessions.
    #[must_use]
    pub fn full(limit: usize) -> Self {
        Reason::Full { limit }.into()
    }

    /// [`ErrorKind::Unauthenticated`].
    #[must_use]
    pub fn unauthenticated() -> Self {
        Reason::Unauthenticated.into()
    }

    /// [`ErrorKind::ReauthenticationRequired`]: the user has not authenticated `within` that time.
    #[must_use]
    pub fn reauthentication_required(within: Duration) -> Self {
        Reason::ReauthenticationRequired { within }.into()
    }

    /// [`ErrorKind::Forged`], for this reason, such as `it has no form token`.
    #[must_use]
    pub fn forged(reason: &'static str) -> Self {
        Reason::Forged { reason }.into()
    }

    /// [`ErrorKind::Gone`]; whether an earlier write that was never answered happened may be
    /// unknown.
    pub(crate) fn gone_after(unknown: bool) -> Self {
        Reason::Gone { unknown }.into()
    }

    /// The same of an operation that may have been sent by an earlier attempt.
    pub(crate) fn after_earlier_attempt(self) -> Self {
        match &*self.0 {
            Reason::NotSent { operation, source } => {
                let source = Arc::clone(source);
                Reason::Unavailable { operation, source }.into()
            }
            _ => self,
        }
    }

    /// [`ErrorKind::Unconfirmed`], because of `source`.
    pub(crate) fn unconfirmed(confirmation: Confirmation, source: Self) -> Self {
        Reason::Unconfirmed {
            confirmation,
            source,
        }
        .into()
    }

    pub(crate) fn too_late(what: &'static str) -> Self {
        Reason::TooLate { what }.into()
    }

    pub(crate) fn lifetime(limit: &'static str, value: Timeout, rule: impl Into<String>) -> Self {
        let rule = rule.into();
        Reason::InvalidLifetime { limit, value, rule }.into()
    }

    fn value(action: &'static str, key: &str, expected: &'static str, reason: String) -> Self {
        let key = key.to_owned();
        Reason::Value {
            action,
            key,
            expected,
            reason,
        }
        .into()
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self(Arc::new(reason))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests;
