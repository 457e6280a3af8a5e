//! Ending sessions so that observers hear of each end, though callers go away and answers are lost.
//!
//! * The work goes on without its caller.
//! * An end whose answer was lost is told with what the manager held of the session: the record that a
//!   handle has opened, or what was listed.
//! * An end that is still unknown after an error is [in doubt](super::in_doubt).

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::run_to_completion;
use crate::manager::observer::{EndReason, Event};
use crate::manager::sessions::Manager;
use crate::time_limit::within_one_limit;
use crate::{
    Ended, Error, ErrorKind, Owner, Record, Result, SessionDirectory, SessionId, SessionInfo,
    Version,
};

/// How many of an owner's sessions are ended at a time.
const PAGE: usize = 500;
/// How many pages of an owner's sessions are ended before others are taken to be faster.
const MOST_PAGES: usize = 100_000;

/// A session that is to be ended, and what is known of it.
#[derive(Clone)]
pub(crate) struct Ending {
    pub(super) id: SessionId,
    reason: EndReason,
    /// Only this version is to be ended.
    expected: Option<Version>,
    /// Only a session of this owner is to be ended.
    of: Option<Owner>,
    owner: Option<Owner>,
    age: Option<Duration>,
    /// When the age was known, and the end was asked for.
    at: Instant,
}

impl Ending {
    pub(crate) fn new(id: SessionId, reason: EndReason) -> Self {
        Self {
            id,
            reason,
            expected: None,
            of: None,
            owner: None,
            age: None,
            at: Instant::now(),
        }
    }

    /// The same of a session that is known to have this owner and age.
    pub(crate) fn known(mut self, owner: Option<Owner>, age: Duration) -> Self {
        (self.owner, self.age) = (owner, Some(age));
        self
    }

    /// The same of what was opened or loaded: that version of it only.
    pub(crate) fn of_version(id: SessionId, record: &Record, reason: EndReason) -> Self {
        let mut ending = Self::new(id, reason).known(record.owner.clone(), record.age);
        ending.expected = Some(record.version.clone());
        ending
    }

    /// The end of a listed session of `owner`.
    fn listed(session: SessionInfo, owner: &Owner) -> Self {
        let ending = Self::new(session.id, EndReason::Revoked);
        let mut ending = ending.known(Some(owner.clone()), session.age);
        ending.of = Some(owner.clone());
        ending
    }

    /// Whether what is stored now is what was to be ended: the same version if that was said, of the
    /// same owner if it was by owner, and no sign-in from after that.
    fn means(&self, record: &Record) -> bool {
        let is_version = (self.expected.as_ref()).is_none_or(|version| *version == record.version);
        let is_owner = self.of.is_none() || self.of == record.owner;
        is_version && is_owner && record.age >= self.at.elapsed()
    }
}

impl Manager {
    /// Ends a session, and tells observers; whether there was one. Goes on without its caller.
    pub(crate) async fn end(self: &Arc<Self>, ending: Ending) -> Result<bool> {
        let manager = Arc::clone(self);
        let work = async move { manager.end_here(&ending).await };
        run_to_completion("destroy", work).await
    }

    /// The same in the caller's task.
    pub(crate) async fn end_here(self: &Arc<Self>, ending: &Ending) -> Result<bool> {
        match self.destroy(&ending.id, ending.expected.as_ref()).await {
            Ok(Some(ended)) => {
                self.in_doubt.take(&ending.id);
                self.tell(ending, &ended);
                Ok(true)
            }
            Ok(None) => {
                // An earlier call may have ended it, whose answer did not come.
                let earlier = self.in_doubt.take(&ending.id);
                match earlier {
                    Some(earlier) if ending.expected.is_none() => {
                        self.tell_of_unanswered(&earlier);
                        Ok(true)
                    }
                    Some(earlier) => {
                        self.doubt(earlier);
                        Ok(false)
                    }
                    None => Ok(false),
                }
            }
            Err(error) => {
                if error.is_doubtful() {
                    self.doubt(ending.clone());
                }
                Err(error)
            }
        }
    }

    /// Ends it, and once more if the connection broke.
    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        let ended = pin!(self.destroy_in_store(id, expected));
        let ended = within_one_limit(ended).await?;
        if ended.is_some() || expected.is_none() {
            self.close_streams(id);
        }
        Ok(ended)
    }

    async fn destroy_in_store(
        &self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        match self.store.destroy(id, expected).await {
            Err(error) if error.kind() == ErrorKind::Unavailable && error.is_doubtful() => {}
            ended => return ended,
        }
        self.pause_before_repeat().await;
        let repeated = self.store.destroy(id, expected).await;
        if let Some(ended) = repeated.map_err(Error::after_earlier_attempt)? {
            return Ok(Some(ended));
        }
        // The first one may have done it, unless there is another version.
        let is_gone = expected.is_none() || self.load_anew(id).await?.is_none();
        Ok(is_gone.then(|| Ended::unknown(id.clone())))
    }

    /// Ends all sessions of `owner` but `except`, and tells observers; how many.
    pub(crate) async fn end_owned(
        self: &Arc<Self>,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Result<usize> {
        let directory = self.directory()?;
        let (mut listed, mut total) = (list(directory, owner, except).await?, 0);
        for _ in 0..MOST_PAGES {
            let ended = match directory.destroy_owned_by(owner, except, PAGE).await {
                Ok(ended) if ended.is_empty() => return Ok(total),
                Ok(ended) => ended,
                Err(error) => {
                    if error.is_doubtful() {
                        listed.into_values().for_each(|ending| self.doubt(ending));
                    }
                    return Err(error);
                }
            };
            total += ended.len();
            for ended in ended {
                self.close_streams(&ended.id);
                self.in_doubt.take(&ended.id);
                let new = || Ending::new(ended.id.clone(), EndReason::Revoked);
                let mut ending = listed.remove(&ended.id).unwrap_or_else(new);
                ending.owner = Some(owner.clone());
                self.tell(&ending, &ended);
            }
        }
        let attempts = MOST_PAGES as u32;
        Err(Error::contention(attempts))
    }

    /// The sessions of `owner` but `except` that had begun at `instant`.
    pub(super) async fn listed_before(
        &self,
        instant: Instant,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Result<Vec<Ending>> {
        let listed = list(self.directory()?, owner, except).await?;
        let before = |ending: &Ending| ending.age.is_some_and(|age| age >= instant.elapsed());
        Ok(listed.into_values().filter(before).collect())
    }

    /// Finds out about an end whose answer was lost, and ends what was to be ended and lives still.
    pub(super) async fn settle(&self, ending: &Ending) -> Result<()> {
        let Some(record) = self.load_anew(&ending.id).await? else {
            self.tell_of_unanswered(ending);
            return Ok(());
        };
        if !ending.means(&record) {
            return Ok(());
        }
        match self
            .store
            .destroy(&ending.id, Some(&record.version))
            .await?
        {
            Some(ended) => self.tell(ending, &ended),
            // It was written, or has ended, in between.
            None => return Err(Error::contention(1)),
        }
        Ok(())
    }

    /// Tells that a session has ended, of which nothing more is known than what was held.
    fn tell_of_unanswered(&self, ending: &Ending) {
        self.tell(ending, &Ended::unknown(ending.id.clone()));
    }

    /// Tells observers of an end, and closes the session's streams.
    fn tell(&self, ending: &Ending, ended: &Ended) {
        self.close_streams(&ending.id);
        let owner = ended.owner.as_ref().or(ending.owner.as_ref());
        let held = ending.age.map(|age| age + ending.at.elapsed());
        let event = Event::destroyed(&ending.id, owner, ended.age.or(held));
        let reason = ending.reason;
        if reason == EndReason::Reused {
            self.observers.notify(|observer| observer.reused(event));
        }
        self.observers
            .notify(|observer| observer.destroyed(event, reason));
    }
}

/// All sessions of `owner` but `except`.
async fn list(
    directory: &dyn SessionDirectory,
    owner: &Owner,
    except: Option<&SessionId>,
) -> Result<HashMap<SessionId, Ending>> {
    let (mut listed, mut cursor) = (HashMap::new(), None);
    loop {
        let page = directory.owned_by(owner, cursor.as_ref(), PAGE).await?;
        for session in page.sessions {
            if Some(&session.id) != except {
                listed.insert(session.id.clone(), Ending::listed(session, owner));
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(listed);
        }
    }
}
