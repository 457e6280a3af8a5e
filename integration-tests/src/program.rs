//! The program `sessionctl`, which belongs to another package than the tests that run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Returns the path of `sessionctl`, which is built once in a process.
///
/// # Panics
/// If it can't be built.
#[must_use]
pub fn sessionctl() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(build)
}

fn build() -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or("cargo".to_owned());
    let mut build = Command::new(cargo);
    // As the suite builds it, so that both build the packages that it needs once.
    build.args(["test", "--locked", "--workspace", "--test", "integration"]);
    build.args(["--no-run", "--message-format", "json"]);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    let Output { stdout, status, .. } = build
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo is on PATH");
    assert!(status.success(), "sessionctl can't be built");
    let messages = String::from_utf8_lossy(&stdout).into_owned();
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let mut programs = messages.filter_map(|message: Value| {
        let path = PathBuf::from(message["executable"].as_str()?);
        (path.file_stem()? == "sessionctl-under-test").then_some(path)
    });
    programs.next_back().expect("cargo names what it has built")
}
