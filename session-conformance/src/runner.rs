//! Runs cases on their own namespaces, within a time limit, and cleans up after them.

use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;

use crate::random::panic_text;
use crate::report::announce_not_run;
use crate::{CASES, Case, CaseReport, Fixture, Need, Outcome, Report, StoreFactory};

/// The time limit of one case. Most take well under a second.
pub const CASE_LIMIT: Duration = Duration::from_secs(120);

/// How long a test waits for clean-up after [`CASE_LIMIT`] before it fails.
const CLEANING_GRACE: Duration = Duration::from_secs(60);

/// How many cases [`run_all`] runs concurrently; they spend most of their time waiting for
/// deadlines.
const MAX_CONCURRENT: usize = 4;

/// Runs every case on stores of this factory, a few at a time. Needs a Tokio runtime with time
/// enabled, preferably multi-threaded.
pub async fn run_all(factory: impl StoreFactory) -> Report {
    let factory: Arc<dyn StoreFactory> = Arc::new(factory);
    let cases = stream::iter(CASES)
        .map(|case| run_case(Arc::clone(&factory), case))
        .buffered(MAX_CONCURRENT)
        .collect()
        .await;
    Report { cases }
}

/// Runs one case of [`CASES`](crate::CASES), or a case of your own, on its own namespace. Needs a
/// multi-threaded Tokio runtime with time enabled.
pub async fn run_case(factory: Arc<dyn StoreFactory>, case: &'static Case) -> CaseReport {
    let began = Instant::now();
    let outcome = match factory.absent() {
        Some(reason) => Outcome::NotRun(reason),
        None => open_and_run(factory, case).await,
    };
    CaseReport {
        case,
        outcome,
        took: began.elapsed(),
    }
}

async fn open_and_run(factory: Arc<dyn StoreFactory>, case: &'static Case) -> Outcome {
    match Fixture::new(factory).await {
        Ok(fixture) => {
            let outcome = run_on(&fixture, case).await;
            fixture.clean_up().await;
            outcome
        }
        Err(error) => Outcome::Failed(format!("the factory could not open a store: {error:?}")),
    }
}

async fn run_on(fixture: &Fixture, case: &'static Case) -> Outcome {
    match fixture.lacks(case.needs).await {
        Ok(None) => {}
        Ok(Some(need)) => return Outcome::NotRun(need.missing()),
        Err(error) => return Outcome::Failed(format!("checking its needs failed: {error:?}")),
    }
    let mut running = tokio::spawn((case.run)(fixture.clone()));
    let failed = match tokio::time::timeout(CASE_LIMIT, &mut running).await {
        Ok(Ok(())) => return Outcome::Passed,
        Ok(Err(ended)) => match ended.try_into_panic() {
            Ok(panic) => panic_text(panic.as_ref()),
            Err(cancelled) => format!("the case was cancelled: {cancelled}"),
        },
        Err(_) => {
            running.abort();
            format!("it hangs: not done within {CASE_LIMIT:?}")
        }
    };
    Outcome::Failed(fixture.failure(failed))
}

/// Returns the case of the suite with this name.
///
/// # Panics
/// If there is no such case.
#[must_use]
pub fn case_of(name: &str) -> &'static Case {
    let case = CASES.iter().find(|case| case.name == name);
    case.unwrap_or_else(|| panic!("there is no case {name}"))
}

/// Runs a case as the body of a `#[test]` that
/// [`conformance_tests!`](crate::conformance_tests) expands to.
///
/// `factory` is awaited in the multi-threaded runtime of the case. The runtime runs on its own
/// threads, so that a store that blocks them forever still fails its case.
///
/// # Panics
/// If the case fails, or if a need of the case is not met and not declared in `without`.
pub fn run_test<F, M>(path: &str, case: &'static Case, without: &[Need], factory: M)
where
    F: StoreFactory,
    M: Future<Output = F> + Send + 'static,
{
    let name = case.name;
    let run = async move {
        let factory = factory.await;
        let is_absent = factory.absent().is_some();
        (is_absent, run_case(Arc::new(factory), case).await.outcome)
    };
    let (is_absent, outcome) = on_own_threads(name, run);
    let is_declared = case.needs.iter().any(|need| without.contains(need));
    match outcome {
        Outcome::Passed => {}
        Outcome::NotRun(reason) if is_absent || is_declared => {
            announce_not_run(path, case, reason);
        }
        Outcome::NotRun(reason) => {
            let missing = case.needs.iter().find(|need| need.missing() == reason);
            let missing = missing.expect("a case is not run for one of its needs");
            panic!(
                "{name} can't be run: {reason}. If that is intended, declare it to ignore the cases \
                 that need it: conformance_tests!(…, without = [{missing:?}])"
            )
        }
        Outcome::Failed(message) => {
            let rule = case.invariant.rule();
            panic!("{name} ({}: {rule}): {message}", case.invariant)
        }
    }
}

/// Checks that no need in `without` is met, as the body of a `#[test]` of
/// [`conformance_tests!`](crate::conformance_tests).
///
/// # Panics
/// If one is met, because cases that could run are then ignored.
pub fn check_left_out<F, M>(without: &'static [Need], factory: M)
where
    F: StoreFactory,
    M: Future<Output = F> + Send + 'static,
{
    let there = on_own_threads("needs_declared_as_missing_are_missing", async move {
        let factory = factory.await;
        if factory.absent().is_some() || without.is_empty() {
            return Vec::new();
        }
        let fixture = Fixture::new(Arc::new(factory)).await;
        let fixture = fixture.expect("the factory opens a store");
        let mut there = Vec::new();
        for need in without {
            let lacks = fixture.lacks(std::slice::from_ref(need)).await;
            if lacks.expect("looking for it works").is_none() {
                there.push(need);
            }
        }
        fixture.clean_up().await;
        there
    });
    assert!(
        there.is_empty(),
        "{there:?} is declared as missing but is there: remove it from `without`, so that the cases \
         that need it are run"
    );
}

/// Awaits `work` in a runtime on its own threads.
fn on_own_threads<T: Send + 'static>(
    name: &str,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::channel();
    let runner = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .expect("a runtime for the case");
        let done = runtime.block_on(work);
        // The receiver is gone only if the test has stopped waiting.
        let _ = sender.send(done);
        runtime.shutdown_background();
    });
    match receiver.recv_timeout(CASE_LIMIT + CLEANING_GRACE) {
        Ok(done) => done,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            panic!("{name}: the store blocks the runtime's threads")
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = runner.join().expect_err("it ended without a report");
            std::panic::resume_unwind(panic)
        }
    }
}
