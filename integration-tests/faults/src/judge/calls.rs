//! What can be said of calls whatever their sessions: how long, which errors, how soon again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::report::{Recovery, Rule, Violation};
use crate::clock::Micros;
use crate::history::{Act, Answer, Call, FaultLine, History};

/// For the scheduler.
const ALLOWANCE: Duration = Duration::from_millis(50);
/// What any fault explains. `Gone` is judged with the session.
const USUAL: [&str; 5] = [
    "Unavailable",
    "Timeout",
    "OutcomeUnknown",
    "Contention",
    "Gone",
];

/// Errors that no fault of the run explains.
pub(super) fn kinds(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for call in &history.calls {
        match &call.answer {
            Some((at, Answer::Failed { kind, text, .. }))
                if !is_explained(kind, call.at, *at, history) =>
            {
                let text = format!("{}: {kind}: {text}", call.act.name());
                found.push(Violation::new(
                    Rule::Unexplained,
                    call.session.clone(),
                    *at,
                    text,
                ));
            }
            Some((at, Answer::Panicked)) => {
                let text = format!("{} panicked", call.act.name());
                found.push(Violation::new(
                    Rule::Unexplained,
                    call.session.clone(),
                    *at,
                    text,
                ));
            }
            _ => {}
        }
    }
    found
}

fn is_explained(kind: &str, from: Micros, to: Micros, history: &History) -> bool {
    USUAL.contains(&kind)
        || history.faults.iter().any(|fault| {
            let end = fault.ended.plus(Duration::from_micros(fault.recovery));
            fault.explains.iter().any(|explained| explained == kind)
                && fault.began <= to
                && from <= end
        })
}

/// How many calls failed, by kind.
pub(super) fn errors(history: &History) -> BTreeMap<String, u64> {
    let mut errors = BTreeMap::new();
    for call in &history.calls {
        let kind = match &call.answer {
            Some((_, Answer::Failed { kind, .. })) => kind.as_str(),
            Some((_, Answer::Dropped)) => "(caller went away)",
            Some((_, Answer::Panicked)) => "(panic)",
            None => "(process killed)",
            Some(_) => continue,
        };
        *errors.entry(kind.to_owned()).or_default() += 1;
    }
    errors
}

/// Calls that took longer than they may, and the longest of all.
pub(super) fn overlong(history: &History) -> (Vec<Violation>, Duration) {
    let limits: HashMap<u32, Duration> = history
        .workers
        .iter()
        .map(|worker| (worker.process, Duration::from_micros(worker.limit)))
        .collect();
    let (mut found, mut longest) = (Vec::new(), Duration::ZERO);
    for call in &history.calls {
        let (Some(at), Some(limit)) = (call.ended(), limits.get(&call.process)) else {
            continue;
        };
        let took = at.since(call.at);
        longest = longest.max(took);
        let may_take = *limit * store_calls(&call.act) + ALLOWANCE;
        if took > may_take && took > may_take + lag(history, call, at) {
            let text = format!("{} took {took:?}, over {may_take:?}", call.act.name());
            found.push(Violation::new(
                Rule::Overlong,
                call.session.clone(),
                at,
                text,
            ));
        }
    }
    (found, longest)
}

/// How many calls of the store one may be, each of which has the limit. One that is answered late is
/// the last one, except where conflicts come before it.
const fn store_calls(act: &Act) -> u32 {
    match act {
        Act::Open { .. } | Act::Create { .. } | Act::Touch { .. } | Act::SignOut | Act::Revoke => 1,
        Act::Increment { .. }
        | Act::Insert { .. }
        | Act::Flash { .. }
        | Act::TakeFlashes { .. }
        | Act::SignIn { .. }
        | Act::CycleId { .. } => 2,
        Act::LogOutEverywhere { .. } | Act::OwnedBy { .. } | Act::List | Act::Reap => 3,
    }
}

/// How long the process did not run during a call.
fn lag(history: &History, call: &Call, at: Micros) -> Duration {
    let lags = history.lags.get(&call.process).into_iter().flatten();
    let during = lags.map(|(from, to)| (*to).min(at).since((*from).max(call.at)));
    during.sum()
}

/// How soon callers succeeded again after each kind of fault.
pub(super) fn recoveries(history: &History) -> (Vec<Recovery>, Vec<Violation>) {
    let mut successes: BTreeMap<(u32, u32), Vec<Micros>> = BTreeMap::new();
    for call in &history.calls {
        if let Some((at, _)) = call.success() {
            successes
                .entry((call.process, call.caller))
                .or_default()
                .push(at);
        }
    }
    for times in successes.values_mut() {
        times.sort_unstable();
    }
    let names: BTreeSet<&String> = history.faults.iter().map(|fault| &fault.name).collect();
    let (mut all, mut found) = (Vec::new(), Vec::new());
    for name in names {
        let mut waits = Vec::new();
        let faults = history.faults.iter().filter(|fault| fault.name == *name);
        let mut allowed = Duration::ZERO;
        let mut times = 0;
        for fault in faults {
            times += 1;
            allowed = Duration::from_micros(fault.recovery);
            let later = history.faults.iter().map(|fault| fault.began);
            let next = later.filter(|began| *began > fault.ended).min();
            waits.extend(waits_after(fault, next, &successes));
        }
        waits.sort_unstable();
        let recovery = Recovery::of(name, times, &waits);
        if recovery.p99 > allowed {
            let text = format!(
                "after {name} the p99 of callers waits {:?}, over {allowed:?}",
                recovery.p99
            );
            found.push(Violation::new(Rule::SlowRecovery, None, Micros(0), text));
        }
        all.push(recovery);
    }
    (all, found)
}

/// How long each caller waits for its first success after a fault, at most until the next one.
fn waits_after<'s>(
    fault: &FaultLine,
    next_fault: Option<Micros>,
    successes: &'s BTreeMap<(u32, u32), Vec<Micros>>,
) -> impl Iterator<Item = Duration> + use<'s> {
    let ended = fault.ended;
    successes.values().filter_map(move |times| {
        // A caller of a process that was killed, or began later, has no success on both sides.
        times.first().filter(|first| **first < ended)?;
        let next = times.partition_point(|at| *at <= ended);
        let success = times.get(next).copied();
        let until = success.into_iter().chain(next_fault).min();
        until.map(|at| at.since(ended))
    })
}
