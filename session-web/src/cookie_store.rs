//! The store of one request whose session is in its cookie: one session at the most, which comes
//! with the request and goes with the response.

use std::sync::{Mutex, MutexGuard, PoisonError};

use session_core::{
    Capabilities, Draft, Error, Record, Result, Saved, SessionDirectory, SessionId, SessionStore,
    Stamp, Timeout, Ttl, async_trait,
};

use crate::cookie::MAX_COOKIE_BYTES;
use crate::sealed::{Closer, Contents, now};

/// One request's session.
#[derive(Debug)]
pub(crate) struct CookieStore {
    closer: Closer,
    cookie_name: String,
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
    /// The store of a request with this cookie, whose session it files under `id`.
    pub(crate) fn new(
        closer: Closer,
        cookie_name: String,
        value: Option<&str>,
        id: SessionId,
    ) -> Self {
        let contents = value.and_then(|value| closer.open(&cookie_name, value));
        let state = State {
            session: contents.map(|contents| (id, contents)),
            change: None,
        };
        Self {
            closer,
            cookie_name,
            state: Mutex::new(state),
        }
    }

    /// What the response must tell the client, if anything.
    pub(crate) fn change(&self) -> Option<Change> {
        self.state().change.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, state: &mut State, id: &SessionId, contents: Contents, now: u64) -> Result<()> {
        if contents.is_live(now) {
            let value = self.closer.close(&self.cookie_name, &contents)?;
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

    fn write(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        let (mut state, now) = (self.state(), now());
        let Some(contents) = state.live(from, now) else {
            return Ok(match state.live(to, now) {
                Some(there) if there.stamp == draft.stamp => Saved::Done(draft.stamp),
                _ => Saved::Gone,
            });
        };
        if contents.stamp == draft.stamp {
            return Ok(Saved::Done(draft.stamp));
        }
        if contents.stamp != expected {
            return Ok(Saved::Conflict);
        }
        let contents = Contents::new(draft, contents.began, now);
        self.put(&mut state, to, contents, now)?;
        Ok(Saved::Done(draft.stamp))
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
        Capabilities::new()
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        None
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        let (mut state, now) = (self.state(), now());
        match state.live(id, now) {
            Some(there) if there.stamp == draft.stamp => return Ok(draft.stamp),
            Some(_) => return Err(Error::AlreadyExists),
            None => {}
        }
        let contents = Contents::new(draft, now, now);
        self.put(&mut state, id, contents, now)?;
        Ok(draft.stamp)
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let now = now();
        Ok(self.state().live(id, now).map(|there| there.record(now)))
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved> {
        self.write(id, id, draft, expected)
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let (mut state, now) = (self.state(), now());
        let Some(contents) = state.live(id, now) else {
            return Ok(None);
        };
        let mut contents = contents.clone();
        contents.deadline = match (contents.deadline, contents.deadline_after(idle, now)) {
            (Some(current), Some(extended)) => Some(current.max(extended)),
            _ => None,
        };
        let ttl = contents.ttl(now);
        self.put(&mut state, id, contents, now)?;
        Ok(Some(ttl))
    }

    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        self.write(from, to, draft, expected)
    }

    async fn destroy(&self, id: &SessionId) -> Result<bool> {
        let (mut state, now) = (self.state(), now());
        let was = state.live(id, now).is_some();
        if was {
            state.session = None;
            state.change = Some(Change::Ended);
        }
        Ok(was)
    }
}
