//! Signing in beside other requests of the same client.

use http::StatusCode;
use session_core::{SessionDirectory, Sessions};

use crate::browser::Browser;
use crate::probe::Probe;
use crate::site::{Site, new_cookie, who_by};

/// A site, and a visitor who has something in the cart.
async fn visited() -> (Site, axum::Router, Browser, Probe) {
    let (site, store) = (Site::default(), Probe::default());
    let app = site.router(Sessions::from(store.clone()));
    let browser = Browser::new();
    browser.get(&app, "/set/cart").await;
    (site, app, browser, store)
}

#[tokio::test]
async fn two_posts_of_one_form_sign_in_twice() {
    let (site, app, browser, store) = visited().await;
    let form = browser.get(&app, "/form").await.text;
    let tabs = [browser.copied(), browser.copied()];
    let post = |tab: Browser| {
        let (app, form) = (app.clone(), form.clone());
        tokio::spawn(async move { tab.post(&app, "/slow/sign-in", "token", &form).await })
    };
    let posts = tabs.map(post);
    site.gate.hold(2, async {}).await;
    let mut cookies = Vec::new();
    for page in posts {
        let page = page.await.expect("no panic");
        assert_eq!(page.status, StatusCode::OK);
        cookies.push(new_cookie(&page));
    }
    assert_ne!(cookies[0], cookies[1]);
    for cookie in &cookies {
        assert_eq!(who_by(&app, cookie).await, "ann");
        let browser = Browser::holding(cookie);
        assert_eq!(browser.get(&app, "/keys").await.text, "cart");
        // What the guest was shown is worth nothing in either.
        let page = browser.post(&app, "/post", "token", &form).await;
        assert_eq!(page.text, "false");
    }
    assert_eq!(who_by(&app, &browser.cookies()).await, "nobody");
    assert_eq!(store.store().count().await.expect("it is up"), 2);
}

#[tokio::test]
async fn a_form_from_before_a_sign_in_is_refused_after_it() {
    for way in ["/sign-in/ann", "/cycle"] {
        let (_, app, browser, _) = visited().await;
        let before = browser.get(&app, "/form").await.text;
        let page = browser.post(&app, "/post", "token", &before).await;
        assert_eq!(page.text, "true");
        browser.get(&app, way).await;
        let page = browser.post(&app, "/post", "token", &before).await;
        assert_eq!(page.text, "false", "{way}");
        let after = browser.get(&app, "/form").await.text;
        let page = browser.post(&app, "/post", "token", &after).await;
        assert_eq!(page.text, "true", "{way}");
    }
}

#[tokio::test]
async fn a_save_under_way_while_another_tab_signs_in_is_refused_and_sees_nothing() {
    let (site, app, browser, _) = visited().await;
    let (tab, same) = (browser.copied(), app.clone());
    let slow = tokio::spawn(async move { tab.get(&same, "/slow/set").await });
    site.gate.hold(1, browser.get(&app, "/sign-in/ann")).await;
    let page = slow.await.expect("no panic");
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert_eq!((page.text.as_str(), page.set_cookies().len()), ("", 0));
    assert_eq!(site.seen(), [r#"["cart", "late"] None"#]);
    assert_eq!(browser.get(&app, "/keys").await.text, "cart,secret");
    assert_eq!(browser.get(&app, "/who").await.text, "ann");
}

#[tokio::test]
async fn an_update_under_way_while_another_tab_signs_in_sees_nothing() {
    let (site, app, browser, _) = visited().await;
    let (tab, same) = (browser.copied(), app.clone());
    let slow = tokio::spawn(async move { tab.get(&same, "/slow/update").await });
    site.gate.hold(1, browser.get(&app, "/sign-in/ann")).await;
    let page = slow.await.expect("no panic");
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert_eq!(page.set_cookies(), [""; 0]);
    // The closure ran once, on what the guest had.
    assert_eq!(site.seen(), ["None", r#"["cart"] None"#]);
    assert_eq!(browser.get(&app, "/keys").await.text, "cart,secret");
}

#[tokio::test]
async fn a_request_that_is_late_for_a_sign_in_gets_no_cookie_and_stores_nothing() {
    let (_, app, browser, store) = visited().await;
    let late = browser.copied();
    browser.get(&app, "/sign-in/ann").await;
    for (path, status, text) in [
        ("/who", StatusCode::OK, "nobody"),
        ("/keys", StatusCode::OK, ""),
        ("/set/key", StatusCode::CONFLICT, ""),
        // It would leave the secret of the form in the session.
        ("/form", StatusCode::CONFLICT, ""),
        // It has signed nobody out, and does not say so.
        ("/sign-out", StatusCode::CONFLICT, "the session has ended"),
        (
            "/sign-out/flash",
            StatusCode::CONFLICT,
            "the session has ended",
        ),
    ] {
        let page = late.get(&app, path).await;
        assert_eq!((page.status, page.text.as_str()), (status, text), "{path}");
        assert_eq!(page.set_cookies(), [""; 0], "{path}");
    }
    assert_eq!(store.store().count().await.expect("it is up"), 1);
    assert_eq!(browser.get(&app, "/who").await.text, "ann");
    assert_eq!(browser.get(&app, "/keys").await.text, "cart,secret");
    let own = new_cookie(&late.get(&app, "/sign-in/bob").await);
    assert_eq!(who_by(&app, &own).await, "bob");
    assert_eq!(browser.get(&app, "/who").await.text, "ann");
}
