//! A layer against requests that other sites forge.

use std::sync::Arc;

use http::header::{HOST, HeaderName, HeaderValue, ORIGIN, UPGRADE};
use http::request::Parts;
use http::{Method, Uri};
use session_core::{Error, Result};
use tower_layer::Layer;

use crate::guard::{self, Guard, GuardService};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The header in which scripts send a form token (OWASP Cross-Site Request Forgery Prevention Cheat
/// Sheet, "Employing Custom Request Headers for AJAX/API").
pub const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

/// Refuses requests that change something and come from another origin's page, with 403. Goes inside
/// of the [`SessionLayer`](crate::SessionLayer).
///
/// ```
/// # fn example(store: session_memory::MemoryStore) -> session_web::Result<()> {
/// use axum::Router;
/// use axum::routing::post;
/// use session_web::{CrossOriginProtection, SessionLayer};
/// # async fn pay() {}
///
/// let app: Router = Router::new()
///     .route("/pay", post(pay))
///     .layer(CrossOriginProtection::new().allow_origin("https://app.example.org")?)
///     .layer(SessionLayer::new(store));
/// # Ok(()) }
/// ```
///
/// The first rule that applies decides. All but the fifth are those of Go 1.25's
/// `net/http.CrossOriginProtection` (and of the OWASP cheat sheet's "Fetch Metadata Headers"):
///
/// 1. `GET`, `HEAD` and `OPTIONS` pass: handlers must change nothing by them. A request to upgrade
///    the connection, such as a WebSocket's, does not count as a `GET`.
/// 2. An `Origin` that [`allow_origin`](Self::allow_origin) names passes.
/// 3. `Sec-Fetch-Site`, which browsers since 2023 send by https and to loopback: `same-origin` and
///    `none` (the user's own doing, such as a bookmark) pass, all else is refused. So a page of
///    another subdomain is refused too.
/// 4. `Origin`, which all browsers since 2020 send with such requests: its host and port must be the
///    request's own. It does not tell https from http, so send HSTS.
/// 5. Neither header: a browser from before 2020, or no browser. If the request opens a session by a
///    cookie, it must have one of the session's form tokens in the header `x-csrf-token`; where
///    layers are nested, the innermost session that it opens. If it opens none, it passes: all that
///    a forger gains by it is to sign such a browser in as another user, which the token of a form
///    prevents (`CsrfForm`). A token that a script presents in another header passes too.
///    [`allow_missing_headers`](Self::allow_missing_headers) says otherwise.
///
/// Rules 1 to 4 load nothing. Rule 5 sees the sessions of the layers around this one: a session
/// layer further in needs a protection of its own, inside of it. A page with `Referrer-Policy:
/// no-referrer` has browsers without `Sec-Fetch-Site` send `Origin: null`, which rule 4 refuses: use
/// `same-origin` or `strict-origin-when-cross-origin`. For webhooks and other requests that sites send each other, put the
/// routes outside of this layer. Behind a proxy that replaces `Host`, name the site's own origin by
/// `allow_origin`.
#[derive(Clone, Debug, Default)]
pub struct CrossOriginProtection {
    allowed: Arc<Vec<HeaderValue>>,
    allows_missing: bool,
}

impl CrossOriginProtection {
    /// The rules above, for the site's own pages only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Also lets pages of this origin send requests that change something: scheme, host and port as
    /// a browser writes them, such as `https://app.example.org`. As dangerous as its most careless
    /// page.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if that is no origin.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self> {
        let wrong = || {
            Error::misconfigured(format!(
                "{origin:?} is no origin as browsers write it: give scheme and host in lower case, and a port \
                 if it is not the scheme's, such as \"https://app.example.org\""
            ))
        };
        let uri: Uri = origin.parse().map_err(|_| wrong())?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(wrong)?;
        let is_default_port = matches!(
            (scheme, authority.port_u16()),
            ("https", Some(443)) | ("http", Some(80))
        );
        let is_origin = origin == format!("{scheme}://{authority}")
            && origin == origin.to_ascii_lowercase()
            && !authority.as_str().contains('@')
            && !is_default_port;
        if !is_origin {
            return Err(wrong());
        }
        let origin = HeaderValue::from_str(origin).map_err(|_| wrong())?;
        Arc::make_mut(&mut self.allowed).push(origin);
        Ok(self)
    }

    /// Lets requests with neither `Sec-Fetch-Site` nor `Origin` pass, as Go does. For sites whose
    /// handlers check the token of each form, as `CsrfForm` does: forms of browsers from before 2020
    /// then work too.
    #[must_use]
    pub const fn allow_missing_headers(mut self) -> Self {
        self.allows_missing = true;
        self
    }

    /// Whether the rules let this request pass: what the layer does, for servers and frameworks
    /// other than those of tower. The request needs the [`SessionHandle`](crate::SessionHandle) in
    /// its extensions.
    ///
    /// One round trip at most: rule 5 opens the session.
    ///
    /// # Errors
    /// [`ErrorKind::Forged`](session_core::ErrorKind::Forged) if they don't; the store's.
    pub async fn check(&self, request: &Parts) -> Result<()> {
        match self.judge(request) {
            Verdict::Pass => Ok(()),
            Verdict::Refuse(why) => Err(Error::forged(why)),
            Verdict::AskToken if self.allows_missing => Ok(()),
            Verdict::AskToken => check_token(request).await,
        }
    }

    /// What the headers tell.
    fn judge(&self, parts: &Parts) -> Verdict {
        let headers = &parts.headers;
        let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&parts.method);
        if is_safe && !headers.contains_key(UPGRADE) {
            return Verdict::Pass;
        }
        let origin = headers.get(ORIGIN);
        if origin.is_some_and(|origin| self.allowed.contains(origin)) {
            return Verdict::Pass;
        }
        match (headers.get(SEC_FETCH_SITE), origin) {
            (Some(site), _) if site == "same-origin" || site == "none" => Verdict::Pass,
            (Some(_), _) => Verdict::Refuse("a page of another origin has sent it"),
            (None, Some(origin)) if is_own(origin, parts) => Verdict::Pass,
            (None, Some(_)) => Verdict::Refuse("its Origin is not this host"),
            (None, None) => Verdict::AskToken,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Refuse(&'static str),
    /// The headers don't tell.
    AskToken,
}

/// Whether the host and port of `origin` are the request's.
fn is_own(origin: &HeaderValue, parts: &Parts) -> bool {
    let host = match (parts.headers.get(HOST), parts.uri.authority()) {
        (Some(host), _) => host.to_str().ok(),
        // HTTP/2 has it in `:authority`.
        (None, authority) => authority.map(|authority| authority.as_str()),
    };
    let origin = origin.to_str().ok();
    let origin = origin.and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
}

/// Asks for a token of the innermost session that the request opens by a cookie.
async fn check_token(parts: &Parts) -> Result<()> {
    let header = parts.headers.get(CSRF_HEADER);
    let token = header.and_then(|token| token.to_str().ok());
    let innermost = guard::handle(parts, "CrossOriginProtection")?;
    for handle in innermost.outwards().filter(|handle| handle.is_ambient()) {
        let session = handle.session().await?;
        if session.is_new() {
            continue;
        }
        return match token.is_some_and(|token| session.is_csrf_token(token)) {
            true => Ok(()),
            false => Err(Error::forged(
                "it has neither Sec-Fetch-Site nor Origin, and no form token in x-csrf-token",
            )),
        };
    }
    Ok(())
}

impl<S> Layer<S> for CrossOriginProtection {
    type Service = GuardService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        GuardService::new(inner, self.clone())
    }
}

impl Guard for CrossOriginProtection {
    async fn check(&self, request: &Parts) -> Result<()> {
        Self::check(self, request).await
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(method: &str, headers: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/pay");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("good").into_parts().0
    }

    /// The cases of Go's own tests, and those where this differs.
    #[test]
    fn the_first_rule_that_applies_decides() {
        use Verdict::{AskToken, Pass, Refuse};
        let other = Refuse("a page of another origin has sent it");
        let foreign = Refuse("its Origin is not this host");
        let rules = CrossOriginProtection::new();
        let rules = rules.allow_origin("https://app.example.org").expect("good");
        let host = ("host", "example.org");
        let site = |site| ("sec-fetch-site", site);
        let origin = |origin| ("origin", origin);
        for (method, headers, verdict) in [
            ("GET", vec![site("cross-site")], &Pass),
            ("HEAD", vec![site("cross-site")], &Pass),
            ("OPTIONS", vec![origin("https://evil.example")], &Pass),
            (
                "GET",
                vec![site("cross-site"), ("upgrade", "websocket")],
                &other,
            ),
            ("CONNECT", vec![site("same-site")], &other),
            ("POST", vec![site("same-origin")], &Pass),
            ("POST", vec![site("none")], &Pass),
            ("POST", vec![site("cross-site")], &other),
            ("POST", vec![site("same-site")], &other),
            ("POST", vec![site("nonsense")], &other),
            ("POST", vec![site("")], &other),
            ("PUT", vec![site("cross-site")], &other),
            ("DELETE", vec![site("cross-site")], &other),
            ("PATCH", vec![site("cross-site")], &other),
            // What browsers say of themselves counts more than Origin.
            (
                "POST",
                vec![site("cross-site"), origin("https://example.org")],
                &other,
            ),
            ("POST", vec![origin("https://example.org")], &Pass),
            ("POST", vec![origin("https://EXAMPLE.org")], &Pass),
            ("POST", vec![origin("https://example.org:8443")], &foreign),
            ("POST", vec![origin("https://evil.example")], &foreign),
            (
                "POST",
                vec![origin("https://example.org.evil.example")],
                &foreign,
            ),
            ("POST", vec![origin("null")], &foreign),
            ("POST", vec![origin("")], &foreign),
            ("POST", vec![origin("https://app.example.org")], &Pass),
            (
                "POST",
                vec![site("same-site"), origin("https://app.example.org")],
                &Pass,
            ),
            (
                "POST",
                vec![origin("https://app.example.org.evil.example")],
                &foreign,
            ),
            ("POST", vec![origin("http://app.example.org")], &foreign),
            ("POST", vec![], &AskToken),
        ] {
            let mut headers = headers;
            headers.push(host);
            let judged = rules.judge(&request(method, &headers));
            assert_eq!(judged, *verdict, "{method} {headers:?}");
        }
    }

    #[test]
    fn http_2_has_the_host_in_its_uri() {
        let mut parts = request("POST", &[("origin", "https://example.org")]);
        let rules = CrossOriginProtection::new();
        assert_ne!(rules.judge(&parts), Verdict::Pass, "there is no host");
        parts.uri = Uri::from_static("https://example.org/pay");
        assert_eq!(rules.judge(&parts), Verdict::Pass);
    }

    #[test]
    fn an_origin_is_given_as_browsers_write_it() {
        for wrong in [
            "",
            "null",
            "example.org",
            "https://",
            "https://example.org/",
            "https://example.org/app",
            "https://example.org?x",
            "https://Example.org",
            "https://user@example.org",
            "https://example.org:443",
            "http://example.org:80",
            "*",
        ] {
            let refused = CrossOriginProtection::new().allow_origin(wrong);
            assert!(refused.is_err(), "{wrong}");
        }
        for right in [
            "https://example.org",
            "http://localhost:3000",
            "https://[::1]:8443",
        ] {
            let allowed = CrossOriginProtection::new().allow_origin(right);
            assert!(allowed.is_ok(), "{right}");
        }
    }
}
