//! What the log says, on the thread of one test.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// Keeps lines until it is dropped.
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
    _second: Dispatch,
}

/// Which events are kept, and how their lines begin.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) keeps: fn(&Metadata<'_>) -> bool,
    pub(crate) head: fn(&Metadata<'_>) -> String,
}

impl Log {
    /// Keeps what is of level `info` and above. A line begins with the level.
    pub(crate) fn start() -> Self {
        Self::of(Rule {
            keeps: |metadata| *metadata.level() <= Level::INFO,
            head: |metadata| metadata.level().to_string(),
        })
    }

    pub(crate) fn of(rule: Rule) -> Self {
        let lines = Arc::default();
        let subscriber = |lines| Lines { rule, lines };
        let guard = set_default(subscriber(Arc::clone(&lines)));
        // Beside a single one, `tracing` asks only the subscriber of the thread that comes to an
        // event first: that of another test, without one, would turn the event off here too.
        let second = Dispatch::new(subscriber(Arc::default()));
        Self {
            lines,
            _guard: guard,
            _second: second,
        }
    }

    /// The lines since the last time this was asked: how the rule begins them, message and fields.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().expect("whole"))
    }
}

struct Lines {
    rule: Rule,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && (self.rule.keeps)(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line((self.rule.head)(event.metadata()));
        event.record(&mut line);
        self.lines.lock().expect("whole").push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("a string takes all");
    }
}
