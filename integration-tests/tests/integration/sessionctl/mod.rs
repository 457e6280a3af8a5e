//! The program `sessionctl`, run as an operator runs it, against every kind of store.

mod copying;
mod every_store;
mod interrupted;
mod secrets;

use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use integration_tests::servers;
use serde_json::Value;
use session_core::{SessionStore, Sessions, Stamp};
use tempfile::TempDir;

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_sessionctl-under-test");

/// How a run of the program has ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// The values that it has printed, one a line.
    fn values(&self) -> Vec<Value> {
        let value = |line| serde_json::from_str(line).expect("JSON");
        self.stdout.lines().map(value).collect()
    }
}

/// The program with these arguments and no store.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_remove("SESSION_STORE_URL");
    command.stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Ran {
    Ran::of(command.output().expect("the program runs"))
}

/// A store for one test.
struct Place {
    name: &'static str,
    url: String,
    /// The file's.
    _directory: Option<TempDir>,
}

impl Place {
    fn at(name: &'static str, server: Option<&servers::Server>, option: &str) -> Option<Self> {
        let url = &server?.url;
        let sign = if url.contains('?') { '&' } else { '?' };
        let namespace = format!(
            "ctl{:x}",
            u128::from_be_bytes(*Stamp::generate().as_bytes())
        );
        Some(Self {
            name,
            url: format!("{url}{sign}{option}={namespace}"),
            _directory: None,
        })
    }

    fn sqlite() -> Self {
        let directory = TempDir::new().expect("a directory");
        let file = directory.path().join("sessions.db");
        Self {
            name: "SQLite",
            url: format!("sqlite:{}", file.display()),
            _directory: Some(directory),
        }
    }

    /// One of each kind, as far as it is not skipped.
    fn all() -> Vec<Self> {
        let servers = [
            Self::at("Redis", servers::redis(), "prefix"),
            Self::at("Valkey", servers::valkey(), "prefix"),
            Self::at("MongoDB", servers::mongo(), "collection"),
            Self::at("MySQL", servers::mysql(), "table"),
            Self::at("PostgreSQL", servers::postgres(), "table"),
        ];
        let servers = servers.into_iter().flatten();
        std::iter::once(Self::sqlite()).chain(servers).collect()
    }

    /// Runs the program on this store.
    fn run(&self, arguments: &[&str]) -> Ran {
        run(program(arguments).env("SESSION_STORE_URL", &self.url))
    }

    /// Runs it and gives what it prints, if it ends well.
    fn must(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments = [arguments, &["--json"]].concat();
        let ran = self.run(&arguments);
        assert_eq!(ran.code, Some(0), "{}: {arguments:?}: {ran:?}", self.name);
        ran.values()
    }

    fn count(&self) -> u64 {
        let count = &self.must(&["count"])[0]["count"];
        count.as_u64().expect("a number")
    }

    /// The store, set up.
    async fn store(&self) -> Arc<dyn SessionStore> {
        let store = session_store::connect(&self.url).await;
        store.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    async fn sessions(&self) -> Sessions {
        Sessions::new(self.store().await)
    }
}

/// Copies from one store to another, with the URLs in variables.
fn copy(from: &Place, to: &Place, options: &[&str]) -> Ran {
    let arguments = [&["copy", "env:OLD", "env:NEW", "--json"], options].concat();
    run(program(&arguments)
        .env("OLD", &from.url)
        .env("NEW", &to.url))
}

/// The same, and what it has counted, if it ends well.
fn must_copy(from: &Place, to: &Place, options: &[&str]) -> Value {
    let ran = copy(from, to, options);
    let what = format!("{} to {}, {options:?}", from.name, to.name);
    assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
    ran.values().remove(0)
}
