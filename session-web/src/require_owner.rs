//! A layer for what only signed-in users may do.

use std::time::Duration;

use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use session_core::{Error, Result};
use tower_layer::Layer;

use crate::error_pages::Final;
use crate::guard::{self, Guard, GuardService};
use crate::handle::original_uri;
use crate::return_to::ReturnTo;

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Lets requests of signed-in users through, and no others. Goes inside of the
/// [`SessionLayer`](crate::SessionLayer).
///
/// ```
/// # fn example(store: session_memory::MemoryStore) -> session_web::Result<()> {
/// use std::time::Duration;
///
/// use axum::Router;
/// use axum::routing::{get, post};
/// use session_web::{Owner, RequireOwner, SessionLayer};
/// # async fn sign_in() {}
/// # async fn change_password() {}
///
/// async fn account(owner: Owner) -> String {
///     format!("hello {}", owner.as_str())
/// }
///
/// let signed_in = RequireOwner::new().redirect_to("/sign-in")?;
/// let just_signed_in = signed_in.clone().within(Duration::from_secs(10 * 60));
///
/// let app: Router = Router::new()
///     .route("/password", post(change_password))
///     .route_layer(just_signed_in)
///     .route("/account", get(account))
///     .route_layer(signed_in)
///     .route("/sign-in", get(sign_in).post(sign_in))
///     .layer(SessionLayer::new(store));
/// # Ok(()) }
/// ```
///
/// A request without a signed-in user gets 401, which the site's
/// [`on_error`](crate::SessionLayerBuilder::on_error) makes a page of. It costs what an extractor
/// of the session costs: one round trip, and the handler's extractor of it then costs none.
#[derive(Clone, Debug, Default)]
pub struct RequireOwner {
    sign_in_page: Option<String>,
    within: Option<Duration>,
}

impl RequireOwner {
    /// Refuses other requests with 401.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            sign_in_page: None,
            within: None,
        }
    }

    /// Sends other requests to the sign-in page at `path`: 303, and where the user wanted to go is
    /// the parameter [`return_to`](ReturnTo::PARAMETER) of its query, unless that was a form.
    ///
    /// Requests of scripts, by the header `Sec-Fetch-Mode`, get 401 all the same: a script would
    /// take the sign-in page for what it has asked for. A request for the sign-in page itself gets
    /// 401 too, because it would be sent there for ever. Behind a proxy that strips the beginning of
    /// paths, give `path` with it; `return_to` is without it, as the request is, and the sign-in page
    /// is not recognised: keep that outside of this layer, or browsers are sent there for ever.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if `path` is no [path of this site](ReturnTo::checked), or has a
    /// fragment.
    pub fn redirect_to(mut self, path: &str) -> Result<Self> {
        if ReturnTo::checked(path).is_none() || path.contains('#') {
            return Err(Error::misconfigured(format!(
                "the sign-in page {path:?} must be a path of this site, such as \"/sign-in\""
            )));
        }
        self.sign_in_page = Some(path.to_owned());
        Ok(self)
    }

    /// Also asks for an authentication within that time, as
    /// [`require_recent_owner`](session_core::Session::require_recent_owner) does: a user who has
    /// signed in longer ago gets the same response. The sign-in page then calls
    /// [`reauthenticated`](session_core::Session::reauthenticated), or
    /// [`sign_in`](session_core::Session::sign_in) again. It must not send a user who is signed in
    /// back at once: this would send the browser to it again, and so on.
    #[must_use]
    pub const fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// Whether the request's user is let through: what the layer does, for servers and frameworks
    /// other than those of tower. The request needs the [`SessionHandle`](crate::SessionHandle) in
    /// its extensions.
    ///
    /// One round trip, as for any extractor of the session.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`](session_core::ErrorKind::Unauthenticated) if no user is signed
    /// in, [`ErrorKind::ReauthenticationRequired`](session_core::ErrorKind::ReauthenticationRequired)
    /// after the time of [`within`](Self::within); the store's.
    pub async fn check(&self, request: &Parts) -> Result<()> {
        let session = guard::session(request, "RequireOwner").await?;
        match self.within {
            None => session.require_owner().map(drop),
            Some(time) => session.require_recent_owner(time).map(drop),
        }
    }

    /// The response to a request that [`check`](Self::check) refuses because of `error`, if that is
    /// a redirect to the sign-in page. `None` says that it is the error's own,
    /// [`error_response`](session_core::error_response).
    #[must_use]
    pub fn redirect<B: Default>(&self, error: &Error, request: &Parts) -> Option<Response<B>> {
        let location = self.sign_in_location(error, request)?;
        Some(redirect(error, location))
    }

    /// The sign-in page, for requests that are to be sent there.
    fn sign_in_location(&self, error: &Error, parts: &Parts) -> Option<HeaderValue> {
        let page = self.sign_in_page.as_deref()?;
        let asked = original_uri(parts);
        let path = page.split('?').next().unwrap_or_default();
        let mode = parts.headers.get(SEC_FETCH_MODE);
        let is_script = mode.is_some_and(|mode| mode != "navigate");
        if !error.is_refusal() || is_script || asked.path() == path {
            return None;
        }
        let is_page = [Method::GET, Method::HEAD].contains(&parts.method);
        let to = asked.path_and_query().filter(|_| is_page);
        let to = to.and_then(|to| ReturnTo::checked(to.as_str()));
        let Some(to) = to.filter(|to| *to != ReturnTo::default()) else {
            return HeaderValue::try_from(page).ok();
        };
        let joint = if page.contains('?') { '&' } else { '?' };
        let to: String = form_urlencoded::byte_serialize(to.as_str().as_bytes()).collect();
        HeaderValue::try_from(format!("{page}{joint}{}={to}", ReturnTo::PARAMETER)).ok()
    }
}

fn redirect<B: Default>(error: &Error, location: HeaderValue) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(error.clone());
    response.extensions_mut().insert(Final);
    response
}

impl<S> Layer<S> for RequireOwner {
    type Service = GuardService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        GuardService::new(inner, self.clone())
    }
}

impl Guard for RequireOwner {
    async fn check(&self, request: &Parts) -> Result<()> {
        Self::check(self, request).await
    }

    fn refuse<B: Default>(&self, error: &Error, request: &Parts) -> Response<B> {
        let redirect = self.redirect(error, request);
        redirect.unwrap_or_else(|| guard::response(error))
    }
}
