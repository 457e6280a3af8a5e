//! Maps the driver's errors to [`Error`] and [`Failure`].

use mongodb::error::{
    Error as MongoError, ErrorKind, NO_WRITES_PERFORMED, RETRYABLE_WRITE_ERROR, WriteFailure,
};
use session_core::Error;
use session_core::backend::{Call, Failure};

use crate::client::MongoClient;

/// A document has this `_id` already.
pub(crate) const DUPLICATE_KEY: i32 = 11000;
/// An index with this name has other options.
pub(crate) const INDEX_OPTIONS_CONFLICT: [i32; 2] = [85, 86];
const BAD_VALUE: i32 = 2;
const UNAUTHORIZED: i32 = 13;
/// ShutdownInProgress, PrimarySteppedDown, NotWritablePrimary and its older number,
/// InterruptedAtShutdown, InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk,
/// NotPrimaryOrSecondary.
const NOT_PRIMARY: [i32; 8] = [91, 189, 10107, 10058, 11600, 11602, 13435, 13436];

/// Maps a driver's error during `operation` at `place`.
pub(crate) fn from_mongo(operation: &'static str, place: &str, error: &MongoError) -> Error {
    if let Some(code) = code(error) {
        if code == BAD_VALUE && is_about_hint(error) {
            return Error::misconfigured(format!(
                "{place}: the collection lacks the indexes of a session store: migrate the store first"
            ));
        }
        return from_code(operation, place, code, name(error));
    }
    let unavailable = |cause: &str| Error::unavailable(operation, format!("{place}: {cause}"));
    match &*error.kind {
        ErrorKind::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => {
            Error::timeout(operation, format!("{place}: {io}"))
        }
        ErrorKind::Io(io) => not_connected(operation, &format!("{place}: {io}")),
        ErrorKind::ServerSelection { message, .. } => {
            not_connected(operation, &selection(place, message))
        }
        ErrorKind::ConnectionPoolCleared { message, .. }
        | ErrorKind::DnsResolve { message, .. } => unavailable(message),
        ErrorKind::Shutdown => unavailable("its client was shut down"),
        ErrorKind::Authentication { .. } => refuses_login(place),
        ErrorKind::InvalidArgument { message, .. } if operation != "connect" => {
            Error::misconfigured(format!("{place}: the driver refuses: {message}"))
        }
        ErrorKind::InvalidTlsConfig { message, .. } => {
            Error::misconfigured(format!("the TLS options of the MongoDB URL: {message}"))
        }
        // The driver quotes parts of an invalid URL, which may be a password.
        ErrorKind::InvalidArgument { message, .. } => Error::misconfigured(wrong_url(message)),
        ErrorKind::IncompatibleServer { .. } => {
            Error::misconfigured(format!("{place}: the server is older than MongoDB 4.4"))
        }
        ErrorKind::BsonDeserialization(_) | ErrorKind::InvalidResponse { .. } => {
            Error::refused(operation, format!("{place}: the answer can't be read"))
        }
        _ => Error::refused(operation, format!("{place}: the driver failed")),
    }
}

/// Maps a failure to connect.
fn not_connected(operation: &'static str, cause: &str) -> Error {
    // Temporary in a running store: the server may get another certificate.
    if is_set_up(operation) && cause.contains("invalid peer certificate") {
        return Error::misconfigured(format!(
            "{cause}; set tlsCAFile in the URL to the certificate authority of the server"
        ));
    }
    Error::unavailable(operation, cause)
}

fn is_set_up(operation: &str) -> bool {
    matches!(operation, "connect" | "migrate")
}

/// Extracts each server's error from the driver's message that none could be selected, which has
/// them only as text.
fn selection(place: &str, message: &str) -> String {
    let until = |text: &str, end: &[&str]| {
        let ends = end.iter().filter_map(|end| text.find(end));
        text[..ends.min().unwrap_or(text.len())].to_owned()
    };
    let servers = message.split("{ Address: ").skip(1).map(|server| {
        let address = until(server, &[", ", " }"]);
        let why = match (
            server.split_once("Error: Kind: "),
            server.split_once(", Type: "),
        ) {
            (Some((_, error)), _) => {
                let error = until(error, &[", labels: "]);
                error.trim_start_matches("I/O error: ").to_owned()
            }
            (None, Some((_, kind))) => match until(kind, &[", ", " }"]).as_str() {
                "Unknown" => "it has not answered yet".to_owned(),
                kind => format!("it is a {kind}, not the primary"),
            },
            (None, None) => "not connected".to_owned(),
        };
        (address, why)
    });
    let mut servers: Vec<_> = servers.collect();
    match servers.len() {
        0 => format!("{place}: no server was found"),
        1 => {
            let (address, why) = servers.remove(0);
            format!("MongoDB at {address}: {why}")
        }
        _ => {
            let each = servers
                .into_iter()
                .map(|(address, why)| format!("{address}: {why}"));
            format!(
                "{place}: no primary ({})",
                each.collect::<Vec<_>>().join("; ")
            )
        }
    }
}

/// Describes what is wrong with a URL. Quotes the driver's message only if that shows no more of
/// the URL than the name of an option.
fn wrong_url(message: &str) -> String {
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric());
    let unknown = message.split_once(" is an invalid option");
    if let Some((name, similar)) = unknown.filter(|(name, _)| is_name(name)) {
        let similar = similar.rsplit_once(": ").map_or("", |(_, similar)| similar);
        let hint = match similar {
            "" => String::new(),
            similar => format!("; there is {similar}"),
        };
        return format!(
            "the MongoDB URL has an option {name:?} that the driver does not know{hint}"
        );
    }
    let value = message
        .strip_prefix("connection string `")
        .and_then(|rest| rest.split_once('`'));
    match value.filter(|(name, _)| is_name(name)) {
        Some((name, rule)) => format!("the MongoDB URL's {name}{rule}"),
        None if message.starts_with("the Rust driver does not support") => {
            format!("the MongoDB URL: {message}")
        }
        None => "the MongoDB URL or its options can't be read".to_owned(),
    }
}

fn refuses_login(place: &str) -> Error {
    Error::misconfigured(format!(
        "{place}: the user name or password is refused; set authSource in the URL if the user is in \
         another database"
    ))
}

/// When a command is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resend {
    /// If the server refused to execute it.
    IfRefused,
    /// Also if it may have been executed, because the command or its answer was lost.
    IfLost,
}

/// Maps the failure of a command that was sent by `client`. If no server was found, the command is
/// not repeated, because the driver has tried within its own time limit.
pub(crate) fn failure(
    call: &Call<MongoClient>,
    client: &MongoClient,
    error: &MongoError,
    resend: Resend,
) -> Failure {
    let why = from_mongo(call.name(), call.place(), error);
    if client.is_left_behind() && why.is_temporary() {
        return Failure::from(Error::misconfigured(format!(
            "{}: the runtime in which the store was built has ended, and a MongoDB client works only as \
             long as the runtime that it was made in: make it in one that lives as long as the store, \
             or let the store connect by a URL ({why})",
            call.place(),
        )));
    }
    let (helps, may_be_done) = match resend {
        Resend::IfRefused => (is_unexecuted(error), may_be_second_attempt(error)),
        Resend::IfLost => (
            why.kind() == session_core::ErrorKind::Unavailable
                && !matches!(&*error.kind, ErrorKind::ServerSelection { .. }),
            true,
        ),
    };
    let mut failure = Failure::from(why);
    if is_unreachable(error) {
        failure = failure.unreachable();
    }
    if !helps {
        return failure;
    }
    let failure = match client.is_direct() && is_wrong_server(error) {
        true => failure.replace(),
        false => failure.repeat(),
    };
    match may_be_done {
        true => failure.maybe_done(),
        false => failure,
    }
}

/// Whether no server was reached, or the connection broke.
fn is_unreachable(error: &MongoError) -> bool {
    matches!(
        &*error.kind,
        ErrorKind::Io(_)
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::DnsResolve { .. }
    )
}

/// Whether the server refused a command because it is not the primary, or is shutting down.
fn is_wrong_server(error: &MongoError) -> bool {
    code(error).is_some_and(|code| NOT_PRIMARY.contains(&code))
}

/// Whether the server [refused](is_wrong_server) a command before executing it. A write whose
/// concern was not satisfied was executed.
fn is_unexecuted(error: &MongoError) -> bool {
    let is_unconfirmed = matches!(
        &*error.kind,
        ErrorKind::Write(WriteFailure::WriteConcernError(_))
    );
    is_wrong_server(error) && !is_unconfirmed
}

/// Whether the driver may have sent a write twice, and the first attempt may have been executed
/// although the second was refused. MongoDB 6.1 and later label errors of writes that were not
/// executed.
fn may_be_second_attempt(error: &MongoError) -> bool {
    error.contains_label(RETRYABLE_WRITE_ERROR) && !error.contains_label(NO_WRITES_PERFORMED)
}

/// Whether the user lacks a right.
pub(crate) fn is_unauthorized(error: &MongoError) -> bool {
    code(error) == Some(UNAUTHORIZED)
}

/// Whether a query named an index that does not exist.
fn is_about_hint(error: &MongoError) -> bool {
    match &*error.kind {
        ErrorKind::Command(error) => error.message.contains("hint"),
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.message.contains("hint"),
        _ => false,
    }
}

/// The server's error code; `None` for an error of the driver.
pub(crate) fn code(error: &MongoError) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(error) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some(error.code),
        _ => None,
    }
}

/// Maps the server's error code and its name; the server's message may quote the document.
pub(crate) fn from_code(operation: &'static str, place: &str, code: i32, name: &str) -> Error {
    let said = format!("{place}: error {code} {name}")
        .trim_end()
        .to_owned();
    match code {
        code if NOT_PRIMARY.contains(&code) => Error::unavailable(operation, said),
        // HostUnreachable, HostNotFound, SocketException, FailedToSatisfyReadPreference,
        // ReadConcernMajorityNotAvailableYet, WriteConflict, LockTimeout
        6 | 7 | 9001 | 133 | 134 | 112 | 24 => Error::unavailable(operation, said),
        // CursorNotFound, CursorKilled: a failover or the server has ended a listing
        43 | 237 => Error::unavailable(operation, said),
        // StaleShardVersion, StaleEpoch, StaleConfig, ElectionInProgress, ConnectionPoolExpired,
        // TemporarilyUnavailable, OutOfDiskSpace
        63 | 150 | 13388 | 216 | 317 | 365 | 14031 => Error::unavailable(operation, said),
        // UnsatisfiableWriteConcern: members are missing for the moment
        100 => Error::unavailable(operation, said),
        // NetworkTimeout, MaxTimeMSExpired, NetworkInterfaceExceededTimeLimit, ExceededTimeLimit,
        // WriteConcernFailed (wtimeout), Interrupted (killOp)
        89 | 50 | 202 | 262 | 64 | 11601 => Error::timeout(operation, said),
        UNAUTHORIZED => Error::misconfigured(format!(
            "{said}: the user lacks a right to {operation}; the role readWrite has it"
        )),
        // AuthenticationFailed
        18 => refuses_login(place),
        code if INDEX_OPTIONS_CONFLICT.contains(&code) => Error::misconfigured(format!(
            "{said}: another index has these keys or this name: drop it, or set migrate(false)"
        )),
        // InvalidNamespace
        73 => Error::misconfigured(format!(
            "{said}: the name of the collection or database is refused"
        )),
        // BSONObjectTooLarge
        10334 => Error::too_large("record", 16 * 1024 * 1024 + 1, 16 * 1024 * 1024),
        _ => Error::refused(operation, said),
    }
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
    fn server_errors_have_their_kind() {
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
            (11601, "Interrupted", Kind::Timeout),
            (43, "CursorNotFound", Kind::Unavailable),
            (10058, "LegacyNotPrimary", Kind::Unavailable),
            (64, "WriteConcernFailed", Kind::Timeout),
            (13, "Unauthorized", Kind::Misconfigured),
            (18, "AuthenticationFailed", Kind::Misconfigured),
            (73, "InvalidNamespace", Kind::Misconfigured),
            (10334, "BSONObjectTooLarge", Kind::TooLarge),
            (11000, "DuplicateKey", Kind::Refused),
            (121, "DocumentValidationFailure", Kind::Refused),
        ] {
            let error = from_mongo("save", "MongoDB", &server_says(code, name));
            assert_eq!(error.kind(), kind, "{code} {name}: {error:?}");
            let temporary = matches!(kind, Kind::Unavailable | Kind::Timeout);
            assert_eq!(error.is_temporary(), temporary, "{code} {name}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn network_errors_have_their_kind() {
        for (io_kind, kind) in [
            (io::ErrorKind::ConnectionRefused, Kind::Unavailable),
            (io::ErrorKind::ConnectionReset, Kind::Unavailable),
            (io::ErrorKind::UnexpectedEof, Kind::Unavailable),
            (io::ErrorKind::InvalidData, Kind::Unavailable), // a TLS handshake
            (io::ErrorKind::TimedOut, Kind::Timeout),
        ] {
            let error = from_mongo("load", "MongoDB", &io::Error::from(io_kind).into());
            assert_eq!(error.kind(), kind, "{io_kind}");
        }
    }

    #[test]
    fn a_failed_selection_names_the_server_and_the_cause() {
        let unknown = "Server selection timeout: No available servers. Topology: { Type: Single, \
            Servers: [ { Address: 127.0.0.1:1, Type: Unknown, Error: Kind: I/O error: Connection \
            refused (os error 111), labels: {}, source: None, server response: None } ] }";
        let secondary = "Server selection timeout: None of the available servers suitable for \
            criteria Predicate. Topology: { Type: Single, Servers: [ { Address: h:2, Type: \
            RsSecondary, Average RTT: 1ms, Last Update Time: 2026 } ] }";
        let two = "Topology: { Type: ReplicaSetNoPrimary, Set Name: rs0, Servers: [ { Address: \
            a:1, Type: RsSecondary, Tags: {} }, { Address: b:2, Type: Unknown, Error: Kind: timed \
            out, labels: {}, source: None } ] }";
        for (message, text) in [
            (
                unknown,
                "MongoDB at 127.0.0.1:1: Connection refused (os error 111)",
            ),
            (
                secondary,
                "MongoDB at h:2: it is a RsSecondary, not the primary",
            ),
            (
                two,
                "M: no primary (a:1: it is a RsSecondary, not the primary; b:2: timed out)",
            ),
            ("odd", "M: no server was found"),
        ] {
            assert_eq!(selection("M", message), text);
        }
    }

    #[test]
    fn a_url_is_shown_by_the_names_of_its_options_only() {
        for (message, text) in [
            (
                "tabel is an invalid option",
                "the MongoDB URL has an option \"tabel\" that the driver does not know",
            ),
            (
                "readpreferenc is an invalid option. An option with a similar name exists: \
                 readpreference",
                "the MongoDB URL has an option \"readpreferenc\" that the driver does not know; \
                 there is readpreference",
            ),
            (
                "hunter2@h/ is an invalid option",
                "the MongoDB URL or its options can't be read",
            ),
            (
                "connection string `tls` option must be a boolean",
                "the MongoDB URL's tls option must be a boolean",
            ),
            (
                "port hunter2",
                "the MongoDB URL or its options can't be read",
            ),
        ] {
            assert_eq!(wrong_url(message), text);
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
