//! How pages look, on a phone and a desktop, in light and dark: nothing wider than the screen, and
//! nothing that axe has to say.

use fantoccini::wd::WebDriverCompatibleCommand;
use serde_json::{Value, json};
use url::{ParseError, Url};

use crate::chromium::Chromium;
use crate::is_skipped;
use crate::site::Site;

/// Chromium's own commands, by which a page is shown as on another screen.
#[derive(Debug)]
struct DevTools(&'static str, Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        let command = json!({ "cmd": self.0, "params": self.1 });
        (http::Method::POST, Some(command.to_string()))
    }
}

pub(crate) async fn show_as(browser: &Chromium, width: u32, scheme: &str) {
    for command in [
        DevTools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600 }),
        ),
        DevTools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
        ),
    ] {
        let done = browser.client.issue_cmd(command).await;
        done.expect("Chromium knows it");
    }
}

/// The program that judges pages.
pub(crate) fn axe() -> String {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/browser/axe/node_modules/axe-core/axe.min.js"
    );
    std::fs::read_to_string(path).expect(
        "integration-tests/servers/install.sh browser installs axe; SESSION_TEST_SKIP=browser goes without",
    )
}

/// What is wrong with the page that is open: rule and elements, as lines.
pub(crate) async fn violations(browser: &Chromium, axe: &str) -> Vec<Value> {
    let loaded = browser.client.execute(axe, Vec::new()).await;
    loaded.expect("axe is loaded");
    let script = r#"
        const done = arguments[arguments.length - 1];
        document.querySelectorAll("details").forEach((details) => { details.open = true; });
        axe.run({ resultTypes: ["violations"] }).then((results) => done(results.violations.map((violation) =>
            `${violation.id}: ${violation.nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`)));
    "#;
    let found = browser.client.execute_async(script, Vec::new()).await;
    found
        .expect("axe has run")
        .as_array()
        .expect("a list")
        .clone()
}

/// How much wider the page is than the screen, and which color its text has.
pub(crate) async fn measure(browser: &Chromium) -> Value {
    let script = r#"
        document.querySelectorAll("details").forEach((details) => { details.open = true; });
        const root = document.documentElement;
        return [root.scrollWidth - root.clientWidth, window.innerWidth, getComputedStyle(document.body).color];
    "#;
    let told = browser.client.execute(script, Vec::new()).await;
    told.expect("numbers")
}

/// Checks these pages on each screen.
async fn check(browser: &Chromium, site: &Site, paths: &[&str]) {
    let axe = axe();
    for (width, scheme, ink) in [
        (375, "light", "rgb(29, 36, 51)"),
        (375, "dark", "rgb(232, 234, 240)"),
        (1280, "light", "rgb(29, 36, 51)"),
        (1280, "dark", "rgb(232, 234, 240)"),
    ] {
        show_as(browser, width, scheme).await;
        for path in paths {
            browser.open(&site.url(path)).await;
            let measured = measure(browser).await;
            let fits = json!([0, width, ink]);
            assert_eq!(measured, fits, "{path} on {width} px, {scheme}");
            let found = violations(browser, &axe).await;
            assert!(
                found.is_empty(),
                "{path} on {width} px, {scheme}: {found:#?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_fit_each_screen_and_axe_finds_nothing() {
    if is_skipped() {
        return;
    }
    let (site, browser) = (Site::start(&[]), Chromium::start(&json!({})).await);
    let for_guests = ["/sign-in?return_to=/devices", "/nowhere"];
    check(&browser, &site, &for_guests).await;
    browser.open(&site.url("/sign-in")).await;
    browser.fill_sign_in("  ", "x").await;
    let found = violations(&browser, &axe()).await;
    assert!(found.is_empty(), "with a message at a field: {found:#?}");
    browser.sign_in(&site, "ada").await;
    let other = Chromium::start(&json!({})).await;
    other.sign_in(&site, "ada").await;
    other
        .name_device(&site, "the other one, with a long name")
        .await;
    let add = "form[action='/cart'] button";
    browser.open(&site.url("/")).await;
    browser.submit(add).await;
    let pages = [
        "/",
        "/account",
        "/account/password",
        "/devices",
        "/session",
        "/race",
        "/express",
    ];
    check(&browser, &site, &pages).await;
    browser.end().await;
    other.end().await;
}
