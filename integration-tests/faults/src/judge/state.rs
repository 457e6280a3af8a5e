//! One session as its promises have it: what each call does to it, and may answer.

use std::collections::BTreeMap;

use crate::clock::Micros;
use crate::history::View;

/// A session at one point of an order of its calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) view: View,
    pub(super) lineage: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Absent,
    Live,
    Ended,
    /// The servers may have lost its latest writes: the next open shows what it is.
    Unknown,
}

/// A call on one session, as far as it concerns that session.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The index of the call in the history, for messages.
    pub(super) call: usize,
    pub(super) from: Micros,
    /// `None` if whether it happened is unknown: it may have at any time from `from` on, or never.
    pub(super) to: Option<Micros>,
    pub(super) effect: Effect,
    /// Whether the session may have expired by its end.
    pub(super) may_have_expired: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Create {
        view: View,
        lineage: u64,
    },
    /// What was seen; `may_end`: an old token, whose use ends the session.
    Open {
        lineage: u64,
        seen: Option<View>,
        may_end: bool,
    },
    /// A write by a handle of this lineage.
    Write {
        lineage: u64,
        change: Change,
    },
    /// The session has ended or is another sign-in's.
    NotTheirs {
        lineage: u64,
    },
    End {
        found: Option<bool>,
    },
    EndOwned {
        owner: String,
    },
    Listed {
        owner: Option<String>,
        present: bool,
    },
    Expire,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// With the value after it, if that was told.
    Increment {
        key: String,
        to: Option<u64>,
    },
    Insert(u64),
    Flash(u64),
    TakeFlashes(Vec<u64>),
    /// With the session after it, if that was told.
    NewToken {
        owner: Option<String>,
        lineage: u64,
        after: Option<View>,
    },
}

impl State {
    /// Before a session begins.
    pub(super) fn absent() -> Self {
        Self {
            phase: Phase::Absent,
            view: View::default(),
            lineage: 0,
        }
    }

    /// A session of which nothing is known.
    pub(super) fn unknown() -> Self {
        Self {
            phase: Phase::Unknown,
            ..Self::absent()
        }
    }

    /// What the session may be after this step; nothing if the step can't have been answered so.
    pub(super) fn after(&self, step: &Step) -> Vec<Self> {
        if self.phase == Phase::Unknown {
            return vec![self.found_by(&step.effect)];
        }
        let mut after = Vec::with_capacity(1);
        after.extend(self.directly_after(step));
        // It may have expired just before.
        if self.phase == Phase::Live && step.may_have_expired && after.is_empty() {
            after.extend(self.ended().directly_after(step));
        }
        after
    }

    fn directly_after(&self, step: &Step) -> Option<Self> {
        match &step.effect {
            Effect::Create { view, lineage } => (self.phase == Phase::Absent).then(|| Self {
                phase: Phase::Live,
                view: view.clone(),
                lineage: *lineage,
            }),
            Effect::Open {
                lineage,
                seen: Some(seen),
                ..
            } => {
                let is_seen = self.is_of(*lineage) && self.looks_like(seen);
                is_seen.then(|| self.clone())
            }
            Effect::Open {
                lineage,
                seen: None,
                may_end,
            } => self
                .refused(*lineage)
                .or_else(|| may_end.then(|| self.ended())),
            Effect::NotTheirs { lineage } => self.refused(*lineage),
            Effect::Write { lineage, change } => {
                self.is_of(*lineage).then(|| self.changed(change))?
            }
            Effect::End { found: Some(false) } => (self.phase != Phase::Live).then(|| self.clone()),
            Effect::End { .. } | Effect::Expire => Some(self.ended()),
            Effect::EndOwned { owner } => Some(match self.is_owned_by(Some(owner)) {
                true => self.ended(),
                false => self.clone(),
            }),
            Effect::Listed { owner, present } => {
                (self.is_owned_by(owner.as_ref()) == *present).then(|| self.clone())
            }
        }
    }

    fn is_of(&self, lineage: u64) -> bool {
        self.phase == Phase::Live && self.lineage == lineage
    }

    fn refused(&self, lineage: u64) -> Option<Self> {
        (!self.is_of(lineage)).then(|| self.clone())
    }

    fn is_owned_by(&self, owner: Option<&String>) -> bool {
        self.phase == Phase::Live
            && owner.is_none_or(|owner| self.view.owner.as_ref() == Some(owner))
    }

    fn ended(&self) -> Self {
        Self {
            phase: Phase::Ended,
            view: View::default(),
            lineage: 0,
        }
    }

    fn looks_like(&self, seen: &View) -> bool {
        let sorted = |view: &View| {
            let mut flashes = view.flashes.clone();
            flashes.sort_unstable();
            flashes
        };
        let View {
            counters,
            note,
            owner,
            ..
        } = &self.view;
        counters == &seen.counters
            && *note == seen.note
            && owner == &seen.owner
            && sorted(&self.view) == sorted(seen)
    }

    fn changed(&self, change: &Change) -> Option<Self> {
        let mut state = self.clone();
        let view = &mut state.view;
        match change {
            Change::Increment { key, to } => {
                let value = view.counters.entry(key.clone()).or_default();
                *value += 1;
                if to.is_some_and(|to| to != *value) {
                    return None;
                }
            }
            Change::Insert(note) => view.note = *note,
            Change::Flash(number) => view.flashes.push(*number),
            Change::TakeFlashes(numbers) => view.flashes.retain(|there| !numbers.contains(there)),
            Change::NewToken {
                owner,
                lineage,
                after,
            } => {
                state.lineage = *lineage;
                state.sign_in(owner.as_ref());
                if after.as_ref().is_some_and(|after| !state.looks_like(after)) {
                    return None;
                }
            }
        }
        Some(state)
    }

    /// Another user gets nothing of the one before.
    fn sign_in(&mut self, owner: Option<&String>) {
        let Some(owner) = owner else { return };
        if self
            .view
            .owner
            .as_ref()
            .is_some_and(|before| before != owner)
        {
            (self.view.counters, self.view.note) = (BTreeMap::new(), 0);
            self.view.flashes.clear();
        }
        self.view.owner = Some(owner.clone());
    }

    /// What a session of which nothing is known is after this.
    fn found_by(&self, effect: &Effect) -> Self {
        match effect {
            Effect::Open {
                lineage,
                seen: Some(seen),
                ..
            } => Self {
                phase: Phase::Live,
                view: seen.clone(),
                lineage: *lineage,
            },
            Effect::End { .. } | Effect::Expire => self.ended(),
            _ => self.clone(),
        }
    }
}
