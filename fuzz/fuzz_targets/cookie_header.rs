//! Any Cookie header gets a response and opens no session of another client. A client's own cookie
//! opens its session, whatever other cookies are sent with it.

#![no_main]

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::header::{COOKIE, HOST, HeaderValue, SET_COOKIE};
use http::{Request, Response, StatusCode};
use libfuzzer_sys::fuzz_target;
use session_memory::MemoryStore;
use session_web::{KeyRing, Secret, Session, SessionLayer};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

struct World {
    runtime: Runtime,
    /// Each app with the cookie of one session.
    apps: [(Router, Vec<u8>); 4],
}

async fn is_new(session: Session) -> String {
    session.is_new().to_string()
}

async fn begin(session: Session) {
    session.insert("n", 1).expect("JSON");
}

async fn answer(app: &Router, path: &str, cookies: HeaderValue) -> Response<Body> {
    let request = Request::get(path)
        .header(HOST, "example.org")
        .header(COOKIE, cookies)
        .body(Body::empty())
        .expect("a good request");
    app.clone().oneshot(request).await.expect("infallible")
}

/// Returns whether these cookies open no session. Checks that the response sets no cookie.
async fn finds_nothing(app: &Router, cookies: HeaderValue) -> bool {
    let response = answer(app, "/", cookies).await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    assert!(!headers.contains_key(SET_COOKIE), "nothing was stored");
    let body = axum::body::to_bytes(response.into_body(), 100).await;
    &body.expect("short")[..] == b"true"
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        // One secret for all runs, so that the corpus stays valid.
        let ring = KeyRing::new(Secret::new([7; 32]).expect("32 bytes"));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let app = |layer| {
            let routes = Router::new()
                .route("/", get(is_new))
                .route("/begin", get(begin));
            let app = routes.layer(layer);
            let begun = runtime.block_on(answer(&app, "/begin", HeaderValue::from_static("")));
            let cookie = begun.headers()[SET_COOKIE].as_bytes();
            let pair = cookie.split(|byte| *byte == b';').next().expect("a pair");
            (app, pair.to_vec())
        };
        let signed = SessionLayer::builder(MemoryStore::new()).sign(ring.clone());
        let apps = [
            app(SessionLayer::new(MemoryStore::new())),
            app(signed.build().expect("good")),
            app(SessionLayer::cookie_only(&ring).build().expect("good")),
            app(SessionLayer::cookie_only(&ring)
                .readable()
                .build()
                .expect("good")),
        ];
        World { runtime, apps }
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((which, cookies)) = data.split_first() else {
        return;
    };
    let Ok(header) = HeaderValue::from_bytes(cookies) else {
        return;
    };
    let World { runtime, apps } = world();
    let (app, own) = &apps[usize::from(*which) % apps.len()];
    runtime.block_on(async {
        assert!(finds_nothing(app, header).await, "it opens a session");
        if cookies.windows(2).any(|name| name == b"id") {
            return;
        }
        for beside in [
            [cookies, b";", own].concat(),
            [own, &b";"[..], cookies].concat(),
        ] {
            let beside = HeaderValue::from_bytes(&beside).expect("both are good");
            assert!(
                !finds_nothing(app, beside).await,
                "the client's own session is not found"
            );
        }
    });
});
