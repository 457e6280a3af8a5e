//! A client over which no answer comes any more.

use super::*;
use crate::ErrorKind;

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_replaced_after_one_time_out() {
    let (store, log) = Setting::default().store([Step::NeverAnswer]);
    let error = store.load(&id()).await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(
        error.to_string(),
        "cannot load the session: Toy at host:1: no answer within 5s"
    );
    store.load(&id()).await.expect("over the other one");
    assert_eq!(log.clients(), [0, 1]);
    let load = store.counts().of(super::super::Operation::Load);
    assert_eq!((load.calls, load.errors, load.timeouts), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn so_is_one_whose_batch_is_silent() {
    let policy = Policy::new(TIMEOUT, 100).with_load(BatchLimits::new(2, 1));
    let setting = Setting {
        policy,
        ..Setting::default()
    };
    let (store, log) = setting.store([Step::NeverAnswer]);
    store.load(&id()).await.expect_err("no answer");
    store.load(&id()).await.expect("over the other one");
    assert_eq!(log.clients(), [0, 1]);
}

/// Gives up a load after so long.
async fn give_up(store: &Store<Scripted>, after: Duration) {
    let id = id();
    let load = tokio::time::timeout(after, store.load(&id));
    load.await.expect_err("given up");
}

#[tokio::test(start_paused = true)]
async fn callers_that_give_up_early_find_it_silent_together() {
    let (store, log) = Setting::default().store([Step::NeverAnswer; 3]);
    give_up(&store, TIMEOUT / 5).await;
    give_up(&store, TIMEOUT / 5).await;
    give_up(&store, TIMEOUT / 5).await;
    store.load(&id()).await.expect("over the other one");
    assert_eq!(log.clients(), [0, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn those_before_an_answer_do_not_count() {
    let silence = Step::NeverAnswer;
    let (store, log) = Setting::default().store([silence, Step::Answer, silence]);
    give_up(&store, TIMEOUT / 5 * 2).await;
    store.load(&id()).await.expect("an answer");
    give_up(&store, TIMEOUT / 5 * 2).await;
    store.load(&id()).await.expect("an answer");
    assert_eq!(log.clients(), [0; 4]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_between_shows_that_one_connection_works() {
    for (is_one_connection, last) in [(true, 0), (false, 1)] {
        let setting = Setting {
            is_one_connection,
            ..Setting::default()
        };
        let silence = Step::NeverAnswer;
        let late = Step::AnswerAfter(TIMEOUT / 5 * 4);
        let (store, log) = setting.store([late, silence]);
        let (slow, gave_up) = (id(), give_up(&store, TIMEOUT / 5 * 3));
        let (answered, ()) = tokio::join!(store.load(&slow), gave_up);
        answered.expect("late, but in time");
        store.load(&id()).await.expect("an answer");
        assert_eq!(log.clients(), [0, 0, last]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_has_waited_in_vain_for_long_says_so() {
    for (waited, last) in [(TIMEOUT / 5, 0), (TIMEOUT / 5 * 3, 1)] {
        let silence = Step::FailAfter(waited, Failure::silence);
        let (store, log) = Setting::default().store([silence]);
        store.load(&id()).await.expect_err("it failed");
        store.load(&id()).await.expect("an answer");
        assert_eq!(log.clients(), [0, last]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_of_the_client_before_does_not_replace_the_new_one() {
    let (store, log) = Setting::default().store([Step::NeverAnswer; 2]);
    let early = async {
        store.load(&id()).await.expect_err("no answer");
        store.load(&id()).await.expect("over the other one");
    };
    let late = async {
        tokio::time::sleep(TIMEOUT / 5).await;
        store.load(&id()).await.expect_err("no answer");
        store.load(&id()).await.expect("over the other one");
    };
    tokio::join!(early, late);
    assert_eq!(log.clients(), [0, 0, 1, 1]);
}
