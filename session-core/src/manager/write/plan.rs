//! Plans a write: from the session as it is known, the changes, and the operation.

use std::sync::Arc;
use std::time::Duration;

use super::Edit;
use crate::manager::identity::{TokenState, Verdict};
use crate::manager::judged_token::JudgedToken;
use crate::manager::reserved::bound_to_lineage;
use crate::manager::session::{Lifecycle, State, View};
use crate::manager::sessions::Manager;
use crate::{
    Anchor, Draft, Error, Owner, Result, Session, SessionToken, Stamp, TokenChange, Version,
};

/// One write, ready to be sent, and to be sent again.
pub(crate) struct PlannedWrite {
    pub(crate) kind: WriteKind,
    pub(crate) draft: Draft,
    /// What the session is once the write is done.
    pub(crate) view: View,
    /// The handle's token then.
    pub(crate) judged: JudgedToken,
    /// Whether the client gets another token by it.
    pub(crate) is_new_token: bool,
    /// Which plan of its call made it, from 0.
    pub(crate) round: u32,
}

impl PlannedWrite {
    pub(crate) const fn is_create(&self) -> bool {
        matches!(self.kind, WriteKind::Create)
    }
}

pub(crate) enum WriteKind {
    Create,
    /// Replaces this version.
    Save(Version),
}

/// What the caller has asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Writes what was changed, if anything was.
    Save,
    /// Writes what an edit makes of the session as it is stored, or the session as it is.
    Update,
    /// Extends the session. Its only write is the confirmation that the client has a renewed token.
    Touch,
    /// Writes a new token if the present one is due, and nothing otherwise.
    Renew,
    /// Writes a token of this library's in the place of another framework's. If that was done
    /// longer than a grace ago and no client has presented it, one of a new lineage.
    ReplaceForeignToken,
    /// Writes under a new token.
    CycleId,
    /// Writes under a new token, and counts the limits anew.
    Reauthenticate,
    /// Writes for a new owner, under a new token, and counts the limits anew.
    SignIn(Owner),
}

impl Operation {
    /// Whether it gives every session a token of a new lineage.
    pub(crate) fn is_new_lineage(&self) -> bool {
        matches!(self, Self::CycleId | Self::Reauthenticate | Self::SignIn(_))
    }

    /// Whether it gives one to a session with this token, at this age.
    fn begins_lineage(&self, judged: &JudgedToken, age: Duration) -> bool {
        self.is_new_lineage() || (*self == Self::ReplaceForeignToken && judged.is_unclaimed(age))
    }

    /// Whether it signs in another user than the owner of `view`, whose data that user must not see.
    pub(super) fn replaces_owner_of(&self, view: &View) -> bool {
        match (self, &view.owner) {
            (Self::SignIn(new), Some(owner)) => new != owner,
            _ => false,
        }
    }

    fn anchor(&self) -> Anchor {
        match self {
            Self::Reauthenticate | Self::SignIn(_) => Anchor::Restart,
            _ => Anchor::Keep,
        }
    }
}

impl Session {
    /// The next write; `None` if there is nothing to write.
    pub(super) fn plan(
        &self,
        operation: &Operation,
        edit: &mut Edit<'_>,
        round: u32,
    ) -> Result<Option<Arc<PlannedWrite>>> {
        let manager = &self.0.manager;
        let (lifecycle, mut view, age) = {
            let mut state = self.state();
            if !state.has_work_for(operation, manager) {
                return Ok(None);
            }
            let is_over = matches!(state.lifecycle, Lifecycle::Barred | Lifecycle::Gone(_));
            if is_over && !matches!(operation, Operation::SignIn(_)) {
                return Err(Error::gone());
            }
            // One that is refused leaves the handle as it was.
            state.check_late(operation)?;
            if is_over {
                state.begin_anew(manager.lifetime, false);
            }
            state.tally.plan();
            state.mark_changes_sent();
            let view = match operation.replaces_owner_of(&state.view) {
                true => state.view_of_changes(manager.lifetime),
                false => state.view.clone(),
            };
            (state.lifecycle.clone(), view, state.clock.age_now())
        };
        if let Operation::SignIn(owner) = operation {
            view.owner = Some(owner.clone());
        }
        // It is its user's code: it runs without the lock, so it may use this session.
        edit(&mut view)?;
        manager
            .plan(operation, lifecycle, view, age, round)
            .map(Some)
    }
}

impl State {
    /// Whether there is something to write.
    fn has_work_for(&self, operation: &Operation, manager: &Manager) -> bool {
        let judged = match &self.lifecycle {
            Lifecycle::New => {
                return match operation {
                    Operation::Update | Operation::SignIn(_) => true,
                    Operation::Touch | Operation::Renew | Operation::ReplaceForeignToken => false,
                    _ => self.is_changed(),
                };
            }
            Lifecycle::Barred | Lifecycle::Gone(_) => {
                return match operation {
                    Operation::Save => self.is_changed(),
                    Operation::Touch | Operation::Renew | Operation::ReplaceForeignToken => false,
                    _ => true,
                };
            }
            Lifecycle::Stored(judged, _) => judged,
        };
        match operation {
            Operation::Save => self.is_changed(),
            Operation::Touch => judged.verdict == Verdict::Unconfirmed,
            Operation::Renew => {
                manager.is_renewal_due(judged, self.view.owner.is_some(), self.clock.age_now())
            }
            Operation::ReplaceForeignToken => {
                judged.is_foreign() || judged.is_unclaimed(self.clock.age_now())
            }
            _ => true,
        }
    }

    /// Counts the changes as sent: they are unconfirmed from now on, and the writes that are
    /// pending do not have them.
    fn mark_changes_sent(&mut self) {
        let patch = std::mem::take(&mut self.patch);
        for pending in &mut self.pending {
            pending.later.append(patch.clone());
        }
        self.unconfirmed.append(patch);
    }
}

impl JudgedToken {
    /// Whether it is the session's current token, and another framework's.
    fn is_foreign(&self) -> bool {
        self.verdict == Verdict::Current && self.state.is_some() && !self.token.is_native()
    }
}

/// The token that a session has after a write.
struct NextToken {
    judged: JudgedToken,
    is_new_token: bool,
    is_new_lineage: bool,
}

impl Manager {
    /// The write that makes `view` of a session that is in `lifecycle` at this age.
    fn plan(
        &self,
        operation: &Operation,
        lifecycle: Lifecycle,
        mut view: View,
        age: Duration,
        round: u32,
    ) -> Result<Arc<PlannedWrite>> {
        let (kind, next) = match lifecycle {
            Lifecycle::New => (WriteKind::Create, self.first_token(operation, &view)),
            Lifecycle::Stored(judged, version) => {
                let next = self.next_token(operation, judged, &version, view.owner.is_some(), age);
                (WriteKind::Save(version), next)
            }
            Lifecycle::Barred | Lifecycle::Gone(_) => return Err(Error::gone()),
        };
        let NextToken {
            judged,
            is_new_token,
            is_new_lineage,
        } = next;
        if is_new_lineage {
            for key in bound_to_lineage() {
                view.data.remove(key);
            }
        }
        let credential = judged.state.as_ref().map(TokenState::encode);
        let token = if is_new_token && judged.state.is_none() {
            TokenChange::New
        } else {
            TokenChange::Keep
        };
        let draft = Draft {
            data: view.data.encode(),
            credential,
            description: view.description.clone(),
            owner: view.owner.clone(),
            lifetime: view.lifetime,
            anchor: operation.anchor(),
            stamp: Stamp::generate(),
            token,
            past: None,
        };
        Ok(Arc::new(PlannedWrite {
            kind,
            draft,
            view,
            judged,
            is_new_token,
            round,
        }))
    }

    /// The token of a new session.
    fn first_token(&self, operation: &Operation, view: &View) -> NextToken {
        let (token, state) = if self.store.capabilities().plain_ids {
            (SessionToken::generate_plain(), None)
        } else {
            let token = SessionToken::generate();
            let is_guests = view.owner.is_none();
            let state = TokenState::of(&token, Duration::ZERO, self.grace, is_guests);
            (token, Some(state))
        };
        let judged = JudgedToken {
            id: token.id(),
            token,
            verdict: Verdict::Current,
            state,
        };
        NextToken {
            judged,
            is_new_token: false,
            is_new_lineage: operation.is_new_lineage(),
        }
    }

    /// The token of a stored session after this write over `version`. Ages are those of now, and
    /// not of an earlier plan.
    fn next_token(
        &self,
        operation: &Operation,
        mut judged: JudgedToken,
        version: &Version,
        has_owner: bool,
        age: Duration,
    ) -> NextToken {
        let is_new_lineage = operation.begins_lineage(&judged, age);
        let Some(state) = judged.state.take() else {
            return NextToken {
                judged,
                is_new_token: is_new_lineage,
                is_new_lineage,
            };
        };
        let state = state.written_over(version.stamp());
        if is_new_lineage {
            let age = match operation.anchor() {
                Anchor::Restart => Duration::ZERO,
                Anchor::Keep => age,
            };
            let is_kept = has_owner && operation.anchor() == Anchor::Keep;
            let stays_elsewhere = is_kept && !state.is_of_own_sign_in();
            judged.token = SessionToken::reissued(&judged.id);
            let state = state.reissued(&judged.token, age, self.grace);
            judged.state = Some(match stays_elsewhere {
                true => state.signed_in_elsewhere(),
                false => state,
            });
            judged.verdict = Verdict::Current;
            return NextToken {
                judged,
                is_new_token: true,
                is_new_lineage,
            };
        }
        judged.state = Some(state);
        let is_new_token = judged.is_foreign() || self.is_renewal_due(&judged, has_owner, age);
        if is_new_token {
            judged.renew(age, self.grace);
        } else if judged.verdict == Verdict::Unconfirmed {
            judged.state = judged.state.map(|state| state.confirmed(age));
            judged.verdict = Verdict::Current;
        }
        NextToken {
            judged,
            is_new_token,
            is_new_lineage,
        }
    }
}
