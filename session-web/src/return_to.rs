//! Where a user goes on after signing in: a path of this site, and nothing else.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// The most bytes of such a path, so that it fits in a URL's query.
const MAX_BYTES: usize = 2_048;

/// A path of this site to go on to, such as `/account?tab=2`. Whatever else a client sends reads as
/// `/`, so that no link to the sign-in page leads its user to another site (OWASP Unvalidated
/// Redirects and Forwards Cheat Sheet).
///
/// [`RequireOwner`](crate::RequireOwner) puts it into the query of the sign-in page. With axum and
/// actix-web it is an extractor, and a response:
///
/// ```
/// use axum::Form;
/// use session_web::{Result, ReturnTo, Session};
///
/// #[derive(serde::Deserialize)]
/// struct SignIn {
///     name: String,
///     password: String,
/// }
///
/// // The form has no `action`, so it is sent to the URL of its page, with its `return_to`.
/// async fn sign_in(session: Session, to: ReturnTo, Form(form): Form<SignIn>) -> Result<ReturnTo> {
///     # fn is_right(_: &SignIn) -> bool { true }
///     if is_right(&form) {
///         session.sign_in(form.name).await?;
///         return Ok(to);                            // 303 See Other
///     }
///     // …
///     # Ok(ReturnTo::default())
/// }
/// # let _: axum::routing::MethodRouter = axum::routing::post(sign_in);
/// ```
///
/// A form may have it in a field instead: `#[serde(default)] return_to: ReturnTo`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The parameter of the sign-in page's query.
    pub const PARAMETER: &str = "return_to";

    /// `path`, with a query if it has one, if it is one of this site: it begins with one `/`, its
    /// path has no `//` and no `\`, and it has printable ASCII only and at most 2,048 bytes.
    ///
    /// Browsers take `//host`, `/\host` and `/<tab>/host` for other hosts. A proxy that resolves
    /// dots would make the first of `/.//host`.
    #[must_use]
    pub fn checked(path: &str) -> Option<Self> {
        let is_visible = path.bytes().all(|byte| byte.is_ascii_graphic());
        let end = path.find(['?', '#']).unwrap_or(path.len());
        let is_path = path.starts_with('/') && !path[..end].contains("//");
        let is_ours = is_path && !path.contains('\\') && is_visible && path.len() <= MAX_BYTES;
        is_ours.then(|| Self(path.to_owned()))
    }

    /// What the query of a sign-in page says; `/` without, and for what is not
    /// [`checked`](Self::checked).
    #[must_use]
    pub fn in_query(query: &str) -> Self {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let found = pairs.find(|(name, _)| name == Self::PARAMETER);
        found
            .and_then(|(_, path)| Self::checked(&path))
            .unwrap_or_default()
    }

    /// The path, with its query. In HTML it must be escaped, as all text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `/`.
impl Default for ReturnTo {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `/` in the place of what is not [`checked`](ReturnTo::checked).
impl<'de> Deserialize<'de> for ReturnTo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        Ok(Self::checked(&path).unwrap_or_default())
    }
}

#[cfg(feature = "axum")]
mod with_axum {
    use std::convert::Infallible;

    use axum::extract::FromRequestParts;
    use axum::response::{IntoResponse, Redirect, Response};
    use http::request::Parts;

    use super::ReturnTo;

    /// Reads the request's query.
    impl<S: Sync> FromRequestParts<S> for ReturnTo {
        type Rejection = Infallible;

        async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
            Ok(Self::in_query(parts.uri.query().unwrap_or_default()))
        }
    }

    /// 303 See Other.
    impl IntoResponse for ReturnTo {
        fn into_response(self) -> Response {
            Redirect::to(&self.0).into_response()
        }
    }
}

#[cfg(feature = "actix")]
mod with_actix {
    use std::convert::Infallible;
    use std::future::{Ready, ready};

    use actix_web::body::BoxBody;
    use actix_web::dev::Payload;
    use actix_web::web::Redirect;
    use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder};

    use super::ReturnTo;

    /// Reads the request's query.
    impl FromRequest for ReturnTo {
        type Error = Infallible;
        type Future = Ready<Result<Self, Infallible>>;

        fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
            ready(Ok(Self::in_query(request.query_string())))
        }
    }

    /// 303 See Other.
    impl Responder for ReturnTo {
        type Body = BoxBody;

        fn respond_to(self, request: &HttpRequest) -> HttpResponse {
            let redirect = Redirect::to(self.0).see_other().respond_to(request);
            redirect.map_into_boxed_body()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_site_are_kept() {
        let long = format!("/{}", "a".repeat(MAX_BYTES));
        for hostile in [
            "",
            "account",
            "https://evil.example/",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/a/..//evil.example",
            "/.//evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/a\r\nSet-Cookie: id=x",
            "/\0",
            " /account",
            "/a b",
            "/ä",
            "javascript:alert(1)",
            "/a\\b",
            &long,
        ] {
            assert_eq!(ReturnTo::checked(hostile), None, "{hostile:?}");
            let encoded: String = form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
            let read = ReturnTo::in_query(&format!("return_to={encoded}"));
            assert_eq!(read.as_str(), "/", "{hostile:?}");
        }
        for path in [
            "/",
            "/account",
            "/a?to=https://b.example//c",
            "/a#b",
            "/%2Fa",
        ] {
            let kept = ReturnTo::checked(path).expect("ours");
            assert_eq!(kept.as_str(), path);
            let encoded: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
            let read = ReturnTo::in_query(&format!("x=1&return_to={encoded}&return_to=/other"));
            assert_eq!(read, kept);
        }
        assert_eq!(ReturnTo::in_query("").as_str(), "/");
    }
}
