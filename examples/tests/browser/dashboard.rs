//! The page of `sessionctl serve`: figures, search, ending sessions, who may ask, and how it looks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use session_store::{Description, SessionStore, Sessions};

use crate::chromium::{Chromium, PATIENCE};
use crate::is_skipped;
use crate::look::{axe, measure, show_as, violations};

/// What a session holds, and nothing shows.
const SECRET: &str = "a-value-that-no-page-shows";

/// A running `sessionctl serve` over a file of its own.
struct Dashboard {
    process: Child,
    /// With the token.
    url: String,
    store: Arc<dyn SessionStore>,
    _folder: tempfile::TempDir,
}

impl Dashboard {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store_url = format!("sqlite:{}/s.db", folder.path().display());
        let store = session_store::connect(&store_url).await.expect("set up");
        let mut process = Command::new(integration_tests::sessionctl())
            .args(["--json", "serve", &store_url, "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let told: Value = serde_json::from_str(&line).expect("JSON");
        let url = told["url"].as_str().expect("a URL").to_owned();
        Self {
            process,
            url,
            store,
            _folder: folder,
        }
    }

    /// A session of `owner`; its id.
    async fn sign_in(&self, owner: &str, browser: &str) -> String {
        let session = Sessions::from(Arc::clone(&self.store)).start();
        session.insert("secret", SECRET).expect("a value");
        let description = Description::new().with_browser(browser);
        session.describe(description).expect("described");
        session.sign_in(owner).await.expect("up");
        session.id().expect("stored").as_str().to_owned()
    }

    async fn count(&self) -> u64 {
        let directory = self.store.directory().expect("it has one");
        directory.count().await.expect("up")
    }

    fn address(&self) -> &str {
        let rest = self.url.strip_prefix("http://").expect("a URL");
        rest.split('/').next().expect("an address")
    }

    /// The status line of the answer to a request with these headers.
    fn status(&self, request: &str, host: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("it listens");
        let request =
            format!("{request} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.contains("content-security-policy: "), "{answer}");
        answer.lines().next().unwrap_or_default().to_owned()
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn evaluate(browser: &Chromium, script: &str) -> Value {
    let told = browser.client.execute(script, Vec::new()).await;
    told.unwrap_or_else(|error| panic!("{script}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_finds_and_ends_sessions() {
    if is_skipped() {
        return;
    }
    let dashboard = Dashboard::start().await;
    let first = dashboard.sign_in("ada", "Firefox").await;
    for (owner, browser) in [("ada", "Chrome"), ("ada", "Safari"), ("bob", "Firefox")] {
        dashboard.sign_in(owner, browser).await;
    }
    // Text that is markup stays text.
    dashboard
        .sign_in("<img src=x onerror=alert(1)>", "<b>bold</b>")
        .await;
    let browser = Chromium::start(&json!({})).await;
    browser.open(&dashboard.url).await;
    browser.wait_for("#live", "5").await;
    let place = evaluate(&browser, "return [location.search, document.cookie];").await;
    assert_eq!(
        place,
        json!(["", ""]),
        "the token is gone, and no script reads the cookie"
    );
    assert_eq!(browser.text("#owners tbody tr th").await, "ada");
    assert_eq!(browser.text("#owners tbody tr td").await, "3");
    assert_eq!(
        evaluate(&browser, "return document.images.length;").await,
        json!(0)
    );

    dashboard.sign_in("carol", "Firefox").await;
    browser.wait_for("#live", "6").await;
    let created = "return document.querySelectorAll('#rates svg').length > 0;";
    let began = Instant::now();
    while evaluate(&browser, created).await != json!(true) {
        assert!(began.elapsed() < PATIENCE, "no graph");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    browser.type_into("#search input", &first).await;
    browser.click("#search button").await;
    browser.wait_for("#said", "1 session.").await;
    assert!(browser.text("#found tbody tr").await.contains("Firefox"));
    browser.click("#found tbody button").await;
    browser.click("#no").await;
    assert_eq!(dashboard.count().await, 6, "kept");
    browser.click("#found tbody button").await;
    browser.click("#yes").await;
    browser.wait_for("#said", "1 session has ended.").await;
    assert_eq!(dashboard.count().await, 5);

    browser.wait_for("#owners tbody tr td", "2").await;
    browser.click("#owners tbody tr button.end").await;
    browser.click("#yes").await;
    browser.wait_for("#said", "2 sessions have ended.").await;
    assert_eq!(dashboard.count().await, 3);

    let page = evaluate(&browser, "return document.documentElement.outerHTML;").await;
    assert!(!page.to_string().contains(SECRET));
    let ask = "const done = arguments[arguments.length - 1]; \
               Promise.all(['/state', '/sessions?q=bob'].map((path) => fetch(path).then((a) => a.text())))\
               .then((texts) => done(texts.join()));";
    let told = browser.client.execute_async(ask, Vec::new()).await;
    let told = told.expect("answers").to_string();
    assert!(told.contains("bob") && !told.contains(SECRET), "{told}");
    let elsewhere = "return performance.getEntriesByType('resource')\
                     .filter((entry) => !entry.name.startsWith(location.origin)).length;";
    assert_eq!(evaluate(&browser, elsewhere).await, json!(0));
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_answers_its_own_page_only() {
    if is_skipped() {
        return;
    }
    let dashboard = Dashboard::start().await;
    dashboard.sign_in("ada", "Firefox").await;
    let own = dashboard.address().to_owned();
    let path = dashboard.url.split_once(&own).expect("a path").1.to_owned();
    let first = format!("GET {path}");
    assert!(dashboard.status(&first, &own, "").contains("303"));
    assert!(dashboard.status(&first, "evil.example", "").contains("421"));
    for request in ["GET /", "GET /state", "GET /sessions?q=ada", "POST /revoke"] {
        let status = dashboard.status(request, &own, "Sec-Fetch-Site: same-origin\r\n");
        assert!(status.contains("401"), "{request}: {status}");
    }
    // Another site in the same browser, which has the cookie.
    let browser = Chromium::start(&json!({})).await;
    browser.open(&dashboard.url).await;
    browser.wait_for("#live", "1").await;
    let other = own.replace("127.0.0.1", "app.example");
    browser.open(&format!("http://{other}/")).await;
    assert!(browser.text("body").await.contains("does not belong"));
    let forge = format!(
        "const done = arguments[arguments.length - 1]; fetch('http://{own}/revoke', {{ method: 'POST', \
         mode: 'no-cors', credentials: 'include', headers: {{ 'content-type': 'text/plain' }}, \
         body: '{{\"owner\":\"ada\"}}' }}).then(() => done(1), () => done(1));"
    );
    let sent = browser.client.execute_async(&forge, Vec::new()).await;
    sent.expect("sent, or refused");
    assert_eq!(dashboard.count().await, 1);
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_fits_each_screen_and_axe_finds_nothing() {
    if is_skipped() {
        return;
    }
    let dashboard = Dashboard::start().await;
    let long = format!("someone-with-a-long-name-{}@example.org", "x".repeat(60));
    dashboard.sign_in(&long, "Firefox").await;
    dashboard.sign_in("ada", "Firefox").await;
    let browser = Chromium::start(&json!({})).await;
    let axe = axe();
    browser.open(&dashboard.url).await;
    let page = dashboard.url.split("?").next().expect("a page").to_owned();
    for (width, scheme, ink) in [
        (375, "light", "rgb(27, 31, 36)"),
        (375, "dark", "rgb(230, 237, 243)"),
        (1280, "light", "rgb(27, 31, 36)"),
        (1280, "dark", "rgb(230, 237, 243)"),
    ] {
        show_as(&browser, width, scheme).await;
        browser.open(&page).await;
        browser.wait_for("#live", "2").await;
        browser.type_into("#search input", "ada").await;
        browser.click("#search button").await;
        browser.wait_for("#said", "1 session.").await;
        let measured = measure(&browser).await;
        assert_eq!(measured, json!([0, width, ink]), "{width} px, {scheme}");
        let found = violations(&browser, &axe).await;
        assert!(found.is_empty(), "{width} px, {scheme}: {found:#?}");
        browser.click("#found tbody button").await;
        let found = violations(&browser, &axe).await;
        assert!(found.is_empty(), "dialog, {width} px, {scheme}: {found:#?}");
        // The keyboard begins at what does no harm, and Escape is it too.
        let focused = evaluate(&browser, "return document.activeElement.id;").await;
        assert_eq!(focused, json!("no"));
    }
    browser.end().await;
}
