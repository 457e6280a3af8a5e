//! The response to a request whose session failed it.

use http::header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::{Error, ErrorKind};

/// The response to a request that fails by `error`, without a body (Cargo feature `http`).
///
/// | status | errors |
/// |---|---|
/// | 401 | no user is signed in, or the user has to authenticate again |
/// | 403 | the request may be forged |
/// | 409 | the session has ended, or another request has signed in with it meanwhile |
/// | 413 | something [is too large](ErrorKind::TooLarge): a record, a key, an owner, a cookie |
/// | 503 | [temporary](Error::is_temporary) ones: the store is unavailable, or others were faster at every attempt |
/// | 500 | all others, also an unknown outcome |
///
/// Each has `Cache-Control: no-store`. A 503 has `Retry-After`, of 1 s if the error does not [tell
/// another time](Error::retry_after), unless a create or save may have happened all the same: a
/// client that repeats the request could then do twice what it wants once.
///
/// The error itself is in the response's extensions, so that middleware further out can tell such a
/// response from a handler's own, and put a page in its place. A 401 has no `WWW-Authenticate`,
/// because HTTP has no scheme for cookies; a middleware that takes tokens as bearers adds it.
#[must_use]
pub fn error_response<B: Default>(error: &Error) -> Response<B> {
    let status = status_of(error);
    let mut response = Response::new(B::default());
    *response.status_mut() = status;
    response.extensions_mut().insert(error.clone());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE && !may_be_written(error) {
        headers.insert(RETRY_AFTER, HeaderValue::from(retry_after(error)));
    }
    response
}

/// In whole seconds, at least one.
fn retry_after(error: &Error) -> u64 {
    let after = error.retry_after().unwrap_or_default();
    let rounded_up = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    rounded_up.max(1)
}

fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Unauthenticated | ErrorKind::ReauthenticationRequired => {
            StatusCode::UNAUTHORIZED
        }
        ErrorKind::Forged => StatusCode::FORBIDDEN,
        ErrorKind::Gone => StatusCode::CONFLICT,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        // Among these is an unknown outcome: a client that repeats the request could do twice what
        // it wants once, so it is not asked to.
        _ if !error.is_temporary() => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Whether a change of the session was sent without an answer.
fn may_be_written(error: &Error) -> bool {
    error.is_doubtful() && matches!(error.operation(), Some("create" | "save"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confirmation;

    const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

    #[test]
    fn the_time_to_try_again_is_the_errors_rounded_up() {
        let after = |millis| {
            let error = Error::rate_limited("load", std::time::Duration::from_millis(millis));
            let response: Response<String> = error_response(&error);
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            response.headers()[RETRY_AFTER].clone()
        };
        assert_eq!(after(10), "1");
        assert_eq!(after(1_000), "1");
        assert_eq!(after(1_001), "2");
    }

    #[test]
    fn only_what_is_safe_to_repeat_is_answered_with_try_again() {
        let unconfirmed = |why| Error::unconfirmed(Confirmation::Durable, why);
        let down = |operation| Error::unavailable(operation, "down");
        for (error, status, is_later) in [
            (Error::gone(), 409, false),
            (Error::gone_after(true), 409, false),
            (Error::outcome_unknown(), 500, false),
            (Error::corrupt("no JSON"), 500, false),
            (down("create"), 503, false),
            (down("save"), 503, false),
            (down("load"), 503, true),
            (down("touch"), 503, true),
            (down("destroy"), 503, true),
            (unconfirmed(down("confirm")), 503, true),
            (unconfirmed(Error::unsupported("it")), 500, false),
            (Error::contention(24), 503, true),
            (Error::too_large("record", 2, 1), 413, false),
            (Error::unauthenticated(), 401, false),
            (Error::reauthentication_required(MINUTE), 401, false),
            (Error::forged("it has no form token"), 403, false),
        ] {
            let response: Response<String> = error_response(&error);
            assert_eq!(response.status().as_u16(), status, "{error:?}");
            let headers = response.headers();
            assert_eq!(headers.contains_key(RETRY_AFTER), is_later, "{error:?}");
            assert_eq!(headers[CACHE_CONTROL], "no-store", "{error:?}");
            let told: Option<&Error> = response.extensions().get();
            assert_eq!(told.map(Error::kind), Some(error.kind()), "{error:?}");
        }
    }
}
