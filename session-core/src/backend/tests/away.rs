//! A database that does not answer.

use std::time::Duration;

use tokio::time::Instant;

use super::super::{CircuitBreaker, Operation};
use super::*;
use crate::{ErrorKind, SessionDirectory};

const INTERVAL: Duration = CircuitBreaker::DEFAULT.probe_interval;
const UNREACHABLE: Step = Step::Fail(Failure::unreachable);
const SILENT: Step = Step::NeverAnswer;
const REFUSED: Step = Step::Fail(|failure| failure);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a load failed with.
async fn failure(store: &Store<Scripted>) -> Error {
    store.load(&id()).await.expect_err("away")
}

/// A store whose next load is the one that opens the circuit, if it is not answered.
async fn about_to_open(steps: &[Step]) -> (Store<Scripted>, Arc<Log>) {
    let before = std::iter::repeat_n(UNREACHABLE, 4);
    let (store, log) = Setting::default().store(before.chain(steps.iter().copied()));
    for _ in 0..4 {
        failure(&store).await;
    }
    assert_eq!(store.counts().openings, 0);
    (store, log)
}

#[tokio::test(start_paused = true)]
async fn after_five_failures_in_a_row_calls_fail_at_once_with_place_cause_and_time() {
    let (store, log) = about_to_open(&[UNREACHABLE]).await;
    failure(&store).await;
    assert_eq!(log.attempts().len(), 5);
    tokio::time::advance(ms(40)).await;
    let began = Instant::now();
    let error = failure(&store).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!error.is_doubtful() && error.is_temporary());
    assert_eq!(
        error.to_string(),
        "cannot load the session: Toy at host:1: it says no; not sent, because no answer has come \
         for 40ms"
    );
    let created = store.create(&id(), &draft(1)).await.expect_err("it too");
    assert_eq!(created.operation(), Some("create"));
    assert_eq!(log.attempts().len(), 5, "nothing was sent");
    let counts = store.counts();
    assert_eq!((counts.openings, counts.rejected), (1, 2));
    assert_eq!(counts.of(Operation::Load).errors, 6, "they are errors too");
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_between_begins_the_row_anew() {
    for answer in [Step::Answer, Step::Fail(|_| Error::corrupt("odd").into())] {
        let (store, log) = about_to_open(&[answer, UNREACHABLE, REFUSED]).await;
        for _ in 0..10 {
            let _ = store.load(&id()).await;
        }
        assert_eq!(log.attempts().len(), 14, "after {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_answers_do_not_count() {
    let (store, log) = Setting::default().store([REFUSED; 100]);
    for _ in 0..100 {
        failure(&store).await;
    }
    assert_eq!((log.attempts().len(), store.counts().openings), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn one_call_in_each_interval_is_sent_and_its_answer_closes_the_circuit() {
    let (store, log) = about_to_open(&[UNREACHABLE; 21]).await;
    failure(&store).await;
    let began = Instant::now();
    let mut sent = log.attempts().len();
    for _ in 0..199 {
        tokio::time::advance(ms(10)).await;
        let _ = failure(&store).await;
    }
    sent = log.attempts().len() - sent;
    assert_eq!(sent, 19, "one each 100 ms");
    tokio::time::advance(INTERVAL).await;
    failure(&store).await;
    tokio::time::advance(INTERVAL).await;
    store.load(&id()).await.expect("back");
    let back = began.elapsed();
    for _ in 0..10 {
        store.load(&id()).await.expect("it stays");
    }
    assert!(back < ms(2_300), "{back:?}");
}

#[tokio::test(start_paused = true)]
async fn callers_that_are_queued_when_it_opens_do_not_wait_on() {
    let policy = Policy::new(TIMEOUT, 100).with_batches(BatchLimits::new(8, 1));
    let setting = Setting {
        policy,
        ..Setting::default()
    };
    let (store, log) = setting.store([SILENT; 1_000]);
    let began = Instant::now();
    let store = &store;
    let early = futures_util::future::join_all((0..8).map(|_| failure(store)));
    let late = async {
        tokio::time::sleep(TIMEOUT - ms(1)).await;
        let late = (0..20).map(|n| async move {
            match n % 2 {
                0 => failure(store).await,
                _ => store.destroy(&id(), None).await.expect_err("away"),
            }
        });
        let errors = futures_util::future::join_all(late).await;
        (began.elapsed(), errors)
    };
    let (_, (after, errors)) = tokio::join!(early, late);
    // Of the destroys, eight went out by themselves, and keep their own time.
    let queued = errors.iter().filter(|error| !error.is_doubtful()).count();
    assert_eq!(queued, 12, "{errors:?}");
    assert_eq!(after, TIMEOUT * 2 - ms(1));
    assert_eq!(store.counts().rejected, 12);
    assert_eq!(log.attempts().len(), 16);
    // The task that finishes a batch without its callers ends.
    tokio::time::sleep(ms(1)).await;
    assert_eq!((store.counts().queued, store.counts().in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_probe_does_not_wait_behind_what_is_silent() {
    let policy = Policy::new(TIMEOUT, 100).with_load(BatchLimits::new(1, 1));
    let setting = Setting {
        policy,
        ..Setting::default()
    };
    let unreachable = [UNREACHABLE; 4];
    let (store, _) = setting.store([SILENT].into_iter().chain(unreachable));
    let waiting = futures_util::future::join_all((0..2).map(|_| failure(&store)));
    let others = async {
        tokio::time::sleep(TIMEOUT / 2).await;
        let expected = crate::Stamp::generate().into();
        for _ in 0..4 {
            let _ = store.save(&id(), &draft(1), &expected).await;
        }
        tokio::time::sleep(TIMEOUT / 2 - ms(1)).await;
        assert_eq!(store.counts().openings, 0);
    };
    let (errors, ()) = tokio::join!(waiting, others);
    assert_eq!(errors.len(), 2);
    assert_eq!(store.counts().openings, 1);
    tokio::time::advance(INTERVAL).await;
    store.load(&id()).await.expect("back");
}

#[tokio::test(start_paused = true)]
async fn the_directory_fails_at_once_too_and_counts() {
    let (store, log) = about_to_open(&[UNREACHABLE, UNREACHABLE]).await;
    store.count().await.expect_err("away");
    assert_eq!(store.counts().openings, 1);
    let error = store.count().await.expect_err("away");
    assert!(!error.is_doubtful());
    assert_eq!(log.attempts().len(), 5);
    store.migrate().await.expect_err("it is tried all the same");
    assert_eq!(log.attempts().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn it_can_be_switched_off_and_tuned() {
    let with = |breaker| Setting {
        policy: Policy::new(TIMEOUT, 100).with_circuit_breaker(breaker),
        ..Setting::default()
    };
    let (store, log) = with(None).store([UNREACHABLE; 100]);
    for _ in 0..100 {
        failure(&store).await;
    }
    assert_eq!(log.attempts().len(), 100);
    let breaker = CircuitBreaker::new(1, ms(10));
    let (store, log) = with(Some(breaker)).store([UNREACHABLE; 100]);
    for _ in 0..100 {
        failure(&store).await;
        tokio::time::advance(ms(2)).await;
    }
    assert_eq!(log.attempts().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_answer_fails_no_call_of_another() {
    let setting = Setting {
        queues: 2,
        ..Setting::default()
    };
    let (store, log) = setting.store([UNREACHABLE; 5]);
    let of_queue = |queue| {
        let mut ids = std::iter::repeat_with(id);
        ids.find(|id| store.backend().queue_of(id) == queue)
            .expect("one of them")
    };
    for _ in 0..6 {
        store.load(&of_queue(0)).await.expect_err("away");
    }
    assert_eq!(log.attempts().len(), 5);
    store.load(&of_queue(1)).await.expect("it is there");
    let error = store.load(&of_queue(0)).await.expect_err("still away");
    assert!(!error.is_doubtful());
    assert_eq!(store.count().await.expect("of all"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_batched_is_bounded_in_number_and_bytes() {
    let setting = |operations, bytes| Setting {
        policy: Policy::new(TIMEOUT, 100).with_in_flight(operations, bytes),
        ..Setting::default()
    };
    for (operations, bytes, text) in [
        (
            3,
            1_000,
            "3 operations with 150 bytes are in flight already",
        ),
        (
            100,
            150,
            "3 operations with 150 bytes are in flight already",
        ),
    ] {
        let (store, log) = setting(operations, bytes).store([SILENT; 100]);
        let creates = (0..5).map(|_| async {
            let created = store.create(&id(), &draft(50)).await;
            created.expect_err("silent")
        });
        let errors = futures_util::future::join_all(creates).await;
        let refused: Vec<_> = errors.iter().filter(|error| !error.is_doubtful()).collect();
        assert_eq!((refused.len(), log.attempts().len()), (2, 3));
        let text = format!("cannot save the session: Toy at host:1: {text}");
        assert_eq!(refused[0].to_string(), text);
        assert_eq!(store.counts().in_flight, 0);
    }
    let (store, _) = setting(100, 10).store([]);
    let first = store.create(&id(), &draft(50)).await;
    assert!(first.is_ok(), "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_is_bounded_in_bytes() {
    let limits = BatchLimits::new(1, 1).with_queued_bytes(100);
    let setting = Setting {
        policy: Policy::new(TIMEOUT, 200).with_batches(limits),
        ..Setting::default()
    };
    let (store, log) = setting.store([SILENT; 100]);
    let create = async |bytes| {
        let created = store.create(&id(), &draft(bytes)).await;
        created.expect_err("silent")
    };
    let sizes = [150, 50, 50, 50, 0];
    let errors = futures_util::future::join_all(sizes.map(create)).await;
    let refused: Vec<_> = errors.iter().filter(|error| !error.is_doubtful()).collect();
    assert_eq!(refused.len(), 1, "{errors:?}");
    assert_eq!(
        refused[0].to_string(),
        "cannot save the session: Toy at host:1: 2 operations with 100 bytes are queued already"
    );
    assert_eq!(log.attempts().len(), 1, "one is in flight, of any size");
}

/// A call's first operation fails after more than half of the limit, and the second is not answered.
#[tokio::test(start_paused = true)]
async fn a_call_of_several_operations_ends_within_one_limit() {
    let slow = Step::FailAfter(TIMEOUT / 5 * 3, |failure| failure);
    let sessions = |steps: [Step; 2]| {
        let (store, log) = Setting::default().store(steps);
        (crate::Sessions::new(store), log)
    };
    let began = Instant::now();
    let (of_destroy, log) = sessions([slow, SILENT]);
    let error = of_destroy.destroy(&id()).await.expect_err("silent");
    assert_eq!(
        (error.kind(), began.elapsed()),
        (ErrorKind::Timeout, TIMEOUT)
    );
    assert_eq!(log.attempts().len(), 2);
    let (of_save, log) = sessions([slow, SILENT]);
    let session = of_save.start();
    session.insert("key", 1).expect("a value");
    for limits in 2..=3 {
        let error = session.save().await.expect_err("silent");
        assert!(error.is_doubtful(), "{error}");
        assert_eq!(began.elapsed(), TIMEOUT * limits);
        *log.steps.lock().expect("whole") = [SILENT].into();
    }
}

#[tokio::test(start_paused = true)]
async fn so_does_one_that_others_conflict_with() {
    let (store, log) = Setting::default().store([Step::AnswerAfter(TIMEOUT / 5 * 2); 100]);
    let session = crate::Sessions::new(store).start();
    session.insert("key", 1).expect("a value");
    let began = Instant::now();
    let error = session.save().await.expect_err("each id is taken");
    assert_eq!(
        (error.kind(), began.elapsed()),
        (ErrorKind::Timeout, TIMEOUT)
    );
    assert_eq!(log.attempts().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_repeat_is_not_sent_is_doubtful_all_the_same() {
    let (store, log) = about_to_open(&[UNREACHABLE]).await;
    let sessions = crate::Sessions::new(store);
    let error = sessions.destroy(&id()).await.expect_err("away");
    assert!(error.is_doubtful(), "{error}");
    assert_eq!(log.attempts().len(), 5, "the repeat was not sent");
    let session = sessions.start();
    session.insert("key", 1).expect("a value");
    let error = session.save().await.expect_err("away");
    assert!(!error.is_doubtful(), "nothing was sent: {error}");
}

struct Fields<'a>(&'a mut String);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

/// Keeps the events of level info and above.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Events {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = event.metadata().level().to_string();
        event.record(&mut Fields(&mut text));
        self.0.lock().expect("whole").push(text);
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn the_log_says_once_that_it_opens_and_once_that_it_closes() {
    let events = Events::default();
    let _guard = tracing::subscriber::set_default(events.clone());
    let (store, _) = about_to_open(&[UNREACHABLE; 2]).await;
    for _ in 0..4 {
        failure(&store).await;
        tokio::time::advance(ms(60)).await;
    }
    tokio::time::advance(INTERVAL).await;
    store.load(&id()).await.expect("back");
    assert_eq!(
        *events.0.lock().expect("whole"),
        [
            "WARN message=the database does not answer: calls fail at once until it does \
             place=\"Toy at host:1\" cause=it says no",
            "INFO message=the database answers again place=\"Toy at host:1\" after=340ms",
        ]
    );
}
