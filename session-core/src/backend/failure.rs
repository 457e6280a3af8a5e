//! Why an attempt failed, and what may help.

use crate::{Error, ErrorKind};

/// Why one attempt to send a command failed, and what [`Call::send`](super::Call::send) may do
/// about it. Made of an error alone, nothing helps: the error is the answer.
#[derive(Debug)]
#[must_use]
pub struct Failure {
    pub(super) error: Error,
    pub(super) remedy: Option<Remedy>,
    pub(super) may_be_done: bool,
    pub(super) is_silence: bool,
    pub(super) is_unreachable: bool,
}

/// What may help after a [`Failure`]. The attempts of each remedy are counted separately, because
/// causes come together, for example when a server restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// The same command again: [`Failure::repeat`].
    Repeat,
    /// Another client: [`Failure::replace`].
    Replace,
    /// What the server lacks: [`Failure::prepare`].
    Prepare,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            remedy: None,
            may_be_done: false,
            is_silence: false,
            is_unreachable: false,
        }
    }
}

impl Failure {
    /// The cause passes: the same command is sent again, after a short random pause. For deadlocks,
    /// and for connections that were lost and that the driver makes again.
    pub fn repeat(mut self) -> Self {
        self.remedy = Some(Remedy::Repeat);
        self
    }

    /// The client leads to the wrong server, or to none that serves: the command is sent again by
    /// another client. For servers that are read-only or shutting down, and refused logins.
    pub fn replace(mut self) -> Self {
        self.remedy = Some(Remedy::Replace);
        self
    }

    /// The server lacks something that [`Connector::prepare`](super::Connector::prepare) gives it,
    /// a script for example: that is called, and the command sent again.
    pub fn prepare(mut self) -> Self {
        self.remedy = Some(Remedy::Prepare);
        self
    }

    /// The command may have been executed: it was sent, and the answer was lost. Later attempts are
    /// [told](super::Attempt::is_repeated).
    pub fn maybe_done(mut self) -> Self {
        self.may_be_done = true;
        self
    }

    /// The command was not executed: nothing was sent. Takes [`maybe_done`](Self::maybe_done) back.
    pub fn not_done(mut self) -> Self {
        self.may_be_done = false;
        self
    }

    /// The driver has waited for an answer in vain: the client may be silent.
    pub fn silence(mut self) -> Self {
        self.is_silence = true;
        self
    }

    /// The server was not reached, or closed the connection instead of an answer. Such failures open
    /// the [circuit](super::CircuitBreaker). So does [`silence`](Self::silence).
    pub fn unreachable(mut self) -> Self {
        self.is_unreachable = true;
        self
    }

    /// The error.
    #[must_use]
    pub const fn error(&self) -> &Error {
        &self.error
    }

    /// What may help; `None` if the error is the answer.
    #[must_use]
    pub const fn remedy(&self) -> Option<Remedy> {
        self.remedy
    }

    /// Whether the command may have been executed: see [`maybe_done`](Self::maybe_done).
    #[must_use]
    pub const fn is_maybe_done(&self) -> bool {
        self.may_be_done
    }

    /// Whether the client may be silent: see [`silence`](Self::silence).
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        self.is_silence
    }

    /// Whether the server was not reached: see [`unreachable`](Self::unreachable).
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        self.is_unreachable
    }

    /// Whether no answer has come, and one may come later.
    pub(super) fn is_unanswered(&self) -> bool {
        (self.is_silence || self.is_unreachable) && self.error.is_temporary()
    }

    /// Whether the server has answered, with an error.
    pub(super) fn is_answer(&self) -> bool {
        let may_be_unanswered = matches!(
            self.error.kind(),
            ErrorKind::Unavailable | ErrorKind::Timeout
        );
        !self.is_silence && !self.is_unreachable && !may_be_unanswered
    }
}
