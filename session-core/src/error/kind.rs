//! Kinds of errors.

/// The kind of an [`Error`](crate::Error).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store can't be reached, or refuses for now: connection refused or lost, starting up,
    /// failing over, out of memory, deadlocked. A write may or may not have happened; it has not if
    /// the error is [not doubtful](crate::Error::is_doubtful), because nothing was sent.
    Unavailable,
    /// The store did not answer in time. The operation may or may not have happened.
    Timeout,
    /// The store refused the operation for good: a missing right, a wrong type, a bug.
    Refused,
    /// A record, session key, owner, description, session id or cookie is larger than its limit; nothing was
    /// sent.
    TooLarge,
    /// A lifetime breaks a rule; nothing was sent.
    InvalidLifetime,
    /// The stored bytes can't be read as a session.
    Corrupt,
    /// A value can't be written as, or read from, the JSON of a session key.
    Value,
    /// The client can't be told any more what it would have to know, because its response has
    /// begun. Nothing was written.
    TooLate,
    /// The session ended while it was in use: it was destroyed, it expired, or another request gave
    /// it a new token, by a sign-in for example. Nothing may bring it back for this request.
    /// Nothing was written, unless the error [is doubtful](crate::Error::is_doubtful).
    Gone,
    /// An earlier write was never answered, and other requests have written the session so often
    /// since that no record tells whether it happened. It is not sent again: it could happen twice.
    OutcomeUnknown,
    /// Other writers changed the session at every attempt. Nothing was written; the changes are
    /// kept and can be saved again.
    Contention,
    /// A store, a URL or an option is set up wrongly; trying again won't help.
    Misconfigured,
    /// The session has ended, and whether its end is
    /// [confirmed](crate::SessionsBuilder::confirm_ends) is unknown. Ending it again asks for the
    /// confirmation only; the error of the store tells whether [that may help](crate::Error::status).
    Unconfirmed,
    /// The store can't do this at all.
    Unsupported,
    /// The store is full: it has the most sessions it was allowed.
    Full,
    /// Too many sessions were asked for that are not there; nothing was sent. The error says when to
    /// [try again](crate::Error::retry_after).
    RateLimited,
    /// No user is signed in, and the request needs one.
    Unauthenticated,
    /// A user is signed in, and has authenticated longer ago than the request allows.
    ReauthenticationRequired,
    /// The request changes something, and nothing proves that a page of this site has sent it.
    Forged,
}

impl ErrorKind {
    /// The name, as in the field and label `error.type`: `too_large`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::InvalidLifetime => "invalid_lifetime",
            Self::Corrupt => "corrupt",
            Self::Value => "value",
            Self::TooLate => "too_late",
            Self::Gone => "gone",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Contention => "contention",
            Self::Misconfigured => "misconfigured",
            Self::Unconfirmed => "unconfirmed",
            Self::Unsupported => "unsupported",
            Self::Full => "full",
            Self::RateLimited => "rate_limited",
            Self::Unauthenticated => "unauthenticated",
            Self::ReauthenticationRequired => "reauthentication_required",
            Self::Forged => "forged",
        }
    }
}

/// Whether the same call may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryStatus {
    /// It won't: something must change first.
    Permanent,
    /// It may: the cause passes. Writes are safe to repeat with the same [`Draft`](crate::Draft).
    Temporary,
}
