//! Cookies and records as an Express app has them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use http::StatusCode;
use session_core::{Draft, ErrorKind, Lifetime, SessionStore, SessionToken};
use session_memory::MemoryStore;
use session_web::express::{
    ConnectSess, CookieSession, Express, ExpressStore, KeygripHash, MovingStore,
};
use session_web::{KeyRing, NamePrefix, Rolling, Secret, Session, SessionLayer};

use crate::browser::Browser;
use crate::express_records::Memory;

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const SECRET: &str = "keyboard cat";
/// Checked with the real express-session.
pub(crate) const SID: &str = "x8_4i3md4GT-YSO5u41ROgZDabcdefgh";
pub(crate) const COOKIE: &str =
    "s%3Ax8_4i3md4GT-YSO5u41ROgZDabcdefgh.Wwx8NNvQ2pEEhtB5xntCu8iIgTyBBlCOhzMn562Wt%2Fk";

pub(crate) fn router(layer: SessionLayer) -> Router {
    Router::new()
        .route(
            "/keys",
            get(|session: Session| async move { session.keys().join(",") }),
        )
        .route(
            "/set/{key}",
            get(|session: Session, Path(key): Path<String>| async move {
                session.insert(&key, "ä").expect("JSON");
            }),
        )
        .route(
            "/remember",
            get(|session: Session| async move {
                let month = Lifetime::idle(30 * 24 * HOUR);
                session.set_lifetime(month).expect("good");
            }),
        )
        .route(
            "/sign-in",
            get(|session: Session| async move { session.cycle_id().await.expect("saved") }),
        )
        .route("/static", get(|| async {}))
        .route(
            "/owner",
            get(|session: Session| async move {
                match session.sign_in("user-1").await {
                    Err(error) if error.kind() == ErrorKind::Unsupported => {
                        StatusCode::NOT_IMPLEMENTED
                    }
                    other => panic!("there is no room for an owner: {other:?}"),
                }
            }),
        )
        .route(
            "/sign-out",
            get(|session: Session| async move { session.destroy().await.expect("ended") }),
        )
        .layer(layer)
}

fn app(express: Express) -> (Memory, Router) {
    let memory = Memory::default();
    let store = ExpressStore::with_client(memory.clone(), express, ()).expect("good options");
    let layer = SessionLayer::express_compatible(store).expect("good options");
    (memory, router(layer.build().expect("good options")))
}

fn with_cookie(pair: &str) -> Browser {
    Browser::new().with("cookie", pair)
}

#[tokio::test]
async fn a_session_that_express_began_goes_on_under_its_cookie() {
    let (memory, app) = app(Express::new(SECRET));
    let json = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":"Napoleon"}"#;
    memory.put(SID, json, HOUR);
    let browser = with_cookie(&format!("connect.sid={COOKIE}"));
    let page = browser.get(&app, "/keys").await;
    assert_eq!((page.status, page.text.as_str()), (StatusCode::OK, "user"));
    assert_eq!(page.set_cookies(), [""; 0]);
    let page = browser.get(&app, "/set/seen").await;
    assert_eq!(page.set_cookies(), [""; 0], "the cookie is what it was");
    let kept = memory.text(SID).expect("there");
    assert_eq!(
        kept,
        json.replace(r#""Napoleon"}"#, r#""Napoleon","seen":"ä"}"#)
    );
}

#[tokio::test]
async fn a_new_session_has_the_cookie_and_record_that_express_reads() {
    let (memory, app) = app(Express::new(SECRET));
    let browser = Browser::by_http();
    let page = browser.get(&app, "/set/n").await;
    assert_eq!(page.attributes(), "Path=/; HttpOnly; SameSite=Lax");
    let cookie = browser.cookies();
    let value = cookie.strip_prefix("connect.sid=").expect("its name");
    let token = Express::new(SECRET).read_cookie(value).expect("signed");
    assert!(memory.text(&token).is_some());

    let https = Express::new(SECRET)
        .name("sid")
        .max_age(HOUR)
        .secure(true)
        .domain(".example.org")
        .path("/set")
        .same_site(session_express::SameSite::Strict)
        .rolling(true);
    let (_, app) = self::app(https);
    let page = Browser::new().get(&app, "/set/n").await;
    assert_eq!(
        page.attributes(),
        "Path=/set; Domain=example.org; Max-Age=3600; Secure; HttpOnly; SameSite=Strict"
    );
}

#[tokio::test]
async fn a_cookie_that_was_not_signed_asks_no_store_and_the_first_counts() {
    let (memory, app) = app(Express::new("new").with_previous(SECRET));
    memory.put(SID, r#"{"cookie":{},"user":1}"#, HOUR);
    for wrong in [
        format!("connect.sid={SID}"),
        format!("connect.sid={}", COOKIE.replace("Wwx8", "Wwx9")),
        format!("connect.sid=junk; connect.sid={COOKIE}"),
    ] {
        let page = with_cookie(&wrong).get(&app, "/keys").await;
        assert_eq!(page.text, "", "{wrong}");
    }
    assert_eq!(memory.calls.load(std::sync::atomic::Ordering::SeqCst), 0);
    let page = with_cookie(&format!("connect.sid={COOKIE}"))
        .get(&app, "/keys")
        .await;
    assert_eq!(page.text, "user", "an older secret verifies");
}

#[tokio::test]
async fn remember_me_is_told_to_both_sides() {
    let (memory, app) = app(Express::new(SECRET));
    let browser = Browser::new();
    browser.get(&app, "/set/n").await;
    let page = browser.get(&app, "/remember").await;
    assert!(
        page.attributes().contains("Max-Age=2592000"),
        "{}",
        page.attributes()
    );
    let value = browser.cookies();
    let value = value.strip_prefix("connect.sid=").expect("its name");
    let token = Express::new(SECRET).read_cookie(value).expect("signed");
    let record = memory.text(&token).expect("there");
    assert!(
        record.contains(r#""originalMaxAge":2592000000,"expires":"2"#),
        "{record}"
    );
}

#[tokio::test]
async fn signing_in_and_out() {
    let (memory, app) = app(Express::new(SECRET));
    memory.put(SID, r#"{"cookie":{},"cart":1}"#, HOUR);
    let browser = Browser::holding(&format!("connect.sid={COOKIE}"));
    let page = browser.get(&app, "/sign-in").await;
    assert_eq!(page.set_cookies().len(), 1);
    assert_eq!(memory.text(SID), None, "the old id is dead");
    assert_eq!(browser.get(&app, "/keys").await.text, "cart");
    let page = browser.get(&app, "/sign-out").await;
    assert!(page.attributes().contains("Max-Age=0"));
    assert_eq!(browser.cookies(), "");
}

/// The whole way: Express' layout, then both, then the native store, then this library's cookie.
#[tokio::test]
async fn nobody_is_logged_out_on_the_way_to_the_native_layer() {
    let express = Express::new(SECRET);
    let (memory, native) = (Memory::default(), MemoryStore::new());
    let uuid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
    let odd = SessionToken::foreign(uuid).expect("any text");
    for sid in [SID, uuid] {
        memory.put(sid, r#"{"cookie":{},"user":1}"#, HOUR);
    }
    let visitors = [COOKIE.to_owned(), express.write_cookie(&odd)];
    let browsers = visitors.map(|cookie| Browser::holding(&format!("connect.sid={cookie}")));

    let store =
        ExpressStore::with_client(memory.clone(), express.clone(), ()).expect("good options");
    let moving = MovingStore::new(Arc::new(native.clone()), store);
    let layer = SessionLayer::express_compatible(moving).expect("good options");
    let both = router(layer.build().expect("good options"));
    for browser in &browsers {
        browser.get(&both, "/set/moved").await;
        assert_eq!(browser.get(&both, "/keys").await.text, "user,moved");
    }
    assert_eq!((memory.text(SID), memory.text(uuid)), (None, None));

    let layer = SessionLayer::builder(native.clone()).express(&express);
    let native_records = router(layer.build().expect("good options"));
    for browser in &browsers {
        assert_eq!(
            browser.get(&native_records, "/keys").await.text,
            "user,moved"
        );
    }

    let layer = SessionLayer::builder(native).accept_express(&express);
    let native_cookie = router(layer.build().expect("good options"));
    for browser in browsers {
        let page = browser.get(&native_cookie, "/keys").await;
        assert_eq!(page.text, "user,moved");
        let [new, old] = page.set_cookies()[..] else {
            panic!(
                "the new cookie comes and the old one goes: {:?}",
                page.set_cookies()
            );
        };
        assert!(
            new.starts_with("__Host-id=") && new.ends_with("SameSite=Lax"),
            "{new}"
        );
        assert!(
            old.starts_with("connect.sid=; ") && old.contains("Max-Age=0"),
            "{old}"
        );
        assert!(!browser.cookies().contains("connect.sid"));
        let page = browser.get(&native_cookie, "/keys").await;
        assert_eq!(page.text, "user,moved", "by the new cookie alone");
        assert_eq!(page.set_cookies(), [""; 0]);
    }
}

#[tokio::test]
async fn a_rolling_cookie_of_express_is_sent_by_pages_that_do_not_use_the_session() {
    for (is_rolling, sent) in [(true, 1), (false, 0)] {
        let (memory, app) = app(Express::new(SECRET).max_age(HOUR).rolling(is_rolling));
        memory.put(SID, r#"{"cookie":{},"user":1}"#, HOUR);
        let browser = Browser::holding(&format!("connect.sid={COOKIE}"));
        let page = browser.get(&app, "/static").await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.set_cookies().len(), sent);
        if is_rolling {
            let cookie = page.set_cookies()[0].to_owned();
            assert!(
                cookie.starts_with(&format!("connect.sid={COOKIE}; ")),
                "{cookie}"
            );
            assert!(cookie.contains("Max-Age="), "{cookie}");
            assert_eq!(page.header("cache-control"), Some("no-store"));
        }
        let page = Browser::new().get(&app, "/static").await;
        assert_eq!(page.set_cookies(), [""; 0], "nothing was presented");
        assert_eq!(browser.get(&app, "/keys").await.text, "user");
    }
}

#[tokio::test]
async fn cookies_of_cookie_session_are_sent_by_pages_that_do_not_use_them_if_they_roll() {
    for (rolling, sent) in [(Rolling::Always, 2), (Rolling::WithDeadline, 0)] {
        let layer = SessionLayer::express_cookie_only(CookieSession::new("a"));
        let layer = layer.options().expect("good options").rolling(rolling);
        let app = router(layer.build().expect("good options"));
        let browser = Browser::new();
        browser.get(&app, "/set/n").await;
        let before = browser.cookies();
        let page = browser.get(&app, "/static").await;
        assert_eq!(page.set_cookies().len(), sent, "{rolling:?}");
        assert_eq!(browser.cookies(), before, "{rolling:?}");
        let control = (sent > 0).then_some("no-store");
        assert_eq!(page.header("cache-control"), control, "{rolling:?}");
        assert_eq!(browser.get(&app, "/keys").await.text, "n");
        let page = Browser::new().get(&app, "/static").await;
        assert_eq!(page.set_cookies(), [""; 0], "{rolling:?}");
    }
}

#[tokio::test]
async fn sessions_in_the_cookies_of_cookie_session() {
    let cookies = CookieSession::new("a").with_previous("b");
    let layer = SessionLayer::express_cookie_only(cookies.clone());
    let app = router(layer.build().expect("good options"));
    let theirs = "session=eyJtZXNzYWdlIjoiaGkifQ==; session.sig=";
    for signature in ["vdp2-kj-91tgzbWcV1QzofT3hu0", "SiRRAEncekXEzVdvey_7SkWaMM4"] {
        let page = with_cookie(&format!("{theirs}{signature}"))
            .get(&app, "/keys")
            .await;
        assert_eq!(page.text, "message");
        assert_eq!(page.set_cookies(), [""; 0]);
    }
    for wrong in [
        "",
        "vdp2-kj-91tgzbWcV1QzofT3hu1",
        "_UwaZiOI1-I5sK8OaL8rQMEejOUYnZVwRGjiOHWYYP4",
    ] {
        let page = with_cookie(&format!("{theirs}{wrong}"))
            .get(&app, "/keys")
            .await;
        assert_eq!(
            (page.status, page.text.as_str()),
            (StatusCode::OK, ""),
            "{wrong}"
        );
    }
    let browser = Browser::new();
    let page = browser.get(&app, "/set/n").await;
    let [value, signature] = page.set_cookies()[..] else {
        panic!("two cookies: {:?}", page.set_cookies());
    };
    let (expected, by) = cookies.write(r#"{"n":"ä"}"#.as_bytes());
    let attributes = "Path=/; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(value, format!("session={expected}; {attributes}"));
    assert_eq!(signature, format!("session.sig={by}; {attributes}"));
    assert_eq!(browser.get(&app, "/keys").await.text, "n");
    let page = browser.get(&app, "/sign-out").await;
    assert_eq!(page.set_cookies().len(), 2);
    assert_eq!(browser.cookies(), "");

    let sha256 = CookieSession::new("a").hash(KeygripHash::Sha256).name("s");
    let layer = SessionLayer::express_cookie_only(sha256).build();
    let app = router(layer.expect("good options"));
    let browser = Browser::new();
    browser.get(&app, "/set/n").await;
    assert_eq!(browser.get(&app, "/keys").await.text, "n");
}

#[tokio::test]
async fn sessions_in_the_cookie_of_connect_2() {
    let layer = SessionLayer::express_cookie_only(ConnectSess::new("SUPERsekret").name("app.sess"));
    let app = router(layer.build().expect("good options"));
    let theirs = "app.sess=s%3Aj%3A%7B%22name%22%3A%22Napoleon%22%7D.cHBwuYgk5zn7B54Oa7MOTLMRpcw3ozdrBCvSaJCE1tM";
    let browser = Browser::holding(theirs);
    assert_eq!(browser.get(&app, "/keys").await.text, "name");
    browser.get(&app, "/set/seen").await;
    assert_eq!(browser.get(&app, "/keys").await.text, "name,seen");
    let cut = with_cookie(&theirs[..theirs.len() - 1]);
    assert_eq!(cut.get(&app, "/keys").await.text, "");
}

#[tokio::test]
async fn what_their_cookies_have_no_room_for_is_refused() {
    let layer = SessionLayer::express_cookie_only(CookieSession::new("a"));
    let app = router(layer.build().expect("good options"));
    let page = Browser::new().get(&app, "/owner").await;
    assert_eq!(page.status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(page.set_cookies(), [""; 0]);
    let empty = SessionLayer::express_cookie_only(CookieSession::new("")).build();
    assert!(
        matches!(&empty, Err(error) if error.kind() == ErrorKind::Misconfigured),
        "{empty:?}"
    );
    let store = ExpressStore::with_client(Memory::default(), Express::new(""), ());
    assert!(matches!(&store, Err(error) if error.kind() == ErrorKind::Misconfigured));
    let store =
        ExpressStore::with_client(Memory::default(), Express::new(SECRET), ()).expect("good");
    let layer = SessionLayer::express_compatible(store).expect("good options");
    let twice = layer.sign(KeyRing::new(Secret::generate())).build();
    assert!(
        matches!(&twice, Err(error) if error.kind() == ErrorKind::Misconfigured),
        "{twice:?}"
    );
    let store =
        ExpressStore::with_client(Memory::default(), Express::new(SECRET), ()).expect("good");
    let other = SessionLayer::builder(store).build();
    assert!(
        matches!(&other, Err(error) if error.kind() == ErrorKind::Misconfigured),
        "its sessions are opened by Express' cookie: {other:?}"
    );
    // What no object is, though it was signed.
    let (value, signature) = CookieSession::new("a").write(b"[1]");
    let pair = format!("session={value}; session.sig={signature}");
    let page = with_cookie(&pair).get(&app, "/keys").await;
    assert_eq!((page.status, page.text.as_str()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn what_no_cookie_of_express_can_have_is_refused_at_build() {
    let wrong = [
        (Express::new(""), "secret"),
        (Express::new(SECRET).with_previous(""), "secret"),
        (Express::new(SECRET).name("a; Domain=evil.example"), "name"),
        (Express::new(SECRET).name(""), "name"),
        (Express::new(SECRET).path("/\r\nSet-Cookie: a=b"), "path"),
        (Express::new(SECRET).path("/; Domain=evil.example"), "path"),
        (
            Express::new(SECRET).domain("; Domain=evil.example"),
            "domain",
        ),
        (Express::new(SECRET).domain("bücher.example"), "domain"),
        (Express::new(SECRET).domain("a.".repeat(200)), "domain"),
    ];
    for (express, says) in wrong {
        let builder = || SessionLayer::builder(MemoryStore::new());
        for built in [
            builder().express(&express).build(),
            builder().accept_express(&express).build(),
        ] {
            let error = built.expect_err(says);
            assert_eq!(error.kind(), ErrorKind::Misconfigured);
            assert!(error.to_string().contains(says), "{error} says {says}");
        }
        let store = ExpressStore::with_client(Memory::default(), express, ());
        assert!(
            matches!(&store, Err(error) if error.kind() == ErrorKind::Misconfigured),
            "{says}"
        );
    }
    let layer = SessionLayer::builder(MemoryStore::new())
        .name("connect.sid")
        .prefix(NamePrefix::None)
        .accept_express(&Express::new(SECRET));
    let error = layer.build().expect_err("the same name");
    assert!(error.to_string().contains("another name"), "{error}");
    for name in ["", "a;b", "a\r\nb", "ä"] {
        let layers = [
            SessionLayer::express_cookie_only(CookieSession::new("a").name(name)),
            SessionLayer::express_cookie_only(ConnectSess::new("a").name(name)),
        ];
        for layer in layers {
            let error = layer.build().expect_err(name);
            assert!(error.to_string().contains("cookie name"), "{error}");
        }
    }
}

#[tokio::test]
async fn express_records_are_found_under_the_token_itself_and_never_shown() {
    let store =
        ExpressStore::with_client(Memory::default(), Express::new(SECRET), ()).expect("good");
    let token = SessionToken::generate_plain();
    let draft = Draft::new("{}", Lifetime::idle(HOUR));
    let created = store.create(&token.id(), &draft).await.expect("up");
    assert!(created.is_done());
    let shown = format!("{store:?} {:?} {token:?}", token.id());
    assert!(
        !shown.contains(token.expose()) && !shown.contains(SECRET),
        "{shown}"
    );
}
