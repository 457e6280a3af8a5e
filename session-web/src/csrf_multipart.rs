//! An extractor for multipart forms, such as those with files, that must have this session's token.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};
use session_core::Result;

use crate::csrf_form::form_token;
use crate::csrf_rejection::CsrfRejection;
use crate::form_token::MultipartToken;

/// A `multipart/form-data` form that this session's own page has sent: its **first** field `_csrf`,
/// or the header `x-csrf-token`, is one of the session's
/// [`csrf_token`](session_core::Session::csrf_token)s. The form without that field is what `M`
/// extracts, such as axum's `Multipart` (its Cargo feature `multipart`).
///
/// ```
/// use axum::extract::Multipart;
/// use axum::response::Html;
/// use session_web::{CsrfMultipart, Result, Session};
///
/// async fn page(session: Session) -> Result<Html<String>> {
///     let token = session.csrf_input()?;             // before all other fields
///     Ok(Html(format!(
///         "<form method=\"post\" enctype=\"multipart/form-data\">{token}<input type=\"file\" \
///          name=\"photo\"><button>Send</button></form>"
///     )))
/// }
///
/// async fn upload(CsrfMultipart(mut form): CsrfMultipart<Multipart>) -> String {
///     let mut names = Vec::new();
///     while let Ok(Some(field)) = form.next_field().await {
///         names.extend(field.name().map(str::to_owned));
///     }
///     names.join(", ")
/// }
/// # let _: axum::routing::MethodRouter = axum::routing::get(page).post(upload);
/// ```
///
/// A form without such a token is refused with 403
/// ([`ErrorKind::Forged`](session_core::ErrorKind::Forged)) before the rest of it is read. At most
/// 2,048 bytes are kept to find the token; all else reaches `M` as it arrives, so its limits and
/// axum's `DefaultBodyLimit` count as without this. If the body fails before the token is found,
/// `M` gets the error of a request with the header; one without is refused with 403. A script that
/// sends the header may send any body.
#[derive(Clone, Copy)]
pub struct CsrfMultipart<M>(pub M);

/// Shows the type, and not what the user has sent.
impl<M> fmt::Debug for CsrfMultipart<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = std::any::type_name::<M>();
        f.debug_tuple("CsrfMultipart").field(&of).finish()
    }
}

impl<S, M> FromRequest<S> for CsrfMultipart<M>
where
    S: Send + Sync,
    M: FromRequest<S>,
{
    type Rejection = CsrfRejection<M::Rejection>;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let (mut parts, body) = request.into_parts();
        let token = form_token(&mut parts, state).await?;
        let content_type = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let token = token.in_multipart(content_type);
        let resumed = read(token, body).await.map_err(CsrfRejection::Session)?;
        let body = Body::new(resumed);
        let form = M::from_request(Request::from_parts(parts, body), state).await;
        form.map(Self).map_err(CsrfRejection::Form)
    }
}

/// Reads the body until its token is found. Gives the body without that token.
async fn read(mut token: MultipartToken, mut body: Body) -> Result<Resumed> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let rest = match frame {
            Some(Ok(frame)) => {
                let Ok(bytes) = frame.into_data() else {
                    continue;
                };
                match token.push(&bytes)? {
                    Some(read) => return Ok(Resumed::new(read, Rest::Body(body))),
                    None => continue,
                }
            }
            Some(Err(error)) => Rest::Failed(error),
            None => Rest::Ended,
        };
        // A forged request is refused as one, even if its body broke off.
        return Ok(Resumed::new(token.end()?, rest));
    }
}

/// A body of which some was read.
struct Resumed {
    read: Option<Bytes>,
    rest: Rest,
}

/// What follows the bytes that were read. A body that has ended or failed is not polled again.
enum Rest {
    Body(Body),
    Failed(axum::Error),
    Ended,
}

impl Resumed {
    fn new(read: Vec<u8>, rest: Rest) -> Self {
        let read = (!read.is_empty()).then(|| read.into());
        Self { read, rest }
    }
}

impl http_body::Body for Resumed {
    type Data = Bytes;
    /// The body's own error: inside another `axum::Error`, axum would not find a limit's.
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(read) = self.read.take() {
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        if let Rest::Body(body) = &mut self.rest {
            let frame = Pin::new(body).poll_frame(context);
            return frame.map_err(axum::Error::into_inner);
        }
        match std::mem::replace(&mut self.rest, Rest::Ended) {
            Rest::Failed(error) => Poll::Ready(Some(Err(error.into_inner()))),
            Rest::Body(_) | Rest::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none()
            && match &self.rest {
                Rest::Body(body) => body.is_end_stream(),
                Rest::Failed(_) => false,
                Rest::Ended => true,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.as_ref().map_or(0, Bytes::len) as u64;
        let rest = match &self.rest {
            Rest::Body(body) => body.size_hint(),
            // As many bytes as were read are not the whole body.
            Rest::Failed(_) => SizeHint::new(),
            Rest::Ended => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint
    }
}
