//! Whether a history keeps what is promised.

mod calls;
mod lifespan;
mod partition;
mod report;
mod rules;
mod search;
mod state;
#[cfg(test)]
mod tampering;
mod told;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Micros;
use crate::history::{Act, Answer, FaultLine, History};
use lifespan::Lifespan;
use partition::{Partition, partitions};
use rules::Case;
use search::{Verdict, search};
use state::State;
use told::Telling;

pub use report::{Recovery, Report, Rule, Violation};

/// Judges a history.
#[must_use]
pub fn judge(history: &History) -> Report {
    let partitions = partitions(history);
    let mut report = describe(history, partitions.len());
    let telling = Telling::of(history);
    for partition in partitions.values() {
        judge_session(partition, history, &telling, &mut report);
    }
    report
        .violations
        .extend(unknown_sessions(history, &partitions));
    report.violations.extend(calls::kinds(history));
    let (overlong, longest) = calls::overlong(history);
    report.violations.extend(overlong);
    let (recoveries, slow) = calls::recoveries(history);
    report.violations.extend(slow);
    (report.longest, report.recoveries) = (longest, recoveries);
    report
}

fn describe(history: &History, sessions: usize) -> Report {
    let first = history.calls.first().map_or(Micros(0), |call| call.at);
    // What is reaped at the end is no work.
    let work = history
        .calls
        .iter()
        .rev()
        .find(|call| !matches!(call.act, Act::Reap));
    let last = work.map_or(first, |call| call.at);
    let run = history.run.as_ref();
    Report {
        topology: run.map(|run| run.topology.clone()).unwrap_or_default(),
        description: run.map(|run| run.description.clone()).unwrap_or_default(),
        seed: run.map_or(0, |run| run.seed),
        seconds: last.since(first).as_secs_f64(),
        processes: history.workers.len(),
        killed: history.killed.len(),
        operations: history.calls.len(),
        sessions,
        told: history.told.len(),
        errors: calls::errors(history),
        ..Report::default()
    }
}

fn judge_session(partition: &Partition, history: &History, telling: &Telling, report: &mut Report) {
    let lifespan = Lifespan::of(partition, history);
    let case = Case {
        partition,
        history,
        lifespan: &lifespan,
    };
    let mut found = case.violations();
    found.extend(telling.violations(partition, history, &lifespan));
    let steps = partition.steps(history, &lifespan);
    match search(&steps, State::absent()) {
        Verdict::Explained => {}
        Verdict::Undecided => report.undecided.push(partition.id.clone()),
        // A rule has said it in clearer words.
        Verdict::Unexplained(_)
            if found
                .iter()
                .any(|violation| violation.rule.is_of_durability()) => {}
        Verdict::Unexplained(stuck) => {
            let call = &history.calls[steps[stuck].call];
            let text = format!(
                "no order of its {} calls explains that of process {}, number {}: {:?} gives {:?}",
                steps.len(),
                call.process,
                call.number,
                call.act,
                call.answer.as_ref().map(|(_, answer)| answer)
            );
            found.push(Violation::of_session(
                Rule::NoOrder,
                &partition.id,
                call.at,
                text,
            ));
        }
    }
    let lost = found
        .iter()
        .any(|violation| violation.rule.is_of_durability());
    if lost && is_explained_by_loss(&steps, partition, history) {
        report.lost_as_documented += 1;
        found.retain(|violation| !violation.rule.is_of_durability());
    }
    report.violations.extend(found);
}

/// Whether the session is as promised but for writes that the servers' settings may lose.
fn is_explained_by_loss(steps: &[state::Step], partition: &Partition, history: &History) -> bool {
    let losses = history
        .faults
        .iter()
        .filter(|fault| overlaps(fault, partition));
    let Some(kept_from) = losses.map(end_of_loss).max() else {
        return false;
    };
    let later: Vec<_> = steps
        .iter()
        .filter(|step| step.from >= kept_from)
        .cloned()
        .collect();
    search(&later, State::unknown()) == Verdict::Explained
}

fn overlaps(fault: &FaultLine, partition: &Partition) -> bool {
    let Some(recent) = fault.may_lose else {
        return false;
    };
    let from = Micros(fault.began.0.saturating_sub(recent));
    partition.began.0 <= end_of_loss(fault) && partition.last >= from
}

fn end_of_loss(fault: &FaultLine) -> Micros {
    fault.ended.plus(Duration::from_micros(fault.recovery))
}

/// Sessions that are listed or told of and that no call has made.
fn unknown_sessions(history: &History, known: &BTreeMap<String, Partition>) -> Vec<Violation> {
    // A session whose beginning was not answered has an id that no caller knows.
    let is_any_unanswered = history.calls.iter().any(|call| {
        matches!(call.act, Act::Create { .. } | Act::SignIn { .. }) && call.success().is_none()
    });
    if is_any_unanswered {
        return Vec::new();
    }
    let mut found = Vec::new();
    for call in &history.calls {
        let Some((at, Answer::Listed { sessions })) = call.success() else {
            continue;
        };
        let unknown = sessions.iter().find(|id| !known.contains_key(*id));
        if let Some(id) = unknown {
            let text = format!("{} names it, and no call has made it", call.act.name());
            found.push(Violation::of_session(Rule::UnknownSession, id, at, text));
        }
    }
    found
}
