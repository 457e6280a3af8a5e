//! Whatever a client sends as its cookies, it gets an answer, and never somebody's session.

#![no_main]

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::header::{COOKIE, HOST, HeaderValue};
use http::{Request, StatusCode};
use libfuzzer_sys::fuzz_target;
use session_memory::MemoryStore;
use session_web::{KeyRing, Secret, Session, SessionLayer};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

struct World {
    runtime: Runtime,
    apps: [Router; 4],
}

async fn is_new(session: Session) -> String {
    session.is_new().to_string()
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        // One secret for all runs, so that what was learnt about cookies stays true.
        let ring = KeyRing::new(Secret::new([7; 32]).expect("32 bytes"));
        let app = |layer| Router::new().route("/", get(is_new)).layer(layer);
        let signed = SessionLayer::builder(MemoryStore::new()).sign(ring.clone());
        World {
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            apps: [
                app(SessionLayer::new(MemoryStore::new())),
                app(signed.build().expect("good")),
                app(SessionLayer::cookie_only(&ring).build().expect("good")),
                app(SessionLayer::cookie_only(&ring)
                    .readable()
                    .build()
                    .expect("good")),
            ],
        }
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((which, cookies)) = data.split_first() else {
        return;
    };
    let Ok(cookies) = HeaderValue::from_bytes(cookies) else {
        return;
    };
    let World { runtime, apps } = world();
    let app = apps[usize::from(*which) % apps.len()].clone();
    runtime.block_on(async {
        let request = Request::get("/")
            .header(HOST, "example.org")
            .header(COOKIE, cookies)
            .body(Body::empty())
            .expect("a good request");
        let response = app.oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        assert!(
            !response.headers().contains_key("set-cookie"),
            "nothing was stored"
        );
        let body = axum::body::to_bytes(response.into_body(), 100).await;
        assert_eq!(&body.expect("short")[..], b"true", "nobody has a session");
    });
});
