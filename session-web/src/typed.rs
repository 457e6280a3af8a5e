//! An extractor for one value of a session.

use std::fmt;
use std::ops::Deref;

use serde::Serialize;
use serde::de::DeserializeOwned;
use session_core::{Error, Result, Session};

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
/// async fn add(mut cart: session_web::Typed<Cart>) -> session_web::Result<String> {
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
/// key, the type and the reason, and nothing of the value. [docs/changing-values.md][manual] says how
/// to change a type so that this does not happen.
///
#[doc = concat!("[manual]: ", env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/changing-values.md")]
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

/// An extractor, of axum and of actix-web, for one value of the session: what is there, or the
/// default. `null` is nothing.
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
fn replacement<T: SessionValue>(error: Error) -> Result<T> {
    match T::ON_MISMATCH {
        OnMismatch::Refuse => return Err(error),
        OnMismatch::Default => tracing::warn!(%error, "the default is used in its place"),
        OnMismatch::Discard => tracing::warn!(%error, "the value is discarded"),
    }
    Ok(T::default())
}

impl<T: SessionValue> Typed<T> {
    /// The value that a session has, or the default: what the extractor gives. No round trip.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](session_core::ErrorKind::Value) for a value that is no `T`, unless
    /// [`SessionValue::ON_MISMATCH`] says otherwise.
    pub fn new(session: Session) -> Result<Self> {
        let stored = match T::ON_MISMATCH {
            OnMismatch::Discard => session.get_or_remove(T::KEY),
            OnMismatch::Refuse | OnMismatch::Default => session.get(T::KEY),
        };
        let value = match stored {
            Ok(stored) => stored.unwrap_or_default(),
            Err(error) => replacement(error)?,
        };
        Ok(Self { session, value })
    }

    /// The session it is in.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Changes the value. It is saved with the session; of two requests that do so at the same
    /// time, the one that is saved last counts. [`update`](Self::update) leaves none out.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](session_core::ErrorKind::Value) if it can't be written as JSON.
    pub fn modify<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> Result<R> {
        let result = change(&mut self.value);
        self.session.insert(T::KEY, &self.value)?;
        Ok(result)
    }

    /// Changes the value in the store, atomically, and gives what it is then: one round trip, and
    /// two more for each time that another request was faster. `change` runs again then.
    ///
    /// # Errors
    /// The store's; [`ErrorKind::Value`](session_core::ErrorKind::Value) for a value that is no
    /// `T`, unless [`SessionValue::ON_MISMATCH`] says otherwise.
    pub async fn update(&mut self, mut change: impl FnMut(&mut T) + Send) -> Result<()> {
        let change = |stored: Result<Option<T>>| {
            let mut value = match stored {
                Ok(stored) => stored.unwrap_or_default(),
                Err(error) => replacement(error)?,
            };
            change(&mut value);
            Ok(value)
        };
        self.value = self.session.update_with(T::KEY, change).await?;
        Ok(())
    }
}

impl<T> Deref for Typed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(feature = "axum")]
mod with_axum {
    use axum::extract::FromRequestParts;
    use http::request::Parts;
    use session_core::{Error, Result, Session};

    use super::{SessionValue, Typed};

    impl<S: Sync, T: SessionValue> FromRequestParts<S> for Typed<T> {
        type Rejection = Error;

        async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
            Self::new(Session::from_request_parts(parts, state).await?)
        }
    }
}

#[cfg(feature = "actix")]
mod with_actix {
    use std::future::Future;
    use std::pin::Pin;

    use actix_web::dev::Payload;
    use actix_web::{FromRequest, HttpRequest};
    use session_core::{Error, Result, Session};

    use super::{SessionValue, Typed};

    impl<T: SessionValue + 'static> FromRequest for Typed<T> {
        type Error = Error;
        type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

        fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
            let session = Session::from_request(request, payload);
            Box::pin(async move { Self::new(session.await?) })
        }
    }
}
