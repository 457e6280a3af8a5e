//! What a middleware puts into a request: the session, opened when a handler asks for it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Result, Session};

/// One request's session, as a middleware has it. A middleware crate implements it, and puts a
/// [`SessionHandle`] around it into the request's extensions, where the extractors of this crate's
/// feature `axum` find it.
#[async_trait]
pub trait RequestSession: Send + Sync + 'static {
    /// The session: loaded at the first call, and the same one from then on. Once the response has
    /// begun, what its client would have to be told must be refused (see
    /// [`forbid_new_token`](Session::forbid_new_token) and
    /// [`forbid_change`](Session::forbid_change)), also if the first call comes as late as that.
    ///
    /// # Errors
    /// The store's; [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) for a request
    /// that the middleware does not serve.
    async fn session(&self) -> Result<Session>;

    /// The name by which handlers tell nested middleware apart: that of its cookie, without a
    /// prefix.
    fn name(&self) -> &str;

    /// What the next middleware further out has put into this request, if there is one: the handle
    /// that was in the extensions before.
    fn outer(&self) -> Option<&SessionHandle>;

    /// Whether browsers may send this request's token by themselves, as they do a cookie, so that a
    /// page of another site can have it sent. Default `true`.
    fn is_ambient(&self) -> bool {
        true
    }
}

/// One request's session. The middleware puts it into the request's extensions; axum's extractors
/// take it from there, and other frameworks can.
///
/// Clones are the same session, and cost as much as that of an [`Arc`].
#[derive(Clone)]
pub struct SessionHandle(Arc<dyn RequestSession>);

impl SessionHandle {
    /// A handle of this request's session.
    #[must_use]
    pub fn new(request: Arc<dyn RequestSession>) -> Self {
        Self(request)
    }

    /// The session: loaded at the first call, one round trip, and the same one from then on. If
    /// the client has presented nothing, or what it has presented opens nothing, a new one.
    ///
    /// A request whose token was replaced a moment ago by a sign-in, or was used before (see
    /// [`OnReuse`](crate::OnReuse)), gets an empty session that can't be saved
    /// ([`is_gone`](Session::is_gone)), and its response sets no cookie unless the handler signs
    /// in.
    ///
    /// Once the response has begun (in a stream, a socket, a spawned task), or there will be none
    /// because the inner service has failed or the client has gone away, nothing saves by itself,
    /// and what the client would have to be told is
    /// [`ErrorKind::TooLate`](crate::ErrorKind::TooLate).
    ///
    /// # Errors
    /// The store's; [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) if the middleware
    /// does not serve this request, for example because its path is not below the cookie's.
    pub async fn session(&self) -> Result<Session> {
        self.0.session().await
    }

    /// The handle of the layer whose cookie has this name, where layers are nested: this one or
    /// one further out. The name is the one given to the layer, without a prefix.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Self> {
        let mut outwards = self.outwards();
        outwards.find(|handle| handle.0.name() == name)
    }

    /// This handle, and those of the layers around it from the inside out.
    pub fn outwards(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |handle| handle.0.outer())
    }

    /// Whether browsers may send this request's token by themselves, as they do a cookie, so that a
    /// page of another site can have it sent: what a protection against forged requests asks.
    #[must_use]
    pub fn is_ambient(&self) -> bool {
        self.0.is_ambient()
    }
}

/// Shows the name.
impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionHandle")
            .field("name", &self.0.name())
            .finish_non_exhaustive()
    }
}
