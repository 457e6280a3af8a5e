//! How often a command is sent again, and over which client.

use super::*;
use crate::ErrorKind;

const REPEAT: Step = Step::Fail(Failure::repeat);
const REPLACE: Step = Step::Fail(Failure::replace);
const PREPARE: Step = Step::Fail(Failure::prepare);
const PERMANENT: Step = Step::Fail(|failure| failure);

#[tokio::test(start_paused = true)]
async fn a_failure_without_a_remedy_is_the_answer() {
    let (store, log) = Setting::default().store([PERMANENT]);
    let error = store.load(&id()).await.expect_err("it failed");
    assert_eq!(error.to_string(), "cannot load the session: it says no");
    assert_eq!(log.clients(), [0]);
}

#[tokio::test(start_paused = true)]
async fn each_cause_that_passes_is_repeated_so_often() {
    for (cause, clients) in [(REPEAT, [0, 0, 0, 0]), (PREPARE, [0, 0, 0, 0])] {
        let (store, log) = Setting::default().store([cause; 4]);
        store.load(&id()).await.expect_err("it goes on failing");
        assert_eq!(log.clients(), clients, "once and three times more");
    }
    let steps = [REPEAT, PREPARE, REPLACE, REPEAT, PREPARE, REPEAT, PREPARE];
    let (store, log) = Setting::default().store(steps);
    store.load(&id()).await.expect("each three times at most");
    assert_eq!(log.attempts().len(), 8);
    assert_eq!(log.prepared.load(SeqCst), 3);
    assert_eq!(store.counts().repeats, 7);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_server_is_left_by_another_client() {
    let (store, log) = Setting::default().store([REPLACE]);
    store.load(&id()).await.expect("the other one serves");
    store.load(&id()).await.expect("it still does");
    assert_eq!(log.clients(), [0, 1, 1]);
    assert_eq!(store.counts().replaced_clients, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_the_wrong_one_makes_no_storm_of_clients() {
    let policy = Policy::new(TIMEOUT, 100).with_repeats(0);
    let setting = || Setting {
        policy,
        ..Setting::default()
    };
    let (store, log) = setting().store([REPLACE; 1_000]);
    for _ in 0..100 {
        store.load(&id()).await.expect_err("refused");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // One each 100 ms.
    assert!(log.clients.load(SeqCst) <= 11, "{:?}", log.clients);
    assert!(log.clients.load(SeqCst) >= 9, "{:?}", log.clients);
}

#[tokio::test(start_paused = true)]
async fn callers_that_fail_over_one_client_replace_it_once() {
    let fails = |failure: Failure| failure.replace();
    let (store, log) = Setting::default().store([Step::Fail(fails); 5]);
    let loads: Vec<_> = (0..5).map(|_| id()).collect();
    let loads = loads.iter().map(|id| store.load(id));
    for load in futures_util::future::join_all(loads).await {
        load.expect("over the other one");
    }
    assert_eq!(log.clients.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_failure_over_a_client_that_was_replaced_replaces_no_other() {
    let late = Step::FailAfter(TIMEOUT / 5, Failure::replace);
    let (store, log) = Setting::default().store([late, REPLACE]);
    let (late, early) = (id(), id());
    let (late, early) = tokio::join!(store.load(&late), store.load(&early));
    late.expect("over the other one");
    early.expect("over the other one");
    assert_eq!(log.clients.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_client_is_asked_again() {
    let setting = Setting {
        has_others: false,
        ..Setting::default()
    };
    let (store, log) = setting.store([REPLACE]);
    store.load(&id()).await.expect("it serves after all");
    assert_eq!(log.clients(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_is_told_to_all_that_comes_after() {
    let lost: Step = Step::Fail(|failure| failure.repeat().maybe_done());
    let (store, log) = Setting::default().store([REPEAT, lost, REPEAT]);
    let saved = store.create(&id(), &draft(1)).await.expect("an answer");
    assert_eq!(saved, Saved::Unknown, "a conflict with itself, perhaps");
    let repeated: Vec<bool> = log
        .attempts()
        .into_iter()
        .map(|(_, repeated)| repeated)
        .collect();
    assert_eq!(repeated, [false, false, true, true]);
    let (store, _) = Setting::default().store([REPEAT]);
    let saved = store.create(&id(), &draft(1)).await.expect("an answer");
    assert_eq!(saved, Saved::Conflict, "nothing was done before");
}

#[tokio::test(start_paused = true)]
async fn repeats_end_with_the_time_of_the_operation() {
    let slow = Step::Fail(|failure| failure.repeat());
    let policy = Policy::new(Duration::from_millis(50), 100).with_repeats(u32::MAX);
    let setting = Setting {
        policy,
        ..Setting::default()
    };
    let (store, _) = setting.store(std::iter::repeat_n(slow, 10_000));
    let error = store.load(&id()).await.expect_err("no end of it");
    assert_eq!(error.kind(), ErrorKind::Timeout);
}
