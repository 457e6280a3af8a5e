//! An extractor for forms that must have this session's token.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::web::{Bytes, Form};
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use session_web::{CSRF_HEADER, FormToken, IsMultipart, Result, Session};

/// A form that this session's own page has sent: its field `_csrf`, or the header `x-csrf-token`,
/// is one of the session's [`csrf_token`](Session::csrf_token)s. All other fields are read as a `T`,
/// as actix-web's [`Form`] does.
///
/// ```
/// use actix_web::web::{self, Html};
/// use session_actix::{CsrfForm, Result, Session};
///
/// #[derive(serde::Deserialize)]
/// struct Payment {
///     amount: u32,
/// }
///
/// async fn page(session: Session) -> Result<Html> {
///     let token = session.csrf_input()?;             // <input type="hidden" name="_csrf" …>
///     Ok(Html::new(format!(
///         "<form method=\"post\">{token}<input name=\"amount\"><button>Pay</button></form>"
///     )))
/// }
///
/// async fn pay(CsrfForm(payment): CsrfForm<Payment>) -> String {
///     format!("{} paid", payment.amount)
/// }
/// # let _ = web::resource("/pay").route(web::get().to(page)).route(web::post().to(pay));
/// ```
///
/// A form without such a token is refused with 403
/// ([`ErrorKind::Forged`](session_web::ErrorKind::Forged)) before it is deserialized, and before
/// its body is read if the header is there and wrong. Tokens in the URL don't count: URLs are
/// logged. A form of type `multipart/form-data`, such as one with files, is refused with 415:
/// [`CsrfMultipart`](crate::CsrfMultipart) takes that. The limits are those of `PayloadConfig` and
/// `FormConfig`. A compressed form, which no browser sends, is refused.
#[derive(Clone, Copy)]
pub struct CsrfForm<T>(pub T);

/// Shows the type, and not what the user has written.
impl<T> fmt::Debug for CsrfForm<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = std::any::type_name::<T>();
        f.debug_tuple("CsrfForm").field(&of).finish()
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for CsrfForm<T> {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = actix_web::Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            IsMultipart::refuse(content_type(&request)).map_err(|refusal| {
                InternalError::new(refusal, StatusCode::UNSUPPORTED_MEDIA_TYPE)
            })?;
            let token = form_token(&request).await?;
            let body = Bytes::from_request(&request, &mut payload).await?;
            let form = token.without(&body)?;
            let form = Form::from_request(&request, &mut Payload::from(form));
            let Form(value) = form.await?;
            Ok(Self(value))
        })
    }
}

/// What the request's header says of its token.
pub(crate) async fn form_token(request: &HttpRequest) -> Result<FormToken> {
    let session = Session::extract(request).await?;
    let header = request.headers().get(CSRF_HEADER.as_str());
    FormToken::new(session, header.map(HeaderValue::as_bytes))
}

pub(crate) fn content_type(request: &HttpRequest) -> Option<&[u8]> {
    let content_type = request.headers().get(CONTENT_TYPE);
    content_type.map(HeaderValue::as_bytes)
}
