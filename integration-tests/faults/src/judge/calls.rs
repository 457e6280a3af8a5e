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
            let alive = successes.iter().filter(|((process, _), _)| {
                let mut killed = history.killed.iter();
                !killed.any(|(of, at)| of == process && *at <= fault.ended)
            });
            waits.extend(waits_after(fault, next, alive.map(|(_, times)| times)));
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

/// How long each caller waits for its first success after a fault, at most until the next one, by
/// the times of its successes.
fn waits_after<'s>(
    fault: &FaultLine,
    next_fault: Option<Micros>,
    callers: impl Iterator<Item = &'s Vec<Micros>>,
) -> impl Iterator<Item = Duration> {
    let ended = fault.ended;
    callers.filter_map(move |times| {
        // One that began later did not see the fault.
        times.first().filter(|first| **first < ended)?;
        let next = times.partition_point(|at| *at <= ended);
        let success = times.get(next).copied();
        let until = success.into_iter().chain(next_fault).min();
        until.map(|at| at.since(ended))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two callers, of processes 1 and 2, with a success each at 1 s and at these times.
    fn history(successes: &[(u32, u64)], killed: &str) -> History {
        let call = |(process, at): (u32, u64)| {
            let of = format!(r#""p":{process},"n":{at},"at":{at}"#);
            [
                format!(r#"{{"line":"call",{of},"c":0,"act":"reap"}}"#),
                format!(r#"{{"line":"answer",{of},"is":"ended_many","count":0}}"#),
            ]
        };
        let fault = |name: &str, began: u64, ended: u64| {
            format!(
                r#"{{"line":"fault","name":"{name}","began":{began},"ended":{ended},"detail":"",
                "may_lose":null,"recovery":1000000,"explains":[]}}"#
            )
        };
        let first = [(1, 1_000_000), (2, 1_000_000)];
        let calls = first.iter().chain(successes).copied().flat_map(call);
        let faults = [
            fault("cut", 2_000_000, 3_000_000),
            fault("later", 9_000_000, 9_000_001),
        ];
        let others = faults.into_iter().chain([killed.to_owned()]);
        let lines = calls.chain(others).filter(|line| !line.is_empty());
        History::of(lines.map(|line| serde_json::from_str(&line).expect("a line")))
    }

    fn slowest_after_cut(history: &History) -> Duration {
        let (all, _) = recoveries(history);
        let cut = all.iter().find(|recovery| recovery.fault == "cut");
        cut.expect("judged").max
    }

    #[test]
    fn callers_wait_for_their_own_success_and_killed_ones_for_none() {
        let both = history(&[(1, 3_100_000), (2, 3_200_000)], "");
        assert_eq!(slowest_after_cut(&both), Duration::from_millis(200));
        let one = [(1, 3_100_000)];
        assert_eq!(
            slowest_after_cut(&history(&one, "")),
            Duration::from_secs(6)
        );
        let killed = r#"{"line":"killed","process":2,"at":2900000}"#;
        let killed = history(&one, killed);
        assert_eq!(slowest_after_cut(&killed), Duration::from_millis(100));
    }
}
