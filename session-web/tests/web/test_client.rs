//! The client for tests of applications, on each kind of layer.

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use http::{Request, Response, StatusCode};
use session_core::{ErrorKind, SessionStore};
use session_memory::MemoryStore;
use session_web::testing::TestClient;
use session_web::{
    KeyRing, Lifetime, Persistence, Result, Secret, Secure, Session, SessionLayer, Sessions,
    Transport,
};
use tower::ServiceExt;

use crate::app::{HOUR, routes};
use crate::log::Log;

const MINUTE: Duration = Duration::from_secs(60);

fn app(layer: SessionLayer) -> Router {
    let whoami = |session: Session| async move {
        let owner = session.owner();
        owner.map_or("nobody".to_owned(), |owner| owner.as_str().to_owned())
    };
    routes().route("/whoami", get(whoami)).layer(layer)
}

/// Layers of each kind whose sessions can have an owner.
fn layers() -> Vec<(&'static str, SessionLayer)> {
    let ring = KeyRing::new(Secret::generate());
    let store = MemoryStore::new;
    let built = |builder: session_web::SessionLayerBuilder| builder.build().expect("good options");
    let header = Transport::Header("x-token".parse().expect("a name"));
    vec![
        ("store", SessionLayer::new(store())),
        (
            "signed",
            built(SessionLayer::builder(store()).sign(ring.clone())),
        ),
        (
            "below a path",
            built(SessionLayer::builder(store()).path("/").serves_below("/")),
        ),
        (
            "in the cookie",
            SessionLayer::cookie_only(&ring).build().expect("good"),
        ),
        (
            "readable",
            SessionLayer::cookie_only(&ring)
                .readable()
                .build()
                .expect("good"),
        ),
        (
            "bearer",
            built(SessionLayer::builder(store()).transport(Transport::Bearer)),
        ),
        (
            "header",
            built(SessionLayer::builder(store()).transport(header)),
        ),
        (
            "plain http",
            built(SessionLayer::builder(store()).secure(Secure::Never)),
        ),
    ]
}

#[tokio::test]
async fn a_client_signs_in_on_each_kind_of_layer() {
    for (kind, layer) in layers() {
        let app = app(layer);
        let alice = TestClient::new(app.clone()).signed_in("alice").await;
        let alice = alice.expect("signed in");
        let bob = TestClient::new(app.clone()).signed_in("bob").await;
        let bob = bob.expect("signed in");
        assert_eq!(alice.get("/whoami").await.body(), "alice", "{kind}");
        assert_eq!(bob.get("/whoami").await.body(), "bob", "{kind}");
        assert_eq!(TestClient::new(app).get("/whoami").await.body(), "nobody");

        assert_eq!(alice.get("/count").await.body(), "1", "{kind}");
        assert_eq!(alice.get("/count").await.body(), "2", "{kind}");
        alice.get("/sign-out").await;
        assert_eq!(alice.get("/whoami").await.body(), "nobody", "{kind}");
        assert_eq!(bob.get("/count").await.body(), "1", "{kind}");
    }
}

#[tokio::test]
async fn the_session_can_be_prepared_and_read_on_each_kind_of_layer() {
    for (kind, layer) in layers() {
        let client = TestClient::new(app(layer));
        let session = client.session().await.expect("a layer");
        session.insert("n", 41).expect("JSON");
        assert_eq!(client.get("/count").await.body(), "42", "{kind}");
        assert_eq!(client.get("/count").await.body(), "43", "{kind}");
        let session = client.session().await.expect("a layer");
        assert_eq!(session.get("n").expect("a number"), Some(43), "{kind}");
        session.insert("n", 1).expect("JSON");
        session.save().await.expect("saved");
        assert_eq!(client.get("/count").await.body(), "2", "{kind}");
    }
}

#[tokio::test]
async fn no_handler_runs_when_the_session_is_asked_for_and_a_guest_gets_no_cookie() {
    let layer = SessionLayer::new(MemoryStore::new());
    let app: Router = Router::new()
        .route("/", get(crate::app::panics))
        .layer(layer);
    let client = TestClient::new(app);
    let session = client.session().await.expect("a layer");
    assert!(session.is_new());
    assert_eq!(client.cookies().await.expect("ended"), "");
    session.insert("late", true).expect("JSON");
    let error = session.save().await.expect_err("the response has gone");
    assert_eq!(error.kind(), ErrorKind::TooLate);
}

#[tokio::test]
async fn what_the_session_cannot_save_is_told_at_the_next_use() {
    let layer = SessionLayer::cookie_only(&KeyRing::new(Secret::generate()));
    let client = TestClient::new(app(layer.build().expect("good")));
    let session = client.session().await.expect("a layer");
    let large = "x".repeat(5_000);
    session.insert("a", &large).expect("JSON");
    let error = client.cookies().await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(client.cookies().await.expect("told once"), "");
    session.discard();
}

#[tokio::test]
async fn its_cookies_serve_another_client() {
    let store = MemoryStore::new();
    let app = app(SessionLayer::new(store.clone()));
    let client = TestClient::new(app.clone()).signed_in("alice").await;
    let cookies = client.expect("signed in").cookies().await.expect("ended");
    assert!(cookies.starts_with("__Host-id="), "{}", cookies.len());
    let request = Request::get("/whoami").header("cookie", &cookies);
    let request = request.extension(session_web::Https).body(String::new());
    let response = app.oneshot(request.expect("good")).await.expect("answered");
    let body = axum::body::to_bytes(response.into_body(), 99).await;
    assert_eq!(body.expect("whole"), "alice");

    let token = cookies.split_once('=').expect("a pair").1;
    let found = Sessions::new(store).find(token).await.expect("up");
    assert_eq!(
        found
            .and_then(|session| session.owner())
            .expect("hers")
            .as_str(),
        "alice"
    );
}

#[tokio::test]
async fn without_a_layer_at_the_path_the_error_says_what_to_do() {
    let inner = app(SessionLayer::new(MemoryStore::new()));
    let app = Router::new().nest("/shop", inner);
    let error = TestClient::new(app.clone()).session().await;
    let error = error.expect_err("no layer");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    let text = error.to_string();
    assert!(
        text.contains("status 404") && text.contains("TestClient::at"),
        "{text}"
    );
    let client = TestClient::new(app).at("https://localhost/shop/whoami");
    let client = client.signed_in("alice").await.expect("signed in");
    assert_eq!(client.get("/shop/whoami").await.body(), "alice");
}

#[tokio::test]
async fn by_plain_http_a_secure_cookie_is_dropped_and_the_log_says_so() {
    let log = Log::start();
    let app = app(SessionLayer::new(MemoryStore::new()));
    let client = TestClient::new(app).at("http://example.org/");
    let client = client.signed_in("alice").await.expect("signed in");
    assert_eq!(client.get("/whoami").await.body(), "nobody");
    let lines = log.take();
    let told = lines
        .iter()
        .find(|line| line.contains("a browser would drop this cookie"));
    assert!(told.expect("a line").contains("__Host-id"), "{lines:?}");
}

#[tokio::test]
async fn time_can_be_moved_for_the_store_and_for_the_browser() {
    let lifetime = Lifetime::new(HOUR, 10 * HOUR);
    let store = MemoryStore::new();
    let layer = SessionLayer::builder(store.clone()).lifetime(lifetime);
    let layer = layer.persistence(Persistence::Always).build();
    let client = TestClient::new(app(layer.expect("good")))
        .signed_in("alice")
        .await;
    let client = client.expect("signed in");
    store.advance(HOUR - MINUTE);
    assert_eq!(client.get("/whoami").await.body(), "alice");
    store.advance(HOUR);
    assert_eq!(client.get("/whoami").await.body(), "nobody");

    let client = client.signed_in("alice").await.expect("signed in");
    client.advance(HOUR - MINUTE);
    assert_ne!(client.cookies().await.expect("none open"), "");
    client.advance(MINUTE);
    assert_eq!(
        client.cookies().await.expect("none open"),
        "",
        "Max-Age is over"
    );
}

#[tokio::test]
async fn a_session_in_the_cookie_ends_by_the_clients_clock() {
    let ring = KeyRing::new(Secret::generate());
    let layer = SessionLayer::cookie_only(&ring).lifetime(Lifetime::idle(HOUR));
    let client = TestClient::new(app(layer.build().expect("good")));
    let client = client.signed_in("alice").await.expect("signed in");
    client.advance(HOUR - MINUTE);
    assert_eq!(client.get("/whoami").await.body(), "alice");
    client.advance(HOUR - MINUTE);
    assert_eq!(client.get("/whoami").await.body(), "alice", "it was used");
    client.advance(HOUR);
    assert_ne!(
        client.cookies().await.expect("none open"),
        "",
        "the browser has it still"
    );
    assert_eq!(client.get("/whoami").await.body(), "nobody");
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_moves_store_and_browser_together() {
    let layer = SessionLayer::builder(MemoryStore::new()).persistence(Persistence::Always);
    let client = TestClient::new(app(layer.build().expect("good")));
    let client = client.signed_in("alice").await.expect("signed in");
    tokio::time::advance(HOUR / 2 - MINUTE).await;
    assert_eq!(client.get("/whoami").await.body(), "alice");
    tokio::time::advance(HOUR / 2).await;
    assert_eq!(client.cookies().await.expect("none open"), "");
}

#[tokio::test]
async fn forms_are_posted_as_a_page_of_the_site_does() {
    let echo = |headers: http::HeaderMap, body: String| async move {
        let header = |name: &str| headers[name].to_str().expect("ASCII").to_owned();
        format!(
            "{} {} {} {body}",
            header("host"),
            header("origin"),
            header("content-type")
        )
    };
    let app: Router = Router::new().route("/", post(echo));
    let client = TestClient::new(app).at("https://example.org:8443/");
    let page = client.post("/", &[("a", "1 & 2"), ("ü", "")]).await;
    let expected = "example.org:8443 https://example.org:8443 application/x-www-form-urlencoded \
                    a=1+%26+2&%C3%BC=";
    assert_eq!(page.body(), expected);
}

#[tokio::test]
async fn requests_at_the_same_time_share_the_browser() {
    let client = TestClient::new(app(SessionLayer::new(MemoryStore::new())));
    client
        .session()
        .await
        .expect("a layer")
        .insert("n", 0)
        .expect("JSON");
    let (one, two) = tokio::join!(client.get("/slow"), client.get("/slow"));
    assert_eq!(
        (one.status(), two.status()),
        (StatusCode::OK, StatusCode::OK)
    );
    let session = client.session().await.expect("a layer");
    let n: Option<u32> = session.get("n").expect("a number");
    assert_eq!(
        n,
        Some(1),
        "both have found the one session that was prepared"
    );
}

/// A service that is no router, with a body of its own.
#[tokio::test]
async fn of_two_visits_at_the_same_time_the_second_finds_what_the_first_has_changed() {
    let slowly = async |request: axum::extract::Request, next: axum::middleware::Next| {
        tokio::task::yield_now().await;
        next.run(request).await
    };
    let app = app(SessionLayer::new(MemoryStore::new()));
    let client = TestClient::new(app.layer(axum::middleware::from_fn(slowly)));
    let first = async {
        let session = client.session().await.expect("a layer");
        session.insert("n", 41).expect("JSON");
    };
    let ((), second) = tokio::join!(first, client.session());
    let second = second.expect("a layer");
    assert_eq!(second.get("n").expect("a number"), Some(41));
    assert_eq!(client.get("/count").await.body(), "42");
}

#[tokio::test]
async fn any_tower_service_is_tested_alike() {
    let serve = |request: Request<Vec<u8>>| async move {
        let handle = request.extensions().get::<session_web::SessionHandle>();
        let session = handle.expect("the layer's").session().await?;
        session.insert("bytes", request.body().len())?;
        Ok::<_, session_web::Error>(Response::new("done".to_owned()))
    };
    let layer = SessionLayer::new(MemoryStore::new());
    let service = tower_layer::Layer::layer(&layer, tower::service_fn(serve));
    let texts = service.map_request(|request: Request<String>| request.map(String::into_bytes));
    let client = TestClient::new(texts);
    let request = Request::put("/").body("12345".to_owned()).expect("good");
    assert_eq!(client.send(request).await.body(), "done");
    let session = client.session().await.expect("a layer");
    assert_eq!(session.get::<usize>("bytes").expect("a number"), Some(5));
}

#[tokio::test]
async fn nothing_shows_a_cookie() -> Result<()> {
    let client = TestClient::new(app(SessionLayer::new(MemoryStore::new())));
    let client = client.signed_in("alice").await?;
    let cookies = client.cookies().await?;
    let token = cookies.split_once('=').expect("a pair").1;
    let shown = format!("{client:?}");
    assert!(shown.contains("__Host-id"), "{shown}");
    assert!(!shown.contains(token));
    Ok(())
}

/// An Express app's own keys say who is signed in there, so these are prepared. Its cookies have no
/// room for an owner.
#[cfg(feature = "express")]
#[tokio::test]
async fn express_compatible_layers_are_prepared_alike() {
    use session_web::express::{ConnectSess, CookieSession, Express, ExpressStore};
    let records = crate::express_records::Memory::default();
    let express = Express::new(crate::express::SECRET);
    let store = ExpressStore::with_client(records, express, ()).expect("good options");
    let store = SessionLayer::express_compatible(store).and_then(|layer| layer.build());
    let connect = ConnectSess::new(crate::express::SECRET);
    let connect = SessionLayer::express_cookie_only(connect).build();
    let cookie_session = CookieSession::new("key");
    let cookie_session = SessionLayer::express_cookie_only(cookie_session).build();
    for (kind, layer, has_owners) in [
        ("store", store, true),
        ("connect", connect, false),
        ("cookie-session", cookie_session, false),
    ] {
        let client = TestClient::new(app(layer.expect("good options")));
        let session = client.session().await.expect("a layer");
        session.insert("n", 41).expect("JSON");
        assert_eq!(client.get("/count").await.body(), "42", "{kind}");
        assert_eq!(client.get("/count").await.body(), "43", "{kind}");
        match client.signed_in("alice").await {
            Ok(client) => {
                assert!(has_owners, "{kind}");
                assert_eq!(client.get("/whoami").await.body(), "alice");
            }
            Err(error) => {
                assert!(!has_owners, "{kind}: {error}");
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{kind}");
            }
        }
    }
}

#[tokio::test]
async fn the_store_has_what_a_test_has_prepared() {
    let store = MemoryStore::new();
    let client = TestClient::new(app(SessionLayer::new(store.clone())));
    let session = client.session().await.expect("a layer");
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("saved");
    let id = session.id().expect("stored");
    assert!(store.load(&id).await.expect("up").is_some());
}

#[tokio::test]
async fn of_nested_layers_the_outermost_answers() {
    let layer = |name| {
        let layer = SessionLayer::builder(MemoryStore::new()).name(name);
        layer.build().expect("good options")
    };
    let app = routes().layer(layer("inner")).layer(layer("outer"));
    let client = TestClient::new(app).signed_in("alice").await;
    let client = client.expect("signed in");
    let cookies = client.cookies().await.expect("none open");
    assert!(cookies.starts_with("__Host-outer=") && !cookies.contains(';'));
    client.get("/count").await;
    let cookies = client.cookies().await.expect("none open");
    assert!(
        cookies.contains("__Host-inner="),
        "a handler has the innermost"
    );
}
