//! Maps the driver's errors to [`Error`] and [`Failure`].
//!
//! Messages name the product, its address and the cause, but never quote the server's message,
//! which may contain a row or a user name.

use std::borrow::Cow;
use std::io;

use session_core::Error;
use session_core::backend::{Chain, Failure};
use sqlx::mysql::MySqlDatabaseError;

use crate::schema::quoted;

/// A primary key is taken.
const DUPLICATE_KEY: u16 = 1062;
/// The server can't parse the statement and has not executed it.
const SYNTAX: u16 = 1064;
/// The server has no room for another prepared statement.
const NO_ROOM_TO_PREPARE: u16 = 1461;
/// The server, or the user's account, has reached its limit of connections.
const FULL: [u16; 3] = [1040, 1203, 1226];

/// What statements work on, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'t> {
    /// Product and address.
    pub(crate) place: &'t str,
    pub(crate) operation: &'static str,
    pub(crate) table: &'t str,
}

/// What was being done when an error occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A connection was being opened: nothing was sent. Other connections may still work.
    Connecting,
    /// Only statements that change nothing were sent.
    Reading,
    /// A statement was sent that may have changed something.
    Writing,
}

impl Target<'_> {
    pub(crate) fn misconfigured(&self, what: impl AsRef<str>) -> Error {
        Error::misconfigured(format!("{}: {}", self.place, what.as_ref()))
    }

    pub(crate) fn at(&self, cause: &str) -> String {
        format!("{}: {cause}", self.place)
    }

    pub(crate) fn no_table(&self) -> Error {
        self.misconfigured(format!(
            "the table {} does not exist: migrate the store first",
            quoted(self.table)
        ))
    }

    /// Maps a driver's error at `stage`. The statement is repeated after a temporary error, and on
    /// a new connection if the error shows that connections are broken or lead to the wrong server.
    pub(crate) fn failure(&self, stage: Stage, error: &sqlx::Error) -> Failure {
        let failure = Failure::from(self.error(error));
        let failure = match may_repeat(error) {
            false => failure,
            true if stage != Stage::Connecting && is_broken(error) => failure.replace(),
            true => failure.repeat(),
        };
        match stage == Stage::Writing && is_answer_lost(error) {
            true => failure.maybe_done(),
            false => failure,
        }
    }

    /// Maps a driver's error.
    pub(crate) fn error(&self, error: &sqlx::Error) -> Error {
        let operation = self.operation;
        if let Some(number) = number(error) {
            return self.server_error(number);
        }
        match error {
            sqlx::Error::Io(io) => self.io_error(io),
            sqlx::Error::Tls(why) => self.misconfigured(format!("TLS: {}", Chain(why.as_ref()))),
            sqlx::Error::Configuration(why) if why.to_string().contains("rsa") => {
                self.password_needs_tls()
            }
            sqlx::Error::Configuration(_) => {
                self.misconfigured("the driver refuses the options of the connection")
            }
            sqlx::Error::Protocol(text) if text.to_lowercase().contains("rsa") => {
                self.password_needs_tls()
            }
            // The driver's message may quote data.
            sqlx::Error::ColumnDecode { .. } => from_column(error),
            sqlx::Error::Protocol(_) => {
                Error::unavailable(operation, self.at("the answer is not of MySQL's protocol"))
            }
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

    fn password_needs_tls(&self) -> Error {
        self.misconfigured(
            "the account's password can only be sent over TLS: use ssl-mode=REQUIRED",
        )
    }

    /// Maps the server's error number; the server's message may quote a row.
    fn server_error(&self, number: u16) -> Error {
        let (operation, table) = (self.operation, quoted(self.table));
        let said = || {
            let said = describe(number);
            let cause = match said.is_empty() {
                true => format!("error {number}"),
                false => format!("{said} (error {number})"),
            };
            self.at(&cause)
        };
        let wrong =
            |what: Cow<'static, str>| self.misconfigured(format!("{what} (error {number})"));
        match number {
            1159 | 1161 | 1317 | 1969 | 3024 => Error::timeout(operation, said()),
            1044 | 1045 | 1698 | 1820 | 3118 | 4151 => {
                wrong("the user name, password or database is refused".into())
            }
            3159 => {
                wrong("the server takes encrypted connections only: use ssl-mode=REQUIRED".into())
            }
            1142 | 1143 | 1227 | 1370 => wrong(
                format!(
                    "the user lacks a right on the table {table} for {operation}: a store needs \
                     SELECT, INSERT, UPDATE and DELETE, and CREATE to migrate"
                )
                .into(),
            ),
            1049 => wrong("no such database: create it first".into()),
            1146 => self.no_table(),
            1054 | 1136 | 1364 => wrong(
                format!("the table {table} does not have the columns that sessions need").into(),
            ),
            // From 3140 on, errors of a JSON column or a check constraint.
            1264 | 1265 | 1366 | 1406 | 3988 | 3140 | 3141 | 3151 | 3157 | 3819 | 4025 => wrong(
                format!(
                    "a column of the table {table} can't hold a session's value; nothing was \
                     written"
                )
                .into(),
            ),
            1059 | 1102 | 1103 => wrong(format!("invalid table name {table}").into()),
            1153 | 1301 => wrong("max_allowed_packet is smaller than a session: raise it".into()),
            _ if is_temporary(number) => Error::unavailable(operation, said()),
            _ => Error::refused(operation, said()),
        }
    }
}

/// Maps a column that can't be decoded: only its own row is corrupt.
pub(crate) fn from_column(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::ColumnDecode { index, .. } => {
            Error::corrupt(format!("the row has no usable column {index}"))
        }
        _ => Error::corrupt("the row lacks the columns of a session"),
    }
}

/// Whether the same statement may succeed later, on this server or another.
fn is_temporary(number: u16) -> bool {
    FULL.contains(&number)
        || is_wrong_server(number)
        || is_retryable(number)
        || matches!(
            number,
            1021 | 1037
                | 1038
                | 1041
                | 1042
                | 1043
                | 1114
                | 1129
                | 1135
                | 1158
                | 1160
                | 1184
                | 2002
                | 2003
                | 2006
                | 2013
        )
}

/// Whether the server is shutting down or takes no writes. A new connection may lead to another
/// server. The statement was not executed.
fn is_wrong_server(number: u16) -> bool {
    matches!(
        number,
        // Galera's node is not ready; shutting down; a read lock on all tables; read-only, as an
        // option, a transaction or an engine's mode.
        1047 | 1053 | 1077 | 1079 | 1080 | 1223 | 1290 | 1792 | 1836 | 1874
            // Killed, offline, not a member of the group, disconnected for inactivity.
            | 1927 | 3032 | 3100 | 3168 | 3169 | 3572 | 4031
            // The statement was prepared on another server behind the same address.
            | 1243
    )
}

/// A deadlock, a lock wait time-out, a row that changed under a snapshot or in another member of
/// the group, a statement that must be prepared again.
fn is_retryable(number: u16) -> bool {
    matches!(
        number,
        1020 | 1205 | 1213 | 1615 | 3101 | NO_ROOM_TO_PREPARE
    )
}

/// Describes a temporary error.
fn describe(number: u16) -> &'static str {
    match number {
        1020 => "the row has changed since it was read",
        1021 | 1114 => "the server has no space left",
        1037 | 1038 | 1041 => "the server is out of memory",
        1040 | 1203 | 1226 => "the server allows no more connections, or no more for this user",
        1042 | 1043 | 1158 | 1160 | 1184 => "the connection broke",
        1047 => "the node is not ready to serve",
        1053 | 1077 | 1079 | 1080 => "the server is shutting down",
        1129 => "this host is blocked after too many broken connections",
        1135 => "the server can't start another thread",
        1205 => "lock wait time-out",
        1213 => "deadlock",
        1223 => "another client holds a read lock on all tables",
        1243 | 1615 => "the statement is no longer prepared",
        1290 | 1792 | 1836 | 1874 => "the server is read-only",
        1317 | 1927 | 3168 | 3169 => "the query or its connection was killed",
        1159 | 1161 => "the server's network time-out has passed",
        1461 => "max_prepared_stmt_count allows no more prepared statements",
        1969 | 3024 => "the server's time limit for statements has passed",
        3032 => "the server is offline",
        3100 | 3101 => "the group of servers refused the transaction",
        4031 => "the server has closed the idle connection",
        _ => "",
    }
}

/// Whether to repeat the statement: after a [retryable](is_retryable) error, or on another
/// connection.
fn may_repeat(error: &sqlx::Error) -> bool {
    match number(error) {
        Some(number) => is_retryable(number) || is_wrong_server(number),
        // A certificate that is refused stays so.
        None => matches!(error, sqlx::Error::Io(io) if io.kind() != io::ErrorKind::InvalidData),
    }
}

/// Whether the connection can't be used again.
pub(crate) fn is_broken(error: &sqlx::Error) -> bool {
    match number(error) {
        Some(number) => is_wrong_server(number) || number == NO_ROOM_TO_PREPARE,
        None => error.as_database_error().is_none(),
    }
}

/// Whether the answer was lost, so that the statement may have been executed. A server that answers
/// with an error has not executed it, or has rolled it back.
fn is_answer_lost(error: &sqlx::Error) -> bool {
    error.as_database_error().is_none()
}

/// Whether the server refuses a connection because there are too many.
pub(crate) fn is_full(error: &sqlx::Error) -> bool {
    number(error).is_some_and(|number| FULL.contains(&number))
}

pub(crate) fn has_no_room_to_prepare(error: &sqlx::Error) -> bool {
    number(error) == Some(NO_ROOM_TO_PREPARE)
}

pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    number(error) == Some(DUPLICATE_KEY)
}

pub(crate) fn is_syntax(error: &sqlx::Error) -> bool {
    number(error) == Some(SYNTAX)
}

/// Whether the user lacks a right.
pub(crate) fn is_forbidden(error: &sqlx::Error) -> bool {
    number(error).is_some_and(|number| matches!(number, 1142 | 1143 | 1227))
}

fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    Some(error.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind as Kind;

    use super::*;

    fn target(operation: &'static str) -> Target<'static> {
        Target {
            place: "MySQL at h:1",
            operation,
            table: "t",
        }
    }

    #[test]
    fn server_errors_have_their_kind() {
        for (number, name, kind) in [
            (1040, "too many connections", Kind::Unavailable),
            (1053, "server shutdown in progress", Kind::Unavailable),
            (1129, "host is blocked", Kind::Unavailable),
            (1205, "lock wait timeout", Kind::Unavailable),
            (1213, "deadlock", Kind::Unavailable),
            (1290, "running with --read-only", Kind::Unavailable),
            (1792, "read only transaction", Kind::Unavailable),
            (1836, "read only mode", Kind::Unavailable),
            (1927, "connection was killed", Kind::Unavailable),
            (2006, "server has gone away", Kind::Unavailable),
            (2013, "lost connection during query", Kind::Unavailable),
            (
                4031,
                "disconnected because of inactivity",
                Kind::Unavailable,
            ),
            (1159, "got timeout reading packets", Kind::Timeout),
            (1317, "query execution was interrupted", Kind::Timeout),
            (1969, "max_statement_time exceeded", Kind::Timeout),
            (
                3024,
                "maximum statement execution time exceeded",
                Kind::Timeout,
            ),
            (1045, "access denied", Kind::Misconfigured),
            (1049, "unknown database", Kind::Misconfigured),
            (1142, "command denied", Kind::Misconfigured),
            (1146, "no such table", Kind::Misconfigured),
            (
                1153,
                "packet bigger than max_allowed_packet",
                Kind::Misconfigured,
            ),
            (1461, "max_prepared_stmt_count", Kind::Unavailable),
            (1047, "WSREP has not yet prepared node", Kind::Unavailable),
            (3572, "locks could not be acquired", Kind::Unavailable),
            (1406, "data too long", Kind::Misconfigured),
            (3140, "invalid JSON text", Kind::Misconfigured),
            (4025, "MariaDB: a check failed", Kind::Misconfigured),
            (1366, "incorrect string value", Kind::Misconfigured),
            (1062, "duplicate entry", Kind::Refused),
            (1064, "syntax", Kind::Refused),
        ] {
            let error = target("save").server_error(number);
            assert_eq!(error.kind(), kind, "{number} {name}: {error:?}");
            assert!(error.to_string().contains("MySQL at h:1: "), "{error}");
            let temporary = matches!(kind, Kind::Unavailable | Kind::Timeout);
            assert_eq!(error.is_temporary(), temporary, "{number} {name}");
        }
    }

    #[test]
    fn network_errors_have_their_kind() {
        let io = |kind| sqlx::Error::Io(io::Error::from(kind));
        for (error, kind) in [
            (io(io::ErrorKind::ConnectionRefused), Kind::Unavailable),
            (io(io::ErrorKind::ConnectionReset), Kind::Unavailable),
            (io(io::ErrorKind::UnexpectedEof), Kind::Unavailable),
            (io(io::ErrorKind::TimedOut), Kind::Timeout),
            (io(io::ErrorKind::InvalidData), Kind::Misconfigured),
            (
                sqlx::Error::Tls("a bad certificate".into()),
                Kind::Misconfigured,
            ),
            (
                sqlx::Error::Protocol("about hunter2".into()),
                Kind::Unavailable,
            ),
        ] {
            let mapped = target("load").error(&error);
            assert_eq!(mapped.kind(), kind, "{error:?}");
            assert!(!format!("{mapped:?}").contains("hunter2"), "{mapped:?}");
        }
    }

    #[tokio::test]
    async fn a_wrong_url_is_misconfigured_and_not_shown() {
        for url in [
            "mysql://u:hunter2@h:port/d",
            "mysql://u:hunter2@h",
            "hunter2",
            "pg://hunter2@h/d",
        ] {
            let error = crate::MysqlStore::connect(url).await.expect_err(url);
            assert_eq!(error.kind(), Kind::Misconfigured, "{error:?}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
