//! The token of a form: where it is looked for, and what the form is without it.

mod multipart;

use std::borrow::Cow;

use session_core::{Error, Result, Session};

pub use multipart::{IsMultipart, MultipartToken};

/// The field in which a form has its token.
const FIELD: &str = "_csrf";

/// Checks that a form has a token of this session, whatever server or framework has received it:
/// what `CsrfForm` and `CsrfMultipart` do, of axum and of actix-web.
///
/// ```
/// use http::Request;
/// use session_web::{CSRF_HEADER, FormToken, Result, Session};
///
/// /// The fields of the form without its token.
/// fn fields(session: Session, request: &Request<Vec<u8>>) -> Result<Vec<u8>> {
///     let header = request.headers().get(CSRF_HEADER);
///     let token = FormToken::new(session, header.map(|value| value.as_bytes()))?;
///     token.without(request.body())
/// }
/// # let session = session_memory::Sessions::new(session_memory::MemoryStore::new()).start();
/// # let body = format!("amount=5&_csrf={}", session.csrf_token()?);
/// # assert_eq!(fields(session.clone(), &Request::new(body.into_bytes()))?, b"amount=5");
/// # assert!(fields(session.clone(), &Request::new(b"amount=5".to_vec())).is_err());
/// # session.discard();
/// # Ok::<_, session_web::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FormToken {
    session: Session,
    is_in_header: bool,
}

impl FormToken {
    /// Judges by the header [`CSRF_HEADER`](crate::CSRF_HEADER), whose value is `header`, before the
    /// body is read. Without that header, the body must have the token.
    ///
    /// # Errors
    /// [`ErrorKind::Forged`](session_core::ErrorKind::Forged) if the header has no token of this
    /// session.
    pub fn new(session: Session, header: Option<&[u8]>) -> Result<Self> {
        let is_in_header = header.is_some();
        if let Some(header) = header {
            let token = std::str::from_utf8(header).ok();
            check(&session, token, NO_TOKEN)?;
        }
        Ok(Self {
            session,
            is_in_header,
        })
    }

    /// What a body of type `application/x-www-form-urlencoded` is without its field `_csrf`. The
    /// rest is as it was written, so it is never longer.
    ///
    /// # Errors
    /// [`ErrorKind::Forged`](session_core::ErrorKind::Forged) if neither the header nor the first
    /// such field has a token of this session.
    pub fn without(&self, body: &[u8]) -> Result<Vec<u8>> {
        let fields = body.split(|byte| *byte == b'&');
        let (tokens, fields): (Vec<_>, Vec<_>) =
            fields.partition(|field| token_in(field).is_some());
        if !self.is_in_header {
            let token = tokens.first().and_then(|field| token_in(field));
            check(&self.session, token.as_deref(), NO_TOKEN)?;
        }
        Ok(fields.join(&b'&'))
    }

    /// Reads the beginning of a body of type `multipart/form-data`, whose first field must be
    /// `_csrf`. `content_type` is the value of the header `Content-Type`.
    #[must_use]
    pub fn in_multipart(self, content_type: Option<&[u8]>) -> MultipartToken {
        MultipartToken::new(self, content_type.unwrap_or_default())
    }
}

const NO_TOKEN: &str = "it has no form token of this session";

/// The token in a field of a form, if that is the field for it.
fn token_in(field: &[u8]) -> Option<Cow<'_, str>> {
    let (name, token) = form_urlencoded::parse(field).next()?;
    (name == FIELD).then_some(token)
}

fn check(session: &Session, token: Option<&str>, reason: &'static str) -> Result<()> {
    match token.is_some_and(|token| session.is_csrf_token(token)) {
        true => Ok(()),
        false => Err(Error::forged(reason)),
    }
}
