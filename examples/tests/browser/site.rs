//! The tutorial, as a process on a port of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::chromium::PATIENCE;

/// A running tutorial; it ends when this is dropped.
pub(crate) struct Site {
    process: Child,
    address: String,
    /// Its user's data folder.
    _data: TempDir,
}

impl Site {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let data = TempDir::new().expect("a folder");
        let mut process = Command::new(env!("CARGO_BIN_EXE_tutorial"))
            .args(["--addr", "127.0.0.1:0"])
            .args(arguments)
            .env("XDG_DATA_HOME", data.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tutorial starts");
        let output = process.stdout.take().expect("piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let told = lines.find(|line| line.starts_with("http://"));
        let told = told.expect("it tells its address");
        let address = told.split(',').next().expect("a first part").to_owned();
        // What it says from then on must go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            address,
            _data: data,
        }
    }

    /// Asks it to stop, as a service manager does, and gives its exit status once it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let id = self.process.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        assert!(asked.expect("kill is on PATH").success(), "it runs");
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("its status") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not stop");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
