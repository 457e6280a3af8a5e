//! What can be said of one session without a search, in words that name the promise.

use std::collections::BTreeSet;

use super::lifespan::Lifespan;
use super::partition::Partition;
use super::report::{Rule, Violation};
use crate::clock::Micros;
use crate::history::{Act, Answer, Call, History, Mark, View};

/// The session with its calls.
pub(super) struct Case<'h> {
    pub(super) partition: &'h Partition,
    pub(super) history: &'h History,
    pub(super) lifespan: &'h Lifespan,
}

impl<'h> Case<'h> {
    /// Everything that breaks a rule.
    pub(super) fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        self.increments(&mut found);
        self.messages(&mut found);
        self.ends(&mut found);
        self.deadlines(&mut found);
        self.tokens(&mut found);
        self.owners(&mut found);
        found
    }

    fn calls(&self) -> impl Iterator<Item = (usize, &'h Call)> {
        let (history, calls) = (self.history, &self.partition.calls);
        calls.iter().map(|index| (*index, &history.calls[*index]))
    }

    fn opens(&self) -> impl Iterator<Item = (&'h Call, Mark, Micros, &'h View)> {
        self.calls()
            .filter_map(|(_, call)| match (&call.act, call.success()) {
                (Act::Open { mark, .. }, Some((at, Answer::Opened { view }))) => {
                    Some((call, *mark, at, view))
                }
                _ => None,
            })
    }

    fn report(&self, found: &mut Vec<Violation>, rule: Rule, at: Micros, text: String) {
        // One of a kind for each session: the others follow from it.
        if !found.iter().any(|before| before.rule == rule) {
            found.push(Violation::of_session(rule, &self.partition.id, at, text));
        }
    }

    /// Whether another user's sign-in may have emptied the session.
    fn may_have_been_emptied(&self) -> bool {
        self.partition.owners.len() > 1
    }

    /// Acknowledged increments ≤ value ≤ all that were called.
    fn increments(&self, found: &mut Vec<Violation>) {
        if self.may_have_been_emptied() {
            return;
        }
        for (open, _, at, view) in self.opens() {
            for key in ["a", "b", "c"] {
                let value = view.counters.get(key).copied().unwrap_or(0);
                let (mut least, mut most) = self.initial(key);
                for (_, call) in self.calls() {
                    let Act::Increment { key: of, .. } = &call.act else {
                        continue;
                    };
                    if of != key
                        || call
                            .answer
                            .as_ref()
                            .is_some_and(|(_, answer)| answer.is_gone())
                    {
                        continue;
                    }
                    most += u64::from(call.at < at);
                    least += u64::from(call.success().is_some_and(|(done, _)| done < open.at));
                }
                if value < least {
                    let text = format!("{key} is {value} after {least} acknowledged increments");
                    self.report(found, Rule::IncrementLost, open.at, text);
                }
                if value > most {
                    let text =
                        format!("{key} is {value}, and at most {most} increments were called");
                    self.report(found, Rule::AppliedTwice, open.at, text);
                }
            }
        }
    }

    fn initial(&self, key: &str) -> (u64, u64) {
        let value = self
            .partition
            .initial
            .0
            .counters
            .get(key)
            .copied()
            .unwrap_or(0);
        (value, value)
    }

    /// A message that was shown is not there any more.
    fn messages(&self, found: &mut Vec<Violation>) {
        for (_, taken) in self.calls() {
            let (Act::TakeFlashes { numbers, .. }, Some((done, _))) = (&taken.act, taken.success())
            else {
                continue;
            };
            let again = self.opens().find(|(open, _, _, view)| {
                open.at > done && view.flashes.iter().any(|number| numbers.contains(number))
            });
            if let Some((open, ..)) = again {
                let text = "a message is there again after it was shown and removed".to_owned();
                self.report(found, Rule::MessageTwice, open.at, text);
            }
        }
    }

    /// The instant at which the session was known to have ended.
    fn ended(&self) -> Option<(Micros, &'static str)> {
        let own = self
            .calls()
            .filter(|(_, call)| matches!(call.act, Act::SignOut | Act::Revoke));
        let own = own.filter_map(|(_, call)| Some((call.success()?.0, call.act.name())));
        own.chain(self.ended_everywhere()).min()
    }

    /// By "log out everywhere", of the only owner that the session ever had, and had from its
    /// beginning.
    fn ended_everywhere(&self) -> Option<(Micros, &'static str)> {
        let (partition, history) = (self.partition, self.history);
        let owner = partition.initial.0.owner.as_ref()?;
        if partition.owners.len() > 1 {
            return None;
        }
        let calls = partition.sweeps.iter().map(|index| &history.calls[*index]);
        let ends = calls.filter_map(|call| match &call.act {
            Act::LogOutEverywhere { owner: of, except } => {
                let is_meant = of == owner && except.as_ref() != Some(&partition.id);
                let is_after = call.at > partition.began.1;
                let (at, _) = call.success().filter(|_| is_meant && is_after)?;
                Some((at, call.act.name()))
            }
            _ => None,
        });
        ends.min()
    }

    fn ends(&self, found: &mut Vec<Violation>) {
        let Some((ended, by)) = self.ended() else {
            return;
        };
        for (_, call) in self.calls() {
            if call.at > ended && shows_life(call) {
                let after = call.at.since(ended);
                let text = format!(
                    "{} succeeds {after:?} after {by} has ended the session",
                    call.act.name()
                );
                self.report(found, Rule::CameBack, call.at, text);
            }
        }
        for index in &self.partition.sweeps {
            let call = &self.history.calls[*index];
            let is_listed = matches!(call.success(), Some((_, Answer::Listed { sessions }))
                if sessions.contains(&self.partition.id));
            if call.at > ended && is_listed {
                let text = format!(
                    "{} names the session after {by} has ended it",
                    call.act.name()
                );
                self.report(found, Rule::CameBack, call.at, text);
            }
        }
    }

    fn deadlines(&self, found: &mut Vec<Violation>) {
        for (index, call) in self.calls() {
            let Some((at, _)) = call.success().filter(|_| shows_life(call)) else {
                continue;
            };
            if let Some(late) = self.lifespan.too_late(index, call.at, at) {
                let text = format!("{} succeeds {late:?} after the deadline", call.act.name());
                self.report(found, Rule::AfterDeadline, call.at, text);
            }
        }
    }

    /// A token opens nothing after a sign-in or a new token has replaced it, nor a renewed one when
    /// its successor has been used and the grace is over.
    fn tokens(&self, found: &mut Vec<Violation>) {
        for (_, call) in self.calls() {
            let (Act::SignIn { mark, .. } | Act::CycleId { mark }) = &call.act else {
                continue;
            };
            let Some((done, Answer::Stored { .. })) = call.success() else {
                continue;
            };
            let late = self
                .opens()
                .find(|(open, of, ..)| open.at > done && of.lineage == mark.lineage);
            if let Some((open, ..)) = late {
                let text = format!(
                    "a token opens the session after {} has replaced it",
                    call.act.name()
                );
                self.report(found, Rule::OldToken, open.at, text);
            }
        }
        let Some(grace) = self.history.run.as_ref().map(|run| run.grace) else {
            return;
        };
        for (open, mark, ..) in self.opens() {
            let successor_used = self
                .calls()
                .any(|(_, call)| match (&call.act, call.success()) {
                    (Act::Increment { mark: by, .. }, Some((done, _))) => {
                        by.lineage == mark.lineage
                            && by.generation > mark.generation
                            && open.at.0 > done.0 + grace + 2_000
                            && self.was_presented(*by, call.at)
                    }
                    _ => false,
                });
            if successor_used {
                let text = "a renewed token opens the session after its grace".to_owned();
                self.report(found, Rule::OldToken, open.at, text);
            }
        }
    }

    /// Whether the handle of a call was opened by this very token, and did not get it by a renewal.
    fn was_presented(&self, mark: Mark, before: Micros) -> bool {
        self.opens().any(|(_, of, at, _)| of == mark && at < before)
    }

    fn owners(&self, found: &mut Vec<Violation>) {
        let known: BTreeSet<&String> = self.partition.owners.iter().collect();
        for (open, _, _, view) in self.opens() {
            if view
                .owner
                .as_ref()
                .is_some_and(|owner| !known.contains(owner))
            {
                let text = "the session is of a user who has never signed in with it".to_owned();
                self.report(found, Rule::WrongOwner, open.at, text);
            }
        }
    }
}

/// Whether the answer says that the session lived.
fn shows_life(call: &Call) -> bool {
    match (&call.act, call.success()) {
        (_, Some((_, Answer::Opened { .. } | Answer::Count { .. }))) => true,
        (_, Some((_, Answer::Stored { session, .. }))) => call.session.as_ref() == Some(session),
        (Act::Insert { .. } | Act::Flash { .. } | Act::TakeFlashes { .. }, Some(_)) => true,
        _ => false,
    }
}
