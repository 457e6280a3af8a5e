//! One opened session.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::{Data, Raw, from_raw, to_raw};
use crate::patch::Patch;
use crate::renewal::Held;
use crate::sessions::Manager;
use crate::write::Attempt;
use crate::{Bytes, Lifetime, Owner, Record, Result, SessionId, SessionToken, Stamp, Ttl};

/// One opened session.
///
/// Reading and changing variables is plain memory; only the `async` methods talk to the store,
/// and only [`save`](Self::save), [`update`](Self::update), [`cycle_id`](Self::cycle_id) and
/// [`destroy`](Self::destroy) write. What is changed is kept as a patch: when somebody else has
/// written the session meanwhile, the patch is replayed on theirs, so neither loses anything.
///
/// A `Session` is a handle: clones are the same session, in one place after the other or on
/// several tasks at once.
#[derive(Clone)]
pub struct Session(pub(crate) Arc<Opened>);

pub(crate) struct Opened {
    pub(crate) manager: Arc<Manager>,
    pub(crate) state: Mutex<State>,
    /// Held across one write, so that writes of one handle follow each other.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

/// Where a session is kept.
#[derive(Clone)]
pub(crate) enum Place {
    /// Nowhere yet.
    New,
    /// In the store, as of the write `stamp`.
    Stored { held: Held, stamp: Stamp },
    /// It was in the store, and ended.
    Gone,
}

pub(crate) struct State {
    pub(crate) place: Place,
    /// The session as its user sees it: what was read, and the changes since.
    pub(crate) view: View,
    /// Changes that were sent, until the store has confirmed them.
    pub(crate) sent: Patch,
    /// Changes that were not yet sent.
    pub(crate) patch: Patch,
    /// A create or rename whose answer never came.
    pub(crate) unanswered: Option<Attempt>,
    pub(crate) clock: Clock,
}

/// The parts of a session that its user sees and a write sends.
#[derive(Clone, Default)]
pub(crate) struct View {
    pub(crate) data: Data,
    pub(crate) owner: Option<Owner>,
    pub(crate) lifetime: Lifetime,
    /// The record as it is stored, see [`Record::raw`].
    pub(crate) raw: Bytes,
}

/// What the store's clock said, and when that was by ours.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) ttl: Ttl,
    pub(crate) age: Duration,
    pub(crate) at: Instant,
}

impl Session {
    pub(crate) fn new(manager: Arc<Manager>) -> Self {
        let view = View::new(manager.lifetime);
        Self::from_parts(manager, Place::New, view)
    }

    pub(crate) fn opened(manager: Arc<Manager>, held: Held, record: &Record) -> Result<Self> {
        let view = View::read(record)?;
        let stamp = record.stamp;
        let session = Self::from_parts(manager, Place::Stored { held, stamp }, view);
        session.state().clock = Clock::read(record);
        Ok(session)
    }

    fn from_parts(manager: Arc<Manager>, place: Place, view: View) -> Self {
        let clock = Clock::starting(view.lifetime);
        Self(Arc::new(Opened {
            manager,
            state: Mutex::new(State {
                place,
                view,
                sent: Patch::default(),
                patch: Patch::default(),
                unanswered: None,
                clock,
            }),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// The value of `key`, or `None` if there is no such key.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) if what is there is no `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let raw = self.state().view.data.get(key).cloned();
        raw.map(|raw| from_raw(key, &raw)).transpose()
    }

    /// Sets `key` to `value`, replacing what was there. Nothing is written until
    /// [`save`](Self::save).
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) if `value` can't be written as JSON,
    /// [`Error::TooLarge`](crate::Error::TooLarge) if the key is longer than
    /// [`Limits::key_bytes`](crate::Limits::key_bytes).
    pub fn insert(&self, key: &str, value: impl Serialize) -> Result<()> {
        self.0.manager.limits.check_key(key)?;
        let raw = to_raw(key, &value)?;
        self.state().set(key, raw);
        Ok(())
    }

    /// Removes `key`. `false` if there was no such key.
    pub fn remove(&self, key: &str) -> bool {
        self.state().remove(key).is_some()
    }

    /// Removes `key` and gives its value: a message shown once, for example.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) if what was there is no `T`; it stays there.
    pub fn take<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let value = self.get(key)?;
        self.remove(key);
        Ok(value)
    }

    /// Whether there is a key `key`.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.state().view.data.get(key).is_some()
    }

    /// The keys, in the order they were first set.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.state().view.data.keys()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state().view.data.is_empty()
    }

    /// Removes all keys. The session lives on; [`destroy`](Self::destroy) ends it.
    pub fn clear(&self) {
        self.state().clear();
    }

    /// The principal this session belongs to.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        self.state().view.owner.clone()
    }

    /// Makes this session `owner`'s, or nobody's. A new owner has just authenticated, so the
    /// absolute limit counts from the next save.
    ///
    /// At sign-in, also call [`cycle_id`](Self::cycle_id), which saves.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) over
    /// [`Limits::owner_bytes`](crate::Limits::owner_bytes).
    pub fn set_owner(&self, owner: impl Into<Option<Owner>>) -> Result<()> {
        let owner = owner.into();
        if let Some(owner) = &owner {
            self.0.manager.limits.check_owner(owner)?;
        }
        self.state().set_owner(owner);
        Ok(())
    }

    /// Says that the owner has just authenticated again: with the next save, age and absolute
    /// limit count anew (NIST SP 800-63B §5.2).
    pub fn reauthenticated(&self) {
        self.state().patch.restart();
    }

    /// This session's limits.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        self.state().view.lifetime
    }

    /// Sets this session's limits ("remember me"), from the next save on. The absolute one
    /// counts from where it did.
    ///
    /// # Errors
    /// [`Error::InvalidLifetime`](crate::Error::InvalidLifetime), which names the limit and the
    /// value.
    pub fn set_lifetime(&self, lifetime: Lifetime) -> Result<()> {
        self.0.manager.limits.check_lifetime(&lifetime)?;
        self.state().set_lifetime(lifetime);
        Ok(())
    }

    /// How long the session will live if it isn't used again, by the store's clock as of the last
    /// round trip. Zero once that is over.
    #[must_use]
    pub fn expires_in(&self) -> Ttl {
        self.state().clock.ttl_now()
    }

    /// How long ago the session began, or its owner last signed in. Zero for one that was never
    /// saved.
    #[must_use]
    pub fn age(&self) -> Duration {
        let state = self.state();
        match state.place {
            Place::New => Duration::ZERO,
            _ => state.clock.age_now(),
        }
    }

    /// Whether the session is in no store yet: nothing was saved in it, or it was just destroyed.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self.state().place, Place::New)
    }

    /// Whether the session was found to have ended while it was in use. What was changed in it
    /// can't be saved any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.state().place, Place::Gone)
    }

    /// Whether there is something to save.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.state().is_changed()
    }

    /// The secret for the client's cookie. `None` until the session is stored, when it has ended,
    /// and if it was opened with a token that has been renewed since: the newer one is with the
    /// client already.
    #[must_use]
    pub fn token(&self) -> Option<SessionToken> {
        let held = self.held()?;
        (!held.is_old()).then_some(held.token)
    }

    /// The id that the session is filed under; `None` until it is stored, and when it has ended.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        self.held().map(|held| held.id())
    }

    pub(crate) fn held(&self) -> Option<Held> {
        match &self.state().place {
            Place::Stored { held, .. } => Some(held.clone()),
            Place::New | Place::Gone => None,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the state is half changed, so a poisoned lock holds a whole one.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set(&mut self, key: &str, raw: Raw) {
        // Setting what is there already is no change, and shall cost no write.
        if self.view.data.get(key) != Some(&raw) {
            self.view.data.set(key, raw.clone());
            self.patch.set(key, raw);
        }
    }

    fn remove(&mut self, key: &str) -> Option<Raw> {
        let removed = self.view.data.remove(key)?;
        self.patch.remove(key);
        Some(removed)
    }

    fn clear(&mut self) {
        if !self.view.data.is_empty() {
            self.view.data.clear();
            self.patch.clear();
        }
    }

    fn set_owner(&mut self, owner: Option<Owner>) {
        if self.view.owner != owner {
            if owner.is_some() {
                self.patch.restart();
            }
            self.view.owner.clone_from(&owner);
            self.patch.set_owner(owner);
        }
    }

    fn set_lifetime(&mut self, lifetime: Lifetime) {
        if self.view.lifetime != lifetime {
            self.view.lifetime = lifetime;
            self.patch.set_lifetime(lifetime);
        }
    }

    pub(crate) fn is_changed(&self) -> bool {
        match self.place {
            // An empty new session is nothing to keep, whatever limits it was given.
            Place::New => !self.view.data.is_empty() || self.view.owner.is_some(),
            _ => !self.patch.is_empty() || !self.sent.is_empty(),
        }
    }

    /// Takes `record` as what is stored, with the changes not yet confirmed on top.
    pub(crate) fn rebase(&mut self, held: Held, record: &Record) -> Result<()> {
        let mut view = View::read(record)?;
        view.apply(&self.sent);
        view.apply(&self.patch);
        self.view = view;
        self.clock = Clock::read(record);
        self.place = Place::Stored {
            held,
            stamp: record.stamp,
        };
        Ok(())
    }

    /// Forgets everything but that there is a session to come.
    pub(crate) fn reset(&mut self, lifetime: Lifetime) {
        self.place = Place::New;
        self.view = View::new(lifetime);
        self.sent = Patch::default();
        self.patch = Patch::default();
        self.unanswered = None;
        self.clock = Clock::starting(lifetime);
    }
}

impl View {
    fn new(lifetime: Lifetime) -> Self {
        Self {
            lifetime,
            ..Self::default()
        }
    }

    fn read(record: &Record) -> Result<Self> {
        Ok(Self {
            data: Data::decode(&record.data)?,
            owner: record.owner.clone(),
            lifetime: record.lifetime,
            raw: record.raw.clone(),
        })
    }

    pub(crate) fn apply(&mut self, patch: &Patch) {
        patch.apply(&mut self.data, &mut self.owner, &mut self.lifetime);
    }
}

impl Clock {
    pub(crate) fn read(record: &Record) -> Self {
        Self {
            ttl: record.ttl,
            age: record.age,
            at: Instant::now(),
        }
    }

    /// The clock of a session of `lifetime` that begins now.
    pub(crate) fn starting(lifetime: Lifetime) -> Self {
        Self::written(lifetime, Duration::ZERO)
    }

    /// The clock of a session of this age that was written just now.
    pub(crate) fn written(lifetime: Lifetime, age: Duration) -> Self {
        Self {
            ttl: lifetime.left_after_use(age),
            age,
            at: Instant::now(),
        }
    }

    /// Takes `ttl` as what is left from now.
    pub(crate) fn reset_ttl(&mut self, ttl: Ttl) {
        *self = Self {
            ttl,
            age: self.age_now(),
            at: Instant::now(),
        };
    }

    pub(crate) fn age_now(&self) -> Duration {
        self.age + self.at.elapsed()
    }

    pub(crate) fn ttl_now(&self) -> Ttl {
        match self.ttl {
            Ttl::Left(left) => Ttl::Left(left.saturating_sub(self.at.elapsed())),
            Ttl::Never => Ttl::Never,
        }
    }
}

/// Shows the id and the keys, never the token or a value.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id();
        let state = self.state();
        f.debug_struct("Session")
            .field("id", &id)
            .field("owner", &state.view.owner)
            .field("keys", &state.view.data)
            .field("changed", &state.is_changed())
            .finish_non_exhaustive()
    }
}
