//! From the driver's errors to ours.

use redis::{ErrorKind, RedisError, ServerErrorKind};
use session_core::Error;

/// What a driver's error during `operation` means to a caller.
pub(crate) fn from_redis(operation: &'static str, error: RedisError) -> Error {
    let error = first_of(error);
    match error.kind() {
        ErrorKind::Io if error.is_timeout() => Error::timeout(operation, error),
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => {
            Error::unavailable(operation, error)
        }
        ErrorKind::MasterNameNotFoundBySentinel | ErrorKind::NoValidReplicasFoundBySentinel => {
            Error::unavailable(operation, error)
        }
        ErrorKind::AuthenticationFailed => {
            Error::misconfigured("Redis refuses the user name or password")
        }
        ErrorKind::InvalidClientConfig | ErrorKind::EmptySentinelList => Error::misconfigured(
            format!("the Redis URL or set-up is wrong: {}", said(&error)),
        ),
        ErrorKind::RESP3NotSupported => Error::misconfigured(
            "what answers for Redis does not know RESP3: add protocol=resp2 to the URL's query",
        ),
        ErrorKind::Server(kind) => from_server(operation, kind, &error),
        _ => from_code(operation, &error),
    }
}

/// Of several commands' errors, which the driver gives without what the server said, the first.
fn first_of(error: RedisError) -> RedisError {
    let errors = error.clone().into_server_errors();
    match errors.as_deref() {
        Some([(_, first), ..]) => first.clone().into(),
        _ => error,
    }
}

fn from_server(operation: &'static str, kind: ServerErrorKind, error: &RedisError) -> Error {
    match kind {
        ServerErrorKind::BusyLoading
        | ServerErrorKind::Moved
        | ServerErrorKind::Ask
        | ServerErrorKind::TryAgain
        | ServerErrorKind::ClusterDown
        | ServerErrorKind::MasterDown
        | ServerErrorKind::ReadOnly => Error::unavailable(operation, said(error)),
        ServerErrorKind::NoPerm => Error::misconfigured(format!(
            "the Redis user may not run a command or touch a key that sessions need: {}",
            said(error)
        )),
        _ => from_code(operation, error),
    }
}

/// Errors that the driver has no name for, and errors that a script passes on as text.
fn from_code(operation: &'static str, error: &RedisError) -> Error {
    let detail = error.detail().unwrap_or_default();
    let is = |code: &str| error.code() == Some(code) || detail.contains(&format!("-{code} "));
    if [
        "OOM",
        "BUSY",
        "LOADING",
        "READONLY",
        "MASTERDOWN",
        "NOREPLICAS",
        "MISCONF",
        "CLUSTERDOWN",
    ]
    .into_iter()
    .any(is)
    {
        return Error::unavailable(operation, said(error));
    }
    if ["NOAUTH", "WRONGPASS"].into_iter().any(is) {
        return Error::misconfigured("Redis refuses the user name or password");
    }
    if is("WRONGTYPE") || detail.contains("WRONGTYPE") {
        return Error::corrupt("the Redis key holds something else than a session");
    }
    Error::store(operation, said(error))
}

/// What the server said, without the arguments that it may quote.
fn said(error: &RedisError) -> String {
    let code = error.code().unwrap_or("error");
    let detail = error.detail().unwrap_or_default();
    let detail = detail.split(", with args").next().unwrap_or_default();
    format!("{code} {detail}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::{Value, parse_redis_value};
    use session_core::ErrorKind as Kind;
    use std::io;

    /// The error that the driver makes of a line that a server sends.
    fn server_says(line: &str) -> RedisError {
        match parse_redis_value(format!("-{line}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => error.into(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_servers_say() {
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
                "NOPERM this user has no permissions to run 'evalsha'",
                Kind::Misconfigured,
            ),
            (
                "WRONGTYPE Operation against a key holding the wrong kind",
                Kind::Corrupt,
            ),
            (
                "CROSSSLOT Keys in request don't hash to the same slot",
                Kind::Store,
            ),
            ("ERR unknown command", Kind::Store),
        ] {
            let error = from_redis("save", server_says(line));
            assert_eq!(error.kind(), kind, "{line}: {error:?}");
            assert_eq!(error.is_temporary(), kind == Kind::Unavailable, "{line}");
        }
    }

    #[test]
    fn what_goes_wrong_on_the_way() {
        for (io_kind, kind) in [
            (io::ErrorKind::ConnectionRefused, Kind::Unavailable),
            (io::ErrorKind::ConnectionReset, Kind::Unavailable),
            (io::ErrorKind::BrokenPipe, Kind::Unavailable),
            (io::ErrorKind::UnexpectedEof, Kind::Unavailable),
            (io::ErrorKind::TimedOut, Kind::Timeout),
            (io::ErrorKind::InvalidData, Kind::Unavailable), // a TLS handshake
        ] {
            let error = from_redis("load", io::Error::from(io_kind).into());
            assert_eq!(error.kind(), kind, "{io_kind}");
            assert!(error.is_temporary(), "{io_kind}");
        }
    }

    #[test]
    fn arguments_that_a_server_quotes_are_left_out() {
        let line = "ERR unknown command 'EVALSHA', with args beginning with: 'hunter2' ";
        let error = from_redis("save", server_says(line));
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn a_wrong_url_is_misconfigured_and_not_shown() {
        let wrong = redis::Client::open("nonsense://u:hunter2@h").expect_err("no such scheme");
        let error = from_redis("connect", wrong);
        assert_eq!(error.kind(), Kind::Misconfigured);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
