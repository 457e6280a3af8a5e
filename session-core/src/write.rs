//! How a session gets to its store: swap on the stamp, replay on conflict, repeat after a break.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::{Raw, from_raw, to_raw};
use crate::observer::Event;
use crate::renewal::Held;
use crate::session::{Clock, Place, View};
use crate::{Anchor, Bytes, Draft, Error, Result, Saved, Session, SessionToken, Stamp};

/// One write, ready to be sent, and to be sent again.
#[derive(Clone)]
pub(crate) struct Attempt {
    step: Step,
    draft: Draft,
    /// What the session is once the write is done.
    view: View,
}

#[derive(Clone)]
enum Step {
    Create {
        token: SessionToken,
    },
    Save {
        held: Held,
        expected: Stamp,
    },
    Rename {
        from: Held,
        to: SessionToken,
        expected: Stamp,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// Write what was changed, if anything was.
    Save,
    /// Write what an edit makes of the session as it is stored.
    Edit,
    /// Write under a new token.
    Cycle,
    /// The same, unless somebody else has just done so.
    Renew,
}

enum Outcome {
    Done(Stamp),
    Conflict,
    Gone,
    /// The new token's id is taken.
    Collision,
}

type Edit<'a> = dyn FnMut(&mut View) -> Result<()> + Send + 'a;

impl Session {
    /// Writes what was changed; a session without changes, or a new one without data, writes
    /// nothing.
    ///
    /// One round trip. If somebody else has written the session meanwhile, their version is
    /// loaded, the changes are replayed on it, and it is tried again: two more round trips each
    /// time. A write whose connection breaks is repeated once, which is harmless.
    ///
    /// # Errors
    /// [`Error::Gone`] if the session has ended, [`Error::Contention`] if others were faster at
    /// every attempt, [`Error::TooLarge`] over
    /// [`Limits::record_bytes`](crate::Limits::record_bytes), and the store's own. The changes
    /// are kept and can be saved again.
    pub async fn save(&self) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        self.settle().await?;
        self.write(Goal::Save, &mut |_| Ok(())).await
    }

    /// As [`save`](Self::save), but writes even where there is nothing to write: a new, empty
    /// session is then stored and has a token.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn save_unchanged(&self) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        self.settle().await?;
        self.write(Goal::Edit, &mut |_| Ok(())).await
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
        self.0.manager.limits.check_key(key)?;
        let _turn = self.0.turn.lock().await;
        self.settle().await?;
        let mut updated = None;
        let mut edit = |view: &mut View| {
            let old = view.data.get(key).map(|raw| from_raw(key, raw));
            let new = change(old.transpose()?);
            view.data.set(key, to_raw(key, &new)?);
            updated = Some(new);
            Ok(())
        };
        self.write(Goal::Edit, &mut edit).await?;
        updated.ok_or(Error::Gone)
    }

    /// Gives the session a new token and id, keeping its data, and saves it. The old token is
    /// dead at once. Atomic: at any time exactly one of the two ids exists.
    ///
    /// To be called whenever the user's rights change, signing in above all: a token that was
    /// known before is worth nothing afterwards (OWASP Session Management Cheat Sheet, "Renew the
    /// Session ID After Any Privilege Level Change"). A session that is not stored yet gets its
    /// first token when it is saved, so this just saves it.
    ///
    /// One round trip, and two more for each conflict.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn cycle_id(&self) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        self.settle().await?;
        self.write(Goal::Cycle, &mut |_| Ok(())).await
    }

    /// As [`cycle_id`](Self::cycle_id), with a change that belongs to it; nothing if somebody else
    /// has just renewed the token.
    pub(crate) async fn renew_with(&self, key: &str, value: Raw) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        self.settle().await?;
        let mut edit = |view: &mut View| {
            view.data.set(key, value.clone());
            Ok(())
        };
        self.write(Goal::Renew, &mut edit).await
    }

    /// Says that the session is in use, so that its idle limit starts anew. Writes no data. A
    /// save does this anyway.
    ///
    /// One round trip, or none if the deadline would hardly move (see
    /// [`touch_after`](crate::SessionsBuilder::touch_after)) or this process is touching the
    /// session already.
    ///
    /// # Errors
    /// [`Error::Gone`] if the session has ended; the store's own.
    pub async fn touch(&self) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        self.settle().await?;
        let (id, idle) = {
            let state = self.state();
            let Place::Stored { held, .. } = &state.place else {
                return Ok(());
            };
            let (lifetime, clock) = (state.view.lifetime, state.clock);
            if !self
                .0
                .manager
                .is_touch_due(lifetime, clock.ttl_now(), clock.age_now())
            {
                return Ok(());
            }
            (held.id(), lifetime.idle)
        };
        let Some(_touching) = self.0.manager.begin_touch(&id) else {
            return Ok(());
        };
        match self.0.manager.store.touch(&id, idle).await? {
            Some(ttl) => {
                self.state().clock.reset_ttl(ttl);
                Ok(())
            }
            None => Err(self.lost()),
        }
    }

    /// Ends the session, here and in the store. No request that is still under way can bring it
    /// back. The handle is then a new, empty session.
    ///
    /// One round trip; none for a session that was never saved.
    ///
    /// # Errors
    /// The store's. The session may then still be there.
    pub async fn destroy(&self) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        let (ids, owner, age) = {
            let state = self.state();
            let mut ids = Vec::new();
            if let Place::Stored { held, .. } = &state.place {
                ids.push(held.id());
            }
            // A create or rename without an answer may have happened: its id must go too.
            ids.extend(state.unanswered.as_ref().map(|attempt| attempt.held().id()));
            (ids, state.view.owner.clone(), state.clock.age_now())
        };
        for id in ids {
            if self.0.manager.store.destroy(&id).await? {
                let event = Event::new(&id, owner.as_ref(), age);
                self.0
                    .manager
                    .observers
                    .tell(|observer| observer.destroyed(event));
            }
        }
        self.state().reset(self.0.manager.lifetime);
        Ok(())
    }

    /// Learns what became of a create or rename whose answer never came, by sending it again.
    async fn settle(&self) -> Result<()> {
        let Some(attempt) = self.state().unanswered.clone() else {
            return Ok(());
        };
        match self.send(&attempt).await? {
            Outcome::Done(stamp) => self.confirm(attempt, stamp),
            Outcome::Gone => return Err(self.lost()),
            // Nothing of it happened: what it was to write is still among the changes.
            Outcome::Conflict | Outcome::Collision => {}
        }
        Ok(())
    }

    async fn write(&self, goal: Goal, edit: &mut Edit<'_>) -> Result<()> {
        let attempts = self.0.manager.attempts;
        for round in 0..attempts {
            let Some(attempt) = self.plan(goal, edit)? else {
                return Ok(());
            };
            match self.send(&attempt).await? {
                Outcome::Done(stamp) => {
                    self.confirm(attempt, stamp);
                    return Ok(());
                }
                // Another request may have renewed the token: then its signpost says where it is.
                Outcome::Gone if self.0.manager.renewal.is_some() => {}
                Outcome::Gone => return Err(self.lost()),
                Outcome::Collision => continue,
                Outcome::Conflict => {}
            }
            self.0.manager.backoff.wait(round).await;
            if self.reload(&attempt).await? {
                return Ok(());
            }
        }
        Err(Error::Contention { attempts })
    }

    /// The next write; `None` if there is nothing to write.
    fn plan(&self, mut goal: Goal, edit: &mut Edit<'_>) -> Result<Option<Attempt>> {
        let (place, mut view, anchor) = {
            let mut state = self.state();
            goal = match (&state.place, goal) {
                (Place::Stored { held, .. }, Goal::Renew) if held.is_old() => Goal::Save,
                (_, Goal::Renew) => Goal::Cycle,
                (_, goal) => goal,
            };
            let changed = state.is_changed();
            let storable = !matches!(state.place, Place::New);
            if !changed && (goal == Goal::Save || goal == Goal::Cycle && !storable) {
                return Ok(None);
            }
            let patch = std::mem::take(&mut state.patch);
            state.sent.append(patch);
            (state.place.clone(), state.view.clone(), state.sent.anchor())
        };
        let step = match (place, goal) {
            (Place::Gone, _) => return Err(Error::Gone),
            (Place::New, _) => Step::Create {
                token: self.0.manager.generate(),
            },
            (Place::Stored { held, stamp }, Goal::Cycle | Goal::Renew) => Step::Rename {
                to: held.token.cycled(),
                from: held,
                expected: stamp,
            },
            (Place::Stored { held, stamp }, Goal::Save | Goal::Edit) => Step::Save {
                held,
                expected: stamp,
            },
        };
        if goal != Goal::Save {
            // It is its user's code: it runs without the lock, so it may use this session.
            edit(&mut view)?;
        }
        let draft = view.draft(anchor);
        self.0.manager.limits.check_record(draft.data.len())?;
        Ok(Some(Attempt { step, draft, view }))
    }

    async fn send(&self, attempt: &Attempt) -> Result<Outcome> {
        if !matches!(attempt.step, Step::Save { .. }) {
            self.state().unanswered = Some(attempt.clone());
        }
        let mut answer = self.dispatch(attempt).await;
        if let Err(Error::Unavailable { .. }) = answer {
            // A broken connection is worth one more try; the stamp makes it harmless.
            self.0.manager.backoff.wait(4).await;
            answer = self.dispatch(attempt).await;
        }
        if !answer.as_ref().is_err_and(Error::is_temporary) {
            self.state().unanswered = None;
        }
        match answer {
            Ok(Saved::Done(stamp)) => Ok(Outcome::Done(stamp)),
            Ok(Saved::Conflict) => Ok(Outcome::Conflict),
            Ok(Saved::Gone) => Ok(Outcome::Gone),
            Err(Error::AlreadyExists) => Ok(Outcome::Collision),
            Err(error) => Err(error),
        }
    }

    async fn dispatch(&self, attempt: &Attempt) -> Result<Saved> {
        let (store, draft) = (&self.0.manager.store, &attempt.draft);
        match &attempt.step {
            Step::Create { token } => store.create(&token.id(), draft).await.map(Saved::Done),
            Step::Save { held, expected } => store.save(&held.id(), draft, *expected).await,
            Step::Rename { from, to, expected } => {
                store.rename(&from.id(), &to.id(), draft, *expected).await
            }
        }
    }

    /// Takes what others wrote, with the changes of this handle on top. `true` if it was this
    /// very write that had happened after all.
    async fn reload(&self, attempt: &Attempt) -> Result<bool> {
        let Some(held) = self.held() else {
            return Err(self.lost());
        };
        let Some((held, record)) = self.0.manager.load(held).await? else {
            return Err(self.lost());
        };
        if record.stamp == attempt.draft.stamp {
            self.confirm(attempt.clone(), record.stamp);
            return Ok(true);
        }
        self.state().rebase(held, &record)?;
        Ok(false)
    }

    /// Takes `attempt` as what is stored, with the changes made since on top.
    fn confirm(&self, attempt: Attempt, stamp: Stamp) {
        let held = attempt.held();
        let id = held.id();
        let (owner, age) = {
            let mut state = self.state();
            let age = match (&attempt.step, attempt.draft.anchor) {
                (Step::Create { .. }, _) | (_, Anchor::Restart) => std::time::Duration::ZERO,
                (_, Anchor::Keep) => state.clock.age_now(),
            };
            state.clock = Clock::written(attempt.view.lifetime, age);
            state.sent = Default::default();
            state.view = attempt.view;
            // What is stored now is known to the store alone.
            state.view.raw = Bytes::new();
            let later = state.patch.clone();
            state.view.apply(&later);
            state.place = Place::Stored { held, stamp };
            (attempt.draft.owner, age)
        };
        let event = Event::new(&id, owner.as_ref(), age);
        let observers = &self.0.manager.observers;
        match &attempt.step {
            Step::Create { .. } => observers.tell(|observer| observer.created(event)),
            Step::Rename { from, .. } => {
                let previous = from.id();
                observers.tell(|observer| observer.renewed(event, &previous));
            }
            Step::Save { .. } => {}
        }
    }

    fn lost(&self) -> Error {
        let mut state = self.state();
        state.place = Place::Gone;
        state.unanswered = None;
        Error::Gone
    }
}

impl Attempt {
    /// How the session is held once the write is done.
    fn held(&self) -> Held {
        match &self.step {
            Step::Create { token } | Step::Rename { to: token, .. } => Held::by(token.clone()),
            Step::Save { held, .. } => held.clone(),
        }
    }
}

impl View {
    fn draft(&self, anchor: Anchor) -> Draft {
        Draft::new(self.data.encode(), self.lifetime)
            .with_owner(self.owner.clone())
            .with_anchor(anchor)
            .replacing(self.raw.clone())
    }
}
