//! One session: brought to TO, in the version that FROM has.

use std::time::{Duration, Instant};

use session_store::session_core::{Draft, Record, Saved};
use session_store::{Error, ErrorKind, Result, SessionId, SessionInfo, SessionStore, Timeout};

use super::compare::There;
use super::tally::Outcome;
use super::walk::patiently;
use crate::exit::Failure;
use crate::output;

/// How often a session is looked at anew because another program has written it meanwhile.
const ATTEMPTS: usize = 8;

pub(super) struct Copier<'a> {
    pub(super) from: &'a dyn SessionStore,
    pub(super) to: &'a dyn SessionStore,
    /// Whether to look into TO before a session is created there. In a store that was empty, that
    /// is a round trip for nothing.
    pub(super) looks_first: bool,
    /// Whether to replace a version that may be newer.
    pub(super) overwrite: bool,
    pub(super) dry_run: bool,
}

/// A session of FROM.
struct Original {
    record: Record,
    /// When it was asked for: the time since then counts.
    asked: Instant,
}

impl Copier<'_> {
    /// Copies a session. One that can't be read or written is told and counted.
    ///
    /// # Errors
    /// If it makes no sense to go on with others.
    pub(super) async fn copy(&self, info: SessionInfo) -> Result<Outcome, Failure> {
        settle(&info.id, self.bring(&info.id).await)
    }

    async fn bring(&self, id: &SessionId) -> Result<Outcome> {
        let mut looks = self.looks_first || self.dry_run;
        for _ in 0..ATTEMPTS {
            let Some(original) = patiently(async || self.read(id).await).await? else {
                return Ok(Outcome::Ended);
            };
            let there = match looks {
                true => patiently(async || self.to.load(id).await).await?,
                false => None,
            };
            if let Some(outcome) = self.bring_over(id, &original, there.as_ref()).await? {
                return Ok(outcome);
            }
            looks = true;
        }
        Err(Error::contention(ATTEMPTS as u32))
    }

    async fn read(&self, id: &SessionId) -> Result<Option<Original>> {
        let asked = Instant::now();
        let record = self.from.load(id).await?;
        Ok(record.map(|record| Original { record, asked }))
    }

    /// `None` if TO has another version than was thought.
    async fn bring_over(
        &self,
        id: &SessionId,
        original: &Original,
        there: Option<&Record>,
    ) -> Result<Option<Outcome>> {
        match There::of(&original.record, there) {
            There::Nothing => self.create(id, original, Outcome::Copied).await,
            There::Same { ends_early: false } => Ok(Some(Outcome::Unchanged)),
            There::Same { ends_early: true } => self.extend(id, original).await,
            There::Newer => Ok(Some(Outcome::Newer)),
            There::Other if !self.overwrite => Ok(Some(Outcome::Undecided)),
            There::Older | There::Other => self.replace(id, original, there).await,
        }
    }

    async fn create(
        &self,
        id: &SessionId,
        original: &Original,
        outcome: Outcome,
    ) -> Result<Option<Outcome>> {
        if self.dry_run {
            return Ok(Some(outcome));
        }
        let draft = Draft::continuing(&original.record, original.asked);
        let created = patiently(async || self.to.create(id, &draft).await).await?;
        Ok(match created {
            Saved::Done(_) => Some(outcome),
            Saved::Conflict | Saved::Gone | Saved::Unknown => None,
        })
    }

    /// Moves the deadline of a copy to that of its original.
    async fn extend(&self, id: &SessionId, original: &Original) -> Result<Option<Outcome>> {
        if self.dry_run {
            return Ok(Some(Outcome::Extended));
        }
        let left = original.record.ttl.left().map_or(Timeout::Never, |left| {
            Timeout::After(left.saturating_sub(original.asked.elapsed()))
        });
        if left < Timeout::After(Duration::from_millis(1)) {
            return Ok(Some(Outcome::Ended));
        }
        let touched = patiently(async || self.to.touch(id, left).await).await?;
        Ok(touched.map(|_| Outcome::Extended))
    }

    /// Replaces an older copy. A save would keep the age of that, and a sign-in restarts it.
    async fn replace(
        &self,
        id: &SessionId,
        original: &Original,
        there: Option<&Record>,
    ) -> Result<Option<Outcome>> {
        if let (Some(there), false) = (there, self.dry_run) {
            let old = &there.version;
            let ended = patiently(async || self.to.destroy(id, Some(old)).await).await?;
            if ended.is_none() {
                return Ok(None);
            }
        }
        self.create(id, original, Outcome::Updated).await
    }
}

/// Counts an error that is of one session only, and tells it.
pub(super) fn settle(id: &SessionId, outcome: Result<Outcome>) -> Result<Outcome, Failure> {
    let error = match outcome {
        Ok(outcome) => return Ok(outcome),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::Corrupt
        | ErrorKind::TooLarge
        | ErrorKind::InvalidLifetime
        | ErrorKind::Contention => {
            output::warn(&format!("session {}: {error}", output::cell(id.as_str())));
            Ok(Outcome::Failed)
        }
        _ => Err(error.into()),
    }
}
