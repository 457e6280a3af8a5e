//! Who may ask.
//!
//! * The URL that is printed has a random token. The first visit moves it into a cookie that no script
//!   reads and no other site sends, and out of the address bar.
//! * The `Host` header must name this machine: a page whose name an attacker lets point here (DNS
//!   rebinding) has another.
//! * What changes something must come from this page, by the browser's own word (`Sec-Fetch-Site`), or
//!   by `Origin` from browsers that do not say.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, ORIGIN, REFERRER_POLICY,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use crate::exit::{Exit, Failure};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Applies where a handler sets none: the page allows its own script and style.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// The secrets of one run, and the names that this machine is reached by.
pub(super) struct Guard {
    token: String,
    /// The value of the cookie: another one, so that neither tells the other.
    pass: String,
    cookie: String,
    hosts: Vec<String>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Host,
    NoPass,
    OtherSite,
}

impl Guard {
    pub(super) fn new(address: SocketAddr) -> Result<Self, Failure> {
        let port = address.port();
        Ok(Self {
            token: secret()?,
            pass: secret()?,
            // Cookies do not tell ports apart.
            cookie: format!("sessionctl_{port}"),
            hosts: vec![address.to_string(), format!("localhost:{port}")],
        })
    }

    /// Where the page is, with the token.
    pub(super) fn url(&self) -> String {
        format!("http://{}/?token={}", self.hosts[0], self.token)
    }

    fn is_token(&self, query: &str) -> bool {
        let mut pairs = query.split('&');
        let token = pairs.find_map(|pair| pair.strip_prefix("token="));
        token.is_some_and(|token| is_same(token, &self.token))
    }

    fn has_pass(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter();
        let cookies = cookies.filter_map(|cookies| cookies.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
        pairs.any(|pair| {
            let pair = pair.trim().split_once('=');
            pair.is_some_and(|(name, value)| name == self.cookie && is_same(value, &self.pass))
        })
    }

    fn is_host(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| self.hosts.iter().any(|own| own == host))
    }

    /// Decides about a request with the pass.
    fn judge(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        if !self.has_pass(headers) {
            return Err(Refusal::NoPass);
        }
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let is_read = method == Method::GET || method == Method::HEAD;
        match text(&FETCH_SITE) {
            Some("same-origin") => return Ok(()),
            Some("none") if is_read => return Ok(()),
            Some(_) => return Err(Refusal::OtherSite),
            None => {}
        }
        let own = |origin: &str| {
            let host = origin.strip_prefix("http://");
            host.is_some_and(|host| self.hosts.iter().any(|own| own == host))
        };
        match text(&ORIGIN) {
            Some(origin) if own(origin) => Ok(()),
            None if is_read => Ok(()),
            _ => Err(Refusal::OtherSite),
        }
    }

    /// The answer to the first visit: the cookie, and the address without the token.
    fn welcome(&self) -> Response {
        let cookie = format!(
            "{}={}; HttpOnly; SameSite=Strict; Path=/",
            self.cookie, self.pass
        );
        let headers = [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())];
        (StatusCode::SEE_OTHER, headers).into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Host => (
                StatusCode::MISDIRECTED_REQUEST,
                "This name does not belong to sessionctl.\n",
            ),
            Self::NoPass => (
                StatusCode::UNAUTHORIZED,
                "Open the URL that sessionctl has printed: it has a token.\n",
            ),
            Self::OtherSite => (
                StatusCode::FORBIDDEN,
                "This request comes from another site.\n",
            ),
        };
        (status, text).into_response()
    }
}

/// Passes a request on, or answers it.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let is_first = request.method() == Method::GET
        && request.uri().path() == "/"
        && guard.is_token(request.uri().query().unwrap_or_default());
    let mut response = if !guard.is_host(headers) {
        Refusal::Host.into_response()
    } else if is_first {
        guard.welcome()
    } else {
        match guard.judge(request.method(), headers) {
            Ok(()) => next.run(request).await,
            Err(refusal) => refusal.into_response(),
        }
    };
    harden(response.headers_mut());
    response
}

fn harden(headers: &mut HeaderMap) {
    let fixed = HeaderValue::from_static;
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(fixed(NOTHING));
    headers.insert(CACHE_CONTROL, fixed("no-store"));
    headers.insert(REFERRER_POLICY, fixed("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    headers.insert(X_FRAME_OPTIONS, fixed("DENY"));
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(HeaderName::from_static(name), fixed("same-origin"));
    }
}

/// Takes as long for any two texts of one length.
fn is_same(given: &str, own: &str) -> bool {
    given.as_bytes().ct_eq(own.as_bytes()).into()
}

/// 256 random bits, as text that stands in URLs and cookies as it is.
pub(super) fn secret() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(Exit::Failed, format!("no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new("127.0.0.1:8377".parse().expect("an address")).expect("random numbers")
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |&(name, value): &(&'static str, &str)| {
            (
                HeaderName::from_static(name),
                value.parse().expect("a header"),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_the_token_of_this_run_opens_the_page() {
        let guard = guard();
        let url = guard.url();
        let (_, query) = url.split_once('?').expect("a query");
        assert!(guard.is_token(query));
        let other = super::tests::guard();
        assert!(!other.is_token(query));
        assert!(!guard.is_token(""));
        assert!(!guard.is_token("token="));
        assert!(!guard.is_token(&query[..query.len() - 1]));
    }

    #[test]
    fn names_of_other_sites_are_refused() {
        let guard = guard();
        for host in ["127.0.0.1:8377", "localhost:8377"] {
            assert!(guard.is_host(&headers(&[("host", host)])), "{host}");
        }
        for host in [
            "evil.example:8377",
            "127.0.0.1",
            "127.0.0.1:8378",
            "localhost.evil:8377",
        ] {
            assert!(!guard.is_host(&headers(&[("host", host)])), "{host}");
        }
        assert!(!guard.is_host(&HeaderMap::new()));
    }

    #[test]
    fn what_changes_something_comes_from_the_page_itself() {
        let guard = guard();
        let cookie = format!("a=b; {}={}", guard.cookie, guard.pass);
        let judge = |method: Method, more: &[(&'static str, &str)]| {
            let mut pairs = vec![("cookie", &*cookie)];
            pairs.extend(more);
            guard.judge(&method, &headers(&pairs))
        };
        let site = |site| [("sec-fetch-site", site)];
        assert_eq!(judge(Method::POST, &site("same-origin")), Ok(()));
        assert_eq!(judge(Method::GET, &site("none")), Ok(()));
        for wrong in ["none", "cross-site", "same-site"] {
            assert_eq!(
                judge(Method::POST, &site(wrong)),
                Err(Refusal::OtherSite),
                "{wrong}"
            );
        }
        assert_eq!(
            judge(Method::GET, &site("cross-site")),
            Err(Refusal::OtherSite)
        );
        let origin = |origin| [("origin", origin)];
        assert_eq!(
            judge(Method::POST, &origin("http://127.0.0.1:8377")),
            Ok(())
        );
        for wrong in ["http://evil.example", "null", "https://127.0.0.1:8377"] {
            assert_eq!(
                judge(Method::POST, &origin(wrong)),
                Err(Refusal::OtherSite),
                "{wrong}"
            );
        }
        assert_eq!(judge(Method::POST, &[]), Err(Refusal::OtherSite));
        assert_eq!(judge(Method::GET, &[]), Ok(()));
        let none = guard.judge(&Method::GET, &headers(&site("same-origin")));
        assert_eq!(none, Err(Refusal::NoPass));
        let wrong = format!("{}={}", guard.cookie, "0".repeat(64));
        let none = guard.judge(&Method::GET, &headers(&[("cookie", &wrong)]));
        assert_eq!(none, Err(Refusal::NoPass));
    }

    #[test]
    fn no_secret_is_shown() {
        let guard = guard();
        let shown = format!("{guard:?}");
        assert!(
            !shown.contains(&guard.token) && !shown.contains(&guard.pass),
            "{shown}"
        );
    }
}
