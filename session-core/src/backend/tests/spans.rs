//! The span of each operation.

#[path = "../../../tests/support/spans.rs"]
mod kept;

use super::*;
use crate::SessionDirectory;
use kept::{Span, Spans};

const REPEAT: Step = Step::Fail(Failure::repeat);

fn of_stores(spans: &Spans) -> Vec<Span> {
    let all = spans.take().into_iter();
    all.filter(|span| span.name == "session_store").collect()
}

fn only(spans: &Spans) -> Span {
    let mut all = of_stores(spans);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_span_says_what_was_asked_of_which_server_and_what_came_of_it() {
    let spans = Spans::start();
    let (store, _) = Setting::default().store([]);
    store.load(&id()).await.expect("answered");
    let span = only(&spans);
    for (name, value) in [
        ("otel.kind", Some("client")),
        ("otel.name", Some("load")),
        ("db.system.name", Some("toy")),
        ("db.operation.name", Some("load")),
        ("server.address", Some("host")),
        ("server.port", Some("1")),
        ("outcome", Some("absent")),
        ("error.type", None),
        ("otel.status_code", None),
        ("bytes", None),
        ("attempts", None),
        ("db.operation.batch.size", None),
    ] {
        assert_eq!(span.field(name), value, "{name}");
    }
    let expected = Saved::Conflict;
    let saved = store.create(&id(), &draft(17)).await.expect("answered");
    assert_eq!(saved, expected);
    let span = only(&spans);
    assert_eq!(span.field("bytes"), Some("17"));
    assert_eq!(span.field("outcome"), Some("conflict"));
}

#[tokio::test(start_paused = true)]
async fn each_operation_has_a_span_without_a_secret() {
    let spans = Spans::start();
    let (store, _) = Setting::default().store([]);
    let (id, stamp) = (id(), crate::Stamp::generate());
    let _ = store.create(&id, &draft(3)).await;
    let _ = store.load(&id).await;
    let _ = store.save(&id, &draft(3), &stamp.into()).await;
    let _ = store.touch(&id, crate::Timeout::Never).await;
    let _ = store.destroy(&id, None).await;
    let _ = store.count().await;
    let _ = store.migrate().await;
    let expected = [
        "create", "load", "save", "touch", "destroy", "count", "migrate",
    ];
    let all = of_stores(&spans);
    let names: Vec<_> = all.iter().map(|span| span.field("otel.name")).collect();
    assert_eq!(names, expected.map(Some));
    for span in all {
        let values: String = span.fields.values().cloned().collect();
        assert!(!values.contains(id.as_str()), "{span:?}");
        assert!(!values.contains("xxx"), "{span:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_has_its_kind_and_repeats_are_counted() {
    let spans = Spans::start();
    let (store, _) = Setting::default().store([REPEAT; 6]);
    store.load(&id()).await.expect_err("the fourth fails too");
    let span = only(&spans);
    assert_eq!(span.field("outcome"), Some("error"));
    assert_eq!(span.field("error.type"), Some("unavailable"));
    assert_eq!(span.field("otel.status_code"), Some("ERROR"));
    assert_eq!(span.field("attempts"), Some("4"));
    store.load(&id()).await.expect("the third is answered");
    let span = only(&spans);
    assert_eq!(span.field("attempts"), Some("3"));
    assert_eq!(span.field("outcome"), Some("absent"));
    let directory = store.directory();
    assert!(directory.is_none(), "the toy has none");
    assert_eq!(SessionDirectory::count(&store).await.expect("two"), 2);
    assert_eq!(only(&spans).field("db.operation.name"), Some("count"));
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_span_that_follows_from_those_of_its_callers() {
    let spans = Spans::start();
    let setting = Setting {
        policy: Policy {
            load: Some(BatchLimits::new(1, 1)),
            ..Policy::new(TIMEOUT, 100)
        },
        ..Setting::default()
    };
    let slow = Step::AnswerAfter(Duration::from_millis(5));
    let (store, _) = setting.store([slow, REPEAT, slow]);
    let ids: Vec<_> = (0..9).map(|_| id()).collect();
    let loads = ids.iter().map(|id| store.load(id));
    for load in futures_util::future::join_all(loads).await {
        load.expect("answered");
    }
    let all = of_stores(&spans);
    let (batches, callers): (Vec<_>, Vec<_>) = all.iter().partition(|span| span.follows > 0);
    assert_eq!((batches.len(), callers.len()), (1, 9), "{all:?}");
    assert_eq!(batches[0].follows, 8, "the first was sent by itself");
    assert_eq!(batches[0].field("db.operation.batch.size"), Some("8"));
    assert_eq!(batches[0].field("attempts"), Some("2"));
    let in_batch = |span: &&&Span| span.field("db.operation.batch.size") == Some("8");
    assert_eq!(callers.iter().filter(in_batch).count(), 8);
    assert!(
        callers
            .iter()
            .all(|span| span.field("outcome") == Some("absent"))
    );
}
