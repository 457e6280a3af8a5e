//! Maps the driver's errors to [`Error`] and [`Failure`].
//!
//! Messages name the product, its address and the cause, but never quote the server's message,
//! which may contain a row or a user name.

use std::borrow::Cow;
use std::io;

use session_core::Error;
use session_core::backend::{Chain, Failure};

use crate::{Cause, Dialect};

/// What statements work on, for messages.
#[derive(Clone, Copy, Debug)]
pub struct Target<'t> {
    /// Product and address.
    pub place: &'t str,
    /// The operation.
    pub operation: &'static str,
    /// The table.
    pub table: &'t str,
    /// Quotes a name.
    pub quoted: fn(&str) -> String,
}

/// What was being done when an error occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A connection was being opened: nothing was sent. Other connections may still work.
    Connecting,
    /// Only statements that change nothing were sent.
    Reading,
    /// A statement was sent that may have changed something.
    Writing,
}

impl Target<'_> {
    /// An error that a change of the set-up mends: `what`, at this place.
    pub fn misconfigured(&self, what: impl AsRef<str>) -> Error {
        Error::misconfigured(format!("{}: {}", self.place, what.as_ref()))
    }

    /// `cause`, at this place.
    #[must_use]
    pub fn at(&self, cause: &str) -> String {
        format!("{}: {cause}", self.place)
    }

    /// The table, quoted.
    #[must_use]
    pub fn quoted_table(&self) -> String {
        (self.quoted)(self.table)
    }

    /// The error if there is no table.
    #[must_use]
    pub fn no_table(&self) -> Error {
        self.misconfigured(format!(
            "the table {} does not exist: migrate the store first",
            self.quoted_table()
        ))
    }

    /// Maps a driver's error at `stage`. The statement is repeated after a temporary error, and on
    /// a new connection if the error shows that connections are broken or lead to the wrong server.
    pub fn failure<D: Dialect>(&self, stage: Stage, error: &sqlx::Error) -> Failure {
        let failure = Failure::from(self.error::<D>(error));
        let failure = match is_unreachable::<D>(stage, error) {
            true => failure.unreachable(),
            false => failure,
        };
        let failure = match may_repeat::<D>(error) {
            false => failure,
            true if D::MAY_BE_DEMOTED && stage != Stage::Connecting && is_broken::<D>(error) => {
                failure.replace()
            }
            // A file that can't be written may still be read by the other connections.
            true => failure.repeat(),
        };
        match stage == Stage::Writing && is_answer_lost::<D>(error) {
            true => failure.maybe_done(),
            false => failure,
        }
    }

    /// Maps a driver's error.
    #[must_use]
    pub fn error<D: Dialect>(&self, error: &sqlx::Error) -> Error {
        if let Some(database) = error.as_database_error() {
            let (cause, code) = D::cause(database);
            return self.database_error(&cause, &code);
        }
        if let Some(error) = D::driver_error(self, error) {
            return error;
        }
        let operation = self.operation;
        match error {
            sqlx::Error::Io(io) => self.io_error(io),
            sqlx::Error::Tls(why) => self.misconfigured(format!("TLS: {}", Chain(why.as_ref()))),
            sqlx::Error::Configuration(_) => {
                self.misconfigured("the driver refuses the options of the connection")
            }
            sqlx::Error::PoolTimedOut => {
                Error::timeout(operation, self.at("no connection could be opened in time"))
            }
            // The driver's message may quote data.
            sqlx::Error::ColumnDecode { .. } => from_column(error),
            sqlx::Error::Protocol(_) => Error::unavailable(
                operation,
                self.at(&format!("the answer is not of {}'s protocol", D::PRODUCT)),
            ),
            _ => Error::refused(operation, self.at("the driver failed")),
        }
    }

    fn io_error(&self, error: &io::Error) -> Error {
        let operation = self.operation;
        let cause = self.at(&error.to_string());
        match error.kind() {
            io::ErrorKind::TimedOut => Error::timeout(operation, cause),
            // An error of rustls, about a certificate or a handshake.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                self.misconfigured(format!("TLS: {error}"))
            }
            _ => Error::unavailable(operation, cause),
        }
    }

    /// Maps what an error of the database means; the database's message may quote a row.
    #[must_use]
    pub fn database_error(&self, cause: &Cause, code: &str) -> Error {
        let (operation, table) = (self.operation, self.quoted_table());
        let said = |what: &str| self.at(&format!("{what} ({code})"));
        let wrong = |what: Cow<'static, str>| self.misconfigured(format!("{what} ({code})"));
        match cause {
            Cause::Interrupted(what) | Cause::Busy(what) => Error::timeout(operation, said(what)),
            Cause::Full(what)
            | Cause::WrongServer(what)
            | Cause::Retryable(what)
            | Cause::Lost(what)
            | Cause::NoRoomToPrepare(what)
            | Cause::Temporary(what) => Error::unavailable(operation, said(what)),
            Cause::Refused => wrong("the user name, password or database is refused".into()),
            Cause::Misconfigured(what) => wrong((*what).into()),
            Cause::Forbidden => wrong(
                format!(
                    "the user lacks a right on the table {table} for {operation}: a store needs \
                     SELECT, INSERT, UPDATE and DELETE, and CREATE to migrate"
                )
                .into(),
            ),
            Cause::NoDatabase => wrong("no such database: create it first".into()),
            Cause::NoTable => self.no_table(),
            Cause::NoColumn => wrong(
                format!("the table {table} does not have the columns that sessions need").into(),
            ),
            Cause::DoesNotFit => wrong(
                format!(
                    "a column of the table {table} can't hold a session's value; nothing was \
                     written"
                )
                .into(),
            ),
            Cause::BadName => wrong(format!("invalid table name {table}").into()),
            Cause::Duplicate | Cause::Syntax | Cause::Other => {
                Error::refused(operation, self.at(code))
            }
        }
    }
}

/// Maps a column that can't be decoded: only its own row is corrupt.
#[must_use]
pub fn from_column(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::ColumnDecode { index, .. } => {
            Error::corrupt(format!("the row has no usable column {index}"))
        }
        _ => Error::corrupt("the row lacks the columns of a session"),
    }
}

/// What an error of the database means; `None` if it is the driver's or the network's.
pub(crate) fn cause<D: Dialect>(error: &sqlx::Error) -> Option<Cause> {
    Some(D::cause(error.as_database_error()?).0)
}

/// Whether to repeat the statement, on the same connection or another.
fn may_repeat<D: Dialect>(error: &sqlx::Error) -> bool {
    match cause::<D>(error) {
        Some(cause) => cause.may_repeat(),
        // A certificate that is refused stays so.
        None => matches!(error, sqlx::Error::Io(io) if io.kind() != io::ErrorKind::InvalidData),
    }
}

/// Whether no connection could be opened, or it broke: the server is away, or is starting.
fn is_unreachable<D: Dialect>(stage: Stage, error: &sqlx::Error) -> bool {
    match cause::<D>(error) {
        Some(Cause::WrongServer(_)) => stage == Stage::Connecting,
        Some(cause) => matches!(cause, Cause::Lost(_)),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut),
    }
}

/// Whether the connection can't be used again.
pub(crate) fn is_broken<D: Dialect>(error: &sqlx::Error) -> bool {
    cause::<D>(error).is_none_or(|cause| cause.is_broken())
}

/// Whether the answer was lost, so that the statement may have been executed. A server that answers
/// with an error has not executed it, or has rolled it back; a pooler may not know.
fn is_answer_lost<D: Dialect>(error: &sqlx::Error) -> bool {
    cause::<D>(error).is_none_or(|cause| matches!(cause, Cause::Lost(_)))
}
