//! An extractor for forms that must have this session's token.

use std::borrow::Cow;
use std::fmt;

use axum::Form;
use axum::body::{Body, Bytes};
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use serde::de::DeserializeOwned;
use session_core::{Error, Result, Session};

use crate::cross_origin::CSRF_HEADER;

/// The field in which a form has its token.
const FIELD: &str = "_csrf";

/// A form that this session's own page has sent: its field `_csrf`, or the header `x-csrf-token`,
/// is one of the session's [`csrf_token`](Session::csrf_token)s. What it is without that field is
/// read as a `T`, as axum's [`Form`] does.
///
/// ```
/// use axum::response::Html;
/// use session_web::{CsrfForm, Result, Session};
///
/// #[derive(serde::Deserialize)]
/// struct Payment {
///     amount: u32,
/// }
///
/// async fn page(session: Session) -> Result<Html<String>> {
///     let token = session.csrf_input()?;             // <input type="hidden" name="_csrf" …>
///     Ok(Html(format!(
///         "<form method=\"post\">{token}<input name=\"amount\"><button>Pay</button></form>"
///     )))
/// }
///
/// async fn pay(CsrfForm(payment): CsrfForm<Payment>) -> String {
///     format!("{} paid", payment.amount)
/// }
/// # let _: axum::routing::MethodRouter = axum::routing::get(page).post(pay);
/// ```
///
/// A form without such a token is refused with 403
/// ([`ErrorKind::Forged`](session_core::ErrorKind::Forged)) before it is deserialized, and before
/// its body is read if the header is there and wrong. Tokens in the URL don't count: URLs are logged. For a form of another kind, such as `multipart/form-data`, check
/// the token with [`is_csrf_token`](Session::is_csrf_token).
#[derive(Clone, Copy)]
pub struct CsrfForm<T>(pub T);

/// Shows the type, and not what the user has written.
impl<T> fmt::Debug for CsrfForm<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = std::any::type_name::<T>();
        f.debug_tuple("CsrfForm").field(&of).finish()
    }
}

/// Why a [`CsrfForm`] is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum CsrfFormRejection {
    /// It has no token of this session, or the session can't be loaded.
    Session(Error),
    /// It is no form, or no `T`.
    Form(FormRejection),
}

impl<S, T> FromRequest<S> for CsrfForm<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = CsrfFormRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, CsrfFormRejection> {
        let (mut parts, body) = request.into_parts();
        let session = <Session as FromRequestParts<S>>::from_request_parts(&mut parts, state);
        let session = session.await.map_err(CsrfFormRejection::Session)?;
        let is_in_header = is_in_header(&session, &parts).map_err(CsrfFormRejection::Session)?;
        let (head, rest) = (parts.clone(), Request::from_parts(parts, body));
        let body = Bytes::from_request(rest, state)
            .await
            .map_err(|rejection| {
                CsrfFormRejection::Form(FormRejection::BytesRejection(rejection))
            })?;
        let form = without_token(&session, is_in_header, &body);
        let form = Body::from(form.map_err(CsrfFormRejection::Session)?);
        let form = Form::from_request(Request::from_parts(head, form), state).await;
        let Form(value) = form.map_err(CsrfFormRejection::Form)?;
        Ok(Self(value))
    }
}

/// Whether the request has a token of the session in its header.
///
/// # Errors
/// [`ErrorKind::Forged`](session_core::ErrorKind::Forged) if it has another one there.
fn is_in_header(session: &Session, parts: &Parts) -> Result<bool> {
    let Some(header) = parts.headers.get(CSRF_HEADER) else {
        return Ok(false);
    };
    check(session, header.to_str().ok()).map(|()| true)
}

/// What the form is without its token, if that is one of the session's or need not be. What is
/// left is as it was written, so it is never longer: the limit of the body's size counts again.
fn without_token(session: &Session, is_in_header: bool, body: &[u8]) -> Result<Vec<u8>> {
    let fields = body.split(|byte| *byte == b'&');
    let (tokens, fields): (Vec<_>, Vec<_>) = fields.partition(|field| token_in(field).is_some());
    if !is_in_header {
        let token = tokens.first().and_then(|field| token_in(field));
        check(session, token.as_deref())?;
    }
    Ok(fields.join(&b'&'))
}

/// The token in a field of a form, if that is the field for it.
fn token_in(field: &[u8]) -> Option<Cow<'_, str>> {
    let (name, token) = form_urlencoded::parse(field).next()?;
    (name == FIELD).then_some(token)
}

fn check(session: &Session, token: Option<&str>) -> Result<()> {
    match token.is_some_and(|token| session.is_csrf_token(token)) {
        true => Ok(()),
        false => Err(Error::forged("it has no form token of this session")),
    }
}

impl fmt::Display for CsrfFormRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(error) => error.fmt(f),
            Self::Form(rejection) => rejection.fmt(f),
        }
    }
}

impl std::error::Error for CsrfFormRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Session(error) => error.source(),
            Self::Form(rejection) => rejection.source(),
        }
    }
}

impl IntoResponse for CsrfFormRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Session(error) => error.into_response(),
            Self::Form(rejection) => rejection.into_response(),
        }
    }
}
