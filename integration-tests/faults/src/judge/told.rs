//! Whether each end was told, once, and only where it was meant.

use std::time::Duration;

use super::lifespan::Lifespan;
use super::partition::Partition;
use super::report::{Rule, Violation};
use crate::clock::Micros;
use crate::history::{Act, Answer, Call, History, Told, ToldLine};

/// Around a fault, a repeated call may tell an end once more.
const AROUND: Duration = Duration::from_secs(5);

/// What is known of a run as far as it matters for what observers are told.
pub(super) struct Telling {
    /// The run ended with every expired session reaped.
    is_complete: bool,
    expiry_reports: bool,
}

impl Telling {
    pub(super) fn of(history: &History) -> Self {
        let is_killed = |process| history.killed.iter().any(|(killed, _)| *killed == process);
        let mut lasting = history
            .workers
            .iter()
            .filter(|worker| !is_killed(worker.process));
        let drained = |process| {
            history
                .drained
                .iter()
                .any(|(drained, _)| *drained == process)
        };
        let is_drained =
            lasting.all(|worker| drained(worker.process)) && !history.workers.is_empty();
        let is_patient = history.run.as_ref().is_none_or(|run| run.patient);
        // What a process has claimed that died, or whose answer was lost, is told a minute later.
        let is_claimed = !history.killed.is_empty() || history.calls.iter().any(is_lost_reap);
        Self {
            is_complete: is_drained && (is_patient || !is_claimed),
            expiry_reports: history.workers.iter().all(|worker| worker.expiry_reports),
        }
    }

    /// What is wrong with what was told of this session.
    pub(super) fn violations(
        &self,
        partition: &Partition,
        history: &History,
        lifespan: &Lifespan,
    ) -> Vec<Violation> {
        let ends: Vec<&ToldLine> = partition
            .told
            .iter()
            .filter(|told| told.what != Told::Corrupt)
            .collect();
        let mut found = Vec::new();
        let mut report = |rule, at, text: String| {
            found.push(Violation::of_session(rule, &partition.id, at, text));
        };
        for told in &ends {
            if let Some(text) = unmeant(told, partition, history, lifespan) {
                report(Rule::WronglyEnded, told.at, text.to_owned());
            }
        }
        if let [first, .., last] = &ends[..]
            && !is_doubtful(partition, history, first.at, last.at)
        {
            let text = format!(
                "{:?} and {:?}, {:?} apart",
                first.what,
                last.what,
                last.at.since(first.at)
            );
            report(Rule::ToldTwice, last.at, text);
        }
        if ends.is_empty()
            && let Some((rule, text)) = self.untold(partition, history)
        {
            report(rule, partition.last, text.to_owned());
        }
        if partition.told.iter().any(|told| told.what == Told::Corrupt) {
            report(
                Rule::Corrupt,
                partition.last,
                "the stored session can't be read".to_owned(),
            );
        }
        found
    }

    fn untold(&self, partition: &Partition, history: &History) -> Option<(Rule, &'static str)> {
        let ending = || {
            let calls = partition.calls.iter().chain(&partition.sweeps);
            calls.map(|index| &history.calls[*index]).filter(|call| {
                matches!(
                    call.act,
                    Act::SignOut | Act::Revoke | Act::LogOutEverywhere { .. }
                )
            })
        };
        let is_ended = ending().any(|call| match (&call.act, call.success()) {
            (Act::SignOut, Some(_)) => true,
            (Act::Revoke, Some((_, Answer::Ended { found }))) => *found,
            _ => false,
        });
        // A process that is killed after it has ended a session tells nobody.
        if ending().any(|call| call.answer.is_none())
            || !history.killed.is_empty() && !self.is_complete
        {
            return None;
        }
        let is_dropped = ending().any(|call| matches!(call.answer, Some((_, Answer::Dropped))));
        match (is_ended, self.is_complete && self.expiry_reports) {
            (_, true) if is_dropped => Some((
                Rule::UntoldAfterDrop,
                "no observer was told of its end; a caller of it went away",
            )),
            (true, _) => Some((Rule::Untold, "it was ended, and no observer was told")),
            (_, true) => Some((
                Rule::Untold,
                "no observer was told of its end until all had expired",
            )),
            (false, false) => None,
        }
    }
}

fn is_lost_reap(call: &Call) -> bool {
    matches!(call.act, Act::Reap) && call.success().is_none()
}

/// Why this end should not have been told, if so.
fn unmeant(
    told: &ToldLine,
    partition: &Partition,
    history: &History,
    lifespan: &Lifespan,
) -> Option<&'static str> {
    let calls = || partition.calls.iter().map(|index| &history.calls[*index]);
    let has_called = |is_meant: &dyn Fn(&Act) -> bool| {
        calls().any(|call| call.at <= told.at && is_meant(&call.act))
    };
    let is_swept = || {
        partition.sweeps.iter().any(|index| {
            let call = &history.calls[*index];
            let Act::LogOutEverywhere { except, .. } = &call.act else {
                return false;
            };
            call.at <= told.at && except.as_ref() != Some(&partition.id)
        })
    };
    match told.what {
        Told::Expired if told.at < lifespan.earliest_end() => {
            Some("it was told to have expired before its time")
        }
        Told::SignedOut if !has_called(&|act| matches!(act, Act::SignOut)) => {
            Some("it was signed out, and no caller did that")
        }
        Told::Revoked if !has_called(&|act| matches!(act, Act::Revoke)) && !is_swept() => {
            Some("it was ended, and no call named it or its owner")
        }
        Told::Reused if !has_called(&|act| matches!(act, Act::Open { renews: true, .. })) => {
            Some("it was ended for a reused token, and none was renewed")
        }
        _ => None,
    }
}

/// Whether an end may have been told again: an answer was lost, or a process died.
fn is_doubtful(partition: &Partition, history: &History, first: Micros, last: Micros) -> bool {
    let calls = partition.calls.iter().chain(&partition.sweeps);
    let mut unanswered = calls.map(|index| &history.calls[*index]).filter(|call| {
        let is_end = matches!(
            call.act,
            Act::SignOut | Act::Revoke | Act::LogOutEverywhere { .. }
        );
        is_end && call.success().is_none()
    });
    let near =
        |began: Micros, ended: Micros| began <= last.plus(AROUND) && ended.plus(AROUND) >= first;
    let mut reaps = history.calls.iter().filter(|call| is_lost_reap(call));
    unanswered.next().is_some()
        || history
            .faults
            .iter()
            .any(|fault| near(fault.began, fault.ended))
        || history.killed.iter().any(|(_, at)| near(*at, *at))
        || reaps.any(|call| call.at <= last && call.ended().is_none_or(|ended| ended >= first))
}
