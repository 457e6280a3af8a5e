//! From the driver's errors to ours.

use mongodb::error::{Error as MongoError, ErrorKind, WriteFailure};
use session_core::Error;

/// A document of this `_id` exists already.
pub(crate) const DUPLICATE_KEY: i32 = 11000;
/// An index of this name exists with other options.
pub(crate) const INDEX_OPTIONS_CONFLICT: [i32; 2] = [85, 86];

/// What a driver's error during `operation` means to a caller.
pub(crate) fn from_mongo(operation: &'static str, error: &MongoError) -> Error {
    if let Some(code) = code(error) {
        return from_code(operation, code, name(error));
    }
    match &*error.kind {
        ErrorKind::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => {
            Error::timeout(operation, error.to_string())
        }
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::Shutdown => Error::unavailable(operation, error.to_string()),
        ErrorKind::Authentication { .. } => {
            Error::misconfigured("MongoDB refuses the user name or password")
        }
        ErrorKind::InvalidArgument { .. } | ErrorKind::InvalidTlsConfig { .. } => {
            let what = match operation {
                // The driver quotes parts of a URL it can't read, and a password is one.
                "connect" => "the MongoDB URL or its options can't be read".to_owned(),
                _ => format!("MongoDB's driver refuses what it was given: {error}"),
            };
            Error::misconfigured(what)
        }
        ErrorKind::IncompatibleServer { .. } => {
            Error::misconfigured("this MongoDB server is older than 4.4")
        }
        ErrorKind::BsonDeserialization(_) | ErrorKind::InvalidResponse { .. } => {
            Error::store(operation, "MongoDB gave an answer that can't be read")
        }
        _ => Error::store(operation, "the MongoDB driver failed"),
    }
}

/// Whether a command that failed with `error` may do better when it is sent again at once: it or its
/// answer was lost on the way, or the server refuses for now. Not if no server was found: the
/// driver has looked for one as long as it may.
pub(crate) fn is_worth_repeating(operation: &'static str, error: &MongoError) -> bool {
    !matches!(&*error.kind, ErrorKind::ServerSelection { .. })
        && matches!(from_mongo(operation, error), Error::Unavailable { .. })
}

/// The server's error code, if it is the server's error.
pub(crate) fn code(error: &MongoError) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(error) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some(error.code),
        _ => None,
    }
}

/// By code and its name only: the server's own words can quote the document.
pub(crate) fn from_code(operation: &'static str, code: i32, name: &str) -> Error {
    match code {
        // HostUnreachable, HostNotFound, ShutdownInProgress, PrimarySteppedDown, SocketException,
        // NotWritablePrimary, InterruptedAtShutdown, InterruptedDueToReplStateChange,
        // NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary, ExceededTimeLimit's cousins of a
        // failover, WriteConflict, LockTimeout
        6 | 7 | 91 | 189 | 9001 | 10107 | 11600 | 11602 | 13435 | 13436 | 133 | 134 | 112 | 24 => {
            Error::unavailable(operation, said(code, name))
        }
        // NetworkTimeout, MaxTimeMSExpired, ExceededTimeLimit, WriteConcernFailed (wtimeout)
        89 | 50 | 262 | 64 => Error::timeout(operation, said(code, name)),
        // UnsatisfiableWriteConcern: members are missing, which passes
        100 => Error::unavailable(operation, said(code, name)),
        // Unauthorized, AuthenticationFailed
        13 => Error::misconfigured(format!(
            "the MongoDB user may not {operation} sessions: {}",
            said(code, name)
        )),
        18 => Error::misconfigured("MongoDB refuses the user name or password"),
        // InvalidNamespace
        73 => Error::misconfigured("MongoDB refuses the name of the collection or database"),
        // BSONObjectTooLarge
        10334 => Error::TooLarge {
            what: "record",
            size: 16 * 1024 * 1024 + 1,
            limit: 16 * 1024 * 1024,
        },
        _ => Error::store(operation, said(code, name)),
    }
}

fn said(code: i32, name: &str) -> String {
    format!("MongoDB error {code} {name}").trim_end().to_owned()
}

fn name(error: &MongoError) -> &str {
    let name = match &*error.kind {
        ErrorKind::Command(error) => Some(error.code_name.as_str()),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some(error.code_name.as_str()),
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code_name.as_deref(),
        _ => None,
    };
    name.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::{deserialize_from_document, doc};
    use mongodb::error::CommandError;
    use session_core::ErrorKind as Kind;
    use std::io;

    fn server_says(code: i32, name: &str) -> MongoError {
        let reply = doc! { "code": code, "codeName": name, "errmsg": "about hunter2" };
        let error: CommandError = deserialize_from_document(reply).expect("a server's error");
        ErrorKind::Command(error).into()
    }

    #[test]
    fn what_servers_say() {
        for (code, name, kind) in [
            (6, "HostUnreachable", Kind::Unavailable),
            (7, "HostNotFound", Kind::Unavailable),
            (91, "ShutdownInProgress", Kind::Unavailable),
            (112, "WriteConflict", Kind::Unavailable),
            (100, "UnsatisfiableWriteConcern", Kind::Unavailable),
            (189, "PrimarySteppedDown", Kind::Unavailable),
            (10107, "NotWritablePrimary", Kind::Unavailable),
            (11600, "InterruptedAtShutdown", Kind::Unavailable),
            (11602, "InterruptedDueToReplStateChange", Kind::Unavailable),
            (13435, "NotPrimaryNoSecondaryOk", Kind::Unavailable),
            (89, "NetworkTimeout", Kind::Timeout),
            (50, "MaxTimeMSExpired", Kind::Timeout),
            (64, "WriteConcernFailed", Kind::Timeout),
            (13, "Unauthorized", Kind::Misconfigured),
            (18, "AuthenticationFailed", Kind::Misconfigured),
            (73, "InvalidNamespace", Kind::Misconfigured),
            (10334, "BSONObjectTooLarge", Kind::TooLarge),
            (11000, "DuplicateKey", Kind::Store),
            (121, "DocumentValidationFailure", Kind::Store),
        ] {
            let error = from_mongo("save", &server_says(code, name));
            assert_eq!(error.kind(), kind, "{code} {name}: {error:?}");
            let temporary = matches!(kind, Kind::Unavailable | Kind::Timeout);
            assert_eq!(error.is_temporary(), temporary, "{code} {name}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn what_goes_wrong_on_the_way() {
        for (io_kind, kind) in [
            (io::ErrorKind::ConnectionRefused, Kind::Unavailable),
            (io::ErrorKind::ConnectionReset, Kind::Unavailable),
            (io::ErrorKind::UnexpectedEof, Kind::Unavailable),
            (io::ErrorKind::InvalidData, Kind::Unavailable), // a TLS handshake
            (io::ErrorKind::TimedOut, Kind::Timeout),
        ] {
            let error = from_mongo("load", &io::Error::from(io_kind).into());
            assert_eq!(error.kind(), kind, "{io_kind}");
        }
    }

    #[tokio::test]
    async fn a_wrong_url_is_misconfigured_and_not_shown() {
        for url in [
            "mongodb://u:hunter2@h:port/",
            "mongodb://u:hunter2@/",
            "mongodb://u:hun/ter2@h/",
        ] {
            let error = crate::MongoStore::connect(url).await.expect_err(url);
            assert_eq!(error.kind(), Kind::Misconfigured, "{error:?}");
            assert!(!format!("{error:?}").contains("hun"), "{error:?}");
        }
    }
}
