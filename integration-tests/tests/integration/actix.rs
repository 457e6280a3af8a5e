//! Sessions in Redis behind actix-web, in a server of several workers, and shared with axum.

use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer, web};
use axum::Router;
use axum::routing::get;
use integration_tests::servers::{self, Client};
use session_actix::{Owner, Session, SessionLayer, SessionMiddleware};
use session_core::SessionDirectory;
use session_redis::RedisStore;
use tokio::net::TcpListener;

async fn count(session: Session) -> session_core::Result<String> {
    let n = session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1);
    Ok(n.await?.to_string())
}

async fn sign_in(session: Session) -> session_core::Result<&'static str> {
    session.sign_in("ann").await?;
    Ok("signed in")
}

async fn account(owner: Owner) -> String {
    owner.as_str().to_owned()
}

async fn sign_out(session: Session) -> session_core::Result<&'static str> {
    session.destroy().await?;
    Ok("signed out")
}

fn routes(config: &mut ServiceConfig) {
    config
        .route("/count", web::get().to(count))
        .route("/sign-in", web::get().to(sign_in))
        .route("/account", web::get().to(account))
        .route("/sign-out", web::get().to(sign_out));
}

/// Serves the handlers by axum, and gives the port.
async fn on_axum(store: RedisStore) -> u16 {
    let app = Router::new()
        .route("/count", get(count))
        .route("/account", get(account))
        .layer(SessionLayer::new(store));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

#[actix_web::test]
async fn sessions_in_redis_are_those_of_every_worker_and_of_axum() {
    let Some(server) = servers::redis() else {
        return;
    };
    let store = RedisStore::builder().prefix("actix:");
    let store = store.connect(&server.url).await.expect("it is up");
    store.clear().await.expect("empty");
    let sessions = SessionMiddleware::new(SessionLayer::new(store.clone()));
    let server = HttpServer::new(move || App::new().configure(routes).wrap(sessions.clone()));
    let server = server.workers(3).disable_signals().bind(("127.0.0.1", 0));
    let server = server.expect("a free port");
    let port = server.addrs()[0].port();
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);

    let client = Client::new(port);
    // Each connection is another worker's.
    for n in 1..=6 {
        assert_eq!(client.get("/count").await.text(), n.to_string());
    }
    assert_eq!(client.get("/account").await.status, 401);
    client.get("/sign-in").await;
    assert_eq!(client.get("/account").await.text(), "ann");
    let other = client.at(on_axum(store.clone()).await);
    assert_eq!(other.get("/account").await.text(), "ann");
    assert_eq!(other.get("/count").await.text(), "7");
    client.get("/sign-out").await;
    assert_eq!(other.get("/account").await.status, 401);
    assert_eq!(store.count().await.expect("up"), 0);
    handle.stop(false).await;
}
