//! One opened session.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::manager::data::Data;
use crate::manager::judged_token::JudgedToken;
use crate::manager::patch::Patch;
use crate::manager::reserved::PERSISTENT;
use crate::manager::sessions::Manager;
use crate::manager::unsaved::{Base, Late, Tally};
use crate::manager::write::PendingWrite;
use crate::{Description, Lifetime, Owner, Record, Result, SessionId, SessionToken, Ttl, Version};

/// One opened session.
///
/// Reading and changing variables is plain memory; only the `async` methods talk to the store.
/// What is changed is kept as a patch: when another request has written the session meanwhile, the
/// patch is replayed on its version, so neither loses anything.
///
/// A `Session` is a handle: clones are the same session, in one place after the other or on
/// several tasks at once. Writes through them follow each other, each with a
/// [time limit](crate::Sessions#time-limits) of its own. When the last one is dropped with changes that were not saved, a warning
/// names their keys, at most ten times a minute for all sessions of a manager;
/// [`discard`](Self::discard) is for changes that are not to be saved.
///
/// ```
/// # use session_core::{Result, Session, Sessions};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// # let sessions = Sessions::new(session_memory::MemoryStore::new());
/// # let session: Session = sessions.start();
/// session.insert("cart", vec!["tea"])?;                        // plain memory
/// let cart: Vec<String> = session.get("cart")?.unwrap_or_default();
/// assert_eq!(cart, ["tea"]);
///
/// session.sign_in("user-1769").await?;                         // one write: the data and the owner
/// assert_eq!(session.owner().expect("signed in").as_str(), "user-1769");
///
/// session.destroy().await?;                                    // ended, also for requests in flight
/// assert!(session.owner().is_none());
/// # Ok(()) }
/// ```
///
/// Three keys are reserved, `_csrf`, `_flash` and `_persistent`: [`csrf_token`](Self::csrf_token),
/// [`flash`](Self::flash) and [`set_persistent`](Self::set_persistent) keep their values under
/// them. [`keys`](Self::keys) does not list them.
#[derive(Clone)]
pub struct Session(pub(crate) Arc<Opened>);

pub(crate) struct Opened {
    pub(crate) manager: Arc<Manager>,
    pub(crate) state: Mutex<State>,
    /// Held across one write, so that writes of one handle follow each other.
    pub(crate) write_lock: tokio::sync::Mutex<()>,
}

/// Where a session is in its life.
#[derive(Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each opened session, and nearly all are stored"
)]
pub(crate) enum Lifecycle {
    /// In no store yet.
    New,
    /// An empty session for a request whose token is not good, or not any more: it can't be saved,
    /// and the response sets no cookie.
    Barred,
    /// In the store, as of this version.
    Stored(JudgedToken, Version),
    /// It was in the store, and ended; or another request signed in with it.
    Gone(Option<SessionId>),
}

pub(crate) struct State {
    pub(crate) lifecycle: Lifecycle,
    /// The session as its user sees it: what was read, and the changes since.
    pub(crate) view: View,
    /// Changes that were sent, until the store has confirmed them.
    pub(crate) unconfirmed: Patch,
    /// Changes that were not yet sent.
    pub(crate) patch: Patch,
    /// Writes that were sent and are not known to have been done.
    pub(crate) pending: Vec<PendingWrite>,
    pub(crate) clock: Clock,
    /// What is stored for all that is known.
    pub(crate) base: Base,
    pub(crate) tally: Tally,
    pub(crate) late: Late,
    /// What this handle has ended without a confirmation.
    pub(crate) unconfirmed_ends: Vec<SessionId>,
}

/// The parts of a session that its user sees and a write sends.
#[derive(Clone, Default)]
pub(crate) struct View {
    pub(crate) data: Data,
    pub(crate) description: Option<Description>,
    pub(crate) owner: Option<Owner>,
    pub(crate) lifetime: Lifetime,
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
        Self::unstored(manager, Lifecycle::New)
    }

    pub(crate) fn barred(manager: Arc<Manager>) -> Self {
        Self::unstored(manager, Lifecycle::Barred)
    }

    fn unstored(manager: Arc<Manager>, lifecycle: Lifecycle) -> Self {
        let lifetime = manager.lifetime;
        let (view, clock) = (View::new(lifetime), Clock::starting(lifetime));
        Self::from_parts(manager, lifecycle, view, clock, Base::new(lifetime))
    }

    pub(crate) fn opened(
        manager: Arc<Manager>,
        judged: JudgedToken,
        record: Record,
    ) -> Result<Self> {
        let clock = Clock::read(&record);
        let view = View {
            data: Data::decode(&record.data)?,
            description: record.description.clone(),
            owner: record.owner,
            lifetime: record.lifetime,
        };
        let base = Base::of(record.data, record.description, record.lifetime);
        let lifecycle = Lifecycle::Stored(judged, record.version);
        Ok(Self::from_parts(manager, lifecycle, view, clock, base))
    }

    fn from_parts(
        manager: Arc<Manager>,
        lifecycle: Lifecycle,
        view: View,
        clock: Clock,
        base: Base,
    ) -> Self {
        Self(Arc::new(Opened {
            manager,
            state: Mutex::new(State {
                lifecycle,
                view,
                unconfirmed: Patch::default(),
                patch: Patch::default(),
                pending: Vec::new(),
                clock,
                base,
                tally: Tally::default(),
                late: Late::default(),
                unconfirmed_ends: Vec::new(),
            }),
            write_lock: tokio::sync::Mutex::default(),
        }))
    }

    /// The principal this session belongs to. [`sign_in`](Self::sign_in) sets it, and nothing else.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        self.state().view.owner.clone()
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
    /// [`ErrorKind::InvalidLifetime`](crate::ErrorKind::InvalidLifetime), which names the limit and
    /// the value.
    pub fn set_lifetime(&self, lifetime: Lifetime) -> Result<()> {
        self.0.manager.limits.check_lifetime(&lifetime)?;
        self.state().set_lifetime(lifetime);
        Ok(())
    }

    /// How long the session will live if it isn't used again, by the store's clock as of the last
    /// round trip. Zero once that is over, and once the session is known to have ended.
    #[must_use]
    pub fn expires_in(&self) -> Ttl {
        let state = self.state();
        match state.lifecycle {
            Lifecycle::Gone(_) => Ttl::Left(Duration::ZERO),
            _ => state.clock.ttl_now(),
        }
    }

    /// How long ago the session began, or its owner last signed in. Zero for one that was never
    /// saved.
    #[must_use]
    pub fn age(&self) -> Duration {
        let state = self.state();
        match state.lifecycle {
            Lifecycle::New | Lifecycle::Barred => Duration::ZERO,
            Lifecycle::Stored(..) | Lifecycle::Gone(_) => state.clock.age_now(),
        }
    }

    /// Whether the session is in no store yet: nothing was saved in it, or it was just destroyed.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self.state().lifecycle, Lifecycle::New)
    }

    /// Whether the session was found to have ended while it was in use, or the token it was opened
    /// with has just been replaced. What was changed in it can't be saved;
    /// [`sign_in`](Self::sign_in) makes a session of its own.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let lifecycle = &self.state().lifecycle;
        matches!(lifecycle, Lifecycle::Gone(_) | Lifecycle::Barred)
    }

    /// Whether there is something to save.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.state().is_changed()
    }

    /// The secret for the client's cookie: the one it was opened with unless it has got another.
    /// `None` until the session is stored, when it has ended, and if it was opened with a token
    /// that has been renewed since and the client has the newer one already.
    #[must_use]
    pub fn token(&self) -> Option<SessionToken> {
        self.with_judged(JudgedToken::for_client)?
    }

    /// The id that the session is filed under, from its creation to its end; `None` until it is
    /// stored, and when it has ended. It opens nothing: it may be shown and logged, unless it
    /// [is a secret](SessionId::is_secret).
    ///
    /// Whatever must not outlive a sign-in is bound to [`binding`](Self::binding), not to this.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        self.with_judged(|judged| judged.id.clone())
    }

    /// A public text that changes with each new token (sign-in, re-authentication,
    /// [`cycle_id`](Self::cycle_id)) and not with a renewal: 22 URL-safe characters. For whatever
    /// must not outlive a sign-in, such as an OAuth `state`, a form token or a socket's room.
    ///
    /// `None` until the session is stored, when it has ended, and in layouts without room for a
    /// credential, where the id itself changes.
    #[must_use]
    pub fn binding(&self) -> Option<String> {
        self.with_judged(JudgedToken::binding)?
    }

    /// What `read` makes of the handle's token, if the session is stored.
    pub(crate) fn with_judged<T>(&self, read: impl FnOnce(&JudgedToken) -> T) -> Option<T> {
        match &self.state().lifecycle {
            Lifecycle::Stored(judged, _) => Some(read(judged)),
            Lifecycle::New | Lifecycle::Barred | Lifecycle::Gone(_) => None,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the state is half changed, so a poisoned lock holds a whole one.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set_lifetime(&mut self, lifetime: Lifetime) {
        if self.view.lifetime != lifetime {
            self.view.lifetime = lifetime;
            self.patch.set_lifetime(lifetime);
            self.tally.change();
        }
    }

    pub(crate) fn set_description(&mut self, description: Option<Description>) {
        if self.view.description != description {
            self.view.description.clone_from(&description);
            self.patch.set_description(description);
            self.tally.change();
        }
    }

    pub(crate) fn is_changed(&self) -> bool {
        match self.lifecycle {
            // An empty new session is nothing to keep, whatever its limits and description.
            Lifecycle::New => self.view.data.has_more_than(PERSISTENT.name),
            _ => !self.patch.is_empty() || !self.unconfirmed.is_empty(),
        }
    }

    /// Takes `record` as what is stored, with the changes not yet confirmed on top.
    pub(crate) fn rebase(&mut self, judged: JudgedToken, record: &Record) -> Result<()> {
        let mut view = View::read(record)?;
        view.apply(&self.unconfirmed);
        view.apply(&self.patch);
        self.view = view;
        self.clock = Clock::read(record);
        self.base = Base::read(record);
        self.lifecycle = Lifecycle::Stored(judged, record.version.clone());
        Ok(())
    }

    /// Makes it a new session of the changes that were made in it, on top of what was read if that
    /// `keeps_what_was_read`.
    pub(crate) fn begin_anew(&mut self, lifetime: Lifetime, keeps_what_was_read: bool) {
        if !keeps_what_was_read {
            self.view = self.view_of_changes(lifetime);
        }
        self.view.owner = None;
        self.pending.clear();
        self.clock = Clock::starting(self.view.lifetime);
        self.base = Base::new(lifetime);
        self.lifecycle = Lifecycle::New;
    }

    /// What a session of `lifetime` is by the changes that were made here and not saved, without
    /// what was read.
    pub(crate) fn view_of_changes(&self, lifetime: Lifetime) -> View {
        let mut view = View::new(lifetime);
        view.apply(&self.unconfirmed);
        view.apply(&self.patch);
        view
    }

    /// Forgets everything but that there is a session to come.
    pub(crate) fn reset(&mut self, lifetime: Lifetime) {
        self.lifecycle = Lifecycle::New;
        self.view = View::new(lifetime);
        self.unconfirmed = Patch::default();
        self.patch = Patch::default();
        self.pending.clear();
        self.clock = Clock::starting(lifetime);
        self.base = Base::new(lifetime);
    }
}

impl View {
    fn new(lifetime: Lifetime) -> Self {
        Self {
            lifetime,
            ..Self::default()
        }
    }

    pub(crate) fn read(record: &Record) -> Result<Self> {
        Ok(Self {
            data: Data::decode(&record.data)?,
            description: record.description.clone(),
            owner: record.owner.clone(),
            lifetime: record.lifetime,
        })
    }

    pub(crate) fn apply(&mut self, patch: &Patch) {
        patch.apply(&mut self.data, &mut self.lifetime);
        if let Some(description) = patch.description() {
            self.description.clone_from(description);
        }
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

/// Shows the id and the application's keys, never the token or a value.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id();
        let keys = self.keys();
        let state = self.state();
        f.debug_struct("Session")
            .field("id", &id)
            .field("owner", &state.view.owner)
            .field("keys", &keys)
            .field("changed", &state.is_changed())
            .finish_non_exhaustive()
    }
}
