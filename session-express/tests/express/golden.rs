//! Outputs of the real packages for fixed inputs, recorded by
//! `integration-tests/express/golden.js`.

use std::time::Duration;

use serde_json::Value;
use session_core::{Draft, SessionStore, SessionToken};
use session_express::{ConnectSess, CookieSession, Express};

use crate::fixture::{done, plain, store};
use crate::support::Memory;

fn golden(group: &str) -> Vec<Value> {
    let golden = include_str!("../../../integration-tests/express/golden.json");
    let mut golden: Value = serde_json::from_str(golden).expect("JSON");
    let Value::Array(vectors) = golden[group].take() else {
        panic!("there is no group {group}");
    };
    assert!(!vectors.is_empty(), "{group}");
    vectors
}

/// One text or several.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        value => value.as_str().into_iter().collect(),
    }
}

/// The value in a `Set-Cookie` header.
fn value(set_cookie: &Value) -> &str {
    let cookie = set_cookie.as_str().expect("a text");
    let pair = cookie.split(';').next().unwrap_or_default();
    pair.split_once('=').expect("a pair").1
}

#[test]
fn cookies_of_express_session() {
    for vector in golden("express_cookies") {
        let secrets = texts(&vector["secret"]);
        let express = secrets[1..]
            .iter()
            .fold(Express::new(secrets[0]), |express, secret| {
                express.with_previous(secret)
            });
        let sid = vector["sid"].as_str().expect("a text");
        let token = SessionToken::plain(sid).expect("any text");
        let cookie = value(&vector["cookie"]);
        assert_eq!(express.write_cookie(&token), cookie, "{vector}");
        assert_eq!(
            express.read_cookie(cookie).as_deref(),
            Some(sid),
            "{vector}"
        );
    }
}

#[test]
fn cookies_of_cookie_session() {
    let mut signed = 0;
    for vector in golden("cookie_sessions") {
        let (options, set) = (&vector["options"], vector["set_cookie"].as_array());
        let keys = [texts(&options["keys"]), texts(&options["secret"])].concat();
        let (Some([cookie, signature]), [first, rest @ ..]) = (set.map(Vec::as_slice), &keys[..])
        else {
            continue;
        };
        if vector["session"].is_null() {
            continue;
        }
        let name = options["name"].as_str().unwrap_or("session");
        let cookies = rest
            .iter()
            .fold(CookieSession::new(first).name(name), |cookies, key| {
                cookies.with_previous(key)
            });
        let (cookie, signature) = (value(cookie), value(signature));
        let json = cookies.read(cookie, signature).expect("signed");
        let session: Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(session, vector["session"], "{vector}");
        let again = (cookie.to_owned(), signature.to_owned());
        assert_eq!(cookies.write(&json), again, "{vector}");
        signed += 1;
    }
    assert!(signed >= 5, "{signed}");
}

#[test]
fn cookies_of_connect_2() {
    for vector in golden("connect_sessions") {
        if vector["session"].is_null() {
            continue;
        }
        let secret = vector["secret"].as_str().expect("a text");
        let cookie = ConnectSess::new(secret);
        let text = value(&vector["set_cookie"]);
        let json = cookie.read(text).expect("signed");
        let session: Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(session, vector["session"], "{vector}");
        assert_eq!(cookie.write(&json), text, "{vector}");
    }
}

/// Every record that express-session writes is read, and written back unchanged except for its
/// expiry.
#[tokio::test]
async fn records_of_express_session() {
    for vector in golden("express_sessions") {
        let memory = Memory::default();
        let store = store(memory.clone());
        let json = vector["json"].as_str().expect("a text");
        memory.put("sid", json, Duration::from_secs(60));
        let id = plain("sid");
        let record = store.load(&id).await.expect("read").expect("there");
        let data: Value = serde_json::from_slice(&record.data).expect("JSON");
        assert_eq!(data, vector["data"], "{vector}");
        let draft = Draft::new(record.data, record.lifetime);
        let version = done(store.save(&id, &draft, &record.version).await);
        assert_eq!(version.stamp(), record.version.stamp(), "no change");
        // A session with a lifetime of zero has ended.
        if record.lifetime.idle.millis() > Some(1_000) {
            let without_end = |text: &str| {
                let mut json: Value = serde_json::from_str(text).expect("JSON");
                json["cookie"]["expires"].take();
                json
            };
            let again = memory.text("sid").expect("there");
            assert_eq!(without_end(&again), without_end(json), "{vector}");
        }
    }
}
