//! This program again, as another process that runs one ignored test.

use std::path::Path;
use std::process::{Command, Stdio};

const URL: &str = "SESSION_SQLITE_TEST_URL";

/// A command that runs `test` on the file at `url`, of the program `program`.
pub(crate) fn command(program: &Path, test: &str, url: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(URL, url)
        .stdout(Stdio::piped());
    command
}

/// The file that a child works on.
pub(crate) fn url() -> String {
    std::env::var(URL).expect("only another test runs this one")
}
