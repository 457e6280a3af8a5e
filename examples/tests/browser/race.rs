//! Requests that are in flight while something ends: a session, the site.

use serde_json::json;

use crate::chromium::Chromium;
use crate::is_skipped;
use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_race_tells_its_outcome() {
    if is_skipped() {
        return;
    }
    let browser = Chromium::start(&json!({})).await;
    for (options, slow, who) in [
        (&[][..], 409, "not signed in"),
        // What cookies alone can't do, and the page says so.
        (&["--cookie-only"][..], 200, "signed in as ada"),
    ] {
        let site = Site::start(options);
        browser.client.delete_all_cookies().await.expect("deleted");
        browser.sign_in(&site, "ada").await;
        browser.open(&site.url("/race")).await;
        browser.click("#run").await;
        let told = format!(
            "The sign-out was answered with 200, and after it the slow request with {slow}. You are {who}. Load the \
             page again for another race."
        );
        browser.wait_for("#outcome", &told).await;
    }
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_stopped_serves_the_requests_in_flight() {
    if is_skipped() {
        return;
    }
    let (mut site, browser) = (Site::start(&[]), Chromium::start(&json!({})).await);
    // This page has a stream open, which must not keep the site.
    browser.open(&site.url("/session")).await;
    browser.wait_for("#live", "This session is live.").await;
    let start = r#"
        const _csrf = document.querySelector("input[name=_csrf]").value;
        window.slow = fetch("/race/slow", { method: "POST",
            body: new URLSearchParams({ _csrf, ms: 1000 }) }).then((answer) => answer.status);
        setTimeout(arguments[arguments.length - 1], 300);
    "#;
    let started = browser.client.execute_async(start, Vec::new()).await;
    started.expect("started");
    let stopped = tokio::task::spawn_blocking(move || site.terminate());
    let wait = "window.slow.then(arguments[arguments.length - 1]);";
    let status = browser.client.execute_async(wait, Vec::new()).await;
    assert_eq!(status.expect("answered"), json!(200));
    assert!(stopped.await.expect("a thread").success());
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_tells_at_once_that_its_session_was_ended_elsewhere() {
    if is_skipped() {
        return;
    }
    let site = Site::start(&[]);
    let (phone, laptop) = (
        Chromium::start(&json!({})).await,
        Chromium::start(&json!({})).await,
    );
    for browser in [&phone, &laptop] {
        browser.sign_in(&site, "bob").await;
    }
    phone.open(&site.url("/session")).await;
    phone.wait_for("#live", "This session is live.").await;
    laptop.open(&site.url("/devices")).await;
    laptop.submit("form[action='/devices/revoke'] button").await;
    let told = "This session has ended, or has a new token.";
    phone.wait_for("#live", told).await;
    phone.end().await;
    laptop.end().await;
}
