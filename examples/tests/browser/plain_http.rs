//! A site by plain http, whose cookies are as strict as ever, or for development.

use axum::Router;
use axum::routing::get;
use session_store::memory::MemoryStore;
use session_web::{Secure, Session, SessionLayer};
use tokio::net::TcpListener;

async fn count(session: Session) -> String {
    let n = session.get("n").expect("a number").unwrap_or(0_u32) + 1;
    session.insert("n", n).expect("JSON");
    n.to_string()
}

/// Serves a visit counter until the test ends; gives the port.
pub(crate) async fn serve(secure: Secure) -> u16 {
    let layer = SessionLayer::builder(MemoryStore::new()).secure(secure);
    let app = Router::new()
        .route("/", get(count))
        .layer(layer.build().expect("good options"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}
