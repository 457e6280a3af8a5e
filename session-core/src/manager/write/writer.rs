//! Performs what the [`Machine`] says: the I/O of a write, the waits, and the plans.

use std::sync::Arc;

use super::Edit;
use super::machine::{Action, Effect, Event, Failure, Machine, Next, Outcome, Purpose};
use super::plan::{Operation, PlannedWrite, WriteKind};
use crate::manager::identity::Verdict;
use crate::manager::session::Lifecycle;
use crate::manager::sessions::Manager;
use crate::{Error, Result, Saved, Session, time_limit};

/// One call that writes.
///
/// Its `async` methods take `&mut self` even to read, because an edit need not be `Sync`.
pub(super) struct Writer<'a, 'e> {
    session: &'a Session,
    operation: &'a Operation,
    edit: &'a mut Edit<'e>,
    /// What is to be sent, or was sent last and is not known to be stored.
    write: Option<Arc<PlannedWrite>>,
}

impl<'a, 'e> Writer<'a, 'e> {
    pub(super) fn new(
        session: &'a Session,
        operation: &'a Operation,
        edit: &'a mut Edit<'e>,
    ) -> Self {
        Self {
            session,
            operation,
            edit,
            write: None,
        }
    }

    /// Writes until it is done. Gives the round whose plan was written; `None` if there was nothing
    /// to write.
    pub(super) async fn run(mut self) -> Result<Option<u32>> {
        let machine = Machine {
            purpose: Purpose::from(self.operation),
            attempts: self.session.0.manager.attempts,
        };
        let mut action = Action::CheckPending;
        loop {
            let performed = self.perform(action).await;
            let event = match &performed {
                Ok(event) => *event,
                Err(error) => Event::Failed(Failure::from(error)),
            };
            let (effect, next) = machine.next(action, event);
            self.note(effect);
            action = match next {
                Next::Do(action) => action,
                Next::End(outcome) => return self.end(outcome, performed),
            };
        }
    }

    async fn perform(&mut self, action: Action) -> Result<Event> {
        let manager = &self.session.0.manager;
        match action {
            Action::CheckPending => Ok(self.check_pending()),
            Action::Plan { round } => self.plan(round),
            Action::Resend | Action::Send { .. } | Action::Repeat { .. } => self.send().await,
            Action::LoadAfterResend | Action::Load { .. } => self.load().await,
            Action::LoadCreated => self.load_created().await,
            Action::DestroyCreated => self.destroy_created().await,
            Action::BeginAnew { keeps_read, .. } => self.begin_anew(keeps_read),
            Action::Touch => self.touch().await,
            Action::PauseBeforeRepeat { .. } => {
                manager.pause_before_repeat().await;
                Ok(Event::Waited)
            }
            Action::BackOff { round } => {
                time_limit::pause(manager.backoff.delay(round)).await;
                Ok(Event::Waited)
            }
        }
    }

    fn check_pending(&mut self) -> Event {
        self.write = self.session.state().unanswered();
        match &self.write {
            None => Event::NonePending,
            Some(write) if write.is_create() => Event::PendingCreate,
            Some(_) => Event::PendingSave,
        }
    }

    /// Plans a write. It counts as pending until the store has said what became of it, also if the
    /// caller goes away.
    fn plan(&mut self, round: u32) -> Result<Event> {
        if *self.operation == Operation::Touch
            && let Some(event) = self.plan_touch()?
        {
            return Ok(event);
        }
        let Some(write) = self.session.plan(self.operation, self.edit, round)? else {
            return Ok(Event::NothingToWrite);
        };
        self.session.state().add_pending(&write);
        self.write = Some(write);
        #[cfg(feature = "metrics")]
        if round > 0 {
            crate::metrics::event(crate::metrics::names::REPLAYS, None);
        }
        Ok(Event::Planned)
    }

    /// Plans a touch; `None` if the first use of a renewed token is to be written, which extends
    /// the session as a touch would.
    fn plan_touch(&self) -> Result<Option<Event>> {
        let state = self.session.state();
        let judged = match &state.lifecycle {
            Lifecycle::New => return Ok(Some(Event::NothingToWrite)),
            Lifecycle::Barred | Lifecycle::Gone(_) => return Err(Error::gone()),
            Lifecycle::Stored(judged, _) => judged,
        };
        if judged.verdict == Verdict::Unconfirmed && !state.is_changed() {
            return Ok(None);
        }
        let (lifetime, clock) = (state.view.lifetime, state.clock);
        let manager = &self.session.0.manager;
        let is_due = manager.is_touch_due(lifetime, clock.ttl_now(), clock.age_now());
        Ok(Some(if is_due {
            Event::PlannedTouch
        } else {
            Event::NothingToWrite
        }))
    }

    async fn send(&mut self) -> Result<Event> {
        let write = self.write.take().ok_or_else(Error::outcome_unknown)?;
        let event = match self.session.0.manager.send(&write).await {
            Ok(Saved::Done(version)) => {
                let round = write.round;
                self.session.confirm(write, version);
                return Ok(Event::Written { round });
            }
            Ok(Saved::Conflict) if write.is_create() => Ok(Event::IdTaken),
            Ok(Saved::Conflict) => Ok(Event::Conflict),
            Ok(Saved::Unknown) => Ok(Event::Unknown),
            Ok(Saved::Gone) => Ok(Event::Gone),
            Err(error) => Err(error),
        };
        self.write = Some(write);
        event
    }

    /// Looks at what is stored, after a conflict or a write whose outcome is not known.
    async fn load(&mut self) -> Result<Event> {
        let Some(id) = self.session.state().stored_id() else {
            return Err(self.session.mark_gone());
        };
        match self.session.0.manager.load_anew(&id).await? {
            Some(record) => self.session.reconcile(&record),
            None => Ok(Event::NotFound),
        }
    }

    async fn load_created(&mut self) -> Result<Event> {
        let write = self.write.as_ref().ok_or_else(Error::outcome_unknown)?;
        let manager = &self.session.0.manager;
        let Some(record) = manager.load_anew(&write.judged.id).await? else {
            return Ok(Event::NotFound);
        };
        // No other writer can have made a session of this id.
        let at = self.session.state().place_of(write);
        let round = self.session.adopt(at, &record)?;
        Ok(Event::Written { round })
    }

    /// No client has the token of such a session, but its owner would see it listed.
    async fn destroy_created(&mut self) -> Result<Event> {
        let write = self.write.as_ref().ok_or_else(Error::outcome_unknown)?;
        let store = &self.session.0.manager.store;
        store.destroy(&write.judged.id, None).await?;
        Ok(Event::Destroyed)
    }

    fn begin_anew(&self, keeps_read: bool) -> Result<Event> {
        let late = self.session.state().check_late(self.operation);
        if let Err(late) = late {
            let gone = self.session.mark_gone();
            return Err(if gone.is_doubtful() { gone } else { late });
        }
        let lifetime = self.session.0.manager.lifetime;
        let mut state = self.session.state();
        let keeps_read = keeps_read && !self.operation.replaces_owner_of(&state.view);
        state.begin_anew(lifetime, keeps_read);
        Ok(Event::BegunAnew)
    }

    async fn touch(&mut self) -> Result<Event> {
        let (id, idle) = {
            let state = self.session.state();
            let Lifecycle::Stored(judged, _) = &state.lifecycle else {
                return Err(Error::gone());
            };
            (judged.id.clone(), state.view.lifetime.idle)
        };
        let manager = &self.session.0.manager;
        let Some(_touching) = manager.begin_touch(&id) else {
            return Ok(Event::Touched);
        };
        match manager.store.touch(&id, idle).await? {
            Some(ttl) => {
                self.session.state().clock.reset_ttl(ttl);
                Ok(Event::Touched)
            }
            None => Ok(Event::Gone),
        }
    }

    fn note(&self, effect: Effect) {
        let Some(write) = &self.write else { return };
        match effect {
            Effect::None => {}
            Effect::Refute => self.session.state().refute(write),
            Effect::Forget => self.session.state().forget(write),
            Effect::ForgetAll => self.session.state().pending.clear(),
        }
    }

    /// `performed` is what the last action gave.
    fn end(self, outcome: Outcome, performed: Result<Event>) -> Result<Option<u32>> {
        match outcome {
            Outcome::Written { round } => Ok(Some(round)),
            Outcome::NothingWritten => Ok(None),
            Outcome::Failed => {
                let error = performed.err().unwrap_or_else(Error::outcome_unknown);
                let is_doubtful = self.session.state().is_doubtful();
                Err(if is_doubtful {
                    error.after_earlier_attempt()
                } else {
                    error
                })
            }
            Outcome::Gone => Err(self.session.mark_gone()),
            Outcome::OutOfAttempts => Err(self.session.give_up()),
            Outcome::Unknown => Err(Error::outcome_unknown()),
        }
    }
}

impl Manager {
    async fn send(&self, write: &PlannedWrite) -> Result<Saved> {
        let (id, draft) = (&write.judged.id, &write.draft);
        match &write.kind {
            WriteKind::Create => self.store.create(id, draft).await,
            WriteKind::Save(expected) => self.store.save(id, draft, expected).await,
        }
    }
}

impl From<&Operation> for Purpose {
    fn from(operation: &Operation) -> Self {
        match operation {
            Operation::SignIn(_) => Self::SignIn,
            Operation::Touch => Self::Touch,
            _ => Self::Write,
        }
    }
}
