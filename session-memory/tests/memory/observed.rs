//! The span and the count of each operation.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use session_core::Draft;
use session_core::backend::Operation;
use session_memory::{Lifetime, MemoryStore, SessionDirectory, SessionStore, Timeout};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_default;
use tracing::{Dispatch, Event, Metadata, Subscriber};

use crate::support::{MINUTE, create, draft, id, owner};

/// A subscriber that collects the fields of spans.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeSet<String>>>);

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.name() == "session_store"
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields(String::new());
        attributes.record(&mut fields);
        self.0.lock().expect("whole").insert(fields.0);
        Id::from_u64(1)
    }

    fn event(&self, _: &Event<'_>) {}
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

#[tokio::test]
async fn each_operation_has_a_span_and_is_counted() {
    let spans = Spans::default();
    let _subscriber = set_default(spans.clone());
    // With one subscriber alone, other tests' threads would decide that no span is asked for.
    let _second = Dispatch::new(Spans::default());
    let store = MemoryStore::new();
    let (id, draft) = (id(), draft(Lifetime::idle(MINUTE)));
    create(&store, &id, &draft).await;
    store.load(&id).await.expect("up");
    let saved = store.save(&id, &draft, &draft.stamp.into()).await;
    assert!(saved.expect("up").is_done());
    store.touch(&id, Timeout::After(MINUTE)).await.expect("up");
    store.destroy(&id, None).await.expect("up");
    store.count().await.expect("up");
    store.list(None, 1).await.expect("up");
    store.owned_by(&owner(), None, 1).await.expect("up");
    let ended = store.destroy_owned_by(&owner(), None, 1).await;
    ended.expect("up");
    store.clear().await.expect("up");
    store.reap(1).await.expect("up");

    let counts = store.clone().counts();
    let mut expected = BTreeSet::new();
    for operation in Operation::ALL {
        let is_done = !matches!(
            operation,
            Operation::Connect
                | Operation::Migrate
                | Operation::Notices
                | Operation::Invalidations
                | Operation::Confirm
                | Operation::Inspect
                | Operation::Remove
        );
        let calls = counts.of(operation).calls;
        assert_eq!(calls, u64::from(is_done), "{operation:?}");
        if is_done {
            let name = operation.as_str();
            let bytes = match operation {
                Operation::Create | Operation::Save => "bytes=2 ",
                _ => "",
            };
            expected.insert(format!(
                "otel.kind=\"client\" otel.name={name:?} db.system.name=\"memory\" \
                 db.operation.name={name:?} {bytes}"
            ));
        }
    }
    assert_eq!(*spans.0.lock().expect("whole"), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counts_of_several_threads_are_added_up() {
    let store = MemoryStore::builder().max_data(10).build();
    let store = store.expect("good limits");
    let large = Draft::new("more than ten bytes", Lifetime::default());
    let tasks = (0..20).map(|_| {
        let (store, large) = (store.clone(), large.clone());
        tokio::spawn(async move {
            for _ in 0..50 {
                store.load(&id()).await.expect("up");
                store.create(&id(), &large).await.expect_err("too large");
                tokio::task::yield_now().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    let counts = store.counts();
    let (loads, creates) = (counts.of(Operation::Load), counts.of(Operation::Create));
    assert_eq!((loads.calls, loads.errors), (1_000, 0));
    assert_eq!((creates.calls, creates.errors), (1_000, 1_000));
    assert_eq!(creates.timeouts, 0);
}
