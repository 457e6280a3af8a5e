//! Keeping a response with a token out of caches (OWASP Session Management Cheat Sheet, "Web
//! Content Caching").

use http::header::{CACHE_CONTROL, EXPIRES, HeaderMap, HeaderName, HeaderValue};

use crate::list;

/// Headers other than `Cache-Control` that tell some cache to store a response, and come before it
/// there. All of RFC 9213's kind, `CDN-Cache-Control` for example, are known by their ending.
const OTHERS: [HeaderName; 4] = [
    EXPIRES,
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("edge-control"),
    HeaderName::from_static("x-accel-expires"),
];

/// Forbids every cache to store the response. What the handler has said to `Cache-Control` is kept
/// if it says that too.
pub(crate) fn forbid(headers: &mut HeaderMap) {
    // Caches that know `must-understand` ignore a `no-store` beside it (RFC 9111 §5.2.2.3).
    if !says(headers, b"no-store") || says(headers, b"must-understand") {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let is_targeted =
        |name: &&HeaderName| name.as_str().ends_with("-cache-control") || OTHERS.contains(name);
    let targeted: Vec<HeaderName> = headers.keys().filter(is_targeted).cloned().collect();
    for name in targeted {
        headers.remove(name);
    }
}

/// Whether `Cache-Control` has this directive.
fn says(headers: &HeaderMap, directive: &[u8]) -> bool {
    let mut values = headers.get_all(CACHE_CONTROL).into_iter();
    values.any(|value| {
        let mut listed = list::split(value.as_bytes(), b',');
        listed.any(|listed| listed.eq_ignore_ascii_case(directive))
    })
}
