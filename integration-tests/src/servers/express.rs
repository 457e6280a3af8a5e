//! Express programs, which share their sessions with this project's.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use super::lookup::{is_test_skipped, report};

/// How long a program may take until its store is ready.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Whether `SESSION_TEST_SKIP` names `express`, so that a test shall return at once. Says so on
/// standard error if it does.
#[must_use]
pub fn is_express_skipped() -> bool {
    is_test_skipped("express")
}

/// A running Express program, `integration-tests/express/app.js`. It ends when it is dropped, and
/// with this process.
///
/// | path | what it does with the session |
/// |---|---|
/// | `GET /session` | nothing |
/// | `POST /set`, `/unset` | sets the keys and values of an object; deletes the keys of a list |
/// | `POST /set-date` | puts a JavaScript date, 1970, under `key` |
/// | `POST /maxage` | gives its cookie a `maxAge` of `ms`, a number or null |
/// | `POST /regenerate`, `/login` | begins another, with this content, or with `user` and saved at once |
/// | `POST /save`, `/reload`, `/destroy` | calls the method of this name |
/// | `POST /clear` | `req.session = null` |
///
/// Each answers with the session as it is then: `{id, cookie, data}`, null where there is none; or
/// with status 500 and `{error}`. `?wait=50` has any of them wait 50 ms between the reading of the
/// session and its use.
#[derive(Debug)]
pub struct ExpressApp {
    /// The port it listens on, at 127.0.0.1.
    pub port: u16,
    process: Child,
    said: Arc<Mutex<String>>,
}

impl ExpressApp {
    /// Starts a program with sessions as `config` says; `integration-tests/express/README.md` has
    /// its options.
    ///
    /// # Panics
    /// If Node or the packages are missing, or the program does not start; the message says why.
    #[must_use]
    pub fn start(config: &serde_json::Value) -> Self {
        let mut process = spawn("app.js", &config.to_string());
        let said = collect(process.stderr.take().expect("piped"));
        let port = listening(process.stdout.take().expect("piped"));
        let mut app = Self {
            port: 0,
            process,
            said,
        };
        app.port = port.unwrap_or_else(|| app.fail());
        app
    }

    /// What the program has written to its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        let said = self.said.lock();
        said.expect("nobody panics under this lock").clone()
    }

    fn fail(&mut self) -> u16 {
        let _ = self.process.kill();
        let ended = self.process.wait();
        // Its last words may still be on their way.
        std::thread::sleep(Duration::from_millis(100));
        let said = self.stderr();
        panic!("the Express program does not start ({ended:?}); it said:\n{said}");
    }
}

impl Drop for ExpressApp {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a script beside the programs prints, which has this argument and standard input:
/// `crypto.js` or `golden.js`.
///
/// # Panics
/// If Node or the packages are missing, or the script fails.
#[must_use]
pub fn express_script(script: &str, argument: &str, input: &str) -> String {
    let mut process = spawn(script, argument);
    let mut stdin = process.stdin.take().expect("piped");
    let output = std::thread::scope(|scope| {
        // A script that has failed reads no more; its status tells.
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        process.wait_with_output().expect("it ends")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} failed: {said}");
    String::from_utf8(output.stdout).expect("it prints text")
}

fn spawn(script: &str, argument: &str) -> Child {
    if let Err(why) = is_installed() {
        panic!(
            "no Express program to test against: {why}\nRun ./test.sh, or \
             integration-tests/servers/install.sh express; SESSION_TEST_SKIP=express goes without."
        );
    }
    Command::new("node")
        .arg(folder().join(script))
        .arg(argument)
        // A program ends when this does: when the process here has ended, in whatever way.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node starts")
}

/// The port out of the program's first line; `None` if none comes.
fn listening(stdout: ChildStdout) -> Option<u16> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let port = lines.find_map(|line| line.strip_prefix("listening ")?.parse().ok());
        let _ = sender.send(port);
        // What it says from then on must go somewhere.
        lines.for_each(drop);
    });
    receiver.recv_timeout(START_LIMIT).ok()?
}

fn collect(mut stderr: ChildStderr) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&said);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stderr.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..read]);
            let mut said = shared.lock().expect("nobody panics under this lock");
            said.push_str(&text);
        }
    });
    said
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("express")
}

/// Looks once a process, and reports what it finds.
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
    // What was installed lies beside the lock file it was installed by.
    let lock = |path: PathBuf| std::fs::read(path).map_err(|error| error.to_string());
    if lock(modules.with_file_name("package-lock.json"))?
        != lock(folder().join("package-lock.json"))?
    {
        return Err("its packages are not those of package-lock.json".to_owned());
    }
    Ok(())
}
