//! An extractor for forms that must have this session's token.

use std::fmt;

use axum::Form;
use axum::body::{Body, Bytes};
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use serde::de::DeserializeOwned;
use session_core::Session;

use crate::cross_origin::CSRF_HEADER;
use crate::csrf_rejection::CsrfRejection;
use crate::form_token::{FormToken, IsMultipart};

/// A form that this session's own page has sent: its field `_csrf`, or the header `x-csrf-token`,
/// is one of the session's [`csrf_token`](Session::csrf_token)s. All other fields are read as a `T`,
/// as axum's [`Form`] does.
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
/// its body is read if the header is there and wrong. Tokens in the URL don't count: URLs are
/// logged. A form of type `multipart/form-data`, such as one with files, is refused with 415:
/// [`CsrfMultipart`](crate::CsrfMultipart) takes that.
#[derive(Clone, Copy)]
pub struct CsrfForm<T>(pub T);

/// Shows the type, and not what the user has written.
impl<T> fmt::Debug for CsrfForm<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = std::any::type_name::<T>();
        f.debug_tuple("CsrfForm").field(&of).finish()
    }
}

impl<S, T> FromRequest<S> for CsrfForm<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = CsrfRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, CsrfRejection> {
        let (mut parts, body) = request.into_parts();
        let content_type = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        IsMultipart::refuse(content_type).map_err(CsrfRejection::Multipart)?;
        let token = form_token(&mut parts, state).await?;
        let (head, rest) = (parts.clone(), Request::from_parts(parts, body));
        let body = Bytes::from_request(rest, state)
            .await
            .map_err(|rejection| CsrfRejection::Form(FormRejection::BytesRejection(rejection)))?;
        let form = token.without(&body).map_err(CsrfRejection::Session)?;
        let form = Request::from_parts(head, Body::from(form));
        let Form(value) = Form::from_request(form, state)
            .await
            .map_err(CsrfRejection::Form)?;
        Ok(Self(value))
    }
}

/// What the request's header says of its token.
pub(crate) async fn form_token<S: Sync, R>(
    parts: &mut Parts,
    state: &S,
) -> Result<FormToken, CsrfRejection<R>> {
    let session = <Session as FromRequestParts<S>>::from_request_parts(parts, state).await;
    let header = parts.headers.get(CSRF_HEADER).map(HeaderValue::as_bytes);
    session
        .and_then(|session| FormToken::new(session, header))
        .map_err(CsrfRejection::Session)
}
