//! The manager: a store, and the rules that sessions in it live by.

mod builder;
mod manager;

use std::borrow::Cow;
use std::collections::{BinaryHeap, HashSet};
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_util::{TryStreamExt, stream};

use crate::backend::run_to_completion;
use crate::manager::confirmed::Ends;
use crate::manager::ending::Ending;
use crate::manager::observer::{EndReason, Event};
use crate::manager::presented_token::Malformed;
use crate::time_limit::within_one_limit;
use crate::{
    Cursor, Error, Lifetime, Owner, Page, PresentedToken, Result, Session, SessionDirectory,
    SessionId, SessionInfo, SessionStore, SessionToken, Unreadable, shared,
};

pub use builder::SessionsBuilder;
pub(crate) use manager::Manager;

/// How many sessions a page of a listing has.
const PAGE: usize = 500;
/// How often an owner's sessions are counted again after some were ended.
const MOST_COUNTS: usize = 16;

/// The name under which observers are notified of a text that is no token.
const PRESENTED: &str = "token";

/// Sessions of a listing, read from the store as the stream is.
pub type SessionStream = Pin<Box<dyn Stream<Item = Result<SessionInfo>> + Send>>;

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
///
/// # Time limits
///
/// A call, here or on a [`Session`], ends within one time limit of the store (its `timeout`), however
/// many operations it takes: a repeat, a conflict, a token that was used before.
///
/// [`owned_by`](Self::owned_by), [`list`](Self::list), [`list_owned_by`](Self::list_owned_by),
/// [`count`](Self::count), [`destroy_owned_by`](Self::destroy_owned_by),
/// [`keep_newest`](Self::keep_newest), [`reap`](Self::reap) and
/// [`Session::password_changed`] send as many commands as the sessions need, each within that limit.
#[derive(Clone)]
pub struct Sessions(Arc<Manager>);

impl Sessions {
    /// Sessions in `store` with the default lifetime, limits and no observers.
    #[must_use]
    pub fn new(store: impl SessionStore) -> Self {
        SessionsBuilder::new(shared(store)).finish()
    }

    /// Sessions in `store` with other rules.
    pub fn builder(store: impl SessionStore) -> SessionsBuilder {
        SessionsBuilder::new(shared(store))
    }

    /// The same rules and observers for another store.
    #[must_use]
    pub fn with_store(&self, store: impl SessionStore) -> Self {
        SessionsBuilder::with_rules_of(&self.0, shared(store)).finish()
    }

    /// A builder that has the store, rules and observers of this manager, for one that differs in
    /// some rules.
    pub fn to_builder(&self) -> SessionsBuilder {
        SessionsBuilder::with_rules_of(&self.0, Arc::clone(&self.0.store))
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
    /// expired, corrupt or no token at all. A token that names no session is never adopted.
    ///
    /// Takes a token or its text, as [`PresentedToken`] says, and an `Option` of either:
    /// `sessions.open(cookie_value)` with a `&str`. In a layout of plain ids a text is looked up as it
    /// is, so verify and remove Express' signature first. Without a token, [`start`](Self::start).
    ///
    /// A token that was replaced a moment ago by a sign-in, or is one that was used before (see
    /// [`OnReuse`](crate::OnReuse)), gives an empty session that can't be saved: its
    /// [`is_gone`](Session::is_gone) is true.
    ///
    /// One round trip; none without a token; two for a token that was used before.
    ///
    /// # Errors
    /// The store's, if it could not say. A corrupt record is no error: observers are notified.
    pub async fn open<'t>(&self, token: impl Into<PresentedToken<'t>>) -> Result<Session> {
        match self.read(token.into()) {
            Ok(Some(token)) => self.0.open(&token).await,
            Ok(None) => Ok(self.start()),
            Err(Malformed) => {
                self.report_unreadable(PRESENTED, Unreadable::Malformed);
                Ok(self.start())
            }
        }
    }

    fn read<'t>(
        &self,
        token: PresentedToken<'t>,
    ) -> Result<Option<Cow<'t, SessionToken>>, Malformed> {
        token.read(|| self.0.store.capabilities().plain_ids)
    }

    /// The session of the first of `tokens` that opens one, and that token; if none does, as
    /// [`open`](Self::open). For clients that may hold several, such as cookies of one name for
    /// different paths.
    ///
    /// Each is loaded by a load of its own, all at the same time, so give few. Later ones than the
    /// one that opens are not judged.
    ///
    /// # Errors
    /// As [`open`](Self::open), of the tokens up to the one that opens.
    pub async fn open_first<'t, T: Into<PresentedToken<'t>>>(
        &self,
        tokens: impl IntoIterator<Item = T>,
    ) -> Result<(Session, Option<SessionToken>)> {
        let (mut first, mut others, mut is_malformed) = (None, Vec::new(), false);
        for token in tokens {
            match self.read(token.into()) {
                Ok(Some(token)) if first.is_none() => first = Some(token),
                Ok(Some(token)) => others.push(token.into_owned()),
                Ok(None) => {}
                Err(Malformed) => is_malformed = true,
            }
        }
        match (is_malformed, &first) {
            (true, None) => self.report_unreadable(PRESENTED, Unreadable::Malformed),
            (true, Some(_)) => self.report_unreadable_beside(PRESENTED, Unreadable::Malformed),
            (false, _) => {}
        }
        let Some(first) = first else {
            return Ok((self.start(), None));
        };
        if others.is_empty() {
            let session = self.0.open(&first).await?;
            let is_opened = session.id().is_some();
            return Ok((session, is_opened.then(|| first.into_owned())));
        }
        others.insert(0, first.into_owned());
        let (session, which) = self.0.open_first(&others).await?;
        Ok((session, which.map(|which| others.swap_remove(which))))
    }

    /// Tells observers, and at most once a minute for each reason the log, that a client has
    /// presented a cookie, or a header of this name, that can't be read. For middleware that reads
    /// tokens for [`open`](Self::open).
    pub fn report_unreadable(&self, name: &str, why: Unreadable) {
        self.0.observers.unreadable(name, why);
    }

    /// As [`report_unreadable`](Self::report_unreadable), of a cookie beside another one of the
    /// same name that can be read: it is logged at `debug` only.
    pub fn report_unreadable_beside(&self, name: &str, why: Unreadable) {
        self.0.observers.unreadable_beside(name, why);
    }

    /// The session of `token`, if there is one. One round trip; none without a token.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn find<'t>(&self, token: impl Into<PresentedToken<'t>>) -> Result<Option<Session>> {
        let session = self.open(token).await?;
        Ok(session.id().is_some().then_some(session))
    }

    /// All live sessions of `owner`, for "my devices": what each is
    /// [described](Session::describe) by, its times and limits, and not its data.
    ///
    /// A round trip for each 500 of them, whatever a round trip costs the store. Takes an [`Owner`]
    /// or what converts into one, as all functions of an owner's sessions do.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the store has no directory; the
    /// store's own; [`Owner::new`]'s.
    pub async fn owned_by<O>(&self, owner: O) -> Result<Vec<SessionInfo>>
    where
        O: TryInto<Owner>,
        Error: From<O::Error>,
    {
        self.list_owned_by(owner)?.try_collect().await
    }

    /// All live sessions of `owner`, a page of 500 at a time as the stream is read.
    ///
    /// One that lives throughout is listed at least once.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn list_owned_by<O>(&self, owner: O) -> Result<SessionStream>
    where
        O: TryInto<Owner>,
        Error: From<O::Error>,
    {
        Ok(Box::pin(self.pages(Some(owner.try_into()?))?))
    }

    /// Ends all sessions of `owner` but `except`, for "log out everywhere (else)", and says how
    /// many that were.
    ///
    /// It is over when none is left to list. Sessions that `owner` begins meanwhile may escape, so
    /// withdraw the right to sign in first. It goes on if its caller goes away.
    ///
    /// They are listed, so that observers hear of each though an answer is lost, and ended, 500 at a
    /// time: two round trips for each 500, whatever a round trip costs the store, and one more. After
    /// an error some have ended, and calling it again goes on. If it is not known which, the manager
    /// goes on in the background: it ends those that it has listed, and observers hear of each.
    ///
    /// # Errors
    /// As [`owned_by`](Self::owned_by); [`ErrorKind::Contention`](crate::ErrorKind::Contention) if
    /// sessions begin as fast as they are ended.
    pub async fn destroy_owned_by<O>(&self, owner: O, except: Option<&SessionId>) -> Result<usize>
    where
        O: TryInto<Owner>,
        Error: From<O::Error>,
    {
        let (owner, except) = (owner.try_into()?, except.cloned());
        let manager = Arc::clone(&self.0);
        let ends = Ends::Owned(owner, except);
        let work = async move { manager.end_confirmed(ends).await };
        run_to_completion("destroy_owned_by", work).await
    }

    /// Ends the oldest sessions of `owner` until no more than `most` are left, for a limit on
    /// parallel sessions, and says how many that were. Call it after a sign-in, whose session is
    /// then the newest.
    ///
    /// It is over when it has counted no more than `most`: a round trip for each 500 sessions, one
    /// for each that is ended, and then the count again.
    ///
    /// # Errors
    /// As [`owned_by`](Self::owned_by); [`ErrorKind::Contention`](crate::ErrorKind::Contention) if
    /// sessions begin as fast as they are ended.
    pub async fn keep_newest<O>(&self, owner: O, most: usize) -> Result<usize>
    where
        O: TryInto<Owner>,
        Error: From<O::Error>,
    {
        let (owner, mut total) = (owner.try_into()?, 0);
        for _ in 0..MOST_COUNTS {
            let ended = self.end_all_but_newest(&owner, most).await?;
            total += ended;
            if ended == 0 {
                return Ok(total);
            }
        }
        let attempts = MOST_COUNTS as u32;
        Err(Error::contention(attempts))
    }

    /// Walks through the sessions of `owner` and ends all but the newest `most` of them.
    async fn end_all_but_newest(&self, owner: &Owner, most: usize) -> Result<usize> {
        let (began, mut ended) = (Instant::now(), 0);
        let (mut newest, mut kept) = (BinaryHeap::new(), HashSet::new());
        let mut cursor = None;
        loop {
            let directory = self.directory()?;
            let page = directory.owned_by(owner, cursor.as_ref(), PAGE).await?;
            // Ages as of when the walk began, for pages are read one after the other.
            let since = began.elapsed().as_micros() as i128;
            for session in page.sessions {
                // A listing may give one twice.
                if !kept.insert(session.id.clone()) {
                    continue;
                }
                newest.push((session.age.as_micros() as i128 - since, session.id));
                if newest.len() > most
                    && let Some((began_before, oldest)) = newest.pop()
                {
                    kept.remove(&oldest);
                    let age = began_before + began.elapsed().as_micros() as i128;
                    let age = Duration::from_micros(u64::try_from(age).unwrap_or_default());
                    let ending = Ending::new(oldest, EndReason::Limit);
                    let ending = ending.known(Some(owner.clone()), age);
                    ended += usize::from(self.0.end(ending).await?);
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(ended);
            }
        }
    }

    /// Ends the session `id`, as an account page or an administrator does. `false` if there was
    /// no live one. One round trip. It goes on if its caller goes away.
    ///
    /// A page has the id from a form, as text, and must check that the session is its user's:
    /// an id is no secret.
    ///
    /// ```
    /// # use session_core::{Owner, Result, SessionId, Sessions};
    /// # async fn revoke(sessions: Sessions, user: Owner, form_field: &str) -> Result<bool> {
    /// let id: SessionId = form_field.parse()?;
    /// let theirs = sessions.owned_by(&user).await?;
    /// if !theirs.iter().any(|session| session.id == id) {
    ///     return Ok(false);
    /// }
    /// sessions.destroy(&id).await
    /// # }
    /// ```
    ///
    /// If the connection breaks it is sent once more, within the same time limit.
    ///
    /// # Errors
    /// The store's. The session may then still be there. The manager goes on to end it in the
    /// background, and observers hear of it then, with an unknown owner if it had ended already.
    /// [`ErrorKind::Unconfirmed`](crate::ErrorKind::Unconfirmed) as for
    /// [`confirm_ends`](SessionsBuilder::confirm_ends).
    pub async fn destroy(&self, id: &SessionId) -> Result<bool> {
        let id = id.in_store(&self.0.store.capabilities());
        let manager = Arc::clone(&self.0);
        let end = Ends::One(Ending::new(id, EndReason::Revoked));
        let work = async move { within_one_limit(pin!(manager.end_confirmed(end))).await };
        let ended = run_to_completion("destroy", work).await?;
        Ok(ended > 0)
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
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the store has no directory. The
    /// stream ends after an error.
    pub fn list(&self) -> Result<SessionStream> {
        Ok(Box::pin(self.pages(None)?))
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
    /// that were. A [`Reaper`](crate::Reaper) does this by itself. It goes on if its caller goes away.
    ///
    /// The store is told that they were reported when the observers have returned, which should be
    /// within seconds: after a minute another reaper reports them too.
    ///
    /// # Errors
    /// As [`owned_by`](Self::owned_by).
    pub async fn reap(&self, limit: usize) -> Result<usize> {
        let sessions = self.clone();
        let work = async move { sessions.reap_here(limit).await };
        run_to_completion("reap", work).await
    }

    async fn reap_here(&self, limit: usize) -> Result<usize> {
        let directory = self.directory()?;
        let expired = directory.reap(limit).await?;
        for ended in &expired {
            self.0.close_streams(&ended.id);
            let event = Event::expired(ended);
            self.0.observers.notify(|observer| observer.expired(event));
        }
        if !expired.is_empty()
            && let Err(error) = directory.confirm_reaped(&expired).await
        {
            tracing::warn!(%error, "expired sessions may be reported again");
        }
        Ok(expired.len())
    }

    /// The manager of `session`.
    pub(crate) fn of(session: &Session) -> Self {
        Self(Arc::clone(&session.0.manager))
    }

    pub(crate) fn manager(&self) -> &Manager {
        &self.0
    }

    pub(crate) fn directory(&self) -> Result<&dyn SessionDirectory> {
        self.0.directory()
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
