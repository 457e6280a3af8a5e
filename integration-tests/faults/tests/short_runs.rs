//! A few seconds of the whole engine: processes, one of them killed, faults, and the judgement.
#![allow(clippy::expect_used, reason = "a test")]

use std::path::PathBuf;
use std::time::Duration;

use session_faults::judge::{Report, Rule};
use session_faults::run::{Run, judge_file};

fn short(topology: &str, faults: &[&str], directory: PathBuf) -> Run {
    Run {
        topology: topology.to_owned(),
        program: PathBuf::from(env!("CARGO_BIN_EXE_faults")),
        seed: 7,
        duration: Duration::from_secs(5),
        callers: 8,
        slots: 60,
        idle: Duration::from_secs(3),
        faults: Some(faults.iter().map(|name| (*name).to_owned()).collect()),
        pause: (Duration::from_millis(800), Duration::from_millis(1_200)),
        drops: 60,
        patient: false,
        directory,
    }
}

async fn passes(topology: &str, faults: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    let run = short(topology, faults, directory.path().to_owned());
    let report = run.run().await.expect("the run is made");
    assert_kept(&report);
    assert!(report.operations > 500 && report.sessions > 20, "{report}");
    assert!(report.told > 20, "ends are told: {report}");
    assert!(report.undecided.is_empty(), "{report}");
    if !faults.is_empty() {
        assert!(report.killed > 0, "{report}");
    }
    // The history is kept, and says the same again.
    let again = judge_file(&run.history()).expect("a history");
    assert_eq!(again.operations, report.operations);
    assert_kept(&again);
}

/// Callers may succeed late on a machine that is busy with other tests.
fn assert_kept(report: &Report) {
    let mut broken = report.violations.iter();
    assert!(
        broken.all(|broken| broken.rule == Rule::SlowRecovery),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_run_in_memory_keeps_every_promise() {
    passes("memory", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_run_on_sqlite_with_a_killed_process_keeps_every_promise() {
    passes("sqlite", &["kill-worker"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_run_on_redis_with_a_killed_process_keeps_every_promise() {
    passes("redis", &["kill-worker"]).await;
}
