//! Sessions in cookies, shared with the real cookie-session and Connect 2.

use integration_tests::servers::{Client, ExpressApp, is_express_skipped};
use serde_json::json;
use session_web::SessionLayer;
use session_web::express::{ConnectSess, CookieSession};

use super::rust_app;

async fn both(config: serde_json::Value, layer: SessionLayer) -> (ExpressApp, Client, Client) {
    let app = ExpressApp::start(&config);
    let express = Client::new(app.port);
    let rust = express.at(rust_app::serve(layer).await);
    (app, express, rust)
}

async fn are_shared(express: &Client, rust: &Client) {
    express
        .post("/login", &json!({ "user": "napoléon 🍪" }))
        .await;
    let ours = rust.get("/session").await.json();
    assert_eq!(ours["data"], json!({ "user": "napoléon 🍪" }));
    rust.post("/set", &json!({ "deep": { "a": [1, null, "ü;,= %"] } }))
        .await;
    express.post("/set", &json!({ "theirs": 0.5 })).await;
    let expected = json!({
        "user": "napoléon 🍪", "deep": { "a": [1, null, "ü;,= %"] }, "theirs": 0.5,
    });
    assert_eq!(rust.get("/session").await.json()["data"], expected);
    assert_eq!(express.get("/session").await.json()["data"], expected);
    rust.post("/destroy", &json!({})).await;
    assert_eq!(express.get("/session").await.json()["data"], json!({}));

    rust.post("/set", &json!({ "ours": true })).await;
    assert_eq!(
        express.get("/session").await.json()["data"],
        json!({ "ours": true })
    );
    express.post("/clear", &json!({})).await;
    assert_eq!(rust.get("/session").await.json()["data"], json!({}));
}

#[tokio::test]
async fn the_cookies_of_cookie_session_are_shared() {
    if is_express_skipped() {
        return;
    }
    let cookies = CookieSession::new("new").with_previous("old");
    let layer = SessionLayer::express_cookie_only(cookies).build();
    let config = json!({ "kind": "cookie-session", "keys": ["new", "old"] });
    let (_app, express, rust) = both(config, layer.expect("good options")).await;
    are_shared(&express, &rust).await;
}

#[tokio::test]
async fn keys_of_cookie_session_rotate() {
    if is_express_skipped() {
        return;
    }
    let cookies = CookieSession::new("new").with_previous("old").name("s");
    let layer = SessionLayer::express_cookie_only(cookies).build();
    let config = json!({ "kind": "cookie-session", "keys": ["old"], "name": "s" });
    let (_app, express, rust) = both(config, layer.expect("good options")).await;
    express.post("/set", &json!({ "n": 1 })).await;
    assert_eq!(rust.get("/session").await.json()["data"], json!({ "n": 1 }));
    rust.post("/set", &json!({ "n": 2 })).await;
    let theirs = express.get("/session").await.json();
    assert_eq!(
        theirs["data"],
        json!({}),
        "signed with a key it does not know"
    );
}

#[tokio::test]
async fn the_cookie_of_connect_2_is_shared() {
    if is_express_skipped() {
        return;
    }
    let layer = SessionLayer::express_cookie_only(ConnectSess::new("s")).build();
    let config = json!({ "kind": "connect-cookie-session", "secret": "s" });
    let (_app, express, rust) = both(config, layer.expect("good options")).await;
    are_shared(&express, &rust).await;
}
