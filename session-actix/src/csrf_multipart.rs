//! An extractor for multipart forms, such as those with files, that must have this session's token.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};
use futures_util::stream::{self, LocalBoxStream, StreamExt};
use session_web::{MultipartToken, Result};

use crate::csrf_form::{content_type, form_token};

/// A `multipart/form-data` form that this session's own page has sent: its **first** field `_csrf`,
/// or the header `x-csrf-token`, is one of the session's
/// [`csrf_token`](session_web::Session::csrf_token)s. The form without that field is what `M`
/// extracts, such as `Multipart` or `MultipartForm` of the crate `actix-multipart`.
///
/// ```
/// use actix_multipart::Multipart;
/// use actix_web::web::{self, Html};
/// use futures_util::TryStreamExt;
/// use session_actix::{CsrfMultipart, Result, Session};
///
/// async fn page(session: Session) -> Result<Html> {
///     let token = session.csrf_input()?;             // before all other fields
///     Ok(Html::new(format!(
///         "<form method=\"post\" enctype=\"multipart/form-data\">{token}<input type=\"file\" \
///          name=\"photo\"><button>Send</button></form>"
///     )))
/// }
///
/// async fn upload(CsrfMultipart(mut form): CsrfMultipart<Multipart>) -> actix_web::Result<String> {
///     let mut names = Vec::new();
///     while let Some(field) = form.try_next().await? {
///         names.extend(field.name().map(str::to_owned));
///     }
///     Ok(names.join(", "))
/// }
/// # let _ = web::resource("/photo").route(web::get().to(page)).route(web::post().to(upload));
/// ```
///
/// A form without such a token is refused with 403
/// ([`ErrorKind::Forged`](session_web::ErrorKind::Forged)) before the rest of it is read. At most
/// 2,048 bytes are kept to find the token; all else reaches `M` as it arrives, so its limits count
/// as without this. If the body fails before the token is found, `M` gets the error of a request
/// with the header; one without is refused with 403. A script that sends the header may send any
/// body.
#[derive(Clone, Copy)]
pub struct CsrfMultipart<M>(pub M);

type Body = LocalBoxStream<'static, std::result::Result<Bytes, PayloadError>>;

/// Shows the type, and not what the user has sent.
impl<M> fmt::Debug for CsrfMultipart<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = std::any::type_name::<M>();
        f.debug_tuple("CsrfMultipart").field(&of).finish()
    }
}

impl<M: FromRequest + 'static> FromRequest for CsrfMultipart<M> {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = actix_web::Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let token = form_token(&request).await?;
            let token = token.in_multipart(content_type(&request));
            let mut body = Payload::from(read(token, payload).await?);
            let form = M::from_request(&request, &mut body).await;
            form.map(Self).map_err(Into::into)
        })
    }
}

/// Reads the body until its token is found. Gives the body without that token.
async fn read(mut token: MultipartToken, mut payload: Payload) -> Result<Body> {
    let failed = loop {
        match payload.next().await {
            Some(Ok(bytes)) => {
                if let Some(read) = token.push(&bytes)? {
                    let read = stream::iter([Ok(Bytes::from(read))]);
                    return Ok(read.chain(payload).boxed_local());
                }
            }
            Some(Err(error)) => break Some(Err(error)),
            None => break None,
        }
    };
    // A forged request is refused as one, even if its body broke off. A body that has ended or failed
    // is not polled again.
    let read = Ok(Bytes::from(token.end()?));
    Ok(stream::iter([read])
        .chain(stream::iter(failed))
        .boxed_local())
}
