//! What the recorder of an application is told.

use std::future::Future;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::*;
use crate::backend::{CircuitBreaker, ObservedStore, Operation};
use crate::metrics::{BATCH_BUCKETS, SECONDS_BUCKETS, names};

const REPEAT: Step = Step::Fail(Failure::repeat);
const REPLACE: Step = Step::Fail(Failure::replace);
const UNREACHABLE: Step = Step::Fail(Failure::unreachable);

/// Runs a test with a recorder of its own. Gives what a scrape would get.
fn recorded<F: Future<Output = ()>>(test: impl FnOnce(PrometheusHandle) -> F) -> String {
    let full = |name: &str| Matcher::Full(name.to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(full(names::OPERATION_SECONDS), &SECONDS_BUCKETS)
        .and_then(|it| it.set_buckets_for_metric(full(names::BATCH_SIZE), &BATCH_BUCKETS))
        .expect("buckets")
        .build_recorder();
    let handle = recorder.handle();
    ::metrics::with_local_recorder(&recorder, || block_on(test(handle.clone())));
    handle.render()
}

fn block_on(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work);
}

#[track_caller]
fn assert_has(text: &str, line: &str) {
    assert!(text.lines().any(|one| one == line), "{line}\nin\n{text}");
}

const STORE: &str = "db_system_name=\"toy\",server_address=\"host\",server_port=\"1\"";

#[test]
fn operations_are_counted_and_timed_by_name_and_outcome() {
    let text = recorded(|_| async {
        let steps = [Step::AnswerAfter(Duration::from_millis(4)), REPEAT, REPLACE];
        let (store, _) = Setting::default().store(steps);
        for _ in 0..3 {
            store.load(&id()).await.expect("answered");
        }
        let saved = store.create(&id(), &draft(17)).await.expect("answered");
        assert_eq!(saved, Saved::Conflict);
        let error = store.create(&id(), &draft(101)).await;
        error.expect_err("too large, before it is an operation");
    });
    let operations = format!("session_store_operations_total{{{STORE}");
    let load = "db_operation_name=\"load\"";
    assert_has(
        &text,
        &format!("{operations},{load},outcome=\"absent\"}} 3"),
    );
    let create = "db_operation_name=\"create\",outcome=\"conflict\"";
    assert_has(&text, &format!("{operations},{create}}} 1"));
    let seconds = format!("session_store_operation_seconds_count{{{STORE},{load}}} 3");
    assert_has(&text, &seconds);
    assert_has(&text, &format!("session_store_repeats_total{{{STORE}}} 2"));
    let replaced = format!("session_store_replaced_clients_total{{{STORE}}} 1");
    assert_has(&text, &replaced);
    assert_has(&text, "# TYPE session_store_operations_total counter");
    assert_has(
        &text,
        "# HELP session_store_operations_total operations of session stores",
    );
}

#[test]
fn an_open_circuit_shows_until_it_closes_and_errors_have_their_kind() {
    let breaker = CircuitBreaker::new(2, Duration::from_millis(100));
    let text = recorded(|handle| async move {
        let policy = Policy::new(TIMEOUT, 100).with_circuit_breaker(Some(breaker));
        let setting = || Setting {
            policy,
            ..Setting::default()
        };
        let (store, _) = setting().store([UNREACHABLE; 2]);
        for _ in 0..3 {
            store.load(&id()).await.expect_err("away");
        }
        let open = format!("session_store_open_circuits{{{STORE}}} 1");
        assert_has(&handle.render(), &open);
        tokio::time::advance(Duration::from_millis(100)).await;
        store.load(&id()).await.expect("it is back");
        let closed = format!("session_store_open_circuits{{{STORE}}} 0");
        assert_has(&handle.render(), &closed);
        let (dropped, _) = setting().store([UNREACHABLE; 2]);
        for _ in 0..2 {
            dropped.load(&id()).await.expect_err("away");
        }
        assert_has(&handle.render(), &open);
        drop(dropped);
    });
    let opened = "session_store_circuit_openings_total";
    assert_has(&text, &format!("{opened}{{{STORE}}} 2"));
    assert_has(&text, &format!("session_store_open_circuits{{{STORE}}} 0"));
    assert_has(&text, &format!("session_store_rejected_total{{{STORE}}} 1"));
    let failed = "db_operation_name=\"load\",outcome=\"error\",error_type=\"unavailable\"";
    let operations = "session_store_operations_total";
    assert_has(&text, &format!("{operations}{{{STORE},{failed}}} 5"));
}

#[test]
fn a_queue_has_a_length_and_a_batch_a_size() {
    let queued = |n: u32| format!("session_store_queued_operations{{{STORE}}} {n}");
    let text = recorded(|handle| async move {
        let setting = Setting {
            policy: Policy {
                load: Some(BatchLimits::new(1, 1)),
                ..Policy::new(TIMEOUT, 100)
            },
            ..Setting::default()
        };
        let slow = Step::AnswerAfter(Duration::from_millis(50));
        let (store, _) = setting.store([slow, slow, Step::Answer, Step::NeverAnswer]);
        let ids: Vec<_> = (0..9).map(|_| id()).collect();
        let loads = futures_util::future::join_all(ids.iter().map(|id| store.load(id)));
        let look = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_has(&handle.render(), &queued(8));
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_has(&handle.render(), &queued(0));
        };
        let (loads, ()) = tokio::join!(loads, look);
        loads
            .into_iter()
            .for_each(|load| drop(load.expect("answered")));
        // After a large batch, the next callers would wait for each other.
        store.load(&id()).await.expect("answered");
        // What is queued when its callers and its store go is queued no more.
        let moment = Duration::from_millis(10);
        let given_up = futures_util::future::join_all(ids.iter().map(|id| store.load(id)));
        let given_up = tokio::time::timeout(moment, given_up).await;
        assert!(given_up.is_err(), "no answer");
        assert_has(&handle.render(), &queued(8));
        drop(store);
        tokio::time::sleep(TIMEOUT * 2).await;
    });
    assert_has(&text, &queued(0));
    let batch = format!("session_store_batch_operations_sum{{{STORE}");
    assert_has(&text, &format!("{batch},db_operation_name=\"load\"}} 8"));
}

#[test]
fn a_recorder_may_be_installed_after_a_store_was_used() {
    let (store, _) = Setting::default().store([]);
    block_on(async {
        store.load(&id()).await.expect("answered");
    });
    let text = recorded(|_| async {
        store.load(&id()).await.expect("answered");
    });
    let load = "db_operation_name=\"load\",outcome=\"absent\"";
    let line = format!("session_store_operations_total{{{STORE},{load}}} 1");
    assert_has(&text, &line);
}

#[test]
fn an_observed_store_has_the_metrics_of_ours() {
    let text = recorded(|_| async {
        let (inner, _) = Setting::default().store([]);
        let store = ObservedStore::new(inner, "yours", "Yours at /srv/sessions");
        store.load(&id()).await.expect("answered");
        store
            .touch(&id(), Lifetime::default().idle)
            .await
            .expect("answered");
        assert_eq!(store.counts().of(Operation::Load).calls, 1);
    });
    let yours = "db_system_name=\"yours\",server_address=\"/srv/sessions\"";
    for operation in ["load", "touch"] {
        let labels = format!("{yours},db_operation_name=\"{operation}\",outcome=\"absent\"");
        assert_has(
            &text,
            &format!("session_store_operations_total{{{labels}}} 1"),
        );
    }
}
