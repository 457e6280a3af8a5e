//! The manager: a store, and the rules that sessions in it live by.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_core::Stream;
use futures_util::stream;

use crate::observer::{Event, Observers};
use crate::renewal::{Held, Renewal};
use crate::{
    Backoff, Ended, Error, Lifetime, Limits, Observer, Owner, Result, Session, SessionDirectory,
    SessionId, SessionInfo, SessionStore, SessionToken, Ttl,
};

/// A store and the rules that its sessions live by. Cheap to clone.
///
/// ```
/// # use std::sync::Arc;
/// # async fn handle(store: Arc<dyn session_core::SessionStore>) -> session_core::Result<()> {
/// use session_core::Sessions;
///
/// let sessions = Sessions::new(store);
///
/// let session = sessions.start();             // nothing is stored yet
/// session.insert("name", "Napoleon")?;        // plain memory
/// session.save().await?;                      // one write
/// let cookie = session.token();               // the secret for the client
///
/// let session = sessions.open(cookie.as_ref()).await?; // one round trip
/// let name: Option<String> = session.get("name")?;
/// let visits = session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1).await?;
/// session.cycle_id().await?;                  // at sign-in: new token, same data
/// session.destroy().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Sessions(Arc<Manager>);

pub(crate) struct Manager {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) lifetime: Lifetime,
    pub(crate) limits: Limits,
    pub(crate) observers: Observers,
    pub(crate) attempts: u32,
    pub(crate) backoff: Backoff,
    pub(crate) renewal: Option<Renewal>,
    touch_after: f64,
    touching: Mutex<HashSet<SessionId>>,
}

impl Sessions {
    /// Sessions in `store` with the default lifetime, limits and no observers.
    #[must_use]
    pub fn new(store: Arc<dyn SessionStore>) -> Self {
        SessionsBuilder::new(store).finish()
    }

    /// Sessions in `store` with other rules.
    pub fn builder(store: Arc<dyn SessionStore>) -> SessionsBuilder {
        SessionsBuilder::new(store)
    }

    /// The same rules and observers for another store.
    #[must_use]
    pub fn with_store(&self, store: Arc<dyn SessionStore>) -> Self {
        let rules = &self.0;
        let builder = SessionsBuilder {
            store,
            lifetime: rules.lifetime,
            limits: rules.limits,
            observers: rules.observers.clone(),
            attempts: rules.attempts,
            touch_after: rules.touch_after,
            renewal: rules.renewal,
        };
        builder.finish()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn SessionStore> {
        &self.0.store
    }

    /// The lifetime of sessions that set none of their own.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        self.0.lifetime
    }

    /// A new session. It has no token and costs no I/O until something is saved in it.
    #[must_use]
    pub fn start(&self) -> Session {
        Session::new(Arc::clone(&self.0))
    }

    /// The session of `token`, or a new one if there is none: no token, never issued, ended,
    /// expired or corrupt. A token that names no session is never adopted.
    ///
    /// One round trip; none without a token.
    ///
    /// # Errors
    /// The store's, if it could not say. A corrupt record is no error: observers are told.
    pub async fn open(&self, token: Option<&SessionToken>) -> Result<Session> {
        let found = match token {
            Some(token) => self.find(token).await?,
            None => None,
        };
        Ok(found.unwrap_or_else(|| self.start()))
    }

    /// The session of `token`, if there is one. One round trip.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn find(&self, token: &SessionToken) -> Result<Option<Session>> {
        let token = self.0.named(token.clone());
        let id = token.id();
        let opened = match self.0.load(Held::by(token)).await {
            Ok(None) => {
                self.0.observers.tell(|observer| observer.unknown(&id));
                return Ok(None);
            }
            Ok(Some((held, record))) => Session::opened(Arc::clone(&self.0), held, &record),
            Err(error) => Err(error),
        };
        match opened {
            Ok(session) => Ok(Some(session)),
            Err(error @ Error::Corrupt { .. }) => {
                self.0
                    .observers
                    .tell(|observer| observer.corrupt(&id, &error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// All live sessions of `owner`, for "my devices".
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the store has no directory; the store's own.
    pub async fn owned_by(&self, owner: &Owner) -> Result<Vec<SessionInfo>> {
        self.directory()?.owned_by(owner).await
    }

    /// Ends all sessions of `owner` but `except`, for "log out everywhere (else)", and says how
    /// many that were.
    ///
    /// # Errors
    /// As [`owned_by`](Self::owned_by).
    pub async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Result<usize> {
        let ended = self.directory()?.destroy_owned_by(owner, except).await?;
        self.report(&ended, |observer, event| observer.destroyed(event));
        Ok(ended.len())
    }

    /// Ends the oldest sessions of `owner` until no more than `most` are left, for a limit on
    /// parallel sessions, and says how many that were. Call it after a sign-in, whose session is
    /// then the newest.
    ///
    /// One round trip to list them, and two for each that is ended.
    ///
    /// # Errors
    /// As [`owned_by`](Self::owned_by).
    pub async fn keep_newest(&self, owner: &Owner, most: usize) -> Result<usize> {
        let mut sessions = self.owned_by(owner).await?;
        sessions.sort_by_key(|session| session.age);
        let mut ended = 0;
        for session in sessions.iter().skip(most) {
            ended += usize::from(self.destroy(&session.id).await?);
        }
        Ok(ended)
    }

    /// Ends the session `id`, as an account page or an administrator does. `false` if there was
    /// no live one.
    ///
    /// # Errors
    /// The store's.
    pub async fn destroy(&self, id: &SessionId) -> Result<bool> {
        let known = self.0.store.load(id).await;
        let was = self.0.store.destroy(id).await?;
        if was {
            let (owner, age) = match known {
                Ok(Some(record)) => (record.owner, record.age),
                _ => (None, Duration::ZERO),
            };
            let event = Event::new(id, owner.as_ref(), age);
            self.0.observers.tell(|observer| observer.destroyed(event));
        }
        Ok(was)
    }

    /// How many live sessions the store has.
    ///
    /// # Errors
    /// As [`owned_by`](Self::owned_by).
    pub async fn count(&self) -> Result<u64> {
        self.directory()?.count().await
    }

    /// All live sessions, a page of 500 at a time as the stream is read.
    ///
    /// One that lives throughout is listed at least once.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the store has no directory. The stream ends after an error.
    pub fn list(&self) -> Result<impl Stream<Item = Result<SessionInfo>> + Send + 'static> {
        const PAGE: usize = 500;
        self.directory()?;
        let manager = Arc::clone(&self.0);
        let pages = stream::try_unfold(Some(None), move |cursor| {
            let manager = Arc::clone(&manager);
            async move {
                let (Some(cursor), Some(directory)) = (cursor, manager.store.directory()) else {
                    return Ok(None);
                };
                let page = directory.list(Option::as_ref(&cursor), PAGE).await?;
                let sessions = stream::iter(page.sessions.into_iter().map(Ok));
                Ok(Some((sessions, page.next.map(Some))))
            }
        });
        Ok(futures_util::TryStreamExt::try_flatten(pages))
    }

    /// Removes up to `limit` expired sessions, tells the observers about each, and says how many
    /// that were. A [`Reaper`](crate::Reaper) does this by itself.
    ///
    /// # Errors
    /// As [`owned_by`](Self::owned_by).
    pub async fn reap(&self, limit: usize) -> Result<usize> {
        let ended = self.directory()?.reap(limit).await?;
        self.report(&ended, |observer, event| observer.expired(event));
        Ok(ended.len())
    }

    fn directory(&self) -> Result<&dyn SessionDirectory> {
        let what = "listing, counting, owners or reaping";
        self.0.store.directory().ok_or(Error::Unsupported { what })
    }

    fn report(&self, ended: &[Ended], what: impl Fn(&dyn Observer, Event<'_>)) {
        for ended in ended {
            self.0
                .observers
                .tell(|observer| what(observer, ended.into()));
        }
    }
}

impl Manager {
    /// A new token, for a session in this store.
    pub(crate) fn generate(&self) -> SessionToken {
        self.named(SessionToken::generate())
    }

    /// The token, with the id under which this store files its session.
    fn named(&self, token: SessionToken) -> SessionToken {
        match self.store.capabilities().plain_ids {
            true => token.plain(),
            false => token,
        }
    }

    /// Whether a touch would move the deadline, now `left` away, far enough to be worth a round
    /// trip.
    pub(crate) fn is_touch_due(&self, lifetime: Lifetime, left: Ttl, age: Duration) -> bool {
        match (lifetime.left_after_use(age), left) {
            (Ttl::Left(touched), Ttl::Left(left)) => {
                let idle = lifetime.idle.duration().unwrap_or(touched);
                touched.saturating_sub(left) > idle.mul_f64(self.touch_after)
            }
            (touched, left) => touched > left,
        }
    }

    /// The right to touch `id`, unless this process is doing so already.
    pub(crate) fn begin_touch(&self, id: &SessionId) -> Option<Touching<'_>> {
        let mut touching = self.touching();
        touching.insert(id.clone()).then(|| Touching {
            manager: self,
            id: id.clone(),
        })
    }

    fn touching(&self) -> std::sync::MutexGuard<'_, HashSet<SessionId>> {
        self.touching.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while one session is touched; released even if the caller goes away.
pub(crate) struct Touching<'a> {
    manager: &'a Manager,
    id: SessionId,
}

impl Drop for Touching<'_> {
    fn drop(&mut self) {
        self.manager.touching().remove(&self.id);
    }
}

/// Sessions in this store, with the default rules.
impl<S: SessionStore> From<S> for Sessions {
    fn from(store: S) -> Self {
        Self::new(Arc::new(store))
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("store", &self.0.store)
            .field("lifetime", &self.0.lifetime)
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

/// Sets the rules of [`Sessions`].
#[must_use]
pub struct SessionsBuilder {
    store: Arc<dyn SessionStore>,
    lifetime: Lifetime,
    limits: Limits,
    observers: Observers,
    attempts: u32,
    touch_after: f64,
    renewal: Option<Renewal>,
}

impl SessionsBuilder {
    fn new(store: Arc<dyn SessionStore>) -> Self {
        Self {
            store,
            lifetime: Lifetime::default(),
            limits: Limits::default(),
            observers: Observers::default(),
            attempts: 24,
            touch_after: 1.0 / 20.0,
            renewal: None,
        }
    }

    /// The lifetime of sessions that set none of their own. Default: 30 minutes idle, 12 hours
    /// absolute.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// What a session may be at most.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds someone to be told when sessions begin and end.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.add(Arc::new(observer));
        self
    }

    /// Adds someone who is told by others too.
    pub fn shared_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.add(observer);
        self
    }

    /// How often a save is tried while other writers are faster, before
    /// [`Error::Contention`]. Default 24: over a second in all, with growing random pauses.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// By what fraction of the idle limit a touch must move the deadline to be sent. Default a
    /// twentieth: a session of 30 minutes is touched every 90 seconds at most. 0 sends each.
    pub fn touch_after(mut self, fraction: f64) -> Self {
        self.touch_after = fraction;
        self
    }

    /// Renews the token of a session that has been in use for `after`, by itself (OWASP Session
    /// Management Cheat Sheet, "Renewal Timeout"): a token that was stolen then opens nothing once
    /// its `grace` is over. Default: not.
    ///
    /// For `grace` from then on the old token opens the session too, for the requests that were
    /// sent before the new one came. [`cycle_id`](Session::cycle_id) has no grace: at a sign-in
    /// the old token is dead at once, for whoever planted it must not come along.
    ///
    /// While this is set, a token that opens nothing costs a second look 25 ms later, and during
    /// the grace a listing shows the old id as a session of no owner, which ends as an expiry.
    /// With [`Session::renew_if_due`], which `session-web` calls.
    pub fn renew_after(mut self, after: Duration, grace: Duration) -> Self {
        self.renewal = Some(Renewal { after, grace });
        self
    }

    /// The manager.
    ///
    /// # Errors
    /// [`Error::InvalidLifetime`] or [`Error::Misconfigured`] for rules that make no sense.
    pub fn build(self) -> Result<Sessions> {
        self.limits.check_lifetime(&self.lifetime)?;
        if let Some(renewal) = self.renewal {
            renewal.check()?;
            if self.store.capabilities().plain_ids {
                return Err(Error::misconfigured(
                    "renew_after leaves a signpost under the old id, for which the layout of this \
                     store has no room: leave it out",
                ));
            }
        }
        if self.attempts == 0 {
            return Err(Error::misconfigured("attempts must be at least 1"));
        }
        if !(0.0..1.0).contains(&self.touch_after) {
            let message = format!(
                "touch_after is {}: it must be from 0 to under 1, or sessions in use expire",
                self.touch_after
            );
            return Err(Error::misconfigured(message));
        }
        Ok(self.finish())
    }

    fn finish(self) -> Sessions {
        Sessions(Arc::new(Manager {
            store: self.store,
            lifetime: self.lifetime,
            limits: self.limits,
            observers: self.observers,
            attempts: self.attempts,
            backoff: Backoff::new(Duration::from_millis(1), Duration::from_millis(64)),
            touch_after: self.touch_after,
            renewal: self.renewal,
            touching: Mutex::default(),
        }))
    }
}

impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("store", &self.store)
            .field("lifetime", &self.lifetime)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
