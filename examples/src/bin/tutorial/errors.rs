//! The site's pages for errors. They use no session, so they work without a store.

use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use session_store::{Error, ErrorKind};
use session_web::session_core::error_response;

use crate::html::{document, escape};

/// What makes the page for an error.
pub(crate) type Handler = fn(&Error, &Parts) -> Response;

// code: errors
/// The page for a request that fails because of its session.
pub(crate) fn of_session(error: &Error, request: &Parts) -> Response {
    let status = error_response::<()>(error).status();
    let (title, advice) = match error.kind() {
        ErrorKind::Forged if !has_cookie(request) => (
            "No cookie came back",
            "Your browser did not send this site's cookie with the form, so the site can't tell that the form is its \
             own. Allow cookies for this site, and try again. If you do, your session had ended: open the page anew.",
        ),
        ErrorKind::Forged => (
            "This form is out of date",
            "You have signed in or out since its page was opened, or its session has ended. Nothing was changed. Open \
             the page anew, and send the form again.",
        ),
        ErrorKind::Unauthenticated | ErrorKind::ReauthenticationRequired => (
            "Please sign in",
            "This needs a user who has just signed in.",
        ),
        ErrorKind::Gone => (
            "Your session has ended meanwhile",
            "While this request was in flight, another one signed out, or signed in. Nothing of this request was saved.",
        ),
        _ if error.is_temporary() => (
            "Out of order",
            "The site can't reach its session store. Please try again in a moment.",
        ),
        _ => (
            "That did not work",
            "Nothing is wrong with what you did. The log has the reason.",
        ),
    };
    page(status, title, advice)
}

/// Whether the browser has sent the cookie of a session, be it a live one or not.
fn has_cookie(request: &Parts) -> bool {
    let cookies = request.headers.get_all(COOKIE).iter();
    cookies
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .any(|pair| pair.trim_start().starts_with("id="))
}

pub(crate) async fn not_found(uri: Uri) -> Response {
    let advice = format!("There is nothing at {}.", uri.path());
    page(StatusCode::NOT_FOUND, "Page not found", &advice)
}

pub(crate) async fn wrong_method(method: Method) -> Response {
    let advice = format!("This page does not take {method} requests.");
    page(StatusCode::METHOD_NOT_ALLOWED, "Wrong method", &advice)
}
// end

fn page(status: StatusCode, title: &str, advice: &str) -> Response {
    let main = format!(
        "<section><p>{}</p><p><a href=\"/\">Go to the shop</a></p></section>",
        escape(advice)
    );
    let footer = format!("Status {status}");
    (status, document("", title, "", &main, &footer)).into_response()
}
