//! What is written to the log when something fails: the whole cause, so that the line is enough.

#[path = "support/log.rs"]
mod log;
mod support;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use log::Log;
use session_core::{Error, LogObserver, Observer, Reaper, SessionToken, Sessions};
use support::Faulty;

/// A driver's error that keeps its own cause to itself, as many do.
#[derive(Debug)]
struct Driver(std::io::Error);

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis at 127.0.0.1:6379")
    }
}

impl std::error::Error for Driver {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn a_log_line_tells_an_error_down_to_its_last_cause() {
    let log = Log::start();
    let refused = std::io::Error::other("connection refused");
    let error = Error::unavailable("load", Driver(refused));
    let id = SessionToken::generate().id();
    LogObserver.corrupt(&id, &error);
    let lines = log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let whole = "cannot load the session: Redis at 127.0.0.1:6379: connection refused";
    assert!(lines[0].contains(whole), "{lines:?}");
    assert!(lines[0].contains(id.as_str()), "{lines:?}");
}

#[tokio::test]
async fn the_reaper_tells_why_it_failed() {
    let log = Log::start();
    let store = Arc::new(Faulty::default());
    store.fail_reaps(1);
    let sessions = Sessions::new(store.clone());
    let interval = Duration::from_millis(10);
    let _reaper = Reaper::spawn_with(sessions, interval, 10).expect("a directory");
    let failed = |line: &String| line.contains("reaping expired sessions failed");
    for _ in 0..500 {
        tokio::time::sleep(interval).await;
        if let Some(line) = log.take().into_iter().find(failed) {
            assert!(line.contains("the connection broke"), "{line}");
            assert!(line.starts_with("WARN"), "{line}");
            return;
        }
    }
    panic!("no line tells of it");
}
