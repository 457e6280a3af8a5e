//! Maps the driver's errors to [`Error`] and [`Failure`].

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use session_core::Error;
use session_core::backend::Failure;

/// Codes of temporary errors: the server is out of memory, busy, not ready, or loses the scripts as
/// fast as they are loaded.
const TEMPORARY: [&str; 11] = [
    "OOM",
    "BUSY",
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "NOREPLICAS",
    "MISCONF",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "UNBLOCKED",
    "NOSCRIPT",
];
/// Codes of a server that is not (or no longer) the primary, or not ready: its address may lead to
/// another server by now.
const WRONG_SERVER: [&str; 4] = ["READONLY", "MASTERDOWN", "LOADING", "UNBLOCKED"];

/// Codes of a cluster in which slots move, or a node has failed.
const ELSEWHERE: [&str; 4] = ["MOVED", "ASK", "CLUSTERDOWN", "TRYAGAIN"];

/// An error and the server that it came from.
#[derive(Debug)]
struct PlacedError {
    place: String,
    cause: Arc<dyn StdError + Send + Sync>,
}

impl fmt::Display for PlacedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.cause)
    }
}

impl StdError for PlacedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}

/// Maps the failure of a pipeline of `commands` commands of an `operation`, sent to the server at
/// `place`.
pub(crate) fn failure(
    place: &str,
    operation: &'static str,
    error: RedisError,
    commands: usize,
) -> Failure {
    let mut cause = Failure::from(from_redis(place, operation, error.clone()));
    if is_unreachable(&error) {
        cause = cause.unreachable();
    }
    let (failure, may_be_done) = if error.is_timeout() {
        return cause.silence();
    } else if lacks_script(&error) {
        (cause.prepare(), !all_refused(error, commands))
    } else if is_wrong_server(&error) || refuses_connection(&error) {
        (cause.replace(), !all_refused(error, commands))
    } else if any_code(&first_error(error.clone()), &ELSEWHERE) {
        (cause.repeat(), !all_refused(error, commands))
    } else if error.kind() == ErrorKind::Parse {
        (cause.repeat(), true)
    } else if error.is_connection_dropped() {
        // Without a connection nothing was sent.
        (cause.repeat(), !error.is_connection_refusal())
    } else {
        return cause;
    };
    if may_be_done {
        failure.maybe_done()
    } else {
        failure
    }
}

/// Maps a driver's error during `operation` at `place`.
pub(crate) fn from_redis(place: &str, operation: &'static str, error: RedisError) -> Error {
    let error = first_error(error);
    match error.kind() {
        ErrorKind::Io => from_io(place, operation, error),
        // The driver's text may show a part of the answer.
        ErrorKind::Parse => Error::unavailable(
            operation,
            placed(
                place,
                "its answer ends in the middle, or is not in Redis' protocol",
            ),
        ),
        ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::NoValidReplicasFoundBySentinel => {
            Error::unavailable(operation, placed(place, said(&error)))
        }
        ErrorKind::AuthenticationFailed => refused_login(place, &error),
        ErrorKind::InvalidClientConfig | ErrorKind::EmptySentinelList => {
            Error::misconfigured(format!("{place}: {}", said(&error)))
        }
        ErrorKind::RESP3NotSupported => Error::misconfigured(format!(
            "{place} does not know RESP3: add protocol=resp2 to the query of the URL"
        )),
        _ => from_server(place, operation, &error),
    }
}

/// Whether another attempt may help, over another connection or after some time.
pub(crate) fn has_remedy(error: &RedisError) -> bool {
    failure("", "", error.clone(), 1).remedy().is_some()
}

/// Whether no server was reached that answers commands, or the connection broke.
fn is_unreachable(error: &RedisError) -> bool {
    let is_without_server = matches!(
        error.kind(),
        ErrorKind::ClusterConnectionNotFound
            | ErrorKind::MasterNameNotFoundBySentinel
            | ErrorKind::NoValidReplicasFoundBySentinel
    );
    let is_broken = error.is_io_error() && tls_refusal(error).is_none();
    is_without_server || is_broken || any_code(&first_error(error.clone()), &["LOADING"])
}

/// Whether the server lacks a script.
fn lacks_script(error: &RedisError) -> bool {
    let errors = error.clone().into_server_errors();
    let is_no_script = |error: &redis::ServerError| error.kind() == Some(ServerErrorKind::NoScript);
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| is_no_script(error)))
}

/// Whether the server refused each of `commands` commands, so that none was executed.
fn all_refused(error: RedisError, commands: usize) -> bool {
    let errors = error.into_server_errors();
    errors.is_none_or(|errors| errors.len() == commands)
}

/// Whether another attempt to open a connection may succeed without a change of settings.
pub(crate) fn may_pass(error: &RedisError) -> bool {
    is_wrong_server(error) || (error.is_io_error() && tls_refusal(error).is_none())
}

/// Whether the connection leads to a server that is not the primary, or not ready.
fn is_wrong_server(error: &RedisError) -> bool {
    any_code(&first_error(error.clone()), &WRONG_SERVER)
}

/// Whether the server refused the connection rather than a command.
fn refuses_connection(error: &RedisError) -> bool {
    let error = first_error(error.clone());
    error.kind() == ErrorKind::RESP3NotSupported
        || is_login_refusal(&error)
        || is_full(&error)
        || refuses_database(&error)
}

/// Whether the server serves no command now.
pub(crate) fn serves_nothing(error: &RedisError) -> bool {
    is_wrong_server(error) || refuses_connection(error) || any_code(error, &["BUSY"])
}

/// Whether the server refused the user name or password.
pub(crate) fn is_login_refusal(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed || any_code(error, &["NOAUTH", "WRONGPASS"])
}

/// Whether the server refused to select the database while the driver opened a connection: the only
/// command at that time which a user may lack the right for.
fn refuses_database(error: &RedisError) -> bool {
    error
        .to_string()
        .starts_with("Redis server refused to switch database")
}

/// Whether the server has too many clients. It says so in place of its first answer.
fn is_full(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("max number of clients"))
}

/// The first error of a pipeline: the driver's own error lacks the server's message.
fn first_error(error: RedisError) -> RedisError {
    let errors = error.clone().into_server_errors();
    match errors.as_deref() {
        Some([(_, first), ..]) => first.clone().into(),
        _ => error,
    }
}

fn placed(place: &str, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> PlacedError {
    PlacedError {
        place: place.to_owned(),
        cause: Arc::from(cause.into()),
    }
}

fn from_io(place: &str, operation: &'static str, error: RedisError) -> Error {
    if error.is_timeout() {
        return Error::timeout(operation, placed(place, error));
    }
    match tls_refusal(&error) {
        // Another authority of the same name makes a bad signature.
        Some(why)
            if ["UnknownIssuer", "BadSignature"]
                .iter()
                .any(|text| why.contains(text)) =>
        {
            Error::misconfigured(format!(
                "TLS with {place} failed: {why}; set ca_file to the certificate authority of the server"
            ))
        }
        Some(why) if why.contains("CertificateRequired") => Error::misconfigured(format!(
            "TLS with {place} failed: {why}; set cert_file and key_file to a client certificate"
        )),
        Some(why) => Error::misconfigured(format!("TLS with {place} failed: {why}")),
        None => Error::unavailable(operation, placed(place, error)),
    }
}

/// Why TLS failed, if another attempt can't help: the certificate is not trusted, or the server
/// does not speak TLS.
pub(crate) fn tls_refusal(error: &RedisError) -> Option<String> {
    let io = io_error(error)?;
    (io.kind() == io::ErrorKind::InvalidData).then(|| io.to_string())
}

/// The network error in an error of the driver's.
pub(crate) fn io_error(error: &RedisError) -> Option<&io::Error> {
    let error = error.source()?;
    error.downcast_ref().or_else(|| {
        let shared: &Arc<dyn StdError + Send + Sync> = error.downcast_ref()?;
        shared.downcast_ref()
    })
}

fn refused_login(place: &str, error: &RedisError) -> Error {
    let said = said(error);
    Error::misconfigured(format!("{place} refuses the user name or password: {said}"))
}

/// Maps an error by its code, which may be inside the text of a script's error.
fn from_server(place: &str, operation: &'static str, error: &RedisError) -> Error {
    let redirects = matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask)
    );
    if redirects || is_full(error) || any_code(error, &TEMPORARY) {
        return Error::unavailable(operation, placed(place, said(error)));
    }
    if any_code(error, &["NOAUTH", "WRONGPASS"]) {
        return refused_login(place, error);
    }
    if said(error).contains("cluster support disabled") {
        return Error::misconfigured(format!(
            "{place} is not a cluster: connect by a redis:// or rediss:// URL"
        ));
    }
    if refuses_database(error) {
        let said = said(error);
        return Error::misconfigured(format!("{place} refuses the database of the URL: {said}"));
    }
    if is_forbidden(&said(error)) {
        return Error::misconfigured(format!(
            "{place} refuses a right that sessions need \
             (docs/operations.md lists the commands): {}",
            said(error)
        ));
    }
    if any_code(error, &["WRONGTYPE"]) {
        return Error::corrupt("the Redis key holds a value of another type, not a session");
    }
    Error::refused(operation, placed(place, said(error)))
}

/// Whether the server's message says that the user may not run a command, or not on this key.
/// Inside scripts it has no code; Redis up to 7.0, Redis from 7.2 on and Valkey word it
/// differently.
pub(crate) fn is_forbidden(said: &str) -> bool {
    [
        "NOPERM",
        "The user executing the script can't",
        "ACL failure in script",
    ]
    .iter()
    .any(|text| said.contains(text))
}

fn any_code(error: &RedisError, codes: &[&str]) -> bool {
    let detail = error.detail().unwrap_or_default();
    codes
        .iter()
        .any(|code| error.code() == Some(code) || detail.contains(&format!("-{code} ")))
}

/// The message of the server, without the arguments that it may quote, or of the driver.
fn said(error: &RedisError) -> String {
    let Some(code) = error.code() else {
        // "message - kind", and perhaps ": more".
        let text = error.to_string();
        let kind = format!(" - {:?}", error.kind());
        return text.replacen(&kind, "", 1);
    };
    let detail = error.detail().unwrap_or_default();
    let detail = detail.split(", with args").next().unwrap_or_default();
    format!("{code} {detail}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::{Value, parse_redis_value};
    use session_core::ErrorKind as Kind;
    use session_core::backend::Remedy;
    use std::io;

    const SERVER: &str = "Redis at h:1";

    /// The driver's error for a line that a server sends.
    fn server_says(line: &str) -> RedisError {
        match parse_redis_value(format!("-{line}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => error.into(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn server_errors_have_their_kind() {
        for (line, kind) in [
            ("MOVED 3999 127.0.0.1:6381", Kind::Unavailable),
            ("ASK 3999 127.0.0.1:6381", Kind::Unavailable),
            (
                "TRYAGAIN Multiple keys request during rehashing of slot",
                Kind::Unavailable,
            ),
            ("CLUSTERDOWN Hash slot not served", Kind::Unavailable),
            ("MASTERDOWN Link with MASTER is down", Kind::Unavailable),
            (
                "LOADING Redis is loading the dataset in memory",
                Kind::Unavailable,
            ),
            (
                "READONLY You can't write against a read only replica.",
                Kind::Unavailable,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                Kind::Unavailable,
            ),
            (
                "ERR Error running script: @user_script: 9: -OOM command not allowed",
                Kind::Unavailable,
            ),
            (
                "ERR Error running script: @user_script: 9: -READONLY You can't write",
                Kind::Unavailable,
            ),
            ("BUSY Redis is busy running a script.", Kind::Unavailable),
            ("NOSCRIPT No matching script.", Kind::Unavailable),
            (
                "MISCONF Redis is configured to save RDB snapshots",
                Kind::Unavailable,
            ),
            (
                "NOREPLICAS Not enough good replicas to write.",
                Kind::Unavailable,
            ),
            ("NOAUTH Authentication required.", Kind::Misconfigured),
            (
                "WRONGPASS invalid username-password pair",
                Kind::Misconfigured,
            ),
            (
                "UNBLOCKED force unblock from blocking operation",
                Kind::Unavailable,
            ),
            ("ERR max number of clients reached", Kind::Unavailable),
            (
                "ERR The user executing the script can't run this command or subcommand",
                Kind::Misconfigured,
            ),
            (
                "ERR ACL failure in script: User a has no permissions to run the 'get' command",
                Kind::Misconfigured,
            ),
            (
                "NOPERM this user has no permissions to run 'evalsha'",
                Kind::Misconfigured,
            ),
            (
                "WRONGTYPE Operation against a key holding the wrong kind",
                Kind::Corrupt,
            ),
            (
                "CROSSSLOT Keys in request don't hash to the same slot",
                Kind::Refused,
            ),
            ("ERR unknown command", Kind::Refused),
        ] {
            let error = from_redis(SERVER, "save", server_says(line));
            assert_eq!(error.kind(), kind, "{line}: {error:?}");
            assert_eq!(error.is_temporary(), kind == Kind::Unavailable, "{line}");
        }
    }

    #[test]
    fn network_errors_have_their_kind() {
        for (io_kind, kind) in [
            (io::ErrorKind::ConnectionRefused, Kind::Unavailable),
            (io::ErrorKind::ConnectionReset, Kind::Unavailable),
            (io::ErrorKind::BrokenPipe, Kind::Unavailable),
            (io::ErrorKind::UnexpectedEof, Kind::Unavailable),
            (io::ErrorKind::TimedOut, Kind::Timeout),
            (io::ErrorKind::InvalidData, Kind::Misconfigured), // a TLS handshake
        ] {
            let error = from_redis(SERVER, "load", io::Error::from(io_kind).into());
            assert_eq!(error.kind(), kind, "{io_kind}");
            assert_eq!(error.is_temporary(), kind != Kind::Misconfigured);
            assert!(error.to_string().contains("Redis at h:1"), "{error}");
        }
    }

    #[test]
    fn failures_have_their_remedy_and_say_whether_the_command_may_be_executed() {
        let io = |kind: io::ErrorKind| RedisError::from(io::Error::from(kind));
        let reset = || io(io::ErrorKind::ConnectionReset);
        let refused = || io(io::ErrorKind::ConnectionRefused);
        let cut_off = || parse_redis_value(b"*2\r\n$3\r\nkey\r\n$6\r\nhun").expect_err("half");
        let no_script = || server_says("NOSCRIPT No matching script.");
        let read_only = || server_says("READONLY You can't write against a read only replica.");
        for (error, commands, remedy, may_be_done) in [
            (no_script(), 1, Some(Remedy::Prepare), false),
            (no_script(), 2, Some(Remedy::Prepare), true),
            (read_only(), 1, Some(Remedy::Replace), false),
            (read_only(), 2, Some(Remedy::Replace), true),
            (server_says("NOAUTH no"), 1, Some(Remedy::Replace), false),
            (reset(), 1, Some(Remedy::Repeat), true),
            (cut_off(), 1, Some(Remedy::Repeat), true),
            (refused(), 1, Some(Remedy::Repeat), false),
            (io(io::ErrorKind::TimedOut), 1, None, false),
            (server_says("LOADING wait"), 1, Some(Remedy::Replace), false),
            (server_says("OOM no memory"), 1, None, false),
            (server_says("NOPERM no right"), 1, None, false),
        ] {
            let (text, is_silence) = (format!("{error:?}"), error.is_timeout());
            let is_unreachable = error.is_io_error() || error.code() == Some("LOADING");
            let failure = failure(SERVER, "save", error, commands);
            assert_eq!(failure.remedy(), remedy, "{text}");
            assert_eq!(failure.is_maybe_done(), may_be_done, "{text}");
            assert_eq!(failure.is_silence(), is_silence, "{text}");
            assert_eq!(failure.is_unreachable(), is_unreachable, "{text}");
        }
    }

    #[test]
    fn arguments_that_a_server_quotes_are_left_out() {
        let line = "ERR unknown command 'EVALSHA', with args beginning with: 'hunter2' ";
        let error = from_redis(SERVER, "save", server_says(line));
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn an_answer_that_is_cut_off_is_not_shown() {
        let error = parse_redis_value(b"*2\r\n$6\r\nhunter2\r\n").expect_err("malformed");
        let error = from_redis(SERVER, "load", error);
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
    }

    #[test]
    fn a_wrong_url_is_misconfigured_and_not_shown() {
        let wrong = redis::Client::open("nonsense://u:hunter2@h").expect_err("no such scheme");
        let error = from_redis(SERVER, "connect", wrong);
        assert_eq!(error.kind(), Kind::Misconfigured);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
