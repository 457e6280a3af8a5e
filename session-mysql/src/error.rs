//! From the driver's errors to ours.

use session_core::Error;
use sqlx::mysql::MySqlDatabaseError;

/// A primary key exists already.
const DUPLICATE_KEY: u16 = 1062;
/// The statement can't be parsed; nothing of it was done.
const SYNTAX: u16 = 1064;

/// What a driver's error during `operation` means to a caller.
pub(crate) fn from_sqlx(operation: &'static str, error: &sqlx::Error) -> Error {
    if let Some(number) = number(error) {
        return from_number(operation, number);
    }
    match error {
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => {
            Error::timeout(operation, error.to_string())
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => {
            Error::unavailable(operation, error.to_string())
        }
        sqlx::Error::PoolTimedOut => Error::timeout(operation, error.to_string()),
        sqlx::Error::PoolClosed => Error::misconfigured("the MySQL pool has been closed"),
        sqlx::Error::Configuration(_) if error.to_string().contains("rsa") => password_needs_tls(),
        sqlx::Error::Configuration(_) => {
            Error::misconfigured("the MySQL URL or its options can't be used")
        }
        sqlx::Error::Protocol(text) if text.to_lowercase().contains("rsa") => password_needs_tls(),
        // What the protocol or a value is said to be wrong about may be quoted.
        sqlx::Error::ColumnDecode { index, .. } => {
            Error::corrupt(format!("the row has no usable column {index}"))
        }
        _ => Error::store(operation, "the MySQL driver failed"),
    }
}

fn password_needs_tls() -> Error {
    Error::misconfigured(
        "this MySQL account's password can only be sent over TLS: use ssl-mode=REQUIRED",
    )
}

/// Whether the same statement is worth repeating at once: a deadlock, a lock that took too long,
/// a row that changed under a snapshot, a connection that had broken.
pub(crate) fn is_worth_repeating(error: &sqlx::Error) -> bool {
    match number(error) {
        Some(number) => matches!(number, 1213 | 1205 | 1020),
        None => matches!(error, sqlx::Error::Io(_)),
    }
}

/// Whether the connection is of no more use.
pub(crate) fn is_broken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_none()
}

pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    number(error) == Some(DUPLICATE_KEY)
}

pub(crate) fn is_syntax(error: &sqlx::Error) -> bool {
    number(error) == Some(SYNTAX)
}

fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    Some(error.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

/// By number only: the server's own words can quote a row.
fn from_number(operation: &'static str, number: u16) -> Error {
    let said = format!("MySQL error {number}");
    match number {
        // Too many connections, out of memory or disk, shutting down, killed, no handshake, this
        // host blocked after too many broken handshakes.
        1021 | 1037 | 1038 | 1040 | 1041 | 1042 | 1043 | 1053 | 1077 | 1114 | 1129 | 1135
        | 1158 | 1160 | 1184 | 1203 | 1226 | 1927 | 2002 | 2003 | 2006 | 2013 | 3169 | 4031 => {
            Error::unavailable(operation, said)
        }
        // Deadlock, lock wait, snapshot; read-only, switched over, no longer the primary.
        1020 | 1205 | 1213 | 1290 | 1792 | 1836 | 3572 => Error::unavailable(operation, said),
        // Network timeouts, an interrupted or overlong statement.
        1159 | 1161 | 1317 | 1969 | 3024 => Error::timeout(operation, said),
        1044 | 1045 | 1698 | 1820 | 3118 | 4151 => {
            Error::misconfigured("MySQL refuses the user name, password or database")
        }
        1142 | 1143 | 1227 | 1370 => Error::misconfigured(format!(
            "the MySQL user may not {operation} sessions ({said})"
        )),
        1049 => Error::misconfigured("there is no such MySQL database: create it first"),
        1146 => Error::misconfigured("there is no such table: migrate the store first"),
        1054 | 1136 => Error::misconfigured("the table has other columns than sessions need"),
        1059 | 1102 | 1103 => Error::misconfigured("MySQL can't name a table so"),
        1153 | 1301 => {
            Error::misconfigured("MySQL's max_allowed_packet is smaller than a session: raise it")
        }
        1243 | 1615 => Error::unavailable(operation, said),
        _ => Error::store(operation, said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use session_core::ErrorKind as Kind;
    use std::io;

    #[test]
    fn what_servers_say() {
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
            (1062, "duplicate entry", Kind::Store),
            (1064, "syntax", Kind::Store),
        ] {
            let error = from_number("save", number);
            assert_eq!(error.kind(), kind, "{number} {name}: {error:?}");
            let temporary = matches!(kind, Kind::Unavailable | Kind::Timeout);
            assert_eq!(error.is_temporary(), temporary, "{number} {name}");
        }
    }

    #[test]
    fn what_goes_wrong_on_the_way() {
        let io = |kind| sqlx::Error::Io(io::Error::from(kind));
        for (error, kind) in [
            (io(io::ErrorKind::ConnectionRefused), Kind::Unavailable),
            (io(io::ErrorKind::ConnectionReset), Kind::Unavailable),
            (io(io::ErrorKind::UnexpectedEof), Kind::Unavailable),
            (io(io::ErrorKind::TimedOut), Kind::Timeout),
            (sqlx::Error::PoolTimedOut, Kind::Timeout),
            (sqlx::Error::PoolClosed, Kind::Misconfigured),
            (
                sqlx::Error::Tls("a bad certificate".into()),
                Kind::Unavailable,
            ),
            (sqlx::Error::Protocol("about hunter2".into()), Kind::Store),
        ] {
            let mapped = from_sqlx("load", &error);
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
