//! News of this session's end, as it happens: server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, future, stream};
use session_store::Session;

use crate::site::Site;

// code: live
/// A stream that stays silent while the session lives, and tells when it ends: it was signed out in
/// another tab or on another device, or its time is over.
pub(crate) async fn live(State(site): State<Arc<Site>>, session: Session) -> Response {
    if session.is_new() {
        return StatusCode::NO_CONTENT.into_response(); // a browser does not connect again after that
    }
    let silence = stream::pending::<Event>();
    let ended = stream::once(future::ready(Event::default().event("ended").data("now")));
    let events = session
        .until_ended(silence)
        .chain(ended)
        .take_until(site.stopped()) // a stream would keep a site that stops waiting
        .map(Ok::<_, Infallible>);
    Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response()
}
// end
