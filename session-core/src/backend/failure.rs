//! Why an attempt failed, and what may help.

use crate::Error;

/// Why one attempt to send a command failed, and what [`Call::send`](super::Call::send) may do
/// about it. Made of an error alone, nothing helps: the error is the answer.
#[derive(Debug)]
#[must_use]
pub struct Failure {
    pub(super) error: Error,
    pub(super) remedy: Option<Remedy>,
    pub(super) may_be_done: bool,
    pub(super) is_silence: bool,
}

/// What may help. How often each is tried is counted for itself: causes come together, when a
/// server restarts for example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    Repeat,
    Replace,
    Prepare,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            remedy: None,
            may_be_done: false,
            is_silence: false,
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

    /// The driver has waited for an answer in vain: the client may be silent.
    pub fn silence(mut self) -> Self {
        self.is_silence = true;
        self
    }

    /// The error.
    #[must_use]
    pub const fn error(&self) -> &Error {
        &self.error
    }
}
