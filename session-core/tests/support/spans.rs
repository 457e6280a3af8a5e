//! The spans and events of one test's thread, with their fields.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

/// Keeps spans and events, of all levels and crates, until it is dropped.
pub(crate) struct Spans {
    kept: Arc<Mutex<Kept>>,
    _guard: DefaultGuard,
    _second: Dispatch,
}

#[derive(Default)]
struct Kept {
    spans: Vec<Span>,
    /// Where those are that are open.
    places: HashMap<Id, usize>,
}

/// One span, or event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    pub(crate) name: &'static str,
    /// The last value of each, as `Debug` shows it.
    pub(crate) fields: BTreeMap<&'static str, String>,
    /// How many spans it follows from.
    pub(crate) follows: usize,
}

impl Spans {
    pub(crate) fn start() -> Self {
        let kept = Arc::default();
        let subscriber = |kept| Registry::default().with(Keeper(kept));
        let guard = set_default(subscriber(Arc::clone(&kept)));
        // As for a log: see `Log::of`.
        let second = Dispatch::new(subscriber(Arc::default()));
        Self {
            kept,
            _guard: guard,
            _second: second,
        }
    }

    /// What there was since the last time this was asked.
    pub(crate) fn take(&self) -> Vec<Span> {
        let mut kept = self.kept.lock().expect("whole");
        kept.places.clear();
        std::mem::take(&mut kept.spans)
    }
}

impl Span {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

struct Keeper(Arc<Mutex<Kept>>);

impl Keeper {
    fn change(&self, id: &Id, change: impl FnOnce(&mut Span)) {
        let mut kept = self.0.lock().expect("whole");
        let Kept { spans, places } = &mut *kept;
        if let Some(place) = places.get(id) {
            change(&mut spans[*place]);
        }
    }
}

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut span = Span {
            name: attributes.metadata().name(),
            ..Span::default()
        };
        attributes.record(&mut Fields(&mut span));
        let mut kept = self.0.lock().expect("whole");
        let place = kept.spans.len();
        kept.places.insert(id.clone(), place);
        kept.spans.push(span);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.change(id, |span| values.record(&mut Fields(span)));
    }

    fn on_follows_from(&self, id: &Id, _: &Id, _: Context<'_, S>) {
        self.change(id, |span| span.follows += 1);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut span = Span {
            name: event.metadata().name(),
            ..Span::default()
        };
        event.record(&mut Fields(&mut span));
        self.0.lock().expect("whole").spans.push(span);
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.0.lock().expect("whole").places.remove(&id);
    }
}

struct Fields<'a>(&'a mut Span);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.fields.insert(field.name(), value.to_owned());
    }
}
