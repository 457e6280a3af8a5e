//! The Express programs themselves: that they start, keep a session, and end with the tests; and
//! that the golden vectors are theirs.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Client, ExpressApp, express_script, is_express_skipped};
use serde_json::json;

#[tokio::test]
async fn a_session_lives_over_two_requests() {
    if is_express_skipped() {
        return;
    }
    let config = json!({ "secret": "keyboard cat", "resave": false, "saveUninitialized": false });
    let app = ExpressApp::start(&config);
    let client = Client::new(app.port);
    let data = json!({ "name": "Napoléon", "n": 1.5 });
    let first = client.post("/set", &data).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert!(first.set_cookies()[0].starts_with("connect.sid=s%3A"));

    let second = client.get("/session").await.json();
    assert_eq!(second["data"], data);
    assert_eq!(second["id"], first.json()["id"]);

    client.forget("connect.sid");
    let stranger = client.get("/session").await.json();
    assert_eq!(stranger["data"], json!({}));
    assert_ne!(stranger["id"], second["id"]);
}

#[tokio::test]
async fn one_browser_visits_two_programs() {
    if is_express_skipped() {
        return;
    }
    let config = json!({ "kind": "cookie-session", "keys": ["a"] });
    let (one, two) = (ExpressApp::start(&config), ExpressApp::start(&config));
    let client = Client::new(one.port);
    client.post("/login", &json!({ "user": "josephine" })).await;
    let seen = client.at(two.port).get("/session").await.json();
    assert_eq!(seen["data"], json!({ "user": "josephine" }));

    client.at(two.port).post("/clear", &json!({})).await;
    assert_eq!(client.cookie("session"), None);
    assert_eq!(client.get("/session").await.json()["data"], json!({}));
}

#[tokio::test]
async fn it_ends_when_dropped() {
    if is_express_skipped() {
        return;
    }
    let app = ExpressApp::start(&json!({ "kind": "connect-cookie-session", "secret": "s" }));
    let address = ("127.0.0.1", app.port);
    assert!(tokio::net::TcpStream::connect(address).await.is_ok());
    drop(app);
    let began = Instant::now();
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it still listens"
        );
    }
}

#[test]
#[should_panic(expected = "kind is a chair")]
fn a_program_that_does_not_start_says_why() {
    if is_express_skipped() {
        panic!("not run: kind is a chair");
    }
    let _ = ExpressApp::start(&json!({ "kind": "a chair" }));
}

#[tokio::test]
async fn a_session_lives_in_each_database() {
    if is_express_skipped() {
        return;
    }
    // Elsewhere tests have the packages' own names for themselves.
    let stores = [
        ("redis", servers::redis(), json!({ "prefix": "smoke:" })),
        (
            "mongo",
            servers::mongo(),
            json!({ "collectionName": "smoke" }),
        ),
        ("mysql", servers::mysql(), json!({ "table": "smoke" })),
        (
            "postgres",
            servers::postgres(),
            json!({ "tableName": "smoke", "createTableIfMissing": true }),
        ),
    ];
    for (store, server, mut config) in stores {
        let Some(server) = server else { continue };
        config["store"] = store.into();
        config["url"] = server.url.as_str().into();
        config["secret"] = "keyboard cat".into();
        let (one, two) = (ExpressApp::start(&config), ExpressApp::start(&config));
        let client = Client::new(one.port);
        let answer = client.post("/login", &json!({ "user": store })).await;
        assert_eq!(answer.status, 200, "{store}: {}", answer.text());
        let seen = client.at(two.port).get("/session").await.json();
        assert_eq!(seen["data"], json!({ "user": store }), "{}", two.stderr());
    }
}

#[test]
fn the_golden_vectors_are_what_the_packages_make() {
    if is_express_skipped() {
        return;
    }
    let golden = express_script("golden.js", "", "");
    assert!(
        golden == include_str!("../../express/golden.json"),
        "node golden.js >golden.json changes it: see what and why"
    );
}
