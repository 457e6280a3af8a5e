//! The `Cookie` header: what else is in it, and several cookies of one name.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::header::{COOKIE, HOST, HeaderValue, SET_COOKIE};
use http::{HeaderMap, Request};
use session_core::{Lifetime, Sessions};
use session_web::express::{ConnectSess, CookieSession, Express, ExpressStore};
use session_web::{KeyRing, Secret, Session, SessionLayer};
use tower::ServiceExt;

use crate::browser::Browser;
use crate::express_records::Memory;
use crate::probe::Probe;
use crate::site::{GRACE, Heard, RENEW_AFTER, Site, renewing, who_by};

fn app(layer: SessionLayer) -> Router {
    Router::new()
        .route(
            "/set",
            get(|session: Session| async move { session.insert("n", 1).expect("JSON") }),
        )
        .route(
            "/",
            get(|session: Session| async move { session.contains_key("n").to_string() }),
        )
        .layer(layer)
}

fn ring() -> KeyRing {
    KeyRing::new(Secret::new([7; 32]).expect("32 bytes"))
}

/// One of each kind of session, with a cookie that opens one.
async fn every_kind() -> Vec<(&'static str, Router, String)> {
    let store = || SessionLayer::builder(Probe::default());
    let express = Express::new("keyboard cat");
    let records = ExpressStore::with_client(Memory::default(), express.clone(), ()).expect("good");
    let compatible = SessionLayer::express_compatible(records).expect("good");
    let cookie_session = SessionLayer::express_cookie_only(CookieSession::new("a"));
    let connect = SessionLayer::express_cookie_only(ConnectSess::new("a"));
    let sealed = SessionLayer::cookie_only(&ring());
    let mut kinds = Vec::new();
    for (kind, layer) in [
        ("store", store().build()),
        ("signed", store().sign(ring()).build()),
        ("cookie-only", sealed.clone().build()),
        ("readable", sealed.readable().build()),
        ("Express' layout", compatible.build()),
        ("Express' cookie", store().express(&express).build()),
        ("cookie-session", cookie_session.build()),
        ("connect.sess", connect.build()),
    ] {
        let app = app(layer.expect("good"));
        let browser = Browser::new();
        browser.get(&app, "/set").await;
        kinds.push((kind, app, browser.cookies()));
    }
    kinds
}

/// Whether these lines open the session, and what cookies the response sets.
async fn opens(app: &Router, lines: &[&[u8]]) -> (bool, Vec<String>) {
    let mut headers = HeaderMap::new();
    for line in lines {
        let line = HeaderValue::from_bytes(line).expect("a header");
        headers.append(COOKIE, line);
    }
    headers.insert(HOST, HeaderValue::from_static("example.org"));
    let mut request = Request::new(Body::empty());
    *request.headers_mut() = headers;
    let response = app.clone().oneshot(request).await.expect("infallible");
    let set = response.headers().get_all(SET_COOKIE).iter();
    let set = set.map(|cookie| format!("{cookie:?}")).collect();
    let body = axum::body::to_bytes(response.into_body(), 100).await;
    (body.expect("short") == "true", set)
}

#[tokio::test]
async fn a_byte_that_is_no_utf_8_in_anybodys_cookie_signs_nobody_out() {
    for (kind, app, cookie) in every_kind().await {
        let name = cookie.split('=').next().expect("a name").as_bytes();
        let cookie = cookie.as_bytes();
        let around = |before: &[u8], after: &[u8]| [before, cookie, after].concat();
        for line in [
            around(b"a=\xf8; ", b""),
            around(b"", b"; a=\xf8"),
            around(b"\xf8=1; ", b"; \xff"),
            around(b"\xf8; ; =; ", b";;"),
            around(b"a=\"\xf8;", b";b=\""),
        ] {
            let opened = opens(&app, &[&line]).await;
            assert_eq!(opened, (true, vec![]), "{kind}: {}", line.escape_ascii());
        }
        // HTTP/2 may send each pair in a line of its own.
        let lines: Vec<&[u8]> = [&b"a=\xf8"[..]]
            .into_iter()
            .chain(cookie.split(|byte| *byte == b';'))
            .chain([&b"b=\xf8\xf8"[..]])
            .collect();
        assert_eq!(opens(&app, &lines).await, (true, vec![]), "{kind}");
        let broken = [name, b"=\xf8"].concat();
        assert_eq!(opens(&app, &[&broken]).await, (false, vec![]), "{kind}");
    }
}

/// A generator of numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Any bytes that a header may have, but those that end a pair.
    fn bytes(&mut self) -> Vec<u8> {
        let length = self.below(12);
        let byte = |dice: &mut Self| match dice.below(4) {
            0 => b"= \t\"%,"[dice.below(6) as usize],
            1 => 0x80 + dice.below(0x80) as u8,
            _ => 0x20 + dice.below(0x5f) as u8,
        };
        let bytes: Vec<u8> = (0..length).map(|_| byte(self)).collect();
        bytes.into_iter().filter(|byte| *byte != b';').collect()
    }
}

#[tokio::test]
async fn no_pair_of_another_name_changes_the_outcome() {
    for (kind, app, cookie) in every_kind().await {
        for seed in 1..=150_u64 {
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut lines = vec![Vec::new()];
            let mut pairs: Vec<Vec<u8>> = cookie.split(';').map(|p| p.into()).collect();
            for _ in 0..dice.below(8) {
                // None has one of our names: they don't begin so.
                let at = dice.below(pairs.len() as u64 + 1) as usize;
                pairs.insert(at, [&b"x"[..], &dice.bytes()].concat());
            }
            for pair in pairs {
                if dice.below(4) == 0 {
                    lines.push(Vec::new());
                }
                let line = lines.last_mut().expect("one");
                if !line.is_empty() {
                    line.push(b';');
                }
                line.extend(pair);
            }
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            let opened = opens(&app, &lines).await;
            assert_eq!(opened, (true, vec![]), "{kind}, seed {seed}: {lines:?}");
        }
    }
}

fn dead(app_cookie: &str, n: usize) -> String {
    let (name, _) = app_cookie.split_once('=').expect("a pair");
    format!("{name}={}", n.to_string().repeat(54))
}

#[tokio::test]
async fn a_dead_cookie_does_not_shadow_a_live_one() {
    let probe = Probe::default();
    let app = app(SessionLayer::new(probe.clone()));
    let browser = Browser::new();
    browser.get(&app, "/set").await;
    let live = browser.cookies();
    let dead: Vec<String> = (0..5).map(|n| dead(&live, n)).collect();
    let name = "__Host-id";
    for (cookies, opened, loads) in [
        (live.clone(), true, 1),
        (format!("{live}; {live}"), true, 1),
        (format!("{name}=junk; {name}=; {live}"), true, 1),
        (format!("{}; {live}", dead[0]), true, 2),
        (format!("{live}; {}", dead[0]), true, 2),
        (format!("{}; {live}", dead[..3].join("; ")), true, 4),
        (format!("{}; {live}", dead[..4].join("; ")), false, 4),
    ] {
        probe.taken();
        let found = opens(&app, &[cookies.as_bytes()]).await;
        assert_eq!(found, (opened, vec![]), "{cookies}");
        assert_eq!(probe.taken(), (loads, 0, 0), "{cookies}");
    }
}

#[tokio::test]
async fn cookies_of_one_name_are_loaded_at_the_same_time() {
    let probe = Probe::default();
    let app = app(SessionLayer::new(probe.clone()));
    let browser = Browser::new();
    browser.get(&app, "/set").await;
    let live = browser.cookies();
    let dead: Vec<String> = (0..3).map(|n| dead(&live, n)).collect();
    let cookies = format!("{}; {live}", dead.join("; "));
    probe.load_together(4);
    let lines = [cookies.as_bytes()];
    let opened = opens(&app, &lines);
    let opened = tokio::time::timeout(Duration::from_secs(10), opened).await;
    assert!(opened.expect("none waits for another's answer").0);
}

#[tokio::test]
async fn one_that_signs_in_with_a_dead_cookie_beside_is_signed_in() {
    let site = Site::default();
    let app = site.router(Sessions::from(Probe::default()));
    let planted = dead("__Host-id=x", 1);
    let page = Browser::holding(&planted).get(&app, "/sign-in/ann").await;
    let new = crate::site::new_cookie(&page);
    let both = Browser::new().with("cookie", &format!("{planted}; {new}"));
    assert_eq!(both.get(&app, "/who").await.text, "ann");
    // What it does then is done to the session that was opened.
    assert!(both.get(&app, "/set/k").await.set_cookies().is_empty());
    assert_eq!(both.get(&app, "/keys").await.text, "secret,k");
    let page = both.get(&app, "/sign-out").await;
    assert!(page.attributes().contains("Max-Age=0"));
    assert_eq!(who_by(&app, &new).await, "nobody");
}

#[tokio::test]
async fn a_client_with_an_old_and_the_current_token_is_one_party() {
    let (probe, heard) = (Probe::default(), Heard::default());
    let sessions = renewing(&probe).observer(heard.clone());
    let app = Site::default().router(sessions.build().expect("good rules"));
    let browser = Browser::new();
    browser.get(&app, "/sign-in/ann").await;
    let old = browser.cookies();
    tokio::time::sleep(RENEW_AFTER).await;
    browser.get(&app, "/who").await;
    let new = browser.cookies();
    assert_ne!(old, new, "it was renewed");
    browser.get(&app, "/who").await;
    tokio::time::sleep(2 * GRACE).await;
    for cookies in [format!("{old}; {new}"), format!("{new}; {old}")] {
        let both = Browser::new().with("cookie", &cookies);
        assert_eq!(both.get(&app, "/who").await.text, "ann", "{cookies}");
    }
    assert_eq!(heard.take(), [""; 0]);
    // Beside another's session it is what it is alone.
    let other = Browser::new();
    other.get(&app, "/sign-in/bob").await;
    let both = Browser::new().with("cookie", &format!("{old}; {}", other.cookies()));
    assert_eq!(both.get(&app, "/who").await.text, "bob");
    let told = heard.take();
    assert!(
        told[0].contains("reused") && told[1].contains("ended"),
        "{told:?}"
    );
    assert_eq!(who_by(&app, &new).await, "nobody");
}

#[tokio::test]
async fn a_load_that_fails_is_no_dead_cookie() {
    let probe = Probe::default();
    let app = app(SessionLayer::new(probe.clone()));
    let browser = Browser::new();
    browser.get(&app, "/set").await;
    let both = format!("{}; {}", dead("__Host-id=", 1), browser.cookies());
    probe.fail_loads(true);
    let page = Browser::new().with("cookie", &both).get(&app, "/").await;
    assert_eq!(page.status, 503);
}

#[tokio::test]
async fn a_cookie_that_does_not_open_shadows_no_sealed_one() {
    for layer in [
        SessionLayer::cookie_only(&ring()),
        SessionLayer::cookie_only(&ring()).readable(),
    ] {
        let instant = Duration::from_millis(1);
        let brief = layer.clone().lifetime(Lifetime::new(instant, instant));
        let expired = Browser::new();
        expired
            .get(&app(brief.build().expect("good")), "/set")
            .await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let app = app(layer.build().expect("good"));
        let browser = Browser::new();
        browser.get(&app, "/set").await;
        let live = browser.cookies();
        for (before, opened) in [
            ("__Host-id=garbage".to_owned(), true),
            (expired.cookies(), true),
            (["__Host-id=garbage"; 3].join("; "), true),
            (["__Host-id=garbage"; 40].join("; "), true),
            ([&expired.cookies()[..]; 3].join("; "), true),
            ([&expired.cookies()[..]; 4].join("; "), false),
        ] {
            let cookies = format!("{before}; {live}");
            let found = opens(&app, &[cookies.as_bytes()]).await;
            assert_eq!(found, (opened, vec![]), "{cookies}");
        }
    }
}

/// Express takes the first of a name, whatever it is.
#[tokio::test]
async fn of_cookies_of_express_the_first_counts() {
    for (kind, app, cookie) in every_kind().await {
        if !kind.contains("Express") && kind != "cookie-session" && kind != "connect.sess" {
            continue;
        }
        let name = cookie.split('=').next().expect("a name");
        for first in [&b"junk"[..], b"", b"\xf8"] {
            let line = [name.as_bytes(), b"=", first, b"; ", cookie.as_bytes()].concat();
            let found = opens(&app, &[&line]).await;
            assert_eq!(found, (false, vec![]), "{kind}: {}", line.escape_ascii());
        }
        let line = format!("{cookie}; {name}=junk");
        assert!(opens(&app, &[line.as_bytes()]).await.0, "{kind}");
    }
}
