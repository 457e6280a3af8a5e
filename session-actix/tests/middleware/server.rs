//! A real server with several workers, and clients that are sockets.

use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::Bytes;
use actix_web::{App, HttpResponse, HttpServer, web};
use futures_util::stream;
use session_actix::{Session, SessionLayer, SessionMiddleware};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::routes;
use crate::probe::Probe;

/// Begins, says how many writes were made, and never ends.
async fn endless(session: Session, store: web::Data<Probe>) -> actix_web::Result<HttpResponse> {
    session.insert("n", 1)?;
    let chunks = stream::unfold(store, |store| async move {
        let (_, writes, _) = store.taken();
        if writes == 0 {
            // Never comes: only the first chunk does.
            std::future::pending::<()>().await;
        }
        let chunk = Bytes::from(format!("{writes} saved"));
        Some((Ok::<_, actix_web::Error>(chunk), store))
    });
    Ok(HttpResponse::Ok().streaming(chunks))
}

struct Server {
    address: std::net::SocketAddr,
    handle: ServerHandle,
}

impl Server {
    fn start(store: &Probe) -> Self {
        let data = web::Data::new(store.clone());
        let sessions = SessionMiddleware::new(SessionLayer::new(store.clone()));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .route("/endless", web::get().to(endless))
                .configure(routes)
                .wrap(sessions.clone())
        });
        let server = server.workers(2).disable_signals().bind(("127.0.0.1", 0));
        let server = server.expect("a free port");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { address, handle }
    }

    async fn send(&self, path: &str, cookie: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.expect("it is up");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: example.org\r\nCookie: {cookie}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("sent");
        socket
    }

    /// What the server sends until `end`, or until it closes the connection.
    async fn receive(socket: &mut TcpStream, end: &str) -> String {
        let mut text = String::new();
        let mut buffer = [0; 1_024];
        while !text.contains(end) {
            let read = socket.read(&mut buffer);
            let read = actix_web::rt::time::timeout(Duration::from_secs(20), read).await;
            match read.expect("in time") {
                Ok(0) | Err(_) => break,
                Ok(n) => text.push_str(&String::from_utf8_lossy(&buffer[..n])),
            }
        }
        text
    }
}

fn cookie(response: &str) -> String {
    let (_, rest) = response.split_once("set-cookie: ").expect("a cookie");
    rest.split(';').next().expect("a pair").to_owned()
}

#[actix_web::test]
async fn a_stream_starts_after_the_save_and_is_not_held_back() {
    let store = Probe::default();
    let server = Server::start(&store);
    let mut socket = server.send("/endless", "").await;
    let response = Server::receive(&mut socket, "saved").await;
    assert!(response.contains("1 saved"), "{response}");
    let cookie = cookie(&response);
    // Each request has a connection of its own, and the workers take turns.
    for n in ["2", "3", "4"] {
        let mut socket = server.send("/count", &cookie).await;
        let response = Server::receive(&mut socket, &format!("\r\n\r\n{n}")).await;
        assert!(response.ends_with(n), "{response}");
    }
    server.handle.stop(false).await;
}

#[actix_web::test]
async fn a_panic_ends_the_connection_and_saves_nothing() {
    let store = Probe::default();
    let server = Server::start(&store);
    let mut socket = server.send("/count", "").await;
    let cookie = cookie(&Server::receive(&mut socket, "\r\n\r\n1").await);
    let mut socket = server.send("/panic", &cookie).await;
    let response = Server::receive(&mut socket, "\r\n\r\n").await;
    assert_eq!(response, "");
    let mut socket = server.send("/count", &cookie).await;
    let response = Server::receive(&mut socket, "\r\n\r\n2").await;
    assert!(response.ends_with('2'), "{response}");
    server.handle.stop(false).await;
}
