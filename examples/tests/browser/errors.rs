//! What a user sees when something goes wrong.

use fantoccini::Locator;
use integration_tests::servers::{self, Kind, Private};
use serde_json::json;

use crate::chromium::Chromium;
use crate::is_skipped;
use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_name_is_told_beside_its_field() {
    if is_skipped() {
        return;
    }
    let (site, browser) = (Site::start(&[]), Chromium::start(&json!({})).await);
    browser.open(&site.url("/account")).await;
    assert_eq!(browser.text("h1").await, "Sign in", "a guest is sent there");
    browser.fill_sign_in("  ", "analytical engine").await;
    assert_eq!(browser.text("#name-error").await, "Please enter your name.");
    let field = browser.client.find(Locator::Css("#name")).await;
    let field = field.expect("it is there");
    field.clear().await.expect("cleared");
    browser.fill_sign_in("ada", "built of cardboard").await;
    let told = browser.text("#password-error").await;
    assert_eq!(told, "The name or the password is wrong.");
    let field = browser.client.find(Locator::Css("#name")).await;
    let kept = field.expect("it is there").prop("value").await;
    assert_eq!(kept.expect("told").as_deref(), Some("ada"), "typed once");
    browser.type_into("#password", "analytical engine").await;
    browser.submit("#sign-in button").await;
    assert_eq!(browser.text("h1").await, "Account", "and back");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_from_before_the_sign_in_is_out_of_date() {
    if is_skipped() {
        return;
    }
    let (site, browser) = (Site::start(&[]), Chromium::start(&json!({})).await);
    browser.open(&site.url("/")).await;
    let stale = browser.client.window().await.expect("a tab");
    let other = browser.client.new_window(true).await.expect("another tab");
    let switched = browser.client.switch_to_window(other.handle).await;
    switched.expect("there");
    browser.sign_in(&site, "ada").await;
    browser.client.switch_to_window(stale).await.expect("there");
    browser.submit("form[action='/cart'] button").await;
    assert_eq!(browser.text("h1").await, "This form is out of date");
    browser.open(&site.url("/")).await;
    assert_eq!(browser.text("#cart").await, "Your cart is empty.");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_store_the_site_says_that_it_is_out_of_order() {
    if is_skipped() || servers::is_skipped(Kind::Redis) {
        return;
    }
    let mut redis = Private::start(Kind::Redis, &[]);
    let site = Site::start(&["--store", redis.url.as_str()]);
    let browser = Chromium::start(&json!({})).await;
    browser.open(&site.url("/")).await;
    redis.kill();
    browser.open(&site.url("/")).await;
    assert_eq!(browser.text("h1").await, "Out of order");
    assert!(browser.text("footer").await.contains("503"));
    browser.open(&site.url("/nowhere")).await;
    assert_eq!(
        browser.text("h1").await,
        "Page not found",
        "without a store"
    );
    redis.restart();
    browser.open(&site.url("/")).await;
    browser.wait_for("h1", "Shop").await;
    browser.end().await;
}
