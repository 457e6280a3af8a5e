//! Express programs that share their sessions with this project's stores.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use super::lookup::{is_test_skipped, report};

/// How long a program may take to start and connect its store.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Returns whether `SESSION_TEST_SKIP` names `express`, so that a test must return at once. Prints
/// that to standard error.
#[must_use]
pub fn is_express_skipped() -> bool {
    is_test_skipped("express")
}

/// A running Express program, `integration-tests/express/app.js`. It ends when it is dropped or
/// when this process ends.
///
/// | path | what it does with the session |
/// |---|---|
/// | `GET /session` | nothing |
/// | `POST /set`, `/unset` | sets the keys and values of an object; deletes the keys of a list |
/// | `POST /set-date` | puts a JavaScript date, 1970, under `key` |
/// | `POST /maxage` | sets the `maxAge` of its cookie to `ms`, a number or null |
/// | `POST /regenerate`, `/login` | starts another one with this content, or with `user`, which it saves at once |
/// | `POST /save`, `/reload`, `/destroy` | calls the method of this name |
/// | `POST /clear` | `req.session = null` |
///
/// Each responds with the resulting session, `{id, cookie, data}` or null, or with status 500 and
/// `{error}`. With `?wait=50`, it waits 50 ms between loading the session and using it.
#[derive(Debug)]
pub struct ExpressApp {
    /// The port it listens on, at 127.0.0.1.
    pub port: u16,
    process: Child,
    stderr: Arc<Mutex<String>>,
}

impl ExpressApp {
    /// Starts a program with the options `config`, which `integration-tests/express/README.md`
    /// lists.
    ///
    /// # Panics
    /// If Node or the packages are missing, or the program does not start; the message says why.
    #[must_use]
    pub fn start(config: &serde_json::Value) -> Self {
        let mut process = spawn("app.js", &config.to_string());
        let stderr = collect(process.stderr.take().expect("piped"));
        let port = listening(process.stdout.take().expect("piped"));
        let mut app = Self {
            port: 0,
            process,
            stderr,
        };
        app.port = port.unwrap_or_else(|| app.fail());
        app
    }

    /// Returns what the program has written to its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        let stderr = self.stderr.lock();
        stderr.expect("not poisoned").clone()
    }

    fn fail(&mut self) -> u16 {
        let _ = self.process.kill();
        let ended = self.process.wait();
        // The last output may still be in the pipe.
        std::thread::sleep(Duration::from_millis(100));
        let stderr = self.stderr();
        panic!("the Express program does not start ({ended:?}); its standard error:\n{stderr}");
    }
}

impl Drop for ExpressApp {
    fn drop(&mut self) {
        // The program may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the script `crypto.js` or `golden.js` with this argument and standard input, and returns
/// its output.
///
/// # Panics
/// If Node or the packages are missing, or the script fails.
#[must_use]
pub fn express_script(script: &str, argument: &str, input: &str) -> String {
    let mut process = spawn(script, argument);
    let mut stdin = process.stdin.take().expect("piped");
    let output = std::thread::scope(|scope| {
        // A script that has failed reads no input; its status is checked below.
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        process.wait_with_output().expect("it ends")
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} failed: {stderr}");
    String::from_utf8(output.stdout).expect("it prints text")
}

fn spawn(script: &str, argument: &str) -> Child {
    if let Err(why) = is_installed() {
        panic!(
            "no Express program to test against: {why}\nRun ./test.sh, or \
             integration-tests/servers/install.sh express; SESSION_TEST_SKIP=express skips it."
        );
    }
    Command::new("node")
        .arg(folder().join(script))
        .arg(argument)
        // A program ends when its standard input closes, which happens however this process ends.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node starts")
}

/// Reads the port from the program's output; `None` if none comes in time.
fn listening(stdout: ChildStdout) -> Option<u16> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let port = lines.find_map(|line| line.strip_prefix("listening ")?.parse().ok());
        let _ = sender.send(port);
        // Further output must be read, or the program blocks.
        lines.for_each(drop);
    });
    receiver.recv_timeout(START_LIMIT).ok()?
}

fn collect(mut stderr: ChildStderr) -> Arc<Mutex<String>> {
    let collected = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&collected);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stderr.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..read]);
            shared.lock().expect("not poisoned").push_str(&text);
        }
    });
    collected
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("express")
}

/// Checks for Node and the packages once in a process, and reports the version.
fn is_installed() -> &'static Result<(), String> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let node = Command::new("node").arg("--version").output();
        let node = node.map_err(|error| format!("node: {error}"))?;
        are_packages_installed()?;
        let version = String::from_utf8_lossy(&node.stdout);
        report(&format!("express: Node {}", version.trim()));
        Ok(())
    })
}

fn are_packages_installed() -> Result<(), String> {
    let modules = folder().join("node_modules");
    let modules = modules
        .canonicalize()
        .map_err(|_| "its packages are not installed".to_owned())?;
    // The installed packages are beside the lock file that they were installed from.
    let lock = |path: PathBuf| std::fs::read(path).map_err(|error| error.to_string());
    if lock(modules.with_file_name("package-lock.json"))?
        != lock(folder().join("package-lock.json"))?
    {
        return Err("its packages are not those of package-lock.json".to_owned());
    }
    Ok(())
}
