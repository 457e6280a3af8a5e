//! Exit codes, and the failures that lead to them.

use std::process::ExitCode;

use session_store::{Error, ErrorKind};

/// How the program ends. The numbers are documented in docs/sessionctl.md and in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command did what it says.
    Done = 0,
    /// The store refused it, or it failed on its way.
    Failed = 1,
    /// The command line or the URL is wrong; `clap` ends with this number too.
    Usage = 2,
    /// No live session has this id.
    NotFound = 3,
    /// The command has run, and what it found needs attention: sessions that could not be copied or
    /// differ, a server that can't keep a promise.
    Findings = 4,
    /// The store can't be reached or does not answer; trying again may help.
    Unreachable = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not end well.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { exit, message }
    }

    /// The command line is wrong in a way that `clap` does not know of.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The same failure, after what it has failed at.
    pub(crate) fn at(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Timeout => Exit::Unreachable,
            ErrorKind::Misconfigured => Exit::Usage,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

/// Standard output is closed, or its disk is full.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failed, format!("cannot write the output: {error}"))
    }
}
