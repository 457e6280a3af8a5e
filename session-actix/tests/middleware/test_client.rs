//! The client for tests of applications, on each kind of layer.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::test::init_service;
use actix_web::{App, HttpRequest, web};
use http::Request;
use session_actix::testing::{TestClient, TestSite};
use session_actix::{
    ErrorKind, KeyRing, Lifetime, Secret, Secure, Session, SessionLayer, SessionLayerBuilder,
    SessionMiddleware, Transport,
};
use session_memory::MemoryStore;

use crate::app::routes;
use crate::probe::Probe;

const HOUR: Duration = Duration::from_secs(3_600);

async fn whoami(session: Session) -> String {
    let owner = session.owner();
    owner.map_or("nobody".to_owned(), |owner| owner.as_str().to_owned())
}

/// What a form's request says of itself.
async fn echo(request: HttpRequest, body: String) -> String {
    let header = |name: &str| {
        let value = request.headers().get(name).expect("it is there");
        value.to_str().expect("ASCII").to_owned()
    };
    let (host, origin) = (header("host"), header("origin"));
    format!("{host} {origin} {} {body}", header("content-type"))
}

async fn site(layer: SessionLayer) -> TestSite {
    let app = App::new()
        .configure(routes)
        .route("/whoami", web::get().to(whoami))
        .route("/echo", web::post().to(echo))
        .wrap(SessionMiddleware::new(layer));
    TestSite::new(init_service(app).await)
}

async fn on(store: &MemoryStore) -> TestSite {
    site(SessionLayer::new(store.clone())).await
}

/// Layers of each kind whose sessions can have an owner.
fn layers() -> Vec<(&'static str, SessionLayer)> {
    let ring = KeyRing::new(Secret::generate());
    let built = |builder: SessionLayerBuilder| builder.build().expect("good options");
    let store = || SessionLayer::builder(MemoryStore::new());
    let header = Transport::Header("x-token".parse().expect("a name"));
    let in_cookie = SessionLayer::cookie_only(&ring).build().expect("good");
    vec![
        ("store", SessionLayer::new(MemoryStore::new())),
        ("signed", built(store().sign(ring.clone()))),
        ("in the cookie", in_cookie),
        ("bearer", built(store().transport(Transport::Bearer))),
        ("header", built(store().transport(header))),
        ("plain http", built(store().secure(Secure::Never))),
    ]
}

#[actix_web::test]
async fn a_client_signs_in_on_each_kind_of_layer() {
    for (kind, layer) in layers() {
        let site = site(layer).await;
        let signed_in = async |name: &str| {
            let client = TestClient::new(site.clone())
                .signed_in(name.to_owned())
                .await;
            client.expect("signed in")
        };
        let (alice, bob) = (signed_in("alice").await, signed_in("bob").await);
        assert_eq!(alice.get("/whoami").await.body(), "alice", "{kind}");
        assert_eq!(bob.get("/whoami").await.body(), "bob", "{kind}");
        let guest = TestClient::new(site.clone());
        assert_eq!(guest.get("/whoami").await.body(), "nobody", "{kind}");
        assert_eq!(alice.get("/count").await.body(), "1", "{kind}");
        assert_eq!(alice.get("/count").await.body(), "2", "{kind}");
        alice.get("/sign-out").await;
        assert_eq!(alice.get("/whoami").await.body(), "nobody", "{kind}");
        assert_eq!(bob.get("/count").await.body(), "1", "{kind}");
    }
}

#[actix_web::test]
async fn the_session_can_be_prepared_and_read_on_each_kind_of_layer() {
    for (kind, layer) in layers() {
        let client = TestClient::new(site(layer).await);
        let session = client.session().await.expect("a layer");
        session.insert("n", 41).expect("JSON");
        assert_eq!(client.get("/count").await.body(), "42", "{kind}");
        let session = client.session().await.expect("a layer");
        assert_eq!(session.get("n").expect("a number"), Some(42), "{kind}");
        session.insert("n", 1).expect("JSON");
        session.save().await.expect("saved");
        assert_eq!(client.get("/count").await.body(), "2", "{kind}");
    }
}

#[actix_web::test]
async fn what_the_session_cannot_save_is_told_at_the_next_use() {
    let store = Probe::default();
    let client = TestClient::new(site(SessionLayer::new(store.clone())).await);
    let session = client.session().await.expect("a layer");
    session.insert("n", 1).expect("JSON");
    store.fail_writes(true);
    let error = client.cookies().await.expect_err("the store is down");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("503"), "{error}");
    assert_eq!(client.cookies().await.expect("told once"), "");
    session.discard();
}

#[actix_web::test]
async fn without_a_layer_at_the_path_the_error_says_what_to_do() {
    let sessions = SessionMiddleware::new(SessionLayer::new(MemoryStore::new()));
    let shop = web::scope("/shop").route("/whoami", web::get().to(whoami));
    let app = App::new().service(shop.wrap(sessions));
    let site = TestSite::new(init_service(app).await);
    let error = TestClient::new(site.clone()).session().await;
    let error = error.expect_err("no layer");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    let text = error.to_string();
    assert!(
        text.contains("status 404") && text.contains("TestClient::at"),
        "{text}"
    );
    let client = TestClient::new(site).at("https://localhost/shop/whoami");
    let client = client.signed_in("alice").await.expect("signed in");
    assert_eq!(client.get("/shop/whoami").await.body(), "alice");
}

#[actix_web::test]
async fn time_can_be_moved_for_the_store_and_for_the_browser() {
    let store = MemoryStore::new();
    let layer = SessionLayer::builder(store.clone()).lifetime(Lifetime::idle(HOUR));
    let client = TestClient::new(site(layer.build().expect("good")).await);
    let client = client.signed_in("alice").await.expect("signed in");
    store.advance(HOUR / 2);
    assert_eq!(client.get("/whoami").await.body(), "alice");
    store.advance(HOUR);
    assert_eq!(client.get("/whoami").await.body(), "nobody");

    let in_cookie = SessionLayer::cookie_only(&KeyRing::new(Secret::generate()));
    let in_cookie = in_cookie.lifetime(Lifetime::idle(HOUR)).build();
    let client = TestClient::new(site(in_cookie.expect("good")).await);
    let client = client.signed_in("alice").await.expect("signed in");
    client.advance(HOUR / 2);
    assert_eq!(client.get("/whoami").await.body(), "alice");
    client.advance(HOUR);
    assert_eq!(client.get("/whoami").await.body(), "nobody");
}

#[actix_web::test]
async fn forms_are_posted_as_a_page_of_the_site_does() {
    let client = TestClient::new(on(&MemoryStore::new()).await).at("https://example.org:8443/");
    let page = client.post("/echo", &[("a", "1 & 2"), ("ü", "")]).await;
    let expected = "example.org:8443 https://example.org:8443 application/x-www-form-urlencoded \
                    a=1+%26+2&%C3%BC=";
    assert_eq!(page.body(), expected);
    let request = Request::post("/echo").header("origin", "null");
    let request = request
        .header("content-type", "text/plain")
        .body(&b"bytes"[..]);
    let page = client.send(request.expect("good")).await;
    assert_eq!(page.body(), "example.org:8443 null text/plain bytes");
}

#[actix_web::test]
async fn requests_at_the_same_time_share_the_browser() {
    let client = TestClient::new(on(&MemoryStore::new()).await);
    let session = client.session().await.expect("a layer");
    session.insert("n", 0).expect("JSON");
    let two = futures_util::future::join(client.get("/slow"), client.get("/slow")).await;
    assert_eq!(
        (two.0.status(), two.1.status()),
        (http::StatusCode::OK, http::StatusCode::OK)
    );
    let session = client.session().await.expect("a layer");
    let n: Option<u32> = session.get("n").expect("a number");
    assert_eq!(
        n,
        Some(1),
        "both have found the one session that was prepared"
    );
}

#[actix_web::test]
async fn a_response_keeps_its_status_and_headers() {
    let client = TestClient::new(on(&MemoryStore::new()).await);
    let page = client.get("/cached").await;
    assert_eq!(page.headers()["x-other"], "kept");
    assert_eq!(page.headers().get_all("set-cookie").iter().count(), 2);
    let page = client.get("/fails").await;
    assert_eq!(page.status().as_u16(), StatusCode::UNAUTHORIZED.as_u16());
    let page = client.get("/guarded").await;
    assert_eq!(page.body(), "sign in first", "of middleware that fails");
}

#[actix_web::test]
#[should_panic(expected = "the service answers: NoResponse")]
async fn a_handler_that_panics_fails_the_test() {
    let client = TestClient::new(on(&MemoryStore::new()).await);
    client.get("/panic").await;
}

#[actix_web::test]
async fn a_client_that_goes_away_stops_its_request() {
    let store = Probe::default();
    let client = TestClient::new(site(SessionLayer::new(store.clone())).await);
    client.get("/count").await;
    store.taken();
    let soon = Duration::from_millis(20);
    let gone = actix_web::rt::time::timeout(soon, client.get("/slow")).await;
    assert!(gone.is_err());
    actix_web::rt::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(store.taken().1, 0, "nothing was saved");
}
