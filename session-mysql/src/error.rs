//! What the numbers of the server's errors mean.

use session_core::Error;
use session_sql::{Cause, Target};
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

/// What an error of the server means, and its number.
pub(crate) fn cause(error: &dyn DatabaseError) -> (Cause, String) {
    let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() else {
        return (Cause::Other, "error".to_owned());
    };
    let number = error.number();
    (of_number(number), format!("error {number}"))
}

/// Passwords that the driver could only send encrypted by RSA, which this crate leaves out.
pub(crate) fn driver_error(target: &Target<'_>, error: &sqlx::Error) -> Option<Error> {
    let text = match error {
        sqlx::Error::Configuration(why) => why.to_string(),
        sqlx::Error::Protocol(text) => text.clone(),
        _ => return None,
    };
    let needs_tls = text.to_lowercase().contains("rsa");
    needs_tls.then(|| {
        target.misconfigured(
            "the account's password can only be sent over TLS: use ssl-mode=REQUIRED",
        )
    })
}

fn of_number(number: u16) -> Cause {
    match number {
        1062 => Cause::Duplicate,
        1064 => Cause::Syntax,
        1142 | 1143 | 1227 | 1370 => Cause::Forbidden,
        1040 | 1203 | 1226 => {
            Cause::Full("the server allows no more connections, or no more for this user")
        }
        1461 => {
            Cause::NoRoomToPrepare("max_prepared_stmt_count allows no more prepared statements")
        }
        1044 | 1045 | 1698 | 1820 | 3118 | 4151 => Cause::Refused,
        1049 => Cause::NoDatabase,
        1146 => Cause::NoTable,
        1054 | 1136 | 1364 => Cause::NoColumn,
        1059 | 1102 | 1103 => Cause::BadName,
        // From 3140 on, errors of a JSON column or a check constraint.
        1264 | 1265 | 1366 | 1406 | 3988 | 3140 | 3141 | 3151 | 3157 | 3819 | 4025 => {
            Cause::DoesNotFit
        }
        3159 => Cause::Misconfigured(
            "the server takes encrypted connections only: use ssl-mode=REQUIRED",
        ),
        1153 | 1301 => {
            Cause::Misconfigured("max_allowed_packet is smaller than a session: raise it")
        }
        _ => of_passing(number),
    }
}

/// Errors that pass.
fn of_passing(number: u16) -> Cause {
    match number {
        1159 | 1161 => Cause::Interrupted("the server's network time-out has passed"),
        1317 => Cause::Interrupted("the query or its connection was killed"),
        1969 | 3024 => Cause::Interrupted("the server's time limit for statements has passed"),

        // The server is shutting down or takes no writes, as an option, a transaction or an engine's
        // mode; Galera's node is not ready; it is not a member of the group.
        1047 => Cause::WrongServer("the node is not ready to serve"),
        1053 | 1077 | 1079 | 1080 => Cause::WrongServer("the server is shutting down"),
        1223 => Cause::WrongServer("another client holds a read lock on all tables"),
        1290 | 1792 | 1836 | 1874 => Cause::WrongServer("the server is read-only"),
        1927 | 3168 | 3169 => Cause::WrongServer("the query or its connection was killed"),
        3032 => Cause::WrongServer("the server is offline"),
        3100 => Cause::WrongServer("the group of servers refused the transaction"),
        3572 => Cause::WrongServer("a lock is held"),
        4031 => Cause::WrongServer("the server has closed the idle connection"),
        // The statement was prepared on another server behind the same address.
        1243 => Cause::WrongServer("the statement is no longer prepared"),

        1020 => Cause::Retryable("the row has changed since it was read"),
        1205 => Cause::Retryable("lock wait time-out"),
        1213 => Cause::Retryable("deadlock"),
        1615 => Cause::Retryable("the statement is no longer prepared"),
        3101 => Cause::Retryable("the group of servers refused the transaction"),

        1021 | 1114 => Cause::Temporary("the server has no space left"),
        1037 | 1038 | 1041 => Cause::Temporary("the server is out of memory"),
        1042 | 1043 | 1158 | 1160 | 1184 | 2002 | 2003 | 2006 | 2013 => {
            Cause::Temporary("the connection broke")
        }
        1129 => Cause::Temporary("this host is blocked after too many broken connections"),
        1135 => Cause::Temporary("the server can't start another thread"),
        _ => Cause::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use session_core::ErrorKind as Kind;
    use session_sql::Dialect as _;

    use super::*;
    use crate::Mysql;

    fn target(operation: &'static str) -> Target<'static> {
        Target {
            place: "MySQL at h:1",
            operation,
            table: "t",
            quoted: Mysql::quoted,
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
            let error = target("save").database_error(&of_number(number), "error");
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
            let mapped = target("load").error::<Mysql>(&error);
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
