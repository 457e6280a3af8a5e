//! How a session gets to its store: swap on the version, replay on a conflict, and never apply a
//! change twice.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::attempt::{Attempt, Goal, Step};
use crate::held::Held;
use crate::identity::TokenState;
use crate::observer::Event;
use crate::pending::{Finding, Found, Sent, resolve};
use crate::session::{Clock, Lifecycle, Pending, State, View};
use crate::unsaved::Base;
use crate::value::{from_raw, to_raw};
use crate::{Anchor, Error, Record, Result, Saved, Session, Version};

pub(crate) type Edit<'a> = dyn FnMut(&mut View) -> Result<()> + Send + 'a;

/// An edit of nothing.
pub(crate) fn unedited(_: &mut View) -> Result<()> {
    Ok(())
}

/// What a writer does next.
enum Next {
    /// The attempt of this round has happened.
    Done(usize),
    /// Plan anew, on what is stored now.
    Again,
}

impl Session {
    /// Writes what was changed; a session without changes, or a new one without data, writes
    /// nothing. A token that is [due](crate::SessionsBuilder::renew_after) is renewed by the same
    /// write.
    ///
    /// One round trip. If another request has written the session meanwhile, its version is
    /// loaded, the changes are replayed on it, and it is tried again: two more round trips each
    /// time. A write whose connection breaks is repeated once, which is harmless.
    ///
    /// # Errors
    /// [`Error::Gone`] if the session has ended, or another request has given it a new token since
    /// it was opened, by a sign-in, a re-authentication or [`cycle_id`](Self::cycle_id);
    /// [`Error::Contention`] if others were faster at every attempt, [`Error::TooLarge`] over [`Limits::record_bytes`](crate::Limits::record_bytes), and the store's own. The changes
    /// are kept and can be saved again: the next call first finds out whether they were written.
    /// [`Error::OutcomeUnknown`] if that can't be found out; the changes are then dropped.
    pub async fn save(&self) -> Result<()> {
        self.write_for(Goal::Save).await.map(drop)
    }

    /// As [`save`](Self::save), but writes even where there is nothing to write: a new, empty
    /// session is then stored and has a token.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn save_unchanged(&self) -> Result<()> {
        self.write_for(Goal::Edit).await.map(drop)
    }

    /// Sets `key` to what `change` makes of its value, atomically: no other writer gets in
    /// between. Whatever else was changed is saved with it. `change` runs again whenever somebody
    /// else was faster, on the value they left.
    ///
    /// One round trip, and two more for each conflict.
    ///
    /// # Errors
    /// As [`save`](Self::save), and [`Error::Value`] if what is there is no `T`. The key is then
    /// as it was.
    pub async fn update<T, F>(&self, key: &str, mut change: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnMut(Option<T>) -> T + Send,
    {
        let mut change = |old: Result<Option<T>>| old.map(&mut change);
        self.update_with(key, &mut change).await
    }

    /// As [`update`](Self::update), with a `change` that is given the error of a value that is no
    /// `T`, and may fail: nothing is written then, and its error is given back.
    ///
    /// One round trip, and two more for each conflict.
    ///
    /// # Errors
    /// As [`save`](Self::save), and those of `change`.
    pub async fn update_with<T, F>(&self, key: &str, mut change: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnMut(Result<Option<T>>) -> Result<T> + Send,
    {
        self.0.manager.limits.check_key(key)?;
        // One for each plan, for an earlier attempt may turn out to have happened.
        let mut updated = Vec::with_capacity(1);
        let mut edit = |view: &mut View| {
            let old = view.data.get(key).map(|raw| from_raw(key, raw));
            let new = change(old.unwrap_or(Ok(None)))?;
            view.data.set(key, to_raw(key, &new)?);
            updated.push(new);
            Ok(())
        };
        let round = self.write_with(&Goal::Edit, &mut edit).await?;
        let round = round.filter(|round| *round < updated.len());
        round
            .map(|round| updated.swap_remove(round))
            .ok_or(Error::GONE)
    }

    /// Writes for `goal`, after learning what became of earlier writes; `None` if there was nothing
    /// to write.
    pub(crate) async fn write_for(&self, goal: Goal) -> Result<Option<usize>> {
        self.write_with(&goal, &mut unedited).await
    }

    async fn write_with(&self, goal: &Goal, edit: &mut Edit<'_>) -> Result<Option<usize>> {
        let _lock = self.0.write_lock.lock().await;
        self.state().tally.plan();
        let written = match self.resolve_unanswered().await {
            Ok(()) => self.write(goal, edit).await,
            Err(error) => Err(error),
        };
        if written.is_err() {
            self.state().tally.fail();
        }
        written
    }

    /// Writes until it is done, and says by the attempt of which round.
    pub(crate) async fn write(&self, goal: &Goal, edit: &mut Edit<'_>) -> Result<Option<usize>> {
        let attempts = self.0.manager.attempts;
        for round in 0..attempts {
            let Some(attempt) = self.plan(goal, edit, round as usize)? else {
                return Ok(None);
            };
            match self.send(&attempt).await? {
                Saved::Done(version) => {
                    let round = attempt.round;
                    self.confirm(attempt, version);
                    return Ok(Some(round));
                }
                Saved::Gone => {
                    self.leave(goal, false)?;
                    continue;
                }
                // Another id is tried, unless it may be our own earlier sending that has taken it.
                Saved::Conflict if matches!(attempt.step, Step::Create) => continue,
                Saved::Conflict | Saved::Unknown => {}
            }
            // The next request with the token confirms it.
            if *goal == Goal::Confirm {
                self.forget(&attempt);
                return Ok(None);
            }
            self.0.manager.backoff.wait(round).await;
            if let Next::Done(round) = self.reload(goal).await? {
                return Ok(Some(round));
            }
        }
        Err(self.given_up(attempts))
    }

    /// The error of a write that others were faster than at every attempt. One of those may still
    /// be on its way, and is then not to be sent again.
    fn given_up(&self, attempts: u32) -> Error {
        let mut state = self.state();
        if !state.is_doubtful() {
            return Error::Contention { attempts };
        }
        state.pending.clear();
        state.sent = Default::default();
        Error::OutcomeUnknown
    }

    /// The next write; `None` if there is nothing to write.
    fn plan(&self, goal: &Goal, edit: &mut Edit<'_>, round: usize) -> Result<Option<Arc<Attempt>>> {
        let manager = &self.0.manager;
        let (lifecycle, mut view, age) = {
            let mut state = self.state();
            if !state.wants(goal, manager) {
                return Ok(None);
            }
            let is_over = matches!(state.lifecycle, Lifecycle::Barred | Lifecycle::Gone(_));
            if is_over && !matches!(goal, Goal::SignIn(_)) {
                return Err(Error::GONE);
            }
            // One that is refused leaves the handle as it was.
            state.check_late(goal)?;
            if is_over {
                state.begin_anew(manager.lifetime, false);
            }
            state.tally.plan();
            state.send_changes();
            (
                state.lifecycle.clone(),
                state.view.clone(),
                state.clock.age_now(),
            )
        };
        if let Goal::SignIn(owner) = goal {
            view.owner = Some(owner.clone());
        }
        // It is its user's code: it runs without the lock, so it may use this session.
        edit(&mut view)?;
        let mut attempt = manager.plan(goal, &lifecycle, view, age)?;
        attempt.round = round;
        Ok(Some(Arc::new(attempt)))
    }

    /// Sends a write, and once more if the connection broke. It counts as pending until the store
    /// has said what became of it, also if the caller goes away.
    async fn send(&self, attempt: &Arc<Attempt>) -> Result<Saved> {
        self.state().pending.push(Pending {
            attempt: Arc::clone(attempt),
            is_doubtful: true,
            later: Default::default(),
        });
        let mut answer = self.dispatch(attempt).await;
        let is_broken = matches!(answer, Err(Error::Unavailable { .. }));
        if is_broken {
            // A broken connection is worth one more try; the stamp makes it harmless.
            self.0.manager.backoff.wait(4).await;
            answer = self.dispatch(attempt).await.map(|saved| saved.after(true));
        }
        match &answer {
            Ok(Saved::Conflict | Saved::Gone) if !is_broken => self.refuse(attempt),
            Err(error) if !error.is_doubtful() => self.forget(attempt),
            _ => {}
        }
        answer
    }

    async fn dispatch(&self, attempt: &Attempt) -> Result<Saved> {
        let (store, id, draft) = (&self.0.manager.store, &attempt.held.id, &attempt.draft);
        match &attempt.step {
            Step::Create => store.create(id, draft).await,
            Step::Save(expected) => store.save(id, draft, expected).await,
        }
    }

    /// The store has said that this write did not happen.
    fn refuse(&self, attempt: &Arc<Attempt>) {
        for pending in &mut self.state().pending {
            if Arc::ptr_eq(&pending.attempt, attempt) {
                pending.is_doubtful = false;
            }
        }
    }

    fn forget(&self, attempt: &Arc<Attempt>) {
        let pending = &mut self.state().pending;
        pending.retain(|pending| !Arc::ptr_eq(&pending.attempt, attempt));
    }

    /// Learns what became of writes whose answers never came, before another is made.
    pub(crate) async fn resolve_unanswered(&self) -> Result<()> {
        let last = {
            let mut state = self.state();
            if !state.is_doubtful() {
                state.pending.clear();
                return Ok(());
            }
            let last = state.pending.iter().rfind(|pending| pending.is_doubtful);
            last.map(|pending| Arc::clone(&pending.attempt))
        };
        let Some(attempt) = last else {
            return Ok(());
        };
        if matches!(attempt.step, Step::Create) {
            return self.resolve_create(&attempt).await;
        }
        // Sent again as it was, it happens now, or is found to have happened, or can't any more.
        match self.dispatch(&attempt).await?.after(true) {
            Saved::Done(version) => {
                self.confirm(attempt, version);
                Ok(())
            }
            Saved::Gone => Err(self.lost()),
            Saved::Conflict | Saved::Unknown => self.reload(&Goal::Save).await.map(drop),
        }
    }

    /// A create is not sent again later: whoever ended all sessions of its owner meanwhile has
    /// ended this one too.
    async fn resolve_create(&self, attempt: &Arc<Attempt>) -> Result<()> {
        let store = &self.0.manager.store;
        if let Some(record) = store.load(&attempt.held.id).await? {
            // Nobody else can have made a session of this id.
            let at = self.state().place_of(attempt);
            return self.adopt(at, &record).map(drop);
        }
        // It may still be on its way. Nobody has its token, but its owner would be shown it.
        store.destroy(&attempt.held.id, None).await?;
        self.state().pending.clear();
        Ok(())
    }

    /// Looks at what is stored, after a conflict or a write whose outcome is not known.
    async fn reload(&self, goal: &Goal) -> Result<Next> {
        let Some(id) = self.state().stored_id() else {
            return Err(self.lost());
        };
        let Some(record) = self.0.manager.store.load(&id).await? else {
            self.leave(goal, false)?;
            return Ok(Next::Again);
        };
        let token = record.credential.as_ref().map(TokenState::decode);
        let token = token.transpose()?;
        let finding = self.state().finding(&record, token.as_ref());
        match finding {
            Finding::Happened(at) => self.adopt(at, &record).map(Next::Done),
            Finding::SignedInElsewhere => {
                self.leave(goal, true)?;
                Ok(Next::Again)
            }
            Finding::TakeOver => {
                let mut state = self.state();
                let held = state.rejudged(&record)?;
                state.pending.retain(|pending| pending.is_doubtful);
                state.rebase(held, &record)?;
                Ok(Next::Again)
            }
            Finding::Unknown => {
                let mut state = self.state();
                let held = state.rejudged(&record)?;
                state.pending.clear();
                state.sent = Default::default();
                state.rebase(held, &record)?;
                Err(Error::OutcomeUnknown)
            }
        }
    }

    /// Takes the write at this place as done, whoever has written since. Gives its round.
    fn adopt(&self, at: usize, record: &Record) -> Result<usize> {
        let mut state = self.state();
        if at >= state.pending.len() {
            return Err(Error::OutcomeUnknown);
        }
        let Pending { attempt, later, .. } = state.pending.swap_remove(at);
        state.pending.clear();
        state.sent = later;
        let (held, id) = (attempt.held.clone(), attempt.held.id.clone());
        let held = Held::judge(id.clone(), held.token, record)?;
        if attempt.held.is_same_sign_in(held.state.as_ref()) {
            state.rebase(held, record)?;
        } else {
            // It happened, and then somebody signed in: what is stored is not for this handle.
            state.view = attempt.view.clone();
            state.base = Base::written(attempt.draft.data.clone(), attempt.view.lifetime);
            state.lifecycle = Lifecycle::Gone(Some(id));
        }
        drop(state);
        self.tell(&attempt);
        Ok(attempt.round)
    }

    /// Takes `attempt` as what is stored, with the changes made since on top.
    fn confirm(&self, attempt: Arc<Attempt>, version: Version) {
        let mut state = self.state();
        // What was sent after an attempt of an earlier call is still to be written.
        state.sent = state.later_than(&attempt);
        state.pending.clear();
        let mut attempt = Arc::try_unwrap(attempt).unwrap_or_else(|shared| (*shared).clone());
        let age = match (&attempt.step, attempt.draft.anchor) {
            (Step::Create, _) | (_, Anchor::Restart) => Duration::ZERO,
            (Step::Save(_), Anchor::Keep) => state.clock.age_now(),
        };
        state.clock = Clock::written(attempt.view.lifetime, age);
        state.base = Base::written(attempt.draft.data.clone(), attempt.view.lifetime);
        let mut view = std::mem::take(&mut attempt.view);
        view.apply(&state.sent);
        view.apply(&state.patch);
        state.view = view;
        let held = attempt.held.clone().moved_to(version.moved_to());
        state.lifecycle = Lifecycle::Stored(held, version);
        drop(state);
        self.tell(&attempt);
    }

    /// Tells observers of what `attempt` has done.
    fn tell(&self, attempt: &Attempt) {
        let (id, age) = (self.id(), self.age());
        let id = id.as_ref().unwrap_or(&attempt.held.id);
        let event = Event::new(id, attempt.draft.owner.as_ref(), age);
        let observers = &self.0.manager.observers;
        if matches!(attempt.step, Step::Create) {
            observers.tell(|observer| observer.created(event));
        } else if attempt.is_new_token {
            observers.tell(|observer| observer.renewed(event));
        }
    }

    /// The session is not this handle's any more. A sign-in makes one of its own, of what this
    /// handle has changed and, if it `keeps_what_was_read`, of that too. Nothing else does.
    fn leave(&self, goal: &Goal, keeps_what_was_read: bool) -> Result<()> {
        if !matches!(goal, Goal::SignIn(_)) {
            return Err(self.lost());
        }
        let late = self.state().check_late(goal);
        if let Err(late) = late {
            return Err(match self.lost() {
                Error::Gone { unknown: false } => late,
                gone => gone,
            });
        }
        let lifetime = self.0.manager.lifetime;
        self.state().begin_anew(lifetime, keeps_what_was_read);
        Ok(())
    }

    pub(crate) fn lost(&self) -> Error {
        let mut state = self.state();
        let unknown = state.is_doubtful();
        state.lifecycle = Lifecycle::Gone(state.stored_id());
        state.pending.clear();
        Error::Gone { unknown }
    }
}

impl State {
    /// Whether a write may have happened that was never answered.
    fn is_doubtful(&self) -> bool {
        self.pending.iter().any(|pending| pending.is_doubtful)
    }

    /// The id of the session in the store, if there may be one.
    pub(crate) fn stored_id(&self) -> Option<crate::SessionId> {
        match &self.lifecycle {
            Lifecycle::Stored(held, _) => Some(held.id.clone()),
            Lifecycle::Gone(id) => id.clone(),
            // A create that was sent may have made it.
            Lifecycle::New => self.pending.last().map(|last| last.attempt.held.id.clone()),
            Lifecycle::Barred => None,
        }
    }

    fn place_of(&self, attempt: &Arc<Attempt>) -> usize {
        let mut places = self.pending.iter();
        places
            .position(|pending| Arc::ptr_eq(&pending.attempt, attempt))
            .unwrap_or(usize::MAX)
    }

    /// The changes that `attempt`, which is pending, does not have.
    fn later_than(&mut self, attempt: &Arc<Attempt>) -> crate::patch::Patch {
        let at = self.place_of(attempt);
        let pending = self.pending.get_mut(at);
        pending.map_or_else(Default::default, |pending| {
            std::mem::take(&mut pending.later)
        })
    }

    /// What became of the pending writes, by what is stored now.
    fn finding(&self, record: &Record, token: Option<&TokenState>) -> Finding {
        let sent = |pending: &Pending| Sent {
            stamp: pending.attempt.draft.stamp,
            expected: match &pending.attempt.step {
                Step::Create => None,
                Step::Save(expected) => Some(expected.stamp()),
            },
            is_doubtful: pending.is_doubtful,
        };
        let sent: Vec<Sent> = self.pending.iter().map(sent).collect();
        let is_same_sign_in = match &self.lifecycle {
            Lifecycle::Stored(held, _) => held.is_same_sign_in(token),
            _ => false,
        };
        let stamp = record.version.stamp();
        resolve(
            &sent,
            Found {
                stamp,
                token,
                is_same_sign_in,
            },
        )
    }

    /// How this handle holds the session as it is stored now.
    fn rejudged(&self, record: &Record) -> Result<Held> {
        match &self.lifecycle {
            Lifecycle::Stored(held, _) => Held::judge(held.id.clone(), held.token.clone(), record),
            _ => Err(Error::GONE),
        }
    }
}
