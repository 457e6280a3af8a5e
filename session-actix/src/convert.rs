//! Heads of requests and responses as session-web takes them: actix-web's are of an older release of
//! the crate `http`.

use actix_web::dev::ServiceRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap as ActixHeaders;
use actix_web::http::header::{HeaderName as ActixName, HeaderValue as ActixValue};
use actix_web::{HttpMessage, HttpResponse};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use session_web::{Error, Https, Peer, SessionHandle};

/// The head of a request, with what the server says of its connection.
pub(crate) fn request(request: &ServiceRequest) -> Parts {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    // Both releases read the same methods; if not, it is one that may change something.
    let method = Method::from_bytes(request.method().as_str().as_bytes());
    parts.method = method.unwrap_or(Method::POST);
    parts.uri = request.uri().to_string().parse().unwrap_or_default();
    parts.headers = headers(request.headers());
    let extensions = request.extensions();
    #[cfg(feature = "testing")]
    if let Some(crate::testing::Extensions(theirs)) = extensions.get() {
        parts.extensions.extend(theirs.clone());
    }
    let peer = extensions.get().copied();
    let peer = peer.or_else(|| request.peer_addr().map(|peer| Peer(peer.ip())));
    if let Some(peer) = peer {
        parts.extensions.insert(peer);
    }
    if request.app_config().secure() || extensions.contains::<Https>() {
        parts.extensions.insert(Https);
    }
    if let Some(handle) = extensions.get::<SessionHandle>() {
        parts.extensions.insert(handle.clone());
    }
    parts
}

/// The head of a response, and the error that it was made of.
pub(crate) fn response<B>(response: &HttpResponse<B>, error: Option<&Error>) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = status(response.status().as_u16());
    *head.headers_mut() = headers(response.headers());
    if let Some(error) = error {
        head.extensions_mut().insert(error.clone());
    }
    head
}

/// The response that has this one's head and body.
pub(crate) fn page(page: Response<String>) -> HttpResponse {
    let (head, body) = page.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16());
    let mut response = HttpResponse::new(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    write_back(&head.headers, response.headers_mut());
    response.set_body(actix_web::body::BoxBody::new(body))
}

/// Makes the headers of a response those that it is to have; all others stay as they are.
pub(crate) fn write_back(new: &HeaderMap, response: &mut ActixHeaders) {
    let is_gone = |name: &&ActixName| !new.contains_key(name.as_str());
    let gone: Vec<ActixName> = response.keys().filter(is_gone).cloned().collect();
    for name in gone {
        response.remove(name);
    }
    for name in new.keys() {
        let values = || new.get_all(name).iter().map(HeaderValue::as_bytes);
        let old = response.get_all(name.as_str()).map(ActixValue::as_bytes);
        if old.eq(values()) {
            continue;
        }
        let Ok(actix_name) = ActixName::from_bytes(name.as_str().as_bytes()) else {
            continue;
        };
        response.remove(&actix_name);
        for value in values().filter_map(|value| ActixValue::from_bytes(value).ok()) {
            response.append(actix_name.clone(), value);
        }
    }
}

fn status(status: u16) -> http::StatusCode {
    http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR)
}

fn headers(headers: &ActixHeaders) -> HeaderMap {
    let pairs = headers.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        Some((name, value))
    });
    let mut converted = HeaderMap::with_capacity(headers.len());
    for (name, value) in pairs {
        converted.append(name, value);
    }
    converted
}
