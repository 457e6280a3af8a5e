//! What a site's own pages for failed requests are made by.

use std::fmt;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, RETRY_AFTER, SET_COOKIE, VARY};
use http::request::Parts;
use http::{Response, StatusCode};
use session_core::{Error, error_response};

/// What responds to a request that fails because of its session: [`PlainErrors`], or what
/// [`on_error`](crate::SessionLayerBuilder::on_error) was given. `B` is the response's body.
///
/// Sealed: a site gives `on_error` a function.
pub trait RespondToError<B>: Keep {
    /// The response to a request that fails by `error`.
    #[doc(hidden)]
    fn respond(&self, request: &Self::Kept, error: &Error) -> Response<B>;

    /// What becomes of the response of a handler, which may be that of an error: itself, or as an
    /// error the page in its place.
    #[doc(hidden)]
    fn replace<R>(
        &self,
        request: &Self::Kept,
        response: Response<R>,
    ) -> Result<Response<R>, Response<B>>;
}

mod sealed {
    use http::request::Parts;

    pub trait Keep: Clone + Send + 'static {
        /// What of a request is kept until its response.
        type Kept: Send;

        fn keep(&self, request: &Parts) -> Self::Kept;
    }
}

pub(crate) use sealed::Keep;

/// The default: [`session_core::error_response`], which has no body.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainErrors;

impl Keep for PlainErrors {
    type Kept = ();

    fn keep(&self, _: &Parts) {}
}

impl<B: Default> RespondToError<B> for PlainErrors {
    fn respond(&self, (): &(), error: &Error) -> Response<B> {
        error_response(error)
    }

    fn replace<R>(&self, (): &(), response: Response<R>) -> Result<Response<R>, Response<B>> {
        Ok(response)
    }
}

/// A site's own pages: the function given to [`on_error`](crate::SessionLayerBuilder::on_error).
pub struct ErrorPages<F>(Arc<F>);

impl<F> ErrorPages<F> {
    pub(crate) fn new(page: F) -> Self {
        Self(Arc::new(page))
    }
}

impl<F> Clone for ErrorPages<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> fmt::Debug for ErrorPages<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorPages").finish_non_exhaustive()
    }
}

/// Marks a response that is as its site wants it: a layer further out leaves it so.
#[derive(Clone, Copy)]
pub(crate) struct Final;

impl<F: Send + Sync + 'static> Keep for ErrorPages<F> {
    type Kept = Parts;

    fn keep(&self, request: &Parts) -> Parts {
        request.clone()
    }
}

impl<B, F> RespondToError<B> for ErrorPages<F>
where
    F: Fn(&Error, &Parts) -> Response<B> + Send + Sync + 'static,
{
    fn respond(&self, request: &Parts, error: &Error) -> Response<B> {
        let mut page = (self.0)(error, request);
        let default = error_response::<()>(error);
        for (name, value) in default.headers() {
            let is_meant = name != RETRY_AFTER || page.status() == StatusCode::SERVICE_UNAVAILABLE;
            if is_meant && !page.headers().contains_key(name) {
                page.headers_mut().insert(name, value.clone());
            }
        }
        page.extensions_mut().insert(error.clone());
        page.extensions_mut().insert(Final);
        page
    }

    fn replace<R>(
        &self,
        request: &Parts,
        response: Response<R>,
    ) -> Result<Response<R>, Response<B>> {
        let extensions = response.extensions();
        let error = extensions
            .get::<Error>()
            .filter(|_| extensions.get::<Final>().is_none());
        let Some(error) = error.cloned() else {
            return Ok(response);
        };
        let mut page = self.respond(request, &error);
        let (replaced, _) = response.into_parts();
        add_absent(page.headers_mut(), &replaced.headers);
        let mut extensions = replaced.extensions;
        extensions.extend(std::mem::take(page.extensions_mut()));
        *page.extensions_mut() = extensions;
        Err(page)
    }
}

/// The headers that describe the body that is replaced, or say how to cache or repeat it (RFC 9110
/// §8 and §14, RFC 9111 §5, RFC 9530, RFC 6266).
const OF_BODY: [HeaderName; 16] = [
    header::ACCEPT_RANGES,
    header::AGE,
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::RETRY_AFTER,
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

/// The same, which `http` has no names for.
const OF_BODY_BY_NAME: [&str; 4] = ["content-digest", "content-md5", "digest", "repr-digest"];

/// Adds the headers that middleware in between has set and the page has not, such as a
/// `Content-Security-Policy`, but for those that describe the body that is replaced. Of those that
/// are lists, such as the cookies of other layers, none is lost.
fn add_absent(page: &mut HeaderMap, replaced: &HeaderMap) {
    let is_of_body =
        |name: &HeaderName| OF_BODY.contains(name) || OF_BODY_BY_NAME.contains(&name.as_str());
    let is_list = |name: &HeaderName| *name == SET_COOKIE || *name == VARY;
    let own: Vec<HeaderName> = page.keys().filter(|name| !is_list(name)).cloned().collect();
    let is_added = |name: &&HeaderName| !is_of_body(name) && !own.contains(name);
    for name in replaced.keys().filter(is_added) {
        for value in replaced.get_all(name) {
            page.append(name, value.clone());
        }
    }
}
