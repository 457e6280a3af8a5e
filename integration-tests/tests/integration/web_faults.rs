//! The database dies at the worst moments, under a web application: the client is told so, and
//! never of success, and never gets a fresh anonymous session in the place of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use http::header::{COOKIE, HOST, SET_COOKIE};
use http::{Request, StatusCode};
use integration_tests::servers::{self, Kind, Private};
use session_web::{Session, SessionLayer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// A wire to a server, of which the way back can be cut: what the server is asked it does, and
/// its answer never comes.
struct Wire {
    port: u16,
    cut: Arc<AtomicBool>,
}

impl Wire {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let cut = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, Arc::clone(&flag)));
            }
        });
        Self { port, cut }
    }
}

async fn carry(client: TcpStream, server: u16, cut: Arc<AtomicBool>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there =
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
        if cut.load(SeqCst) || to_client.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    there.abort();
}

/// Handlers that wait here in the middle are let on one by one.
#[derive(Clone)]
struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

async fn count(session: Session) -> String {
    let n = session.get("n").expect("a number").unwrap_or(0_u32) + 1;
    session.insert("n", n).expect("JSON");
    n.to_string()
}

async fn gated(State(gate): State<Gate>, session: Session) -> String {
    gate.reached.add_permits(1);
    gate.open.acquire().await.expect("open").forget();
    count(session).await
}

/// A client with one cookie.
struct Client {
    app: Router,
    cookie: String,
}

struct Answer {
    status: StatusCode,
    cookie: Option<String>,
    text: String,
}

impl Client {
    async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path)
            .header(HOST, "example.org")
            .header(COOKIE, &self.cookie)
            .body(Body::empty())
            .expect("a good request");
        let response = self.app.clone().oneshot(request).await.expect("infallible");
        let cookie = response.headers().get(SET_COOKIE);
        let cookie = cookie.map(|cookie| cookie.to_str().expect("ASCII").to_owned());
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await;
        let text = String::from_utf8(body.expect("whole").to_vec()).expect("UTF-8");
        Answer {
            status,
            cookie,
            text,
        }
    }

    /// It is refused, without a cookie and without what the handler has said.
    async fn is_refused(&self, path: &str, when: &str) {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{when}");
        assert_eq!(answer.cookie, None, "{when}");
        assert_eq!(answer.text, "", "{when}");
    }

    /// As soon as the store is back, the session is the one it was.
    async fn counts(&self, expected: &str, when: &str) {
        for _ in 0..100 {
            let answer = self.get("/count").await;
            assert_eq!(answer.cookie, None, "no fresh session {when}");
            if answer.status == StatusCode::OK {
                assert_eq!(answer.text, expected, "{when}");
                return;
            }
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{when}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it does not come back {when}");
    }
}

async fn dies_at_the_worst_moments(kind: Kind, arguments: &[&str], options: &str) {
    if servers::is_skipped(kind) {
        return;
    }
    let mut server = Private::start(kind, arguments);
    let wire = Wire::to(server.port).await;
    let url = server
        .url
        .replace(&format!(":{}", server.port), &format!(":{}", wire.port));
    let url = format!(
        "{url}{}{options}",
        if url.contains('?') { "&" } else { "?" }
    );
    let store = session_store::connect(&url).await.expect("it is up");
    let gate = Gate {
        reached: Arc::new(Semaphore::new(0)),
        open: Arc::new(Semaphore::new(0)),
    };
    let app = Router::new()
        .route("/count", get(count))
        .route("/gated", get(gated))
        .with_state(gate.clone())
        .layer(SessionLayer::new(store));
    let mut client = Client {
        app,
        cookie: String::new(),
    };
    let first = client.get("/count").await;
    let cookie = first.cookie.expect("a new session");
    client.cookie = cookie.split(';').next().expect("a pair").to_owned();
    client.counts("2", "at first").await;

    let client = Arc::new(client);
    // First of all, while every connection of the pool is good: on a dead one nothing would be
    // sent.
    let waiting = Arc::clone(&client);
    let under_way = tokio::spawn(async move {
        waiting
            .is_refused("/gated", "its answer to the save lost")
            .await;
    });
    gate.reached.acquire().await.expect("open").forget();
    // sqlx pings a connection after its use: on one whose ping got no answer nothing would be sent.
    tokio::time::sleep(Duration::from_millis(100)).await;
    wire.cut.store(true, SeqCst);
    gate.open.add_permits(1);
    under_way.await.expect("refused");
    wire.cut.store(false, SeqCst);
    // It was written, once, though the client could not be told.
    client
        .counts("4", "after the answer to the save was lost")
        .await;

    server.kill();
    client.is_refused("/count", "dead before the load").await;
    server.restart();
    client.counts("5", "after a death before the load").await;

    let waiting = Arc::clone(&client);
    let under_way = tokio::spawn(async move {
        waiting.is_refused("/gated", "dead before the save").await;
    });
    gate.reached.acquire().await.expect("open").forget();
    server.kill();
    gate.open.add_permits(1);
    under_way.await.expect("refused");
    server.restart();
    client.counts("6", "after a death before the save").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis_dies_at_the_worst_moments() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    dies_at_the_worst_moments(Kind::Redis, &arguments, "timeout=1500ms").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mongo_dies_at_the_worst_moments() {
    dies_at_the_worst_moments(Kind::Mongo, &[], "timeout=1500ms&journal=true").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mysql_dies_at_the_worst_moments() {
    // One connection, on which every statement is prepared before the answers are cut off.
    dies_at_the_worst_moments(Kind::Mysql, &[], "timeout=1500ms&connections=1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_dies_at_the_worst_moments() {
    // As on MySQL.
    dies_at_the_worst_moments(Kind::Postgres, &[], "timeout=1500ms&connections=1").await;
}
