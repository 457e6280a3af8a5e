//! Changes that are never saved: discarded, made too late, or dropped.

use std::fmt;
use std::sync::PoisonError;

use bytes::Bytes;

use crate::manager::data::Data;
use crate::manager::patch::Patch;
use crate::manager::session::{Lifecycle, Opened, State};
use crate::manager::write::Operation;
use crate::{Description, Draft, Error, Lifetime, Record, Result, Session};

/// How many keys a warning names.
const MOST_NAMED: usize = 16;

/// What is stored of a session, for all that is known.
pub(crate) struct Base {
    /// `None` if nothing is.
    data: Option<Bytes>,
    description: Option<Description>,
    lifetime: Lifetime,
}

/// What can't be sent to a session's client any more.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Late {
    #[default]
    Nothing,
    /// Of a token.
    NewToken,
    /// Of any change.
    Change,
}

/// How many changes were made, and up to which of them an error has reported that they are not
/// saved.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    made: u64,
    /// How many a write that is under way has.
    planned: u64,
    reported: u64,
}

/// What a warning names. Keys are quoted, which distinguishes them from the rest.
enum Changed<'a> {
    AllKeys,
    Key(&'a str),
    Lifetime,
    Description,
}

impl fmt::Debug for Changed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllKeys => f.write_str("all keys"),
            Self::Key(key) => key.fmt(f),
            Self::Lifetime => f.write_str("lifetime"),
            Self::Description => f.write_str("description"),
        }
    }
}

impl Tally {
    pub(crate) const fn change(&mut self) {
        self.made += 1;
    }

    /// A write is made of the changes up to now.
    pub(crate) const fn plan(&mut self) {
        self.planned = self.made;
    }

    /// That write has failed. Another task may have made more changes since.
    pub(crate) const fn fail(&mut self) {
        self.reported = self.planned;
    }

    const fn is_reported(self) -> bool {
        self.reported == self.made
    }
}

impl Base {
    pub(crate) const fn new(lifetime: Lifetime) -> Self {
        Self {
            data: None,
            description: None,
            lifetime,
        }
    }

    pub(crate) const fn of(
        data: Bytes,
        description: Option<Description>,
        lifetime: Lifetime,
    ) -> Self {
        Self {
            data: Some(data),
            description,
            lifetime,
        }
    }

    pub(crate) fn written(draft: &Draft) -> Self {
        let Draft {
            data, description, ..
        } = draft;
        Self::of(data.clone(), description.clone(), draft.lifetime)
    }

    pub(crate) fn read(record: &Record) -> Self {
        let Record {
            data, description, ..
        } = record;
        Self::of(data.clone(), description.clone(), record.lifetime)
    }

    fn data(&self) -> Data {
        let decoded = self.data.as_ref().map(Data::decode);
        // It was decoded before, or is an encoding.
        decoded.and_then(Result::ok).unwrap_or_default()
    }
}

impl Session {
    /// Takes back the changes that were not saved: the session is again as it was read or last
    /// saved, and no warning follows when it is dropped.
    ///
    /// A change whose [`save`](Self::save) has failed may have been written all the same.
    pub fn discard(&self) {
        let mut state = self.state();
        state.view.data = state.base.data();
        state.view.lifetime = state.base.lifetime;
        state.view.description = state.base.description.clone();
        state.patch = Patch::default();
        state.unconfirmed = Patch::default();
        state.pending.clear();
    }

    /// Refuses new tokens from now on, because the response has begun and can't carry one to the
    /// client. [`ErrorKind::TooLate`](crate::ErrorKind::TooLate) is then the answer to the first
    /// save of a new session, which no client could open, and to [`sign_in`](Self::sign_in),
    /// [`reauthenticated`](Self::reauthenticated) and [`cycle_id`](Self::cycle_id), after which the
    /// client's token would open nothing.
    ///
    /// A program that puts tokens into responses itself calls it, as `session-web` does.
    pub fn forbid_new_token(&self) {
        self.state().late = Late::NewToken;
    }

    /// Refuses every change from now on, because the session is kept in the client's cookie and the
    /// response has begun: each write and [`destroy`](Self::destroy) is then
    /// [`ErrorKind::TooLate`](crate::ErrorKind::TooLate).
    pub fn forbid_change(&self) {
        self.state().late = Late::Change;
    }
}

impl State {
    /// Refuses a write that would have to send its client a token, or a cookie, and can't.
    pub(crate) fn check_late(&self, operation: &Operation) -> Result<()> {
        let what = match (self.late, &self.lifecycle) {
            (Late::Nothing, _) => return Ok(()),
            (Late::Change, _) => CHANGE_IN_COOKIE,
            (Late::NewToken, Lifecycle::New) => {
                "save the new session, whose client has no token for it"
            }
            (Late::NewToken, _) if operation.is_new_lineage() => "give the session a new token",
            (Late::NewToken, _) => return Ok(()),
        };
        Err(Error::too_late(what))
    }

    /// Refuses to end a session whose client's cookie could not be removed.
    pub(crate) fn check_late_end(&self) -> Result<()> {
        match self.late {
            Late::Change => Err(Error::too_late(CHANGE_IN_COOKIE)),
            Late::Nothing | Late::NewToken => Ok(()),
        }
    }

    /// What is changed and not known to be saved.
    fn unsaved(&self) -> Vec<Changed<'_>> {
        let mut keys: Vec<&str> = match self.lifecycle {
            Lifecycle::New => self.view.data.iter().map(|(key, _)| key).collect(),
            _ => self.unconfirmed.keys().chain(self.patch.keys()).collect(),
        };
        keys.sort_unstable();
        keys.dedup();
        let is_new = matches!(self.lifecycle, Lifecycle::New);
        let any = |is: fn(&Patch) -> bool| !is_new && (is(&self.unconfirmed) || is(&self.patch));
        let cleared = any(Patch::is_clearing).then_some(Changed::AllKeys);
        let lifetime = any(Patch::has_lifetime).then_some(Changed::Lifetime);
        let is_described = |patch: &Patch| patch.description().is_some();
        let description = any(is_described).then_some(Changed::Description);
        let first = cleared.into_iter().chain(lifetime).chain(description);
        first.chain(keys.into_iter().map(Changed::Key)).collect()
    }
}

const CHANGE_IN_COOKIE: &str = "change the session, which is kept in the client's cookie";

/// The last handle of a session has gone.
impl Drop for Opened {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        if state.tally.is_reported() || !state.is_changed() {
            return;
        }
        let Some(suppressed) = self.manager.observers.unsaved() else {
            return;
        };
        let id = match &state.lifecycle {
            Lifecycle::Stored(judged, _) => Some(&judged.id),
            Lifecycle::Gone(id) => id.as_ref(),
            Lifecycle::New | Lifecycle::Barred => None,
        };
        let keys = state.unsaved();
        let more = keys.len().saturating_sub(MOST_NAMED);
        tracing::warn!(
            session = ?id,
            keys = ?&keys[..keys.len() - more],
            more,
            suppressed,
            "session changes were dropped unsaved: the request may have ended before its response, or \
             they were made after the response had begun; call `save` after changes made that late, and \
             `discard` for changes that are not wanted"
        );
    }
}
