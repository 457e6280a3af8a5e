//! What the handle notes of a write: that it is stored, that others have written, or that the
//! session is its own no more.

use std::sync::Arc;
use std::time::Duration;

use super::machine;
use super::pending::PendingWrite;
use super::plan::{PlannedWrite, WriteKind};
use super::resolve::Finding;
use crate::manager::identity::TokenState;
use crate::manager::judged_token::JudgedToken;
use crate::manager::observer::Event;
use crate::manager::session::{Clock, Lifecycle, State};
use crate::manager::unsaved::Base;
use crate::{Anchor, Error, Record, Result, Session, Version};

impl Session {
    /// Takes `write` as what is stored, with the changes made since on top.
    pub(super) fn confirm(&self, write: Arc<PlannedWrite>, version: Version) {
        let mut state = self.state();
        // What was sent after a write of an earlier call is still to be written.
        state.unconfirmed = state.later_than(&write);
        state.pending.clear();
        let age = match (&write.kind, write.draft.anchor) {
            (WriteKind::Create, _) | (_, Anchor::Restart) => Duration::ZERO,
            (WriteKind::Save(_), Anchor::Keep) => state.clock.age_now(),
        };
        state.clock = Clock::written(write.view.lifetime, age);
        state.base = Base::written(&write.draft);
        let mut view = write.view.clone();
        view.apply(&state.unconfirmed);
        view.apply(&state.patch);
        state.view = view;
        let judged = write.judged.clone().moved_to(version.moved_to());
        state.lifecycle = Lifecycle::Stored(judged, version);
        drop(state);
        self.notify_of(&write);
    }

    /// Finds out what became of the pending writes by what is stored now, and takes that as the
    /// session, unless it is another sign-in's.
    pub(super) fn reconcile(&self, record: &Record) -> Result<machine::Event> {
        let token = record.credential.as_ref().map(TokenState::decode);
        let token = token.transpose()?;
        let finding = self.state().finding(record, token.as_ref());
        match finding {
            Finding::Happened(at) => {
                let round = self.adopt(at, record)?;
                Ok(machine::Event::Written { round })
            }
            Finding::SignedInElsewhere => Ok(machine::Event::SignedInElsewhere),
            Finding::NoneHappened => {
                let mut state = self.state();
                let judged = state.judged_anew(record)?;
                state.pending.retain(|pending| pending.is_doubtful);
                state.rebase(judged, record)?;
                Ok(machine::Event::NoneWritten)
            }
            Finding::Unknown => {
                let mut state = self.state();
                let judged = state.judged_anew(record)?;
                state.drop_unconfirmed();
                state.rebase(judged, record)?;
                Ok(machine::Event::Untraceable)
            }
        }
    }

    /// Takes the pending write at this place as done, though others may have written since. Gives
    /// its round.
    pub(super) fn adopt(&self, at: usize, record: &Record) -> Result<u32> {
        let mut state = self.state();
        if at >= state.pending.len() {
            return Err(Error::outcome_unknown());
        }
        let PendingWrite { write, later, .. } = state.pending.swap_remove(at);
        state.pending.clear();
        state.unconfirmed = later;
        let (id, token) = (write.judged.id.clone(), write.judged.token.clone());
        let judged = JudgedToken::judge(id.clone(), token, record)?;
        if write.judged.is_same_sign_in(judged.state.as_ref()) {
            state.rebase(judged, record)?;
        } else {
            // It happened, and another request has signed in since: the stored session is not for
            // this handle.
            state.view = write.view.clone();
            state.base = Base::written(&write.draft);
            state.lifecycle = Lifecycle::Gone(Some(id));
        }
        drop(state);
        self.notify_of(&write);
        Ok(write.round)
    }

    /// Notifies observers of what `write` has done, if it is more than a change of the session.
    fn notify_of(&self, write: &PlannedWrite) {
        if !write.is_create() && !write.is_new_token {
            return;
        }
        if write.is_new_token {
            self.0.manager.recheck_streams(&write.judged.id);
        }
        let (id, age) = (self.id(), self.age());
        let id = id.as_ref().unwrap_or(&write.judged.id);
        let event = Event::new(id, write.draft.owner.as_ref(), age);
        let observers = &self.0.manager.observers;
        if write.is_create() {
            observers.notify(|observer| observer.created(event));
        } else {
            observers.notify(|observer| observer.renewed(event));
        }
    }

    /// Notes that the session has ended, or is another sign-in's, and gives the error for that.
    pub(super) fn mark_gone(&self) -> Error {
        let mut state = self.state();
        let unknown = state.is_doubtful();
        state.lifecycle = Lifecycle::Gone(state.stored_id());
        state.pending.clear();
        Error::gone_after(unknown)
    }

    /// Gives up after others were faster at every attempt, and gives the error for that. A write
    /// that may still be on its way is not to be sent again.
    pub(super) fn give_up(&self) -> Error {
        let mut state = self.state();
        if !state.is_doubtful() {
            let attempts = self.0.manager.attempts;
            return Error::contention(attempts);
        }
        state.drop_unconfirmed();
        Error::outcome_unknown()
    }
}

impl State {
    /// The handle's token, judged by what is stored now.
    fn judged_anew(&self, record: &Record) -> Result<JudgedToken> {
        match &self.lifecycle {
            Lifecycle::Stored(judged, _) => {
                JudgedToken::judge(judged.id.clone(), judged.token.clone(), record)
            }
            _ => Err(Error::gone()),
        }
    }

    /// Drops the changes that may have been written, so that they are not written twice.
    fn drop_unconfirmed(&mut self) {
        self.pending.clear();
        self.unconfirmed = Default::default();
    }
}
