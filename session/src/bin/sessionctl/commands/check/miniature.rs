//! The cases of the conformance suite that take little time, and that a wrong server fails.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use session_conformance::{CASES, Case, Outcome, run_case};
use tokio::time::{Instant, timeout_at};

use super::scratch::Scratch;

/// Each takes well under a second, and few sessions.
const NAMES: [&str; 15] = [
    "a_created_session_is_loaded_as_it_was_created",
    "create_never_overwrites",
    "an_unused_session_ends_at_its_idle_limit",
    "an_expired_session_is_in_no_listing",
    "touch_extends_the_idle_limit",
    "one_of_many_saves_of_one_version_is_done",
    "no_update_of_64_concurrent_writers_is_lost",
    "another_instance_sees_a_write_at_once",
    "a_repeated_save_succeeds",
    "a_save_repeated_after_destroy_is_gone",
    "data_of_the_declared_limit_is_kept",
    "clear_ends_every_session",
    "logging_out_everywhere_ends_all",
    "reap_returns_id_owner_and_age",
    "a_session_that_is_being_reported_stays_ended",
];

/// How many run at once; they wait for deadlines most of the time.
const MAX_CONCURRENT: usize = 4;

/// What a machine that is too slow to tell says.
const TOO_SLOW: [&str; 2] = ["too slow", "Timeout { operation"];

/// Whether the store does not make this promise at all.
fn is_not_made(case: &Case, outcome: &Outcome) -> bool {
    let missing = |why: &str| case.needs.iter().any(|need| need.missing() == why);
    matches!(outcome, Outcome::NotRun(why) if missing(why))
}

/// A promise that was tried.
pub(super) struct Tried {
    pub(super) case: &'static Case,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

impl Tried {
    /// What is promised, in words.
    pub(super) fn promise(&self) -> String {
        self.case.name.replace('_', " ")
    }
}

/// Tries the promises until all were tried or the time is over. What was not tried by then is not run,
/// and what the store does not promise is left out.
pub(super) async fn run(scratch: &Scratch, until: Instant) -> Vec<Tried> {
    silence();
    let case_of = |name: &&str| CASES.iter().find(|case| case.name == *name);
    let tried = stream::iter(NAMES.iter().filter_map(case_of))
        .map(|case| attempt(scratch.clone(), case, until))
        .buffer_unordered(MAX_CONCURRENT)
        .collect::<Vec<Tried>>()
        .await;
    let is_made = |one: &Tried| !is_not_made(one.case, &one.outcome);
    tried.into_iter().filter(is_made).collect()
}

/// A case panics where the store is wrong, and its message is in the outcome: it is not printed. Tasks
/// of a case may go on when its time is over.
fn silence() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_case = panic
            .location()
            .is_some_and(|at| at.file().contains("session-conformance"));
        if !is_case {
            usual(panic);
        }
    }));
}

async fn attempt(scratch: Scratch, case: &'static Case, until: Instant) -> Tried {
    let began = Instant::now();
    let outcome = match timeout_at(until, run_case(Arc::new(scratch), case)).await {
        Ok(report) => report.outcome,
        Err(_) => Outcome::NotRun("the time was over"),
    };
    let outcome = match outcome {
        Outcome::Failed(why) if TOO_SLOW.iter().any(|sign| why.contains(sign)) => {
            Outcome::NotRun("the server or this machine was too slow to tell")
        }
        outcome => outcome,
    };
    Tried {
        case,
        outcome,
        took: began.elapsed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_that_of_a_case() {
        for name in NAMES {
            let found = CASES.iter().filter(|case| case.name == name).count();
            assert_eq!(found, 1, "{name}");
        }
    }
}
