//! One write, planned from what the session is and what is to be done with it.

use std::time::Duration;

use crate::held::Held;
use crate::identity::{TokenState, Verdict};
use crate::session::{Lifecycle, State, View};
use crate::sessions::Manager;
use crate::{Anchor, Draft, Error, Owner, Result, SessionToken, TokenChange, Version};

/// Values that die with a lineage: the secret of form tokens, which whoever planted the session
/// may have read.
const BOUND_TO_LINEAGE: [&str; 1] = ["_csrf"];

/// One write, ready to be sent, and to be sent again.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) step: Step,
    pub(crate) draft: Draft,
    /// What the session is once the write is done.
    pub(crate) view: View,
    /// How it is held then.
    pub(crate) held: Held,
    /// Whether that is by another token than before.
    pub(crate) is_new_token: bool,
    /// Which plan of its call it came from.
    pub(crate) round: usize,
}

#[derive(Clone)]
pub(crate) enum Step {
    Create,
    Save(Version),
}

/// What a write is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Write what was changed, if anything was.
    Save,
    /// Write what an edit makes of the session as it is stored.
    Edit,
    /// Write that the client has its token, and nothing else.
    Confirm,
    /// Write a new token if the one there is old, and nothing else.
    Renew,
    /// Write a token of this library's in the place of another framework's. If that was done longer
    /// than a grace ago and no client has presented it, one of a new lineage.
    TakeOver,
    /// Write under a new token.
    Cycle,
    /// Write under a new token, and count the limits anew.
    Reauthenticate,
    /// Write for a new owner, under a new token, and count the limits anew.
    SignIn(Owner),
}

impl Goal {
    /// Whether every session gets a token of a new lineage by it.
    pub(crate) fn is_new_lineage(&self) -> bool {
        matches!(self, Self::Cycle | Self::Reauthenticate | Self::SignIn(_))
    }

    /// Whether a session that is held like this, at this age, does.
    fn begins_lineage(&self, held: &Held, age: Duration) -> bool {
        self.is_new_lineage() || (*self == Self::TakeOver && held.is_unclaimed(age))
    }

    fn anchor(&self) -> Anchor {
        match self {
            Self::Reauthenticate | Self::SignIn(_) => Anchor::Restart,
            _ => Anchor::Keep,
        }
    }
}

impl State {
    /// Whether there is something to write.
    pub(crate) fn wants(&self, goal: &Goal, manager: &Manager) -> bool {
        let held = match &self.lifecycle {
            Lifecycle::New => {
                return match goal {
                    Goal::Edit | Goal::SignIn(_) => true,
                    Goal::Confirm | Goal::Renew | Goal::TakeOver => false,
                    _ => self.is_changed(),
                };
            }
            Lifecycle::Barred | Lifecycle::Gone(_) => {
                return match goal {
                    Goal::Save => self.is_changed(),
                    Goal::Confirm | Goal::Renew | Goal::TakeOver => false,
                    _ => true,
                };
            }
            Lifecycle::Stored(held, _) => held,
        };
        match goal {
            Goal::Save => self.is_changed(),
            Goal::Confirm => held.verdict == Verdict::Unconfirmed,
            Goal::Renew => {
                manager.is_renewal_due(held, self.view.owner.is_some(), self.clock.age_now())
            }
            Goal::TakeOver => held.is_foreign() || held.is_unclaimed(self.clock.age_now()),
            _ => true,
        }
    }

    /// Moves what was changed to what is sent.
    pub(crate) fn send_changes(&mut self) {
        let patch = std::mem::take(&mut self.patch);
        for pending in &mut self.pending {
            pending.later.append(patch.clone());
        }
        self.sent.append(patch);
    }
}

impl Held {
    /// Whether it is by the current token, which is another framework's.
    fn is_foreign(&self) -> bool {
        self.verdict == Verdict::Current && self.state.is_some() && !self.token.is_native()
    }
}

/// A token, and what a write has to say of it.
struct Next {
    held: Held,
    is_new_token: bool,
    is_new_lineage: bool,
}

impl Manager {
    /// The write that makes `view` of a session that is in `lifecycle` at this age.
    pub(crate) fn plan(
        &self,
        goal: &Goal,
        lifecycle: &Lifecycle,
        mut view: View,
        age: Duration,
    ) -> Result<Attempt> {
        let (step, next) = match lifecycle {
            Lifecycle::New => (Step::Create, self.begin(goal, &view)),
            Lifecycle::Stored(held, version) => {
                let next = self.go_on(goal, held, version, view.owner.is_some(), age);
                (Step::Save(version.clone()), next)
            }
            Lifecycle::Barred | Lifecycle::Gone(_) => return Err(Error::GONE),
        };
        let Next {
            held,
            is_new_token,
            is_new_lineage,
        } = next;
        if is_new_lineage {
            for key in BOUND_TO_LINEAGE {
                view.data.remove(key);
            }
        }
        let credential = held.state.as_ref().map(TokenState::encode);
        let token = match is_new_token && held.state.is_none() {
            true => TokenChange::New,
            false => TokenChange::Keep,
        };
        let draft = Draft::new(view.data.encode(), view.lifetime)
            .with_owner(view.owner.clone())
            .with_credential(credential)
            .with_anchor(goal.anchor())
            .with_token(token);
        self.limits.check_record(draft.data.len())?;
        Ok(Attempt {
            step,
            draft,
            view,
            held,
            is_new_token,
            round: 0,
        })
    }

    /// How a new session is held.
    fn begin(&self, goal: &Goal, view: &View) -> Next {
        let (token, state) = if self.store.capabilities().plain_ids {
            (SessionToken::generate_plain(), None)
        } else {
            let token = SessionToken::generate();
            let is_guests = view.owner.is_none();
            let state = TokenState::of(&token, Duration::ZERO, self.grace, is_guests);
            (token, Some(state))
        };
        let held = Held {
            id: token.id(),
            token,
            verdict: Verdict::Current,
            state,
        };
        Next {
            held,
            is_new_token: false,
            is_new_lineage: goal.is_new_lineage(),
        }
    }

    /// How a stored session is held after this write over `version`. Ages are those of now, and not
    /// of a plan before.
    fn go_on(
        &self,
        goal: &Goal,
        held: &Held,
        version: &Version,
        has_owner: bool,
        age: Duration,
    ) -> Next {
        let is_new_lineage = goal.begins_lineage(held, age);
        let mut held = held.clone();
        let Some(state) = held.state.take() else {
            return Next {
                held,
                is_new_token: is_new_lineage,
                is_new_lineage,
            };
        };
        let state = state.written_over(version.stamp());
        if is_new_lineage {
            let age = match goal.anchor() {
                Anchor::Restart => Duration::ZERO,
                Anchor::Keep => age,
            };
            held.token = SessionToken::reissued(&held.id);
            held.state = Some(state.reissued(&held.token, age, self.grace));
            held.verdict = Verdict::Current;
            return Next {
                held,
                is_new_token: true,
                is_new_lineage,
            };
        }
        held.state = Some(state);
        let is_new_token = held.is_foreign() || self.is_renewal_due(&held, has_owner, age);
        if is_new_token {
            held.renew(age, self.grace);
        } else if held.verdict == Verdict::Unconfirmed {
            held.state = held.state.map(|state| state.confirmed(age));
            held.verdict = Verdict::Current;
        }
        Next {
            held,
            is_new_token,
            is_new_lineage,
        }
    }
}
