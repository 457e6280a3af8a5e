//! The site on hyper, without tower.

use std::convert::Infallible;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use session_memory::MemoryStore;
use session_web::session_core::error_response;
use session_web::{CrossOriginProtection, Exchange, Result, Secure, SessionLayer};

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
        (&Method::GET, "/") => match session.owner() {
            Some(user) => format!("signed in as {}\n", user.as_str()),
            None => "not signed in\n".to_owned(),
        },
        (&Method::POST, "/sign-in") => {
            let Some(name) = name_in(body).await else {
                return Ok(page(StatusCode::BAD_REQUEST, "no name\n"));
            };
            session.sign_in(&*name).await?;
            format!("welcome, {name}\n")
        }
        (&Method::POST, "/sign-out") => {
            session.destroy().await?;
            "goodbye\n".to_owned()
        }
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
    let address = std::env::args().nth(1);
    let address = address.unwrap_or("127.0.0.1:3000".to_owned());
    let layer = SessionLayer::builder(MemoryStore::new())
        .secure(Secure::Development)
        .build()?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        let layer = layer.clone();
        let service = service_fn(move |request| respond(layer.clone(), request));
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(TokioIo::new(socket), service));
    }
}
