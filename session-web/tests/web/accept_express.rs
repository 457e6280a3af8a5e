//! Sites that take an Express app's cookies along with their own, and cookies that were planted.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use session_core::Sessions;
use session_web::SessionLayer;
use session_web::express::{Express, ExpressStore, MovingStore};

use crate::browser::Browser;
use crate::express::{COOKIE, HOUR, SECRET, SID, router};
use crate::express_records::Memory;
use crate::probe::Probe;

/// A store that has a session of Express', and a site that takes Express' cookies along with its
/// own.
fn following() -> (Probe, Router) {
    let (express, memory, native) = (Express::new(SECRET), Memory::default(), Probe::default());
    memory.put(SID, r#"{"cookie":{},"user":1}"#, HOUR);
    let store = ExpressStore::with_client(memory, express.clone(), ()).expect("good options");
    let moving = MovingStore::new(Arc::new(native.clone()), store);
    let sessions = Sessions::builder(Arc::new(moving)).grace(Duration::from_millis(100));
    let layer = SessionLayer::builder(sessions.build().expect("good rules"));
    let layer = layer.accept_express(&express).build();
    (native, router(layer.expect("good options")))
}

#[tokio::test]
async fn a_cookie_of_express_that_was_planted_is_worth_nothing_afterwards() {
    let (native, app) = following();
    // The same for a cookie of Express' kind with a token of this library's.
    let layer = SessionLayer::builder(native).express(&Express::new(SECRET));
    let planter = Browser::new();
    let before = router(layer.build().expect("good options"));
    planter.get(&before, "/set/user").await;
    for planted in [format!("connect.sid={COOKIE}"), planter.cookies()] {
        let browser = Browser::holding(&planted);
        let page = browser.get(&app, "/keys").await;
        assert_eq!(page.text, "user", "{planted}");
        let [new, _] = page.set_cookies()[..] else {
            panic!("one comes and one goes: {:?}", page.set_cookies());
        };
        let sid = planted.trim_start_matches("connect.sid=s%3A");
        let sid = sid.split('.').next().expect("a token");
        assert!(!new.contains(sid), "{new}");
        browser.get(&app, "/set/card").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let page = Browser::holding(&planted).get(&app, "/keys").await;
        assert_eq!(page.text, "", "{planted}");
        assert_eq!(page.set_cookies(), [""; 0], "{planted}");
        assert_eq!(browser.get(&app, "/keys").await.text, "user,card");
    }
}

/// Longer than the grace of [`following`].
async fn grace_passes() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

#[tokio::test]
async fn a_planter_who_takes_the_new_cookie_first_does_not_have_the_visitors() {
    let (native, app) = following();
    let planted = format!("connect.sid={COOKIE}");
    let planter = Browser::holding(&planted);
    planter.get(&app, "/keys").await;
    grace_passes().await;

    let visitor = Browser::holding(&planted);
    native.fail_writes(true);
    let page = visitor.get(&app, "/keys").await;
    assert_eq!((page.status, page.text.as_str()), (StatusCode::OK, "user"));
    assert_eq!(page.set_cookies(), [""; 0], "not the planter's either");
    native.fail_writes(false);
    visitor.get(&app, "/set/card").await;
    for _ in 0..2 {
        assert_eq!(visitor.get(&app, "/keys").await.text, "user,card");
        assert_eq!(planter.copied().get(&app, "/keys").await.text, "");
        let page = Browser::holding(&planted).get(&app, "/keys").await;
        assert_eq!((page.text.as_str(), page.set_cookies().len()), ("", 0));
        grace_passes().await;
    }
}

#[tokio::test]
async fn of_parallel_requests_after_the_grace_one_gets_a_new_cookie() {
    let (native, app) = following();
    let browser = Browser::holding(&format!("connect.sid={COOKIE}"));
    browser.copied().get(&app, "/keys").await;
    grace_passes().await;
    native.slow();
    let tabs = [(); 4].map(|()| browser.copied());
    let pages = tabs.each_ref().map(|tab| tab.get(&app, "/keys"));
    let mut cookies = Vec::new();
    for page in futures_util::future::join_all(pages).await {
        assert_eq!(page.status, StatusCode::OK);
        cookies.extend(page.new_cookies());
    }
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let page = Browser::holding(&cookies[0]).get(&app, "/keys").await;
    assert_eq!(page.text, "user");
}

#[tokio::test]
async fn a_renewed_token_in_a_planted_cookie_of_express_is_not_sent_on_either() {
    let (native, express) = (Probe::default(), Express::new(SECRET));
    let sessions = || {
        Sessions::builder(Arc::new(native.clone()))
            .renew_after(Duration::from_millis(400))
            .grace(Duration::from_millis(100))
            .build()
            .expect("good rules")
    };
    let before = router(
        SessionLayer::builder(sessions())
            .express(&express)
            .build()
            .expect("good options"),
    );
    let after = SessionLayer::builder(sessions()).accept_express(&express);
    let after = router(after.build().expect("good options"));
    let planter = Browser::new();
    planter.get(&before, "/set/user").await;
    // The session of somebody who has signed in is renewed.
    planter.get(&before, "/sign-in").await;
    let planted = planter.cookies();
    tokio::time::sleep(Duration::from_millis(450)).await;
    planter.get(&before, "/keys").await;
    assert_ne!(planter.cookies(), planted, "it is renewed");
    let visitor = Browser::holding(&planted);
    assert_eq!(visitor.get(&after, "/keys").await.text, "user");
    let successor = planter.cookies();
    let successor = successor.trim_start_matches("connect.sid=s%3A");
    let successor = successor.split('.').next().expect("a token");
    assert!(!visitor.cookies().contains(successor));
    assert_eq!(visitor.get(&after, "/keys").await.text, "user");
    assert_eq!(planter.get(&after, "/keys").await.text, "");
}

#[tokio::test]
async fn parallel_requests_with_a_cookie_of_express_get_one_new_cookie() {
    let (native, app) = following();
    let browser = Browser::holding(&format!("connect.sid={COOKIE}"));
    native.slow();
    let tabs = ["/keys", "/set/a", "/keys", "/set/b"].map(|path| (path, browser.copied()));
    let pages = tabs.each_ref().map(|(path, tab)| tab.get(&app, path));
    let mut cookies = Vec::new();
    for page in futures_util::future::join_all(pages).await {
        assert_eq!(page.status, StatusCode::OK);
        cookies.push(page.new_cookies());
    }
    cookies.dedup();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let browser = Browser::holding(&cookies[0][0]);
    let page = browser.get(&app, "/keys").await.text;
    let mut keys: Vec<&str> = page.split(',').collect();
    keys.sort_unstable();
    assert_eq!(keys, ["a", "b", "user"]);
}

#[tokio::test]
async fn a_cookie_of_express_is_never_sent_on_as_it_is() {
    let (native, app) = following();
    native.fail_writes(true);
    let browser = Browser::holding(&format!("connect.sid={COOKIE}"));
    let page = browser.get(&app, "/keys").await;
    assert_eq!((page.status, page.text.as_str()), (StatusCode::OK, "user"));
    assert_eq!(page.set_cookies(), [""; 0], "the next request tries again");
    native.fail_writes(false);
    let page = browser.get(&app, "/keys").await;
    assert_eq!((page.text.as_str(), page.new_cookies().len()), ("user", 1));
}
