use super::*;

#[derive(Debug, thiserror::Error)]
#[error("Redis at 127.0.0.1:6379")]
struct Outer(#[source] std::io::Error);

#[test]
fn display_names_what_failed_and_every_cause_once() {
    let refused = || std::io::Error::other("connection refused");
    for (error, text) in [
        (
            Error::unavailable("load", Outer(refused())),
            "cannot load the session: Redis at 127.0.0.1:6379: connection refused",
        ),
        (
            Error::unavailable("create", refused()),
            "cannot save the session: connection refused",
        ),
        (
            Error::deadline("reap", Duration::from_secs(5)),
            "cannot reap expired sessions: no answer within 5s",
        ),
        (
            Error::refused("odd", "no such thing"),
            "the session store failed (odd): no such thing",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn an_error_is_as_large_as_a_pointer() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}

#[test]
fn a_write_is_doubtful_if_its_answer_is_missing() {
    for (error, is_doubtful) in [
        (Error::unavailable("save", "down"), true),
        (Error::not_sent("save", "down"), false),
        (
            Error::not_sent("save", "down").after_earlier_attempt(),
            true,
        ),
        (Error::outcome_unknown(), true),
        (Error::gone_after(true), true),
        (Error::gone(), false),
        (Error::contention(24), false),
        (Error::corrupt("no JSON"), false),
    ] {
        assert_eq!(error.is_doubtful(), is_doubtful, "{error}");
    }
}
