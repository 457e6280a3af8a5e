//! What the server's error codes mean.

use session_sql::Cause;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// What an error means, and its code.
pub(crate) fn cause(error: &dyn DatabaseError) -> (Cause, String) {
    let code = error.code().unwrap_or_default();
    let details = error.try_downcast_ref::<PgDatabaseError>();
    let routine = details.and_then(PgDatabaseError::routine);
    let cause = match error.message().starts_with(BOUNCER_FULL) {
        true if code == "08P01" => FULL,
        _ => of_code(&code, routine),
    };
    let is_fatal = details.is_some_and(|details| is_fatal(details.severity()));
    let cause = if is_fatal { closed(cause) } else { cause };
    (cause, format!("SQLSTATE {code}"))
}

const FULL: Cause =
    Cause::Full("the server allows no more connections, or no more for this user or database");

/// What PgBouncer says if `max_client_conn` clients are connected, under a code that it has for most
/// errors.
const BOUNCER_FULL: &str = "no more connections allowed";

/// Whether the server closes the connection after an error.
const fn is_fatal(severity: PgSeverity) -> bool {
    matches!(severity, PgSeverity::Fatal | PgSeverity::Panic)
}

/// What an error means that closes the connection. While a connection is opened all errors do.
fn closed(cause: Cause) -> Cause {
    match cause {
        Cause::Retryable(what) | Cause::Temporary(what) | Cause::Interrupted(what) => {
            Cause::Lost(what)
        }
        Cause::Syntax | Cause::DoesNotFit | Cause::Duplicate | Cause::Other => {
            Cause::Lost("the server closed the connection after an error")
        }
        other => other,
    }
}

/// `routine` is the function of the server that found the error.
fn of_code(code: &str, routine: Option<&str>) -> Cause {
    match code {
        "54000" if routine == Some("PreCommit_Notify") => {
            Cause::Temporary("the server's queue of notices is full")
        }
        "23505" => Cause::Duplicate,
        "42601" => Cause::Syntax,
        "42501" => Cause::Forbidden,
        "53300" => FULL,
        "28000" | "28P01" => Cause::Refused,
        "3D000" | "57P04" => Cause::NoDatabase,
        "3F000" => Cause::Misconfigured("no such schema: create it first"),
        "42P01" => Cause::NoTable,
        // Also a wrong type, an operator that a type does not have, a column that is generated.
        "42703" | "42804" | "42883" | "428C9" => Cause::NoColumn,
        "42809" => Cause::Misconfigured("the table is not one that can be written to"),
        // Too long, out of range, null, a check; a row that is too large for an index.
        "22001" | "22003" | "22008" | "23502" | "23503" | "23514" | "54000" => Cause::DoesNotFit,
        "42602" | "42622" => Cause::BadName,
        "57014" => Cause::Interrupted(
            "the server cancelled the statement, because of its time limit or a request",
        ),
        _ => wrong_server(code, routine)
            .or_else(|| lost(code))
            .or_else(|| temporary(code))
            .unwrap_or(Cause::Other),
    }
}

/// The server is shutting down, takes no writes, or has closed the connection; the connection's state
/// is not what the store expects.
fn wrong_server(code: &str, routine: Option<&str>) -> Option<Cause> {
    let what = match code {
        "25006" => "the server is read-only",
        "57P01" => "the server is shutting down, or an administrator closed the connection",
        "57P03" => "the server is starting, shutting down or recovering",
        "57P05" | "25P03" => "the server has closed the idle connection",
        "25P04" => "the server's time limit for transactions has passed",
        "25000" | "25001" | "25P01" | "25P02" => "the connection is in another transaction",
        "26000" | "42P05" => {
            "the connection has other prepared statements than the store's: behind a pooler in \
             transaction mode, set `named_statements` to false"
        }
        // "cached plan must not change result type".
        "0A000" if routine == Some("RevalidateCachedQuery") => {
            "the table has changed since the statement was prepared"
        }
        // An unlogged table has no rows on a standby.
        "0A000" if routine == Some("get_relation_info") => "the server is a standby",
        _ => return None,
    };
    Some(Cause::WrongServer(what))
}

/// A pooler or the server reports that a connection broke, or crashed, at any moment.
fn lost(code: &str) -> Option<Cause> {
    let what = match code {
        "57P02" => "another process of the server crashed",
        "40003" => "the server does not know whether the statement was executed",
        _ if code.starts_with("08") => "the connection to the server broke",
        _ => return None,
    };
    Some(Cause::Lost(what))
}

/// The same statement may succeed: at once after a conflict, later after a lack of room.
fn temporary(code: &str) -> Option<Cause> {
    Some(match code {
        "40001" => Cause::Retryable("the row has changed since the statement began"),
        "40P01" => Cause::Retryable("deadlock"),
        "55P03" => Cause::Retryable("lock time-out"),
        "55006" => Cause::Retryable("the table is in use"),
        "53100" => Cause::Temporary("the server has no space left"),
        "53200" => Cause::Temporary("the server is out of memory"),
        "53000" => Cause::Temporary("the server lacks resources"),
        "53400" => Cause::Temporary("a limit of the server is reached, such as temp_file_limit"),
        "58000" | "58030" => Cause::Temporary("the server's system failed"),
        _ if code.starts_with("40") => Cause::Retryable("the transaction was rolled back"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::error::Error as StdError;
    use std::fmt;

    use session_core::backend::Failure;
    use session_core::{Error, ErrorKind as Kind};
    use session_sql::{Dialect, Stage, Target};
    use sqlx::error::ErrorKind;

    use super::*;
    use crate::Postgres;

    /// The server's message, which may quote a row, is never shown.
    #[derive(Debug)]
    struct Reported(&'static str);

    impl fmt::Display for Reported {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Key (id)=(hunter2)")
        }
    }

    impl StdError for Reported {}

    impl DatabaseError for Reported {
        fn message(&self) -> &str {
            "Key (id)=(hunter2)"
        }

        fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
            Some(self.0.into())
        }

        fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn error(code: &'static str) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Reported(code)))
    }

    fn target() -> Target<'static> {
        Target {
            place: "PostgreSQL at h:1",
            operation: "save",
            table: "t",
            quoted: Postgres::quoted,
        }
    }

    #[test]
    fn server_errors_have_their_kind() {
        for (code, name, kind) in [
            ("08006", "connection failure", Kind::Unavailable),
            ("08P01", "a pooler lost its server", Kind::Unavailable),
            ("22001", "value too long", Kind::Misconfigured),
            ("23502", "not null", Kind::Misconfigured),
            ("23505", "unique violation", Kind::Refused),
            ("23514", "a check failed", Kind::Misconfigured),
            ("25006", "read-only transaction", Kind::Unavailable),
            ("25P02", "in a failed transaction", Kind::Unavailable),
            ("25P03", "idle in a transaction", Kind::Unavailable),
            ("26000", "no such prepared statement", Kind::Unavailable),
            ("28000", "no entry in pg_hba.conf", Kind::Misconfigured),
            ("28P01", "wrong password", Kind::Misconfigured),
            ("3D000", "no such database", Kind::Misconfigured),
            ("3F000", "no such schema", Kind::Misconfigured),
            ("40001", "serialization failure", Kind::Unavailable),
            ("40003", "completion unknown", Kind::Unavailable),
            ("40P01", "deadlock", Kind::Unavailable),
            ("42501", "insufficient privilege", Kind::Misconfigured),
            ("42601", "syntax", Kind::Refused),
            ("42703", "undefined column", Kind::Misconfigured),
            ("42883", "undefined operator", Kind::Misconfigured),
            ("42P01", "undefined table", Kind::Misconfigured),
            ("42P05", "duplicate prepared statement", Kind::Unavailable),
            ("428C9", "generated column", Kind::Misconfigured),
            ("53100", "disk full", Kind::Unavailable),
            ("53200", "out of memory", Kind::Unavailable),
            ("53300", "too many connections", Kind::Unavailable),
            ("53400", "temp_file_limit", Kind::Unavailable),
            ("54000", "index row too large", Kind::Misconfigured),
            ("55P03", "lock not available", Kind::Unavailable),
            ("57014", "query cancelled", Kind::Timeout),
            ("57P01", "admin shutdown", Kind::Unavailable),
            ("57P02", "crash shutdown", Kind::Unavailable),
            ("57P03", "cannot connect now", Kind::Unavailable),
            ("57P04", "database dropped", Kind::Misconfigured),
            ("57P05", "idle session time-out", Kind::Unavailable),
            ("58030", "I/O error", Kind::Unavailable),
            ("XX000", "internal error", Kind::Refused),
        ] {
            let error = target().error::<Postgres>(&error(code));
            assert_eq!(error.kind(), kind, "{code} {name}: {error:?}");
            assert!(error.to_string().contains("PostgreSQL at h:1: "), "{error}");
            let temporary = matches!(kind, Kind::Unavailable | Kind::Timeout);
            assert_eq!(error.is_temporary(), temporary, "{code} {name}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    /// What a store does after an error while it writes.
    #[test]
    fn statements_are_repeated_where_another_attempt_may_succeed() {
        let written = |code| target().failure::<Postgres>(Stage::Writing, &error(code));
        let failure = |code| Failure::from(target().error::<Postgres>(&error(code)));
        let shown = |failure: Failure| format!("{failure:?}");
        for code in ["40001", "40P01", "55P03"] {
            assert_eq!(
                shown(written(code)),
                shown(failure(code).repeat()),
                "{code}"
            );
        }
        for code in [
            "25006", "57P01", "57P03", "57P05", "26000", "42P05", "25P02",
        ] {
            let replaced = failure(code).replace();
            assert_eq!(shown(written(code)), shown(replaced), "{code}");
        }
        for code in ["08006", "08P01", "57P02", "40003"] {
            let lost = failure(code).replace().maybe_done().unreachable();
            assert_eq!(shown(written(code)), shown(lost), "{code}");
        }
        for code in ["53100", "57014", "42501", "23505", "XX000"] {
            assert_eq!(shown(written(code)), shown(failure(code)), "{code}");
        }
    }

    #[test]
    fn an_error_that_closes_the_connection_replaces_it() {
        assert!(is_fatal(PgSeverity::Fatal) && is_fatal(PgSeverity::Panic));
        assert!(!is_fatal(PgSeverity::Error));
        for code in ["53200", "58030", "57014", "54000", "XX000"] {
            let closed = closed(of_code(code, None));
            assert!(matches!(closed, Cause::Lost(_)), "{code}: {closed:?}");
        }
        for code in ["28P01", "3D000", "53300", "57P03", "42501"] {
            let cause = of_code(code, None);
            assert_eq!(closed(cause.clone()), cause, "{code}");
        }
    }

    /// Several errors of one code are told apart by where the server found them.
    #[test]
    fn a_full_queue_of_notices_is_no_value_that_does_not_fit() {
        let full = of_code("54000", Some("PreCommit_Notify"));
        assert!(matches!(full, Cause::Temporary(_)), "{full:?}");
        assert_eq!(
            of_code("54000", Some("_bt_check_third_page")),
            Cause::DoesNotFit
        );
    }

    #[test]
    fn a_plan_that_a_change_of_the_table_made_invalid_is_prepared_anew() {
        let plan = of_code("0A000", Some("RevalidateCachedQuery"));
        assert!(matches!(plan, Cause::WrongServer(_)), "{plan:?}");
        let unlogged = of_code("0A000", Some("get_relation_info"));
        assert!(matches!(unlogged, Cause::WrongServer(_)), "{unlogged:?}");
        assert_eq!(
            of_code("0A000", Some("transformLockingClause")),
            Cause::Other
        );
    }

    #[tokio::test]
    async fn a_wrong_url_is_misconfigured_and_not_shown() {
        for url in [
            "postgres://u:hunter2@h:port/d",
            "hunter2",
            "pg://hunter2@h/d",
            "postgres://u:hunter2@h/d?sslmode=perhaps",
            "postgres://u:hunter2@h/d?password=x",
            "postgres://u:hunter2@h/d?statement-cache-capacity=0",
        ] {
            let error = crate::PostgresStore::connect(url).await.expect_err(url);
            let error: &Error = &error;
            assert_eq!(error.kind(), Kind::Misconfigured, "{error:?}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
