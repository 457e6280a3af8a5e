//! The store of one request whose session is in its cookie: one session at the most, which comes
//! with the request and goes with the response.

use std::sync::{Mutex, MutexGuard, PoisonError};

use session_core::{
    Capabilities, Credential, Draft, Ended, Error, Record, Result, Saved, SessionDirectory,
    SessionId, SessionStore, SessionToken, Timeout, Ttl, Version, async_trait,
};

use crate::format::MOST_TOKENS;
use crate::sealed::{Contents, CookieCodec, now};
use crate::set_cookie::MAX_COOKIE_BYTES;

/// One request's session.
///
/// Its id lasts as long as the request: the cookie is found by its name, and opened by its seal.
#[derive(Debug)]
pub(crate) struct CookieStore {
    codec: CookieCodec,
    cookie_name: String,
    is_readable: bool,
    has_unreadable: bool,
    ahead: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    session: Option<(SessionId, Contents)>,
    /// What the response must tell the client.
    change: Option<Change>,
}

/// What the response must tell the client.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// This is the cookie's value now, for a session that has this long left.
    Value(String, Ttl),
    /// The session has ended.
    Ended,
}

impl CookieStore {
    /// The store of a request with these cookies, of which the first live session counts, and is
    /// opened by `token`. At most [`MOST_TOKENS`] that one of the secrets has made are looked at:
    /// others don't count, so that they can't hide the session.
    ///
    /// The clock is the system's, so many milliseconds ahead: zero, but in requests of a test.
    pub(crate) fn new(
        codec: CookieCodec,
        cookie_name: String,
        values: &[String],
        token: &SessionToken,
        ahead: u64,
    ) -> Self {
        let now = now().saturating_add(ahead);
        let (mut session, mut opened, mut has_unreadable) = (None, 0, false);
        for value in values {
            let Some(mut contents) = codec.decode(&cookie_name, value) else {
                has_unreadable = true;
                continue;
            };
            opened += 1;
            if session.is_none() && contents.is_live(now) {
                if !codec.is_plain() {
                    let opened = Credential::opened_by(token, contents.credential.as_ref());
                    contents.credential = Some(opened);
                }
                session = Some((token.id(), contents));
            }
            if opened == MOST_TOKENS {
                break;
            }
        }
        Self {
            codec,
            cookie_name,
            is_readable: opened > 0 || values.is_empty(),
            has_unreadable,
            ahead,
            state: Mutex::new(State {
                session,
                change: None,
            }),
        }
    }

    /// Whether one of the secrets has made one of the cookies, if there were any.
    pub(crate) const fn is_readable(&self) -> bool {
        self.is_readable
    }

    /// Whether there was a cookie that none of the secrets has made.
    pub(crate) const fn has_unreadable(&self) -> bool {
        self.has_unreadable
    }

    /// Has the client told of the session as it is, extended, if it is told nothing else.
    pub(crate) fn roll(&self) -> Result<()> {
        let (mut state, now) = (self.state(), self.now());
        if state.change.is_some() {
            return Ok(());
        }
        let Some((id, contents)) = state.session.clone() else {
            return Ok(());
        };
        let contents = contents.extended(contents.lifetime.idle, now);
        self.put(&mut state, &id, contents, now)
    }

    /// What the response must tell the client, if anything.
    pub(crate) fn change(&self) -> Option<Change> {
        self.state().change.clone()
    }

    fn now(&self) -> u64 {
        now().saturating_add(self.ahead)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, state: &mut State, id: &SessionId, contents: Contents, now: u64) -> Result<()> {
        if contents.is_live(now) {
            let value = self.codec.encode(&self.cookie_name, &contents)?;
            let size = self.cookie_name.len() + 1 + value.len();
            Error::check_size("session cookie", size, MAX_COOKIE_BYTES)?;
            state.change = Some(Change::Value(value, contents.ttl(now)));
            state.session = Some((id.clone(), contents));
        } else {
            state.change = Some(Change::Ended);
            state.session = None;
        }
        Ok(())
    }
}

impl State {
    fn live(&self, id: &SessionId, now: u64) -> Option<&Contents> {
        let (there, contents) = self.session.as_ref()?;
        (there == id && contents.is_live(now)).then_some(contents)
    }
}

#[async_trait]
impl SessionStore for CookieStore {
    fn capabilities(&self) -> Capabilities {
        let is_plain = self.codec.is_plain();
        Capabilities::new()
            .with_plain_ids(is_plain)
            .with_descriptions(!is_plain)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        None
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        let (mut state, now) = (self.state(), self.now());
        if let Some(there) = state.live(id, now) {
            return Ok(Saved::by_stamp(Some(there.stamp), draft));
        }
        let contents = Contents::new(draft, now, now);
        self.put(&mut state, id, contents, now)?;
        Ok(Saved::done(draft))
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let now = self.now();
        Ok(self.state().live(id, now).map(|there| there.record(now)))
    }

    /// Whatever token the client gets, it gets another value: no id has to change for that.
    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let (mut state, now) = (self.state(), self.now());
        let Some(there) = state.live(id, now) else {
            return Ok(Saved::Gone);
        };
        if there.stamp != expected.stamp() {
            return Ok(Saved::by_stamp(Some(there.stamp), draft));
        }
        let contents = Contents::new(draft, there.began, now);
        self.put(&mut state, id, contents, now)?;
        Ok(Saved::done(draft))
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let (mut state, now) = (self.state(), self.now());
        let Some(contents) = state.live(id, now) else {
            return Ok(None);
        };
        let contents = contents.extended(idle, now);
        let ttl = contents.ttl(now);
        self.put(&mut state, id, contents, now)?;
        Ok(Some(ttl))
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        let (mut state, now) = (self.state(), self.now());
        let is_meant =
            |there: &&Contents| expected.is_none_or(|expected| expected.stamp() == there.stamp);
        let ended = state
            .live(id, now)
            .filter(is_meant)
            .map(|there| Ended::new(id.clone(), there.owner.clone(), Some(there.age(now))));
        if ended.is_some() {
            state.session = None;
            state.change = Some(Change::Ended);
        }
        Ok(ended)
    }
}
