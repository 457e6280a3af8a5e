//! axum's extractors.

use std::fmt;
use std::ops::Deref;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use session_core::{Error, ErrorKind};

use crate::Session;
use crate::handle::SessionHandle;
use crate::service::refusal;

/// Why a handler did not get its session.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionRejection {
    /// There is no [`SessionLayer`](crate::SessionLayer) around the handler: status 500.
    NoLayer,
    /// The session could not be loaded, or written by [`Typed::update`]: status 503 if the store is
    /// unavailable, 409 if the session has ended, 500 otherwise.
    Load(Error),
    /// A value in the session is not what the handler expects: status 500. See [`OnMismatch`].
    Value(Error),
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLayer => f.write_str("there is no SessionLayer around this handler"),
            Self::Load(error) | Self::Value(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SessionRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoLayer => None,
            // It says itself what the error says.
            Self::Load(error) | Self::Value(error) => error.source(),
        }
    }
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        match self {
            Self::NoLayer => {
                tracing::error!("{self}: add `.layer(SessionLayer::new(store))` to the router");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
            Self::Load(error) => {
                tracing::error!(%error, "a session could not be loaded");
                refusal(&error)
            }
            Self::Value(error) => {
                tracing::error!(%error, "a value in a session could not be read");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

async fn session(parts: &Parts) -> Result<Session, SessionRejection> {
    let handle = parts.extensions.get::<SessionHandle>();
    let handle = handle.ok_or(SessionRejection::NoLayer)?;
    let session = handle.session().await.map_err(SessionRejection::Load)?;
    Ok(Session::from(session))
}

/// Loads the session: one round trip at the first extractor of a request that presents a token,
/// none otherwise.
impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        session(parts).await
    }
}

/// For handlers that can do without: `None` if the session can't be loaded, or there is no layer.
impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(match session(parts).await {
            Ok(session) => Some(session),
            Err(SessionRejection::Load(error)) => {
                tracing::warn!(%error, "a session could not be loaded; the handler does without");
                None
            }
            Err(_) => None,
        })
    }
}

/// A type that has a key of its own in sessions.
///
/// ```
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Cart {
///     items: Vec<String>,
/// }
///
/// impl session_web::SessionValue for Cart {
///     const KEY: &'static str = "cart";
/// }
///
/// async fn add(mut cart: session_web::Typed<Cart>) -> Result<String, session_web::SessionRejection> {
///     cart.modify(|cart| cart.items.push("a hat".to_owned()))?;
///     Ok(format!("{} things", cart.items.len()))
/// }
/// # let _: axum::routing::MethodRouter = axum::routing::post(add);
/// ```
pub trait SessionValue: Default + Serialize + DeserializeOwned + Send {
    /// The key.
    const KEY: &'static str;

    /// What happens to a stored value that is no `Self`, such as one from before a field was added.
    /// Default: [`OnMismatch::Refuse`].
    const ON_MISMATCH: OnMismatch = OnMismatch::Refuse;
}

/// What [`Typed`] does with a stored value that is not of its type. In each case the log has the
/// key, the type and the reason, and nothing of the value. `docs/changing-values.md` says how to
/// change a type so that this does not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnMismatch {
    /// The request is refused with status 500, until the session ends or other code sets the key.
    /// Nothing is lost.
    #[default]
    Refuse,
    /// The handler gets the default. What is stored stays until the handler changes the value, so
    /// servers of another version can still read it.
    Default,
    /// The handler gets the default, and the value is removed when the session is saved. If another
    /// request has replaced it by then, the new one stays.
    Discard,
}

/// An extractor for one value of the session: what is there, or the default. `null` is nothing.
#[derive(Clone)]
pub struct Typed<T> {
    session: Session,
    value: T,
}

/// Shows the session, and not the value.
impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("session", &self.session)
            .field("type", &std::any::type_name::<T>())
            .finish_non_exhaustive()
    }
}

/// What stands in for a value that is no `T`.
fn replacement<T: SessionValue>(error: Error) -> Result<T, Error> {
    match T::ON_MISMATCH {
        OnMismatch::Refuse => return Err(error),
        OnMismatch::Default => tracing::warn!(%error, "the default is used in its place"),
        OnMismatch::Discard => tracing::warn!(%error, "the value is discarded"),
    }
    Ok(T::default())
}

impl<T: SessionValue> Typed<T> {
    /// The session it is in.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Changes the value. It is saved with the session; of two requests that do so at the same
    /// time, the one that is saved last counts. [`update`](Self::update) leaves none out.
    ///
    /// # Errors
    /// [`SessionRejection::Value`] if it can't be written as JSON.
    pub fn modify<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> Result<R, SessionRejection> {
        let result = change(&mut self.value);
        let inserted = self.session.insert(T::KEY, &self.value);
        inserted.map_err(SessionRejection::Value)?;
        Ok(result)
    }

    /// Changes the value in the store, atomically, and gives what it is then: one round trip, and
    /// two more for each time that somebody else was faster. `change` runs again then.
    ///
    /// # Errors
    /// [`SessionRejection::Load`], with the store's error; [`SessionRejection::Value`] for a value
    /// that is no `T`, unless [`SessionValue::ON_MISMATCH`] says otherwise.
    pub async fn update(
        &mut self,
        mut change: impl FnMut(&mut T) + Send,
    ) -> Result<(), SessionRejection> {
        let change = |stored: Result<Option<T>, Error>| {
            let mut value = match stored {
                Ok(stored) => stored.unwrap_or_default(),
                Err(error) => replacement(error)?,
            };
            change(&mut value);
            Ok(value)
        };
        let updated = self.session.update_with(T::KEY, change).await;
        self.value = updated.map_err(|error| match error.kind() {
            ErrorKind::Value => SessionRejection::Value(error),
            _ => SessionRejection::Load(error),
        })?;
        Ok(())
    }
}

impl<T> Deref for Typed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<S: Sync, T: SessionValue> FromRequestParts<S> for Typed<T> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let session = session(parts).await?;
        let stored = match T::ON_MISMATCH {
            OnMismatch::Discard => session.get_or_remove(T::KEY),
            OnMismatch::Refuse | OnMismatch::Default => session.get(T::KEY),
        };
        let value = match stored {
            Ok(stored) => stored.unwrap_or_default(),
            Err(error) => replacement(error).map_err(SessionRejection::Value)?,
        };
        Ok(Self { session, value })
    }
}
