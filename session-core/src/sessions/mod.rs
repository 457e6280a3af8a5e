//! The manager: a store, and the rules that sessions in it live by.

use std::collections::{BinaryHeap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_util::{TryStreamExt, stream};

use crate::held::Held;
use crate::identity::{Grace, Verdict};
use crate::observer::{EndReason, Event, Observers};
use crate::{
    Backoff, Cursor, Ended, Error, Lifetime, Limits, Observer, OnReuse, Owner, Page, Result,
    Session, SessionDirectory, SessionId, SessionInfo, SessionStore, SessionToken, Ttl, Unreadable,
};

/// How many sessions a page of a listing has, and how many of an owner's are ended at a time.
const PAGE: usize = 500;
/// How many pages of an owner's sessions are ended before others are taken to be faster.
const MOST_PAGES: usize = 100_000;
/// How often an owner's sessions are counted again after some were ended.
const MOST_COUNTS: usize = 16;

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
/// session.sign_in("user-1769").await?;        // one write: owner, new token, same data
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
    pub(crate) grace: Grace,
    pub(crate) on_reuse: OnReuse,
    renew_after: Option<Duration>,
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
            renew_after: rules.renew_after,
            grace: rules.grace.duration(),
            on_reuse: rules.on_reuse,
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
    /// A token that was replaced a moment ago by a sign-in, or is one that was used before (see
    /// [`OnReuse`]), gives an empty session that can't be saved: its
    /// [`is_gone`](Session::is_gone) is true.
    ///
    /// One round trip; none without a token; two for a token that was used before.
    ///
    /// # Errors
    /// The store's, if it could not say. A corrupt record is no error: observers are told.
    pub async fn open(&self, token: Option<&SessionToken>) -> Result<Session> {
        match token {
            Some(token) => self.0.open(token).await,
            None => Ok(self.start()),
        }
    }

    /// The session of the first of `tokens` that opens one, and that token; if none does, as
    /// [`open`](Self::open). For clients that may hold several, such as cookies of one name for
    /// different paths.
    ///
    /// Each is loaded by a load of its own, all at the same time, so give few. Later ones than the one that opens are not
    /// judged.
    ///
    /// # Errors
    /// As [`open`](Self::open), of the tokens up to the one that opens.
    pub async fn open_first<'t>(
        &self,
        tokens: &'t [SessionToken],
    ) -> Result<(Session, Option<&'t SessionToken>)> {
        let (session, which) = match tokens {
            [] => return Ok((self.start(), None)),
            [token] => {
                let session = self.0.open(token).await?;
                let is_opened = session.id().is_some();
                (session, is_opened.then_some(0))
            }
            tokens => self.0.open_first(tokens).await?,
        };
        Ok((session, which.and_then(|which| tokens.get(which))))
    }

    /// Tells observers, and at most once a minute for each reason the log, that a client has presented a cookie, or
    /// a header of this name, that can't be read. For whoever reads tokens for [`open`](Self::open).
    pub fn report_unreadable(&self, name: &str, why: Unreadable) {
        self.0.observers.unreadable(name, why);
    }

    /// As [`report_unreadable`](Self::report_unreadable), of a cookie beside another one of the same
    /// name that can be read: the log is told at `debug` only.
    pub fn report_unreadable_beside(&self, name: &str, why: Unreadable) {
        self.0.observers.unreadable_beside(name, why);
    }

    /// The session of `token`, if there is one. One round trip.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn find(&self, token: &SessionToken) -> Result<Option<Session>> {
        let session = self.0.open(token).await?;
        Ok(session.id().is_some().then_some(session))
    }

    /// All live sessions of `owner`, for "my devices".
    ///
    /// A round trip for each 500 of them, whatever a round trip costs the store.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the store has no directory; the store's own.
    pub async fn owned_by(&self, owner: &Owner) -> Result<Vec<SessionInfo>> {
        self.list_owned_by(owner)?.try_collect().await
    }

    /// All live sessions of `owner`, a page of 500 at a time as the stream is read.
    ///
    /// One that lives throughout is listed at least once.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn list_owned_by(
        &self,
        owner: &Owner,
    ) -> Result<impl Stream<Item = Result<SessionInfo>> + Send + use<>> {
        self.pages(Some(owner.clone()))
    }

    /// Ends all sessions of `owner` but `except`, for "log out everywhere (else)", and says how
    /// many that were.
    ///
    /// It is over when none is left to list. Sessions that `owner` begins meanwhile may escape, so
    /// withdraw the right to sign in first. They are ended 500 at a time: after an error some have
    /// ended, which observers were told of, and calling it again goes on.
    ///
    /// # Errors
    /// As [`owned_by`](Self::owned_by); [`Error::Contention`] if sessions begin as fast as they are
    /// ended.
    pub async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Result<usize> {
        let mut total = 0;
        for _ in 0..MOST_PAGES {
            let directory = self.directory()?;
            let ended = directory.destroy_owned_by(owner, except, PAGE).await?;
            if ended.is_empty() {
                return Ok(total);
            }
            total += ended.len();
            self.report(&ended, |observer, event| {
                observer.destroyed(event, EndReason::Revoked);
            });
        }
        let attempts = MOST_PAGES as u32;
        Err(Error::Contention { attempts })
    }

    /// Ends the oldest sessions of `owner` until no more than `most` are left, for a limit on
    /// parallel sessions, and says how many that were. Call it after a sign-in, whose session is
    /// then the newest.
    ///
    /// It is over when it has counted no more than `most`: a round trip for each 500 sessions, one
    /// for each that is ended, and then the count again.
    ///
    /// # Errors
    /// As [`owned_by`](Self::owned_by); [`Error::Contention`] if sessions begin as fast as they are
    /// ended.
    pub async fn keep_newest(&self, owner: &Owner, most: usize) -> Result<usize> {
        let mut total = 0;
        for _ in 0..MOST_COUNTS {
            let ended = self.end_all_but_newest(owner, most).await?;
            total += ended;
            if ended == 0 {
                return Ok(total);
            }
        }
        let attempts = MOST_COUNTS as u32;
        Err(Error::Contention { attempts })
    }

    /// Walks through the sessions of `owner` and ends all but the newest `most` of them.
    async fn end_all_but_newest(&self, owner: &Owner, most: usize) -> Result<usize> {
        let (began, mut ended) = (Instant::now(), 0);
        let (mut newest, mut kept) = (BinaryHeap::new(), HashSet::new());
        let mut cursor = None;
        loop {
            let page = self
                .directory()?
                .owned_by(owner, cursor.as_ref(), PAGE)
                .await?;
            // Ages as of when the walk began, for pages are read one after the other.
            let since = began.elapsed().as_micros() as i128;
            for session in page.sessions {
                // A listing may give one twice.
                if !kept.insert(session.id.clone()) {
                    continue;
                }
                newest.push((session.age.as_micros() as i128 - since, session.id));
                if newest.len() > most
                    && let Some((_, oldest)) = newest.pop()
                {
                    kept.remove(&oldest);
                    ended += usize::from(self.end(&oldest, EndReason::Limit).await?);
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(ended);
            }
        }
    }

    /// Ends the session `id`, as an account page or an administrator does. `false` if there was
    /// no live one. One round trip.
    ///
    /// # Errors
    /// The store's. The session may then still be there.
    pub async fn destroy(&self, id: &SessionId) -> Result<bool> {
        self.end(id, EndReason::Revoked).await
    }

    async fn end(&self, id: &SessionId, reason: EndReason) -> Result<bool> {
        let ended = self.0.destroy(id, None).await?;
        if let Some(ended) = &ended {
            let observers = &self.0.observers;
            observers.tell(|observer| observer.destroyed(ended.into(), reason));
        }
        Ok(ended.is_some())
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
    pub fn list(&self) -> Result<impl Stream<Item = Result<SessionInfo>> + Send + use<>> {
        self.pages(None)
    }

    /// The sessions of `owner`, or all, page by page.
    fn pages(
        &self,
        owner: Option<Owner>,
    ) -> Result<impl Stream<Item = Result<SessionInfo>> + Send + use<>> {
        self.directory()?;
        let manager = Arc::clone(&self.0);
        let pages = stream::try_unfold(Some(None), move |cursor: Option<Option<Cursor>>| {
            let (manager, owner) = (Arc::clone(&manager), owner.clone());
            async move {
                let (Some(cursor), Some(directory)) = (cursor, manager.store.directory()) else {
                    return Ok::<_, Error>(None);
                };
                let cursor = cursor.as_ref();
                let Page { sessions, next } = match &owner {
                    Some(owner) => directory.owned_by(owner, cursor, PAGE).await?,
                    None => directory.list(cursor, PAGE).await?,
                };
                let sessions = stream::iter(sessions.into_iter().map(Ok));
                Ok(Some((sessions, next.map(Some))))
            }
        });
        Ok(pages.try_flatten())
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
    /// Whether the token by which a session is held is to be renewed now: it is the current one,
    /// the client has had it for long enough, and it is not a guest's.
    pub(crate) fn is_renewal_due(&self, held: &Held, has_owner: bool, age: Duration) -> bool {
        self.is_renewal_within(held, has_owner, age, Duration::ZERO)
    }

    /// Whether it is to be renewed within the grace.
    pub(crate) fn is_renewal_near(&self, held: &Held, has_owner: bool, age: Duration) -> bool {
        self.is_renewal_within(held, has_owner, age, self.grace.duration())
    }

    fn is_renewal_within(
        &self,
        held: &Held,
        has_owner: bool,
        age: Duration,
        within: Duration,
    ) -> bool {
        let (Some(after), Some(state)) = (self.renew_after, &held.state) else {
            return false;
        };
        held.verdict == Verdict::Current
            && state.is_renewable(has_owner)
            && state
                .token_age(age)
                .is_some_and(|held| held + within >= after)
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
    renew_after: Option<Duration>,
    grace: Duration,
    on_reuse: OnReuse,
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
            renew_after: None,
            grace: Grace::DEFAULT.duration(),
            on_reuse: OnReuse::default(),
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

    /// Renews the token of a signed-in session that a client has had for `after`, by itself (OWASP
    /// Session Management Cheat Sheet, "Renewal Timeout"), at least four [graces](Self::grace).
    /// Default: not.
    ///
    /// The old token opens the session until a client presents the new one, and for the grace from
    /// then on, for requests that were sent before. Later than that it opens nothing, and whoever
    /// presents it is told of to observers: see [`on_reuse`](Self::on_reuse). A copy that is used
    /// before that, or never, is not noticed. Guests' tokens are not renewed: whoever planted one
    /// on a visitor could end that visitor's session with it.
    ///
    /// A renewal costs two writes, one to renew and one to note the first use of the new token, each
    /// together with what a request has to write anyway or in the place of a touch.
    /// [`cycle_id`](Session::cycle_id) and [`sign_in`](Session::sign_in) have no grace.
    pub fn renew_after(mut self, after: Duration) -> Self {
        self.renew_after = Some(after);
        self
    }

    /// How long a replaced token is told from a stolen one by its lateness: requests and answers may
    /// be under way for as long. At least 1 ms, at most 4.6 hours. Default 60 seconds.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What happens when a replaced token is used later than that. Default [`OnReuse::End`].
    pub fn on_reuse(mut self, on_reuse: OnReuse) -> Self {
        self.on_reuse = on_reuse;
        self
    }

    /// The manager.
    ///
    /// # Errors
    /// [`Error::InvalidLifetime`] or [`Error::Misconfigured`] for rules that make no sense.
    pub fn build(self) -> Result<Sessions> {
        self.limits.check_lifetime(&self.lifetime)?;
        self.check_renewal()?;
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

    fn check_renewal(&self) -> Result<()> {
        let grace = self.grace;
        if grace < Lifetime::MIN || grace > Grace::MAX {
            let message = format!(
                "the grace of {grace:?} must be from 1 ms to {:?}",
                Grace::MAX
            );
            return Err(Error::misconfigured(message));
        }
        let Some(after) = self.renew_after else {
            return Ok(());
        };
        if after < 4 * grace {
            return Err(Error::misconfigured(format!(
                "renew_after is {after:?}: it must be at least four times the grace of {grace:?}, \
                 or requests that are late are taken for a thief's"
            )));
        }
        if self.store.capabilities().plain_ids {
            return Err(Error::misconfigured(
                "renew_after needs a credential, for which the layout of this store has no room: \
                 leave it out",
            ));
        }
        Ok(())
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
            renew_after: self.renew_after,
            grace: Grace::new(self.grace),
            on_reuse: self.on_reuse,
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
