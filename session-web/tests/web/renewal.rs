//! Tokens that are renewed by themselves: what it costs, when it happens, and what fails.

use std::time::Duration;

use http::StatusCode;
use session_core::Sessions;
use session_web::{Persistence, Rolling, SessionLayer};

use crate::browser::Browser;
use crate::probe::Probe;
use crate::site::{GRACE, RENEW_AFTER, Site, new_cookie, renewing, who_by};

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// A browser whose signed-in session is due to be renewed.
async fn due(app: &axum::Router, store: &Probe) -> Browser {
    let browser = Browser::new();
    browser.get(app, "/sign-in/ann").await;
    tokio::time::sleep(RENEW_AFTER).await;
    store.taken();
    browser
}

#[tokio::test]
async fn a_renewal_costs_two_writes_and_other_requests_nothing() {
    let store = Probe::default();
    let app = Site::default().router(renewing(&store).build().expect("good rules"));
    let browser = Browser::new();
    browser.get(&app, "/sign-in/ann").await;
    assert_eq!(store.taken(), (0, 1, 0), "the sign-in");
    let page = browser.get(&app, "/who").await;
    assert_eq!((store.taken(), page.new_cookies().len()), ((1, 0, 0), 0));

    let browser = due(&app, &store).await;
    let page = browser.get(&app, "/who").await;
    assert_eq!(store.taken(), (1, 1, 0), "one write renews");
    assert_eq!((page.text.as_str(), page.new_cookies().len()), ("ann", 1));
    let page = browser.get(&app, "/who").await;
    assert_eq!(store.taken(), (1, 1, 0), "and one confirms");
    assert_eq!(page.new_cookies().len(), 0);
    for _ in 0..3 {
        browser.get(&app, "/who").await;
        assert_eq!(store.taken(), (1, 0, 0), "then it is as before");
    }
}

#[tokio::test]
async fn requests_that_save_or_touch_renew_and_confirm_by_that() {
    let store = Probe::default();
    let sessions = renewing(&store)
        .touch_after(std::time::Duration::ZERO)
        .build();
    let app = Site::default().router(sessions.expect("good rules"));
    let browser = due(&app, &store).await;
    for key in ["a", "b", "c"] {
        browser.get(&app, &format!("/set/{key}")).await;
        assert_eq!(store.taken(), (1, 1, 0), "saving {key}");
    }
    let browser = due(&app, &store).await;
    for (calls, what) in [
        ((1, 1, 0), "a renewal in the place of a touch"),
        ((1, 1, 0), "a confirmation in the place of a touch"),
        ((1, 0, 1), "a touch"),
    ] {
        pause(2).await;
        browser.get(&app, "/who").await;
        assert_eq!(store.taken(), calls, "{what}");
    }
}

#[tokio::test]
async fn the_old_token_opens_until_the_new_one_is_used_and_for_a_grace_then() {
    let (after, grace) = (Duration::from_millis(1_200), Duration::from_millis(300));
    let store = Probe::default();
    let sessions = renewing(&store).renew_after(after).grace(grace).build();
    let app = Site::default().router(sessions.expect("good rules"));
    let browser = Browser::new();
    browser.get(&app, "/sign-in/ann").await;
    tokio::time::sleep(after).await;
    let late = browser.copied();
    new_cookie(&browser.get(&app, "/who").await);
    browser.get(&app, "/who").await;
    let page = late.get(&app, "/set/late").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.set_cookies().is_empty(), "its client has the new one");
    assert_eq!(browser.get(&app, "/keys").await.text, "secret,late");
}

#[tokio::test]
async fn a_failed_renewal_refuses_nothing_and_sets_no_cookie() {
    let store = Probe::default();
    let layer = SessionLayer::builder(renewing(&store).build().expect("good rules"))
        .persistence(Persistence::Always)
        .rolling(Rolling::Always);
    let app = Site::default().router_of(layer);
    for is_written in [false, true] {
        let browser = due(&app, &store).await;
        let before = browser.cookies();
        store.fail_writes(!is_written);
        store.fail_answers(is_written);
        let page = browser.get(&app, "/who").await;
        assert_eq!((page.status, page.text.as_str()), (StatusCode::OK, "ann"));
        assert_eq!(page.set_cookies(), [""; 0], "written: {is_written}");
        store.fail_writes(false);
        store.fail_answers(false);
        let page = browser.get(&app, "/who").await;
        assert_eq!(page.text, "ann", "the old token holds");
        assert_ne!(new_cookie(&page), before, "and is renewed now, or was");
        assert_eq!(browser.get(&app, "/who").await.text, "ann");
    }
}

#[tokio::test]
async fn a_cookie_that_is_near_its_renewal_is_not_sent_again() {
    let (after, grace) = (Duration::from_millis(1_200), Duration::from_millis(300));
    let store = Probe::default();
    let sessions = renewing(&store).renew_after(after).grace(grace).build();
    let layer = SessionLayer::builder(sessions.expect("good rules"))
        .persistence(Persistence::Always)
        .rolling(Rolling::Always);
    let app = Site::default().router_of(layer);
    let browser = Browser::new();
    browser.get(&app, "/sign-in/ann").await;
    for path in ["/who", "/static"] {
        let page = browser.get(&app, path).await;
        assert_eq!(new_cookie(&page), browser.cookies(), "it rolls");
    }
    tokio::time::sleep(after - grace).await;
    // Another request may renew it at this moment, and that one's answer may come first.
    for path in ["/who", "/static"] {
        let page = browser.get(&app, path).await;
        assert_eq!(page.set_cookies(), [""; 0], "{path}");
    }
    // A request that is due renews it, whatever its handler does.
    tokio::time::sleep(grace).await;
    let before = browser.cookies();
    assert_ne!(new_cookie(&browser.get(&app, "/static").await), before);
}

#[tokio::test]
async fn a_token_is_renewed_on_time_after_a_sign_in_whatever_the_age_of_the_session() {
    for way in ["/sign-in/ann", "/cycle"] {
        let store = Probe::default();
        let app = Site::default().router(renewing(&store).build().expect("good rules"));
        let browser = Browser::new();
        browser.get(&app, "/set/cart").await;
        pause(500).await;
        let page = browser.get(&app, "/who").await;
        assert_eq!(page.set_cookies(), [""; 0], "a guest's is not renewed");
        new_cookie(&browser.get(&app, way).await);
        pause(200).await;
        let page = browser.get(&app, "/who").await;
        assert_eq!(page.set_cookies(), [""; 0], "{way}: not yet");
        pause(250).await;
        new_cookie(&browser.get(&app, "/who").await);
    }
}

#[tokio::test]
async fn a_form_from_before_a_renewal_is_still_good() {
    let store = Probe::default();
    let app = Site::default().router(renewing(&store).build().expect("good rules"));
    let browser = Browser::new();
    browser.get(&app, "/sign-in/ann").await;
    let token = browser.get(&app, "/form").await.text;
    tokio::time::sleep(RENEW_AFTER).await;
    new_cookie(&browser.get(&app, "/who").await);
    for _ in 0..2 {
        let page = browser.post(&app, "/post", "token", &token).await;
        assert_eq!(page.text, "true");
        tokio::time::sleep(GRACE).await;
    }
}

#[tokio::test]
async fn parallel_requests_are_told_of_one_new_token() {
    let store = Probe::default();
    let app = Site::default().router(renewing(&store).build().expect("good rules"));
    let browser = due(&app, &store).await;
    store.slow();
    let tabs = [(); 8].map(|()| browser.copied());
    let pages = tabs.each_ref().map(|tab| tab.get(&app, "/who"));
    let mut cookies = Vec::new();
    for page in futures_util::future::join_all(pages).await {
        assert_eq!(page.text, "ann");
        cookies.push(new_cookie(&page));
    }
    cookies.dedup();
    assert_eq!(cookies.len(), 1, "one successor");
    assert_eq!(who_by(&app, &cookies[0]).await, "ann");
}

#[tokio::test]
async fn tokens_are_not_renewed_unless_that_is_asked_for() {
    let store = Probe::default();
    let app = Site::default().router(Sessions::from(store.clone()));
    let browser = due(&app, &store).await;
    let page = browser.get(&app, "/who").await;
    assert_eq!((store.taken(), page.new_cookies().len()), ((1, 0, 0), 0));
}
