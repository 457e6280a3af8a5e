//! The response to a request whose session failed it.

use http::header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::{Error, ErrorKind};

/// The response to a request that fails by `error`, without a body (Cargo feature `http`).
///
/// | status | errors |
/// |---|---|
/// | 409 | the session has ended, or another request has signed in with it meanwhile |
/// | 503, `Retry-After: 1` | [temporary](Error::is_temporary) ones: the store is unavailable, or others were faster at every attempt |
/// | 500 | all others, also an unknown outcome |
///
/// Each has `Cache-Control: no-store`.
#[must_use]
pub fn error_response<B: Default>(error: &Error) -> Response<B> {
    let status = status_of(error);
    let mut response = Response::new(B::default());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Gone => StatusCode::CONFLICT,
        // Among these is an unknown outcome: a client that repeats the request could do twice what
        // it wants once, so it is not asked to.
        _ if !error.is_temporary() => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_safe_to_repeat_is_answered_with_try_again() {
        for (error, status) in [
            (Error::gone(), StatusCode::CONFLICT),
            (Error::gone_after(true), StatusCode::CONFLICT),
            (Error::outcome_unknown(), StatusCode::INTERNAL_SERVER_ERROR),
            (Error::corrupt("no JSON"), StatusCode::INTERNAL_SERVER_ERROR),
            (
                Error::unavailable("save", "down"),
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            (Error::contention(24), StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let response: Response<String> = error_response(&error);
            assert_eq!(response.status(), status, "{error:?}");
            let is_later = status == StatusCode::SERVICE_UNAVAILABLE;
            let headers = response.headers();
            assert_eq!(headers.contains_key(RETRY_AFTER), is_later, "{error:?}");
            assert_eq!(headers[CACHE_CONTROL], "no-store", "{error:?}");
        }
    }
}
