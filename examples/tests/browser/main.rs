//! The tutorial in a real browser: headless Chromium, driven by chromedriver.
//!
//! Debian has both (`chromium`, `chromium-driver`); `SESSION_TEST_SKIP=browser` goes without.

mod chromium;
mod dashboard;
mod errors;
mod https;
mod look;
mod plain_http;
mod race;
mod site;

use std::time::Duration;

use chromium::Chromium;
use integration_tests::servers::{self, Kind, Private};
use serde_json::json;
use session_web::Secure;
use site::Site;

/// Says loudly that a test is not run, if it shall not be.
fn is_skipped() -> bool {
    let skip = std::env::var("SESSION_TEST_SKIP").unwrap_or_default();
    let skipped = skip.split(',').any(|name| name.trim() == "browser");
    if skipped {
        use std::io::Write;
        let line = "NOT RUN: SESSION_TEST_SKIP names browser\n";
        // Past the test harness's capturing; if it is closed there is nobody to tell.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    skipped
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_and_out_and_going_back() {
    if is_skipped() {
        return;
    }
    let (site, browser) = (Site::start(&[]), Chromium::start(&json!({})).await);
    browser.open(&site.url("/")).await;
    assert_eq!(browser.text("#visits").await, "1");
    browser.open(&site.url("/")).await;
    assert_eq!(browser.text("#visits").await, "2");
    let before = browser.cookie("id").await.expect("a session");
    browser.sign_in(&site, "ada").await;
    browser.wait_for("#who", "signed in as ada").await;
    assert_eq!(browser.text("#visits").await, "3", "the data is kept");
    let after = browser.cookie("id").await.expect("a session");
    assert_ne!(before.value(), after.value(), "and the token is new");
    assert_eq!(after.http_only(), Some(true));
    assert_eq!(after.expires(), None, "it is gone with the browser");

    browser.submit("form[action='/sign-out'] button").await;
    browser.wait_for("#who", "not signed in").await;
    // What the browser shows when going back is fetched anew, for it was not to be stored.
    browser.client.back().await.expect("back");
    browser.wait_for("#who", "not signed in").await;

    browser.open(&site.url("/sign-in")).await;
    browser.click("input[name=remember]").await;
    browser.fill_sign_in("ada", "analytical engine").await;
    browser.wait_for("#who", "signed in as ada").await;
    let remembered = browser.cookie("id").await.expect("a session");
    assert!(remembered.expires().is_some(), "it outlives the browser");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_the_same_time_lose_nothing() {
    if is_skipped() {
        return;
    }
    let (site, browser) = (Site::start(&[]), Chromium::start(&json!({})).await);
    browser.open(&site.url("/")).await;
    // What two tabs full of buttons do at once.
    let script = r#"
        const done = arguments[arguments.length - 1];
        const _csrf = document.querySelector("input[name=_csrf]").value;
        const add = (hat) => fetch("/cart", { method: "POST",
            body: new URLSearchParams({ _csrf, add: hat }) }).then((answer) => answer.status);
        Promise.all([...Array(10)].map((_, n) => add(n % 2 ? "Fez" : "Bowler"))).then(done);
    "#;
    let statuses = browser.client.execute_async(script, Vec::new()).await;
    assert_eq!(statuses.expect("all answered"), json!(vec![200; 10]));
    browser.open(&site.url("/")).await;
    browser.wait_for("#cart", "10 in your cart:").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_in_one_tab_while_the_other_waits() {
    if is_skipped() {
        return;
    }
    let (site, browser) = (Site::start(&[]), Chromium::start(&json!({})).await);
    browser.open(&site.url("/")).await;
    browser.sign_in(&site, "ada").await;
    let slow = browser.client.window().await.expect("a tab");
    let start = r#"
        const _csrf = document.querySelector("input[name=_csrf]").value;
        window.slow = fetch("/race/slow", { method: "POST",
            body: new URLSearchParams({ _csrf, ms: 1500 }) }).then((answer) => answer.status);
    "#;
    browser
        .client
        .execute(start, Vec::new())
        .await
        .expect("started");
    let other = browser.client.new_window(true).await.expect("another tab");
    browser
        .client
        .switch_to_window(other.handle)
        .await
        .expect("there");
    browser.open(&site.url("/")).await;
    browser.submit("form[action='/sign-out'] button").await;
    browser.wait_for("#who", "not signed in").await;
    browser.client.switch_to_window(slow).await.expect("there");
    let wait = "window.slow.then(arguments[arguments.length - 1]);";
    let status = browser.client.execute_async(wait, Vec::new()).await;
    assert_eq!(
        status.expect("answered"),
        json!(409),
        "its change is refused"
    );
    browser.open(&site.url("/")).await;
    assert_eq!(
        browser.text("#who").await,
        "not signed in",
        "and nobody is back"
    );
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_listed_and_signed_out() {
    if is_skipped() {
        return;
    }
    let site = Site::start(&[]);
    let (phone, laptop) = (
        Chromium::start(&json!({})).await,
        Chromium::start(&json!({})).await,
    );
    for browser in [&phone, &laptop] {
        browser.open(&site.url("/")).await;
        browser.sign_in(&site, "ada").await;
    }
    laptop.open(&site.url("/devices")).await;
    let text = laptop.text("#devices").await;
    assert_eq!(text.matches("Chrome on Linux").count(), 2, "{text}");
    assert_eq!(text.matches("127.0.0.0/24").count(), 2, "{text}");
    assert_eq!(text.matches("this one").count(), 1, "{text}");
    laptop.name_device(&site, "The <b>laptop</b>").await;
    phone.open(&site.url("/devices")).await;
    let seen = phone.text("#devices").await;
    assert!(
        seen.contains("The <b>laptop</b>, Chrome on Linux"),
        "{seen}"
    );
    laptop.name_device(&site, &"x".repeat(200)).await;
    assert_eq!(laptop.text(".flash").await, "That name is too long.");
    laptop.submit("form[action='/devices/others'] button").await;
    assert_eq!(laptop.text(".flash").await, "Signed out on 1 other device.");
    phone.open(&site.url("/")).await;
    phone.wait_for("#who", "not signed in").await;
    laptop.open(&site.url("/")).await;
    laptop.wait_for("#who", "signed in as ada").await;
    phone.end().await;
    laptop.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_takes_no_cookies_is_told() {
    if is_skipped() {
        return;
    }
    let blocked = json!({ "profile.default_content_setting_values.cookies": 2 });
    let (site, browser) = (Site::start(&[]), Chromium::start(&blocked).await);
    for _ in 0..2 {
        browser.open(&site.url("/")).await;
        assert_eq!(
            browser.text("#visits").await,
            "1",
            "each visit is the first"
        );
    }
    browser.sign_in(&site, "ada").await;
    assert_eq!(browser.text("h1").await, "No cookie came back");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_expires_while_its_page_is_open() {
    if is_skipped() {
        return;
    }
    let site = Site::start(&["--idle", "3"]);
    let browser = Chromium::start(&json!({})).await;
    browser.open(&site.url("/")).await;
    browser.open(&site.url("/session")).await;
    let shown = browser.text("#ends").await;
    assert!(shown.ends_with(" s"), "it counts down: {shown}");
    browser
        .wait_for("#ends", "now: this session has ended")
        .await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    browser.open(&site.url("/")).await;
    assert_eq!(browser.text("#visits").await, "1", "a new session");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_the_cookie_works_the_same() {
    if is_skipped() {
        return;
    }
    let site = Site::start(&["--cookie-only"]);
    let browser = Chromium::start(&json!({})).await;
    browser.open(&site.url("/")).await;
    browser.sign_in(&site, "ada").await;
    browser.wait_for("#who", "signed in as ada").await;
    browser.submit("form[action='/cart'] button").await;
    browser.wait_for("#cart", "1 in your cart:").await;
    browser.submit("form[action='/sign-out'] button").await;
    browser.wait_for("#who", "not signed in").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sites_on_one_secret_share_sessions_and_a_restart_keeps_them() {
    if is_skipped() {
        return;
    }
    let arguments = [
        "--cookie-only",
        "--secret",
        "a secret of this test, 32 bytes or more",
    ];
    let (one, two) = (Site::start(&arguments), Site::start(&arguments));
    let browser = Chromium::start(&json!({})).await;
    browser.open(&one.url("/")).await;
    browser.sign_in(&one, "ada").await;
    // Cookies know no ports.
    browser.open(&two.url("/")).await;
    browser.wait_for("#who", "signed in as ada").await;
    drop((one, two));
    let restarted = Site::start(&arguments);
    browser.open(&restarted.url("/")).await;
    browser.wait_for("#who", "signed in as ada").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sites_on_one_store_share_sessions_and_a_restart_keeps_them() {
    if is_skipped() || servers::is_skipped(Kind::Redis) {
        return;
    }
    let redis = Private::start(Kind::Redis, &[]);
    let arguments = ["--store", redis.url.as_str()];
    let (one, two) = (Site::start(&arguments), Site::start(&arguments));
    let browser = Chromium::start(&json!({})).await;
    browser.open(&one.url("/")).await;
    browser.sign_in(&one, "ada").await;
    browser.wait_for("#who", "signed in as ada").await;
    browser.open(&two.url("/")).await;
    browser.wait_for("#visits", "3").await;
    drop((one, two));
    let restarted = Site::start(&arguments);
    browser.open(&restarted.url("/devices")).await;
    browser.wait_for("#who", "signed in as ada").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_https_the_cookie_is_as_strict_as_can_be() {
    if is_skipped() {
        return;
    }
    let port = https::serve().await;
    let browser = Chromium::start(&json!({})).await;
    for n in ["1", "2"] {
        browser.open(&format!("https://localhost:{port}/")).await;
        assert_eq!(browser.text("body").await, n);
    }
    let cookie = browser.cookie("__Host-id").await.expect("a session");
    assert_eq!(cookie.secure(), Some(true));
    assert_eq!(cookie.http_only(), Some(true));
    assert_eq!(cookie.path(), Some("/"));
    let script = "return document.cookie;";
    let readable = browser.client.execute(script, Vec::new()).await;
    assert_eq!(readable.expect("text"), json!(""), "scripts don't see it");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_cookie_by_plain_http_is_kept_on_loopback_and_dropped_elsewhere() {
    if is_skipped() {
        return;
    }
    let browser = Chromium::start(&json!({})).await;
    for (secure, host, counts) in [
        (Secure::Always, "localhost", ["1", "2"]),
        (Secure::Always, "127.0.0.1", ["1", "2"]),
        (Secure::Always, "app.example", ["1", "1"]),
        (Secure::Development, "app.example", ["1", "2"]),
        (Secure::Development, "localhost", ["1", "2"]),
    ] {
        let port = plain_http::serve(secure).await;
        browser.client.delete_all_cookies().await.expect("deleted");
        for count in counts {
            browser.open(&format!("http://{host}:{port}/")).await;
            assert_eq!(browser.text("body").await, count, "{secure:?} {host}");
        }
    }
    browser.end().await;
}
