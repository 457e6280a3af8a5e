//! What is written to the log when something fails: the whole cause, so that the line is enough.

mod support;

use std::fmt::{self, Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::{Error, LogObserver, Observer, Reaper, SessionToken, Sessions};
use support::Faulty;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps the text of every event.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).expect("a string takes all");
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().expect("whole").push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Log {
    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("whole").clone()
    }
}

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
    let log = Log::default();
    let refused = std::io::Error::other("connection refused");
    let error = Error::unavailable("load", Driver(refused));
    let id = SessionToken::generate().id();
    tracing::subscriber::with_default(log.clone(), || LogObserver.corrupt(&id, &error));
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let whole = "cannot load the session: Redis at 127.0.0.1:6379: connection refused";
    assert!(lines[0].contains(whole), "{lines:?}");
    assert!(lines[0].contains(id.as_str()), "{lines:?}");
}

#[tokio::test]
async fn the_reaper_tells_why_it_failed() {
    let log = Log::default();
    let _logging = tracing::subscriber::set_default(log.clone());
    let store = Arc::new(Faulty::default());
    store.fail_reaps(1);
    let sessions = Sessions::new(store.clone());
    let interval = Duration::from_millis(10);
    let _reaper = Reaper::spawn_with(sessions, interval, 10).expect("a directory");
    let failed = |line: &&String| line.contains("reaping expired sessions failed");
    for _ in 0..500 {
        tokio::time::sleep(interval).await;
        if let Some(line) = log.lines().iter().find(failed) {
            assert!(line.contains("the connection broke"), "{line}");
            assert!(line.starts_with("WARN"), "{line}");
            return;
        }
    }
    panic!("no line tells of it: {:?}", log.lines());
}
