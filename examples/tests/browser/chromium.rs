//! A browser without a window, with a profile of its own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::cookies::Cookie;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};

use crate::site::Site;

/// How long anything may take that a page does by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The passwords that the sign-in page tells.
fn password_of(name: &str) -> &'static str {
    match name {
        "ada" => "analytical engine",
        _ => "built of cardboard",
    }
}

/// A browser. [`end`](Self::end) closes it; a test that fails leaves that to its driver's end.
pub(crate) struct Chromium {
    pub(crate) client: Client,
    driver: Child,
    profile: tempfile::TempDir,
}

impl Chromium {
    /// Starts one with these preferences.
    pub(crate) async fn start(preferences: &Value) -> Self {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
            listener.local_addr().expect("bound").port()
        };
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect(
                "chromedriver is on PATH (Debian: chromium-driver); SESSION_TEST_SKIP=browser goes without",
            );
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut arguments: Vec<String> = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--ignore-certificate-errors",
            "--host-resolver-rules=MAP app.example 127.0.0.1",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let options = json!({ "args": arguments, "prefs": preferences });
        let capabilities = json!({ "goog:chromeOptions": options, "acceptInsecureCerts": true });
        let capabilities = capabilities.as_object().expect("an object").clone();
        let url = format!("http://127.0.0.1:{port}");
        let began = Instant::now();
        let client = loop {
            let mut builder =
                ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
            match builder
                .capabilities(capabilities.clone())
                .connect(&url)
                .await
            {
                Ok(client) => break client,
                Err(error) if began.elapsed() > PATIENCE => panic!("no browser: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        Self {
            client,
            driver,
            profile,
        }
    }

    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.expect("the page opens");
    }

    /// The text of the first element that this selects, as soon as there is one.
    pub(crate) async fn text(&self, selector: &str) -> String {
        // In one step, for the page may change between finding an element and asking it.
        let script = "return document.querySelector(arguments[0])?.innerText ?? null;";
        let began = Instant::now();
        loop {
            let told = self.client.execute(script, vec![json!(selector)]).await;
            if let Ok(Value::String(text)) = told {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "{selector} is not on the page");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the element has this text.
    pub(crate) async fn wait_for(&self, selector: &str, text: &str) {
        let began = Instant::now();
        while self.text(selector).await != text {
            assert!(
                began.elapsed() < PATIENCE,
                "{selector} does not become {text:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn click(&self, selector: &str) {
        let found = self.client.find(Locator::Css(selector)).await;
        found
            .expect("it is on the page")
            .click()
            .await
            .expect("clicked");
    }

    /// Clicks on the button of a form, and waits for the page it leads to.
    ///
    /// chromedriver waits only for what has begun when the click returns; what is opened before
    /// that takes the place of the form's request, and nothing is sent.
    pub(crate) async fn submit(&self, selector: &str) {
        let mark = "window.isLeft = true;";
        let marked = self.client.execute(mark, Vec::new()).await;
        marked.expect("a page");
        self.click(selector).await;
        let script = "return !window.isLeft && document.readyState === 'complete';";
        let began = Instant::now();
        while self.client.execute(script, Vec::new()).await.ok() != Some(json!(true)) {
            assert!(began.elapsed() < PATIENCE, "{selector} leads nowhere");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Signs in by the site's form, with the password that the page tells.
    pub(crate) async fn sign_in(&self, site: &Site, name: &str) {
        self.open(&site.url("/sign-in")).await;
        self.fill_sign_in(name, password_of(name)).await;
    }

    /// Fills and sends the form of the sign-in page that is open.
    pub(crate) async fn fill_sign_in(&self, name: &str, password: &str) {
        self.type_into("#sign-in input[name=name]", name).await;
        self.type_into("#sign-in input[name=password]", password)
            .await;
        self.submit("#sign-in button").await;
    }

    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let field = self.client.find(Locator::Css(selector)).await;
        let typed = field.expect("a field").send_keys(text).await;
        typed.expect("typed");
    }

    /// Types a name into the form on the page of devices.
    pub(crate) async fn name_device(&self, site: &Site, name: &str) {
        self.open(&site.url("/devices")).await;
        self.type_into("input[name=label]", name).await;
        self.submit("form[action='/devices/name'] button").await;
    }

    pub(crate) async fn cookie(&self, name: &str) -> Option<Cookie<'static>> {
        let cookies = self.client.get_all_cookies().await.expect("told");
        cookies.into_iter().find(|cookie| cookie.name() == name)
    }

    pub(crate) async fn end(self) {
        self.client.clone().close().await.expect("closed");
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // Of a test that failed: the browser outlives its driver.
        let profile = self.profile.path().display().to_string();
        let _ = Command::new("pkill").args(["-f", &profile]).status();
    }
}
