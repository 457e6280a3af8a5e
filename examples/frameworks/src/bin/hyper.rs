//! The site on hyper, without tower.

use std::convert::Infallible;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use session_web::session_core::error_response;
use session_web::{CrossOriginProtection, Exchange, Result, SessionLayer};

type Page = Response<Full<Bytes>>;

async fn respond(layer: SessionLayer, request: Request<Incoming>) -> Result<Page, Infallible> {
    let (mut parts, body) = request.into_parts();
    let exchange = layer.begin(&mut parts);
    let page = route(&exchange, &parts, body).await;
    let page = page.unwrap_or_else(|error| error_response(&error));
    Ok(exchange.finish(page).await)
}

async fn route(exchange: &Exchange, parts: &Parts, body: Incoming) -> Result<Page> {
    CrossOriginProtection::new().check(parts).await?;
    let session = exchange.session().await?;
    let text = match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/") => site::home(session).await,
        (&Method::GET, "/account") => site::account(session.require_owner()?).await,
        (&Method::POST, "/sign-in") => match name_in(body).await {
            Some(name) => site::sign_in(session, &name).await?,
            None => return Ok(page(StatusCode::BAD_REQUEST, "no name\n")),
        },
        (&Method::POST, "/sign-out") => site::sign_out(session).await?.to_owned(),
        _ => return Ok(page(StatusCode::NOT_FOUND, "no such page\n")),
    };
    Ok(page(StatusCode::OK, text))
}

async fn name_in(body: Incoming) -> Option<String> {
    let form = body.collect().await.ok()?.to_bytes();
    let mut fields = form_urlencoded::parse(&form);
    let (_, name) = fields.find(|(field, _)| field == "name")?;
    Some(name.into_owned())
}

fn page(status: StatusCode, text: impl Into<Bytes>) -> Page {
    let mut page = Response::new(Full::new(text.into()));
    *page.status_mut() = status;
    page
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layer = site::sessions()?;
    let listener = tokio::net::TcpListener::bind(site::address()).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        let layer = layer.clone();
        let service = service_fn(move |request| respond(layer.clone(), request));
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(TokioIo::new(socket), service));
    }
}
