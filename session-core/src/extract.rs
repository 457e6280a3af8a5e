//! axum's extractor, and the response for an error (Cargo feature `axum`). They are here because
//! only the crate of a type can implement another crate's trait for it.

use std::convert::Infallible;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use crate::{Error, Owner, Result, Session, SessionHandle, error_response};

/// Loads the session: one round trip at the first extractor of a request that presents a token,
/// none otherwise. All extractors of a request get the same session.
///
/// The rejection is [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) if there is no
/// session layer around the handler.
impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let handle = handle(parts).ok_or_else(|| {
            Error::misconfigured(
                "there is no SessionLayer around this handler: add \
                 `.layer(SessionLayer::new(store))` to the router",
            )
        })?;
        handle.session().await
    }
}

/// For handlers that can do without: `None` if the session can't be loaded, or there is no layer.
impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        let Some(handle) = handle(parts) else {
            return Ok(None);
        };
        let session = handle.session().await.inspect_err(|error| {
            tracing::warn!(%error, "a session could not be loaded; the handler does without");
        });
        Ok(session.ok())
    }
}

/// The owner of the request's session, for handlers that need a signed-in user:
///
/// ```
/// # use axum_core::response::IntoResponse;
/// use session_core::{Owner, Result};
///
/// async fn account(owner: Owner) -> Result<String> {
///     Ok(format!("hello {}", owner.as_str()))
/// }
/// ```
///
/// The rejection is that of `Session`, and
/// [`ErrorKind::Unauthenticated`](crate::ErrorKind::Unauthenticated), as a response 401, if no user
/// is signed in. Loads the session as the extractor of `Session` does.
impl<S: Sync> FromRequestParts<S> for Owner {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let session = <Session as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        session.require_owner()
    }
}

/// `None` if no user is signed in. A session that can't be loaded is an error: its user may be
/// signed in.
impl<S: Sync> OptionalFromRequestParts<S> for Owner {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>> {
        let session = <Session as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(session.require_owner().ok())
    }
}

fn handle(parts: &Parts) -> Option<&SessionHandle> {
    parts.extensions.get()
}

/// The [`error_response`], so that a handler can return `session_core::Result`; the error is
/// logged, a [refusal](Error::is_refusal) at `debug`.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self.is_refusal() {
            true => tracing::debug!(error = %self, "a request was refused"),
            false => tracing::error!(error = %self, "a request failed because of its session"),
        }
        error_response(&self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{RequestSession, async_trait};

    /// A middleware whose store is down.
    struct Down;

    #[async_trait]
    impl RequestSession for Down {
        async fn session(&self) -> Result<Session> {
            Err(Error::unavailable("load", "it is down"))
        }

        fn name(&self) -> &str {
            "id"
        }

        fn outer(&self) -> Option<&SessionHandle> {
            None
        }
    }

    async fn extracted(parts: &mut Parts) -> (Result<Session>, Option<Session>) {
        let optional = <Session as OptionalFromRequestParts<()>>::from_request_parts;
        let Ok(optional) = optional(parts, &()).await;
        let required = <Session as FromRequestParts<()>>::from_request_parts(parts, &());
        (required.await, optional)
    }

    #[tokio::test]
    async fn a_session_that_there_is_not_is_refused_or_none() {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        for (has_layer, says, status) in [
            (false, "`.layer(SessionLayer::new(store))`", 500),
            (true, "it is down", 503),
        ] {
            if has_layer {
                parts.extensions.insert(SessionHandle::new(Arc::new(Down)));
            }
            let (required, optional) = extracted(&mut parts).await;
            assert!(optional.is_none());
            let error = required.expect_err("there is none");
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(error.into_response().status(), status);
        }
    }
}
