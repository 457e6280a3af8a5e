//! What a store adds to its backend.

use super::super::{Operation, Remedy};
use super::*;
use crate::{ErrorKind, SessionDirectory};

#[tokio::test]
async fn data_over_the_limit_is_refused_before_anything_is_sent() {
    let (store, log) = Setting::default().store([]);
    assert_eq!(store.capabilities().max_data, Some(100));
    let (id, expected) = (id(), crate::Stamp::generate().into());
    for refused in [
        store.create(&id, &draft(101)).await,
        store.save(&id, &draft(101), &expected).await,
    ] {
        let error = refused.expect_err("too large");
        let text = "the record has 101 bytes, over the limit of 100";
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(log.attempts(), []);
    let created = store.create(&id, &draft(100)).await;
    assert!(created.is_ok(), "as much as it may be: {created:?}");
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_is_an_operations_and_of_a_directory_each_commands() {
    let slow = Step::AnswerAfter(TIMEOUT / 5 * 3);
    let (store, _) = Setting::default().store([slow; 2]);
    assert_eq!(store.count().await.expect("each in time"), 2);
    let refused: Step = Step::Fail(Failure::repeat);
    let (store, _) = Setting::default().store([slow, Step::NeverAnswer, refused]);
    let error = store.count().await.expect_err("the second is not answered");
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_store_that_is_opened_has_reached_its_database() {
    let open = async |setting: Setting, steps: Vec<Step>| {
        let (backend, connector, log) = setting.parts(steps);
        (Store::open(backend, connector).await, log)
    };
    let (store, log) = open(Setting::default(), vec![]).await;
    let store = store.expect("it answers");
    assert_eq!(log.clients(), [1], "by a client of the connector's");
    store.load(&id()).await.expect("up");
    assert_eq!(log.clients(), [1, 1]);
    let (refused, _) = open(Setting::default(), vec![Step::Fail(|failure| failure)]).await;
    assert_eq!(refused.expect_err("down").kind(), ErrorKind::Unavailable);
    let setting = Setting {
        has_others: false,
        ..Setting::default()
    };
    let (refused, log) = open(setting, vec![]).await;
    assert_eq!(
        refused.expect_err("no client").kind(),
        ErrorKind::Misconfigured
    );
    assert_eq!(log.attempts(), []);
}

#[tokio::test]
async fn a_backends_methods_are_called_without_a_store() {
    let (backend, _, log) = Setting::default().parts([Step::Fail(Failure::repeat)]);
    let call = Call::over(7, Operation::Load);
    let loaded = backend.load(&call, &[id()]).await.expect("at last");
    assert_eq!(loaded.len(), 1);
    assert_eq!(log.clients(), [7, 7], "repeats as a store's calls do");
}

#[test]
fn a_failure_tells_what_may_help() {
    let failure = || Failure::from(Error::unavailable("load", "it says no"));
    let told = |failure: &Failure| {
        let flags = (failure.is_maybe_done(), failure.is_silence());
        (failure.remedy(), flags)
    };
    assert_eq!(told(&failure()), (None, (false, false)));
    let repeat = failure().repeat().maybe_done();
    assert_eq!(told(&repeat), (Some(Remedy::Repeat), (true, false)));
    let replace = failure().replace().silence();
    assert_eq!(told(&replace), (Some(Remedy::Replace), (false, true)));
    let prepare = failure().repeat().prepare();
    assert_eq!(told(&prepare), (Some(Remedy::Prepare), (false, false)));
}

#[tokio::test]
async fn a_backend_without_a_directory_has_none() {
    let (store, _) = Setting::default().store([]);
    assert!(SessionStore::directory(&store).is_none());
    let error = store.clear().await.expect_err("it can't");
    let text = "this session store does not support clear";
    assert_eq!(error.to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn operations_that_queue_are_sent_together_and_counted() {
    let policy = Policy::new(TIMEOUT, 100).with_load(BatchLimits::new(1, 1));
    let setting = Setting {
        policy,
        ..Setting::default()
    };
    let (store, log) = setting.store([Step::AnswerAfter(TIMEOUT / 5); 2]);
    let ids: Vec<_> = (0..10).map(|_| id()).collect();
    let loads = futures_util::future::join_all(ids.iter().map(|id| store.load(id)));
    let counting = async {
        tokio::time::sleep(TIMEOUT / 10).await;
        store.counts()
    };
    let (loads, meanwhile) = tokio::join!(loads, counting);
    assert!(loads.iter().all(Result::is_ok));
    assert_eq!(log.attempts().len(), 2, "one, and the other nine");
    assert_eq!((meanwhile.queued, meanwhile.in_flight), (9, 1));
    let counts = store.counts();
    assert_eq!((counts.batches, counts.batched), (1, 9));
    assert_eq!((counts.queued, counts.in_flight), (0, 0));
    assert_eq!(counts.of(Operation::Load).calls, 10);
    assert_eq!(counts.of(Operation::Save).calls, 0);
}

/// One operation is in flight, and two on one session queue behind it.
#[tokio::test(start_paused = true)]
async fn queued_loads_of_one_session_are_one_and_writes_are_not() {
    let policy = Policy::new(TIMEOUT, 100).with_batches(BatchLimits::new(1, 1));
    let (one, same) = (id(), id());
    let (draft, expected) = (draft(1), crate::Stamp::generate().into());
    let never = crate::Timeout::Never;
    for (operation, attempts) in [
        (Operation::Load, 2),
        (Operation::Create, 3),
        (Operation::Save, 3),
        (Operation::Touch, 3),
        (Operation::Destroy, 3),
    ] {
        let setting = Setting {
            policy,
            ..Setting::default()
        };
        let (store, log) = setting.store([Step::AnswerAfter(TIMEOUT / 5)]);
        let call = async |id| match operation {
            Operation::Create => store.create(id, &draft).await.is_ok(),
            Operation::Save => store.save(id, &draft, &expected).await.is_ok(),
            Operation::Touch => store.touch(id, never).await.is_ok(),
            Operation::Destroy => store.destroy(id, None).await.is_ok(),
            _ => store.load(id).await.is_ok(),
        };
        let answered = tokio::join!(call(&one), call(&same), call(&same));
        assert_eq!(answered, (true, true, true));
        assert_eq!(log.attempts().len(), attempts, "{operation:?}");
    }
}
