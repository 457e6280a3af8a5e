//! An extractor for forms that must have this session's token.

use std::fmt;

use axum::Form;
use axum::body::{Body, Bytes};
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
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
/// ([`ErrorKind::Forged`](session_core::ErrorKind::Forged)), before anything else of it is read. Tokens in the URL
/// don't count: URLs are logged. For a form of another kind, such as `multipart/form-data`, check
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
        let header = parts.headers.get(CSRF_HEADER).cloned();
        let (head, rest) = (parts.clone(), Request::from_parts(parts, body));
        let body = Bytes::from_request(rest, state)
            .await
            .map_err(|rejection| {
                CsrfFormRejection::Form(FormRejection::BytesRejection(rejection))
            })?;
        let form = without_token(&session, header.as_ref(), &body);
        let form = Body::from(form.map_err(CsrfFormRejection::Session)?);
        let form = Form::from_request(Request::from_parts(head, form), state).await;
        let Form(value) = form.map_err(CsrfFormRejection::Form)?;
        Ok(Self(value))
    }
}

/// What the form is without its token, if that is one of the session's.
fn without_token(session: &Session, header: Option<&HeaderValue>, body: &[u8]) -> Result<String> {
    let fields = form_urlencoded::parse(body);
    let (tokens, fields): (Vec<_>, Vec<_>) = fields.partition(|(name, _)| name == FIELD);
    let token = match header {
        Some(header) => header.to_str().ok(),
        None => tokens.first().map(|(_, token)| &**token),
    };
    if !token.is_some_and(|token| session.is_csrf_token(token)) {
        return Err(Error::forged("it has no form token of this session"));
    }
    let mut form = form_urlencoded::Serializer::new(String::new());
    Ok(form.extend_pairs(fields).finish())
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
