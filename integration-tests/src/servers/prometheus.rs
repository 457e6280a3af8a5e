//! A Prometheus server of one test, for what a dashboard asks and an alert watches.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::Client;
use super::binary::{find_binary, free_port};
use super::guard::{RUN_SERVER, guarded, release};

const START_LIMIT: Duration = Duration::from_secs(30);

/// A Prometheus server from the binary on `PATH`, which scrapes one program four times a second. It
/// ends when it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    client: Client,
    folder: TempDir,
    guard: Option<Child>,
}

impl Prometheus {
    /// Starts one that scrapes `/metrics` at `port` of 127.0.0.1 and evaluates the file `rules`;
    /// waits until it is ready.
    ///
    /// # Panics
    /// If there is no binary, or the server does not start.
    pub async fn start(port: u16, rules: &Path) -> Self {
        let binary = find_binary(&["prometheus"]);
        let binary = binary.expect("run integration-tests/servers/install.sh binaries");
        let folder = TempDir::new().expect("a temporary folder");
        let settings = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}}\n\
             rule_files: [{}]\n\
             scrape_configs: [{{job_name: app, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n",
            rules.display()
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, settings).expect("written");
        let own = free_port();
        let place = folder.path().display();
        let arguments = [
            place.to_string(),
            "TERM".to_owned(),
            binary,
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={place}/data"),
            format!("--web.listen-address=127.0.0.1:{own}"),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let guard = guarded(RUN_SERVER, &arguments).expect("a shell");
        let server = Self {
            client: Client::new(own),
            folder,
            guard: Some(guard),
        };
        server.wait_until_ready(own).await;
        server
    }

    async fn wait_until_ready(&self, port: u16) {
        let began = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
            || self.client.get("/-/ready").await.status != 200
        {
            assert!(began.elapsed() < START_LIMIT, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the server says.
    fn log(&self) -> String {
        let mut text = String::new();
        let log = std::fs::File::open(self.folder.path().join("log"));
        // Without a log there is nothing to tell.
        let _ = log.and_then(|mut log| log.read_to_string(&mut text));
        text
    }

    /// The samples that a query gives now: labels and value of each.
    ///
    /// # Panics
    /// If the query is refused.
    pub async fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let answer = self.ask(&format!("query?query={}", encoded(query))).await;
        let samples = answer["result"].as_array().cloned().unwrap_or_default();
        let sample = |sample: &Value| {
            let value = sample["value"][1]
                .as_str()
                .and_then(|text| text.parse().ok());
            (sample["metric"].clone(), value.expect("a number"))
        };
        samples.iter().map(sample).collect()
    }

    /// The rules, each with its health and state.
    pub async fn rules(&self) -> Vec<Value> {
        let answer = self.ask("rules").await;
        let groups = answer["groups"].as_array().cloned().unwrap_or_default();
        let rules = groups.iter().filter_map(|group| group["rules"].as_array());
        rules.flatten().cloned().collect()
    }

    async fn ask(&self, what: &str) -> Value {
        let answer = self.client.get(&format!("/api/v1/{what}")).await;
        let mut json: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(json["status"], "success", "{what}: {json}");
        json["data"].take()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            release(guard);
        }
    }
}

/// Runs `promtool` in `folder`.
///
/// # Errors
/// What it says, if it finds fault.
pub fn promtool(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let binary = find_binary(&["promtool"])?;
    let mut command = Command::new(binary);
    let output = command.args(arguments).current_dir(folder).output();
    let output = output.map_err(|error| format!("promtool: {error}"))?;
    let said = [output.stdout, output.stderr].concat();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&said).into_owned()),
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        // Writing to a string can't fail.
        let _ = write!(all, "%{byte:02x}");
        all
    })
}
