//! What SQLite's result codes mean.
//!
//! Messages name the code, but never quote SQLite's message, which may contain a name or a value.

use session_sql::Cause;
use sqlx::error::DatabaseError;

/// The primary result code: the low byte of an extended one.
const fn primary(code: u32) -> u32 {
    code & 0xff
}

/// The names of the codes that a store may meet: <https://www.sqlite.org/rescode.html>.
const NAMES: [(u32, &str); 42] = [
    (1, "SQLITE_ERROR"),
    (2, "SQLITE_INTERNAL"),
    (3, "SQLITE_PERM"),
    (4, "SQLITE_ABORT"),
    (5, "SQLITE_BUSY"),
    (6, "SQLITE_LOCKED"),
    (7, "SQLITE_NOMEM"),
    (8, "SQLITE_READONLY"),
    (9, "SQLITE_INTERRUPT"),
    (10, "SQLITE_IOERR"),
    (11, "SQLITE_CORRUPT"),
    (13, "SQLITE_FULL"),
    (14, "SQLITE_CANTOPEN"),
    (15, "SQLITE_PROTOCOL"),
    (17, "SQLITE_SCHEMA"),
    (18, "SQLITE_TOOBIG"),
    (19, "SQLITE_CONSTRAINT"),
    (20, "SQLITE_MISMATCH"),
    (22, "SQLITE_NOLFS"),
    (23, "SQLITE_AUTH"),
    (26, "SQLITE_NOTADB"),
    (261, "SQLITE_BUSY_RECOVERY"),
    (262, "SQLITE_LOCKED_SHAREDCACHE"),
    (264, "SQLITE_READONLY_RECOVERY"),
    (266, "SQLITE_IOERR_READ"),
    (275, "SQLITE_CONSTRAINT_CHECK"),
    (517, "SQLITE_BUSY_SNAPSHOT"),
    (520, "SQLITE_READONLY_CANTLOCK"),
    (522, "SQLITE_IOERR_SHORT_READ"),
    (526, "SQLITE_CANTOPEN_ISDIR"),
    (773, "SQLITE_BUSY_TIMEOUT"),
    (778, "SQLITE_IOERR_WRITE"),
    (1032, "SQLITE_READONLY_DBMOVED"),
    (1034, "SQLITE_IOERR_FSYNC"),
    (1288, "SQLITE_READONLY_CANTINIT"),
    (1299, "SQLITE_CONSTRAINT_NOTNULL"),
    (1544, "SQLITE_READONLY_DIRECTORY"),
    (1546, "SQLITE_IOERR_TRUNCATE"),
    (1555, "SQLITE_CONSTRAINT_PRIMARYKEY"),
    (2067, "SQLITE_CONSTRAINT_UNIQUE"),
    (3091, "SQLITE_CONSTRAINT_DATATYPE"),
    (4618, "SQLITE_IOERR_SHMOPEN"),
];

/// What `error` means, and the name of its code.
pub(crate) fn cause(error: &dyn DatabaseError) -> (Cause, String) {
    let code = error.code().and_then(|code| code.parse().ok());
    let code = code.unwrap_or_default();
    (meaning(code, error.message()), name(code))
}

/// The name of a code; that of its primary code with the number, if its own is not known.
fn name(code: u32) -> String {
    let named = |wanted: u32| NAMES.iter().find(|(code, _)| *code == wanted);
    match (named(code), named(primary(code))) {
        (Some((_, name)), _) => (*name).to_owned(),
        (None, Some((_, name))) => format!("{name}, extended code {code}"),
        (None, None) => format!("code {code}"),
    }
}

fn meaning(code: u32, message: &str) -> Cause {
    match code {
        1555 | 2067 => return Cause::Duplicate,
        // The file was deleted or replaced.
        1032 => return Cause::WrongServer("the file was moved or deleted while it was open"),
        526 => return Cause::Misconfigured("the path is a directory, not a file"),
        _ => {}
    }
    match primary(code) {
        1 => of_statement(message),
        3 | 23 => {
            Cause::Misconfigured("this user, or the program's own rules, may not use the file")
        }
        5 => Cause::Busy("another process or connection holds the database"),
        6 => Cause::Busy("another connection holds the table"),
        7 => Cause::Temporary("there is not enough memory"),
        // A connection that was opened while the file was read-only stays so.
        8 => Cause::WrongServer(
            "the file, or its directory, is read-only: SQLite writes the file and, beside it, \
             files that end with -wal and -shm",
        ),
        9 => Cause::Interrupted("the statement was interrupted"),
        // A commit may have reached the disk before the error. The file may have been replaced by a
        // shorter one, or the file system may be another.
        10 => Cause::Lost("the disk or the file system failed"),
        11 => Cause::Misconfigured(
            "the file is damaged: stop the programs that use it, delete it with its -wal and -shm, \
             then put a backup in its place",
        ),
        13 => Cause::Temporary("the disk is full; nothing was written"),
        14 => Cause::Misconfigured(
            "the file can't be opened: its directory must exist, and this user must have the right \
             to read and write both",
        ),
        // A race for the locks of a write-ahead log, which others have won many times in a row.
        15 | 17 => Cause::Retryable("other connections changed the database at the same moment"),
        18..=20 => Cause::DoesNotFit,
        22 => Cause::Misconfigured("the file is too large for this system"),
        26 => Cause::Misconfigured("the file is not a SQLite database, or is encrypted"),
        _ => Cause::Other,
    }
}

/// What a statement that can't be prepared means, which only the message tells.
fn of_statement(message: &str) -> Cause {
    let is_column = |message: &str| {
        message.starts_with("no such column: ") || message.contains(" has no column named ")
    };
    match message {
        _ if message.starts_with("no such table: ") => Cause::NoTable,
        _ if is_column(message) => Cause::NoColumn,
        _ if message.contains("syntax error") => Cause::Syntax,
        _ if message.starts_with("object name reserved ") => Cause::BadName,
        _ => Cause::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_their_primary_code_means() {
        for code in [5, 261, 517, 773, 6, 262] {
            assert!(matches!(meaning(code, ""), Cause::Busy(_)), "{code}");
        }
        for code in [8, 264, 520, 776, 1032, 1288, 1544] {
            assert!(matches!(meaning(code, ""), Cause::WrongServer(_)), "{code}");
        }
        for code in [10, 266, 1034, 4618] {
            assert!(matches!(meaning(code, ""), Cause::Lost(_)), "{code}");
        }
        for code in [11, 267, 523, 14, 270, 526, 782, 22, 26] {
            assert!(
                matches!(meaning(code, ""), Cause::Misconfigured(_)),
                "{code}"
            );
        }
        for code in [13, 7] {
            assert!(matches!(meaning(code, ""), Cause::Temporary(_)), "{code}");
        }
        for code in [15, 17] {
            assert!(matches!(meaning(code, ""), Cause::Retryable(_)), "{code}");
        }
        for code in [18, 19, 275, 1299, 3091, 20] {
            assert_eq!(meaning(code, ""), Cause::DoesNotFit, "{code}");
        }
        for code in [1555, 2067] {
            assert_eq!(meaning(code, ""), Cause::Duplicate, "{code}");
        }
        assert!(matches!(meaning(9, ""), Cause::Interrupted(_)));
        assert_eq!(meaning(2, ""), Cause::Other);
    }

    #[test]
    fn statements_that_cannot_be_prepared_are_told_apart_by_the_message() {
        for (message, cause) in [
            ("no such table: session_store", Cause::NoTable),
            ("no such column: stamp", Cause::NoColumn),
            ("table t has no column named stamp", Cause::NoColumn),
            ("near \"RETURNING\": syntax error", Cause::Syntax),
            (
                "object name reserved for internal use: sqlite_a",
                Cause::BadName,
            ),
            ("too many SQL variables", Cause::Other),
        ] {
            assert_eq!(meaning(1, message), cause, "{message}");
        }
    }

    #[test]
    fn unknown_extended_codes_are_named_after_their_primary_code() {
        assert_eq!(name(5), "SQLITE_BUSY");
        assert_eq!(name(1555), "SQLITE_CONSTRAINT_PRIMARYKEY");
        assert_eq!(name(6666), "SQLITE_IOERR, extended code 6666");
        assert_eq!(name(255), "code 255");
    }

    #[test]
    fn each_code_is_named_once_in_order() {
        assert!(NAMES.is_sorted_by(|(one, _), (other, _)| one < other));
    }
}
