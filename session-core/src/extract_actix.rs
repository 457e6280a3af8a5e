//! actix-web's extractors, and the response for an error (Cargo feature `actix`). They are here
//! because only the crate of a type can implement another crate's trait for it.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError};

use crate::{Error, Owner, Result, Session, SessionHandle, error_response};

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T>>>>;

/// Loads the session: one round trip at the first extractor of a request that presents a token,
/// none otherwise. All extractors of a request get the same session.
///
/// The error is [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) if there is no
/// session middleware around the handler.
impl FromRequest for Session {
    type Error = Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let handle = request.extensions().get::<SessionHandle>().cloned();
        Box::pin(async move {
            let handle = handle.ok_or_else(|| {
                let error = Error::misconfigured(
                    "there is no SessionMiddleware around this handler: add \
                     `.wrap(SessionMiddleware::new(layer))` to the application",
                );
                // No middleware does it.
                tracing::error!(%error, "a request failed because of its session");
                error
            })?;
            handle.session().await
        })
    }
}

/// The owner of the request's session, for handlers that need a signed-in user:
///
/// ```
/// use session_core::{Owner, Result};
///
/// async fn account(owner: Owner) -> Result<String> {
///     Ok(format!("hello {}", owner.as_str()))
/// }
/// let route = actix_web::web::get().to(account);
/// # let _ = route;
/// ```
///
/// The error is that of `Session`, and
/// [`ErrorKind::Unauthenticated`](crate::ErrorKind::Unauthenticated), as a response 401, if no user
/// is signed in. Loads the session as the extractor of `Session` does.
impl FromRequest for Owner {
    type Error = Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let session = Session::from_request(request, payload);
        Box::pin(async move { session.await?.require_owner() })
    }
}

/// The [`error_response`](crate::error_response()), so that a handler can return
/// `session_core::Result` or `actix_web::Result`. The session middleware logs it.
impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        let status = error_response::<()>(self).status();
        StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        for (name, value) in error_response::<()>(self).headers() {
            response.append_header((name.as_str(), value.as_bytes()));
        }
        response.finish()
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[tokio::test]
    async fn a_session_that_there_is_not_is_refused() {
        let request = TestRequest::default().to_http_request();
        let error = Session::extract(&request).await.expect_err("there is none");
        let told = error.to_string();
        assert!(
            told.contains("`.wrap(SessionMiddleware::new(layer))`"),
            "{told}"
        );
        let owner = Owner::extract(&request).await;
        assert_eq!(owner.expect_err("there is none").kind(), error.kind());
    }

    #[test]
    fn the_response_is_the_same_as_elsewhere() {
        for error in [
            Error::gone(),
            Error::unavailable("load", "down"),
            Error::unauthenticated(),
            Error::corrupt("no JSON"),
        ] {
            let theirs = ResponseError::error_response(&error);
            let ours = error_response::<()>(&error);
            assert_eq!(
                theirs.status().as_u16(),
                ours.status().as_u16(),
                "{error:?}"
            );
            let (theirs, ours) = (theirs.headers(), ours.headers());
            assert_eq!(theirs.len(), ours.len(), "{error:?}");
            for (name, value) in ours {
                let same = theirs.get(name.as_str()).map(|value| value.as_bytes());
                assert_eq!(same, Some(value.as_bytes()), "{error:?}");
            }
        }
    }
}
