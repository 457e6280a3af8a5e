//! The service: a handle into each request, and the session saved before the response goes out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, HeaderName};
use http::header::{CACHE_CONTROL, COOKIE, HeaderMap, HeaderValue, RETRY_AFTER, SET_COOKIE, VARY};
use http::{Request, Response, StatusCode};
use session_core::{Error, Result};
use tower_service::Service;

use crate::config::{Config, OnFailure, Rolling, Transport};
use crate::cookie_store::Change;
use crate::handle::{Inner, Opened, Presented, SessionHandle};

/// The header in which a client that presents its token as a bearer gets a new one.
const X_SESSION: HeaderName = HeaderName::from_static("x-session");

/// What [`SessionLayer`](crate::SessionLayer) makes of a service.
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> SessionService<S> {
    pub(crate) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }
}

impl<S, RequestBody, ResponseBody> Service<Request<RequestBody>> for SessionService<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    RequestBody: Send + 'static,
    ResponseBody: Default + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let handle = SessionHandle::new(Arc::clone(&self.config), &parts);
        parts.extensions.insert(handle.clone());
        // What is ready is this one, not its clone.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let response = inner.call(Request::from_parts(parts, body)).await?;
            Ok(conclude(&handle.0, response).await)
        })
    }
}

/// Saves the session if it was used, and tells the client what it must know.
async fn conclude<B: Default>(handle: &Inner, mut response: Response<B>) -> Response<B> {
    let Some(opened) = handle.opened.get() else {
        return response;
    };
    let told = match commit(handle, opened).await {
        Ok(told) => told,
        Err(error) => {
            tracing::error!(%error, "a session could not be saved");
            if handle.config.on_failure == OnFailure::Refuse {
                return refusal(&error);
            }
            None
        }
    };
    let headers = response.headers_mut();
    add_vary(headers, &handle.config.transport);
    if let Some((name, value)) = told {
        forbid_caching(headers);
        headers.append(name, value);
    }
    response
}

/// The response to a request whose session could not be loaded or saved.
pub(crate) fn refusal<B: Default>(error: &Error) -> Response<B> {
    let status = status_of(error);
    let mut response = Response::new(B::default());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Gone => StatusCode::CONFLICT,
        error if error.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

type Told = Option<(HeaderName, HeaderValue)>;

/// Writes what there is to write, and gives the header that the client must get.
async fn commit(handle: &Inner, opened: &Opened) -> Result<Told> {
    let (config, session) = (&handle.config, &opened.session);
    let mut moved = false;
    if session.is_changed() {
        session.save().await?;
        moved = true;
    } else if session.is_new() && opened.token.is_none() && config.save_uninitialized {
        session.save_unchanged().await?;
    } else if opened.token.is_some() {
        moved = touch(session).await;
    }
    if let Some(store) = &opened.in_cookie {
        return store
            .change()
            .map_or(Ok(None), |change| tell_of_change(handle, opened, change));
    }
    if opened.token.is_some() {
        renew(session).await;
    }
    tell(handle, opened, moved)
}

/// Gives the session a new token if the one it has is old. It keeps the old one if that fails.
async fn renew(session: &session_core::Session) {
    if let Err(error) = session.renew_if_due().await {
        tracing::warn!(%error, "a session could not be renewed");
    }
}

/// Extends the session, which its user has only read; whether that has moved its deadline.
///
/// It is no reason to refuse what the handler has done if that fails.
async fn touch(session: &session_core::Session) -> bool {
    let before = session.expires_in();
    match session.touch().await {
        Ok(()) => session.expires_in() > before,
        Err(Error::Gone) => false,
        Err(error) => {
            tracing::warn!(%error, "a session could not be extended");
            false
        }
    }
}

/// The header for a session in a store.
fn tell(handle: &Inner, opened: &Opened, moved: bool) -> Result<Told> {
    let (config, session) = (&handle.config, &opened.session);
    let Some(token) = session.token() else {
        // It has ended by this request's own hand, and not under it: another's token may be in the
        // client's hands by now.
        let ended = opened.token.is_some() && session.is_new();
        return if ended {
            end(handle).map(Some)
        } else {
            Ok(None)
        };
    };
    let lifetime = session.lifetime();
    let default = config.backing.rules().lifetime();
    let max_age = config
        .persistence
        .max_age(lifetime, default, session.expires_in());
    let rolls = match config.rolling {
        Rolling::Always => true,
        Rolling::WithDeadline => moved && max_age.is_some(),
        Rolling::Never => false,
    };
    let is_new = opened.token.as_ref() != Some(&token);
    let again = (lifetime != opened.lifetime || rolls) && !session.is_renewal_near();
    if !is_new && !again {
        return Ok(None);
    }
    let name = config.cookie.name(handle.secure);
    let value = match &config.signer {
        Some(signer) => signer.sign(&name, token.expose()),
        None => token.expose().to_owned(),
    };
    let header = |value: &str| {
        HeaderValue::try_from(value).map_err(|_| Error::misconfigured("a token is header text"))
    };
    Ok(Some(match &config.transport {
        Transport::Cookie => (
            SET_COOKIE,
            config.cookie.set(&value, handle.secure, max_age)?,
        ),
        Transport::Bearer => (X_SESSION, header(&value)?),
        Transport::Header(name) => (name.clone(), header(&value)?),
    }))
}

/// The header for a session in the cookie.
fn tell_of_change(handle: &Inner, opened: &Opened, change: Change) -> Result<Told> {
    let config = &handle.config;
    match change {
        Change::Value(value, left) => {
            let (lifetime, default) =
                (opened.session.lifetime(), config.backing.rules().lifetime());
            let max_age = config.persistence.max_age(lifetime, default, left);
            let cookie = config.cookie.set(&value, handle.secure, max_age)?;
            Ok(Some((SET_COOKIE, cookie)))
        }
        Change::Ended if matches!(handle.presented, Presented::Value(_)) => end(handle).map(Some),
        Change::Ended => Ok(None),
    }
}

/// The header that makes the client forget its token.
fn end(handle: &Inner) -> Result<(HeaderName, HeaderValue)> {
    Ok(match &handle.config.transport {
        Transport::Cookie => (SET_COOKIE, handle.config.cookie.expire(handle.secure)?),
        Transport::Bearer => (X_SESSION, HeaderValue::from_static("")),
        Transport::Header(name) => (name.clone(), HeaderValue::from_static("")),
    })
}

/// Says that the response depends on the session.
fn add_vary(headers: &mut HeaderMap, transport: &Transport) {
    let name = match transport {
        Transport::Cookie => COOKIE,
        Transport::Bearer => AUTHORIZATION,
        Transport::Header(name) => name.clone(),
    };
    let lists = |value: &HeaderValue| {
        let mut names = value.to_str().unwrap_or_default().split(',');
        names
            .any(|listed| listed.trim().eq_ignore_ascii_case(name.as_str()) || listed.trim() == "*")
    };
    if !headers.get_all(VARY).iter().any(lists) {
        headers.append(VARY, HeaderValue::from(name));
    }
}

/// Keeps a response with a token out of caches (OWASP Session Management Cheat Sheet, "Web Content
/// Caching"). What the handler has said is kept where it says at least as much.
fn forbid_caching(headers: &mut HeaderMap) {
    let forbids = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        text.split(',')
            .any(|directive| directive.trim() == "no-store")
    };
    if !headers.get_all(CACHE_CONTROL).iter().any(forbids) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
