//! A history taken apart by sessions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::lifespan::{Lifespan, lingering};
use super::state::{Change, Effect, Step};
use crate::clock::Micros;
use crate::history::{Act, Answer, Call, History, Limits, Mark, Told, ToldLine, View};

/// Everything about one session.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) id: String,
    pub(super) limits: Limits,
    /// The indexes of the calls on it, by time.
    pub(super) calls: Vec<usize>,
    pub(super) told: Vec<ToldLine>,
    /// Its beginning, by an answer.
    pub(super) began: (Micros, Micros),
    pub(super) initial: (View, Mark),
    /// Every owner that it may have had.
    pub(super) owners: BTreeSet<String>,
    /// The indexes of the calls on many sessions that concern it.
    pub(super) sweeps: Vec<usize>,
    /// When it was last heard of, by a call of its own or an observer.
    pub(super) last: Micros,
}

/// The sessions whose beginning was answered, by id.
pub(super) fn partitions(history: &History) -> BTreeMap<String, Partition> {
    let mut all = BTreeMap::new();
    for (index, call) in history.calls.iter().enumerate() {
        begin(&mut all, index, call);
    }
    for (index, call) in history.calls.iter().enumerate() {
        let Some(partition) = call.session.as_ref().and_then(|id| all.get_mut(id)) else {
            continue;
        };
        partition.calls.push(index);
        partition.last = partition.last.max(call.ended().unwrap_or(call.at));
        if let Act::SignIn { owner, .. } = &call.act {
            partition.owners.insert(owner.clone());
        }
    }
    for told in &history.told {
        if let Some(partition) = all.get_mut(&told.session) {
            partition.told.push(told.clone());
            partition.last = partition.last.max(told.at);
        }
    }
    sweep(&mut all, history);
    all
}

fn begin(all: &mut BTreeMap<String, Partition>, index: usize, call: &Call) {
    let Some((
        at,
        Answer::Stored {
            session,
            mark,
            view,
            limits,
        },
    )) = call.success()
    else {
        return;
    };
    // A sign-in, or a new token, of a session that there is already.
    if call.session.as_ref() == Some(session) {
        return;
    }
    let began = (call.at, at);
    let partition = Partition {
        id: session.clone(),
        limits: *limits,
        calls: match call.session {
            None => vec![index],
            Some(_) => Vec::new(),
        },
        told: Vec::new(),
        began,
        initial: (view.clone(), *mark),
        owners: view.owner.iter().cloned().collect(),
        sweeps: Vec::new(),
        last: at,
    };
    all.insert(session.clone(), partition);
}

/// Adds the listings and ends of many sessions to those that they concern.
fn sweep(all: &mut BTreeMap<String, Partition>, history: &History) {
    let mut by_owner: HashMap<String, Vec<String>> = HashMap::new();
    for partition in all.values() {
        for owner in &partition.owners {
            by_owner
                .entry(owner.clone())
                .or_default()
                .push(partition.id.clone());
        }
    }
    let everyone: Vec<String> = all.keys().cloned().collect();
    for (index, call) in history.calls.iter().enumerate() {
        let (ids, listed) = match (&call.act, call.success()) {
            (Act::LogOutEverywhere { owner, .. }, _) => (by_owner.get(owner), None),
            (Act::OwnedBy { owner }, Some((_, Answer::Listed { sessions }))) => {
                (by_owner.get(owner), Some(sessions))
            }
            (Act::List, Some((_, Answer::Listed { sessions }))) => {
                (Some(&everyone), Some(sessions))
            }
            _ => continue,
        };
        let success = call.success().map(|(at, _)| at);
        let end = success.unwrap_or_else(|| lingering(call, history));
        let listed: Option<HashSet<&String>> = listed.map(|sessions| sessions.iter().collect());
        let concerned: BTreeSet<&String> = ids.into_iter().flatten().collect();
        for id in concerned {
            let Some(partition) = all.get_mut(id) else {
                continue;
            };
            let is_listed = listed
                .as_ref()
                .is_some_and(|sessions| sessions.contains(id));
            let overlaps = call.at <= partition.last && end >= partition.began.0;
            if overlaps || is_listed {
                partition.sweeps.push(index);
            }
        }
    }
}

impl Partition {
    /// The steps of the session, by their beginnings.
    pub(super) fn steps(&self, history: &History, lifespan: &Lifespan) -> Vec<Step> {
        let (view, mark) = self.initial.clone();
        let newest = self.newest_generations(history);
        let create = Effect::Create {
            view,
            lineage: mark.lineage,
        };
        let mut steps = vec![Step {
            call: self.calls.first().copied().unwrap_or(0),
            from: self.began.0,
            to: Some(self.began.1),
            effect: create,
            may_have_expired: false,
        }];
        for index in self.calls.iter().chain(&self.sweeps) {
            let call = &history.calls[*index];
            if let Some((effect, is_definite)) = self.effect(*index, call, &newest) {
                let to = call.ended().filter(|_| is_definite);
                let may_have_expired = to.is_some_and(|to| lifespan.may_have_ended(call.at, to));
                steps.push(Step {
                    call: *index,
                    from: call.at,
                    to,
                    effect,
                    may_have_expired,
                });
            }
        }
        leave_out_unseen(&mut steps);
        steps.extend(self.expiries(lifespan));
        steps.sort_by_key(|step| step.from);
        steps
    }

    fn expiries(&self, lifespan: &Lifespan) -> impl Iterator<Item = Step> {
        let expired = self.told.iter().filter(|told| told.what == Told::Expired);
        expired.map(|told| Step {
            call: self.calls.first().copied().unwrap_or(0),
            from: lifespan.earliest_end().min(told.at),
            to: Some(told.at),
            effect: Effect::Expire,
            may_have_expired: false,
        })
    }

    /// The newest token of each lineage that was ever heard of.
    fn newest_generations(&self, history: &History) -> HashMap<u64, u64> {
        let mut newest = HashMap::new();
        for index in &self.calls {
            let call = &history.calls[*index];
            if let Act::Open { mark, .. } | Act::Increment { mark, .. } = &call.act {
                let generation: &mut u64 = newest.entry(mark.lineage).or_default();
                *generation = mark.generation.max(*generation);
            }
        }
        newest
    }

    /// What a call does to the session, and whether its answer is definite; `None` if that says
    /// nothing.
    fn effect(
        &self,
        index: usize,
        call: &Call,
        newest: &HashMap<u64, u64>,
    ) -> Option<(Effect, bool)> {
        let answer = call.answer.as_ref().map(|(_, answer)| answer);
        let success = answer.filter(|answer| answer.is_success());
        let is_gone = answer.is_some_and(Answer::is_gone);
        let write = |mark: &Mark, change| {
            let lineage = mark.lineage;
            let effect = match is_gone {
                true => Effect::NotTheirs { lineage },
                false => Effect::Write { lineage, change },
            };
            Some((effect, is_gone || success.is_some()))
        };
        match &call.act {
            Act::Create { .. } | Act::Reap => None,
            Act::Open { mark, .. } => {
                let may_end = newest
                    .get(&mark.lineage)
                    .is_some_and(|newest| *newest > mark.generation);
                opened(*mark, may_end, answer)
            }
            Act::Increment { mark, key } => {
                let to = match success {
                    Some(Answer::Count { value }) => Some(*value),
                    _ => None,
                };
                write(
                    mark,
                    Change::Increment {
                        key: key.clone(),
                        to,
                    },
                )
            }
            Act::Insert { mark, note } => write(mark, Change::Insert(*note)),
            Act::Flash { mark, number } => write(mark, Change::Flash(*number)),
            Act::TakeFlashes { mark, numbers } => write(mark, Change::TakeFlashes(numbers.clone())),
            Act::SignIn { mark, owner } => {
                self.new_token(index, *mark, Some(owner.clone()), is_gone, success)
            }
            Act::CycleId { mark } => self.new_token(index, *mark, None, is_gone, success),
            Act::Touch { mark } => {
                let lineage = mark.lineage;
                is_gone.then_some((Effect::NotTheirs { lineage }, true))
            }
            // Its handle's token had been replaced.
            Act::SignOut if is_gone => None,
            Act::SignOut => Some((Effect::End { found: None }, success.is_some())),
            Act::Revoke => {
                let found = match success {
                    Some(Answer::Ended { found }) => Some(*found),
                    _ => None,
                };
                Some((Effect::End { found }, success.is_some()))
            }
            Act::LogOutEverywhere { owner, except } => {
                let owner = owner.clone();
                let is_meant = except.as_ref() != Some(&self.id);
                is_meant.then_some((Effect::EndOwned { owner }, success.is_some()))
            }
            Act::OwnedBy { owner } => self.listed(Some(owner.clone()), success),
            Act::List => self.listed(None, success),
        }
    }

    fn listed(&self, owner: Option<String>, success: Option<&Answer>) -> Option<(Effect, bool)> {
        let Some(Answer::Listed { sessions }) = success else {
            return None;
        };
        let present = sessions.contains(&self.id);
        Some((Effect::Listed { owner, present }, true))
    }

    fn new_token(
        &self,
        index: usize,
        mark: Mark,
        owner: Option<String>,
        is_gone: bool,
        success: Option<&Answer>,
    ) -> Option<(Effect, bool)> {
        let lineage = mark.lineage;
        let (new, after) = match success {
            Some(Answer::Stored {
                session,
                mark,
                view,
                ..
            }) if *session == self.id => (mark.lineage, Some(view.clone())),
            // It made a session of its own, or was one of its own without a token.
            Some(_) => return Some((Effect::NotTheirs { lineage }, true)),
            None if is_gone => return Some((Effect::NotTheirs { lineage }, true)),
            // A lineage that no answer has told.
            None => (u64::MAX - index as u64, None),
        };
        let change = Change::NewToken {
            owner,
            lineage: new,
            after,
        };
        Some((Effect::Write { lineage, change }, success.is_some()))
    }
}

/// Leaves out values and messages that may have been written and that no answer shows: it makes no
/// difference whether they were.
fn leave_out_unseen(steps: &mut Vec<Step>) {
    let (mut notes, mut messages) = (HashSet::new(), HashSet::new());
    for step in steps.iter() {
        let view = match &step.effect {
            Effect::Create { view, .. }
            | Effect::Open {
                seen: Some(view), ..
            } => view,
            Effect::Write {
                change:
                    Change::NewToken {
                        after: Some(view), ..
                    },
                ..
            } => view,
            _ => continue,
        };
        notes.insert(view.note);
        messages.extend(view.flashes.iter().copied());
    }
    steps.retain(|step| match &step.effect {
        _ if step.to.is_some() => true,
        Effect::Write {
            change: Change::Insert(note),
            ..
        } => notes.contains(note),
        Effect::Write {
            change: Change::Flash(number),
            ..
        } => messages.contains(number),
        _ => true,
    });
}

fn opened(mark: Mark, may_end: bool, answer: Option<&Answer>) -> Option<(Effect, bool)> {
    let lineage = mark.lineage;
    match answer {
        Some(Answer::Opened { view }) => {
            let seen = Some(view.clone());
            Some((
                Effect::Open {
                    lineage,
                    seen,
                    may_end,
                },
                true,
            ))
        }
        Some(Answer::NotOpened { .. }) => Some((
            Effect::Open {
                lineage,
                seen: None,
                may_end,
            },
            true,
        )),
        // It may have been taken for a thief's.
        _ if may_end => Some((Effect::End { found: None }, false)),
        _ => None,
    }
}

/// How long a write may go on in the servers after its caller has given up, without a fault.
pub(super) const LINGER: Duration = Duration::from_secs(10);
