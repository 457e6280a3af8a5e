//! The writes that were sent and are not known to have been done.

use std::sync::Arc;

use super::plan::{PlannedWrite, WriteKind};
use super::resolve::{Finding, Found, SentWrite, resolve};
use crate::manager::identity::TokenState;
use crate::manager::patch::Patch;
use crate::manager::session::{Lifecycle, State};
use crate::{Record, SessionId};

/// A write that was sent and is not known to have been done.
pub(crate) struct PendingWrite {
    pub(crate) write: Arc<PlannedWrite>,
    /// Whether it may have happened for all that is known. Otherwise the store has said that it did
    /// not.
    pub(crate) is_doubtful: bool,
    /// The changes made since, which it does not have.
    pub(crate) later: Patch,
}

impl State {
    /// The latest write that was sent, by an earlier call, and never answered.
    pub(super) fn unanswered(&mut self) -> Option<Arc<PlannedWrite>> {
        let last = self.pending.iter().rfind(|pending| pending.is_doubtful);
        let last = last.map(|pending| Arc::clone(&pending.write));
        if last.is_none() {
            self.pending.clear();
        }
        last
    }

    pub(super) fn add_pending(&mut self, write: &Arc<PlannedWrite>) {
        self.pending.push(PendingWrite {
            write: Arc::clone(write),
            is_doubtful: true,
            later: Patch::default(),
        });
    }

    /// The store has said that this write did not happen.
    pub(super) fn refute(&mut self, write: &Arc<PlannedWrite>) {
        for pending in &mut self.pending {
            if Arc::ptr_eq(&pending.write, write) {
                pending.is_doubtful = false;
            }
        }
    }

    pub(super) fn forget(&mut self, write: &Arc<PlannedWrite>) {
        self.pending
            .retain(|pending| !Arc::ptr_eq(&pending.write, write));
    }

    /// Whether a write may have happened that was never answered.
    pub(super) fn is_doubtful(&self) -> bool {
        self.pending.iter().any(|pending| pending.is_doubtful)
    }

    /// The id of the session in the store, if there may be one.
    pub(super) fn stored_id(&self) -> Option<SessionId> {
        match &self.lifecycle {
            Lifecycle::Stored(judged, _) => Some(judged.id.clone()),
            Lifecycle::Gone(id) => id.clone(),
            // A create that was sent may have made it.
            Lifecycle::New => self.pending.last().map(|last| last.write.judged.id.clone()),
            Lifecycle::Barred => None,
        }
    }

    /// Where `write` is among the pending ones; past their end if it is not.
    pub(super) fn place_of(&self, write: &Arc<PlannedWrite>) -> usize {
        let mut places = self.pending.iter();
        places
            .position(|pending| Arc::ptr_eq(&pending.write, write))
            .unwrap_or(usize::MAX)
    }

    /// The changes that `write`, which is pending, does not have.
    pub(super) fn later_than(&mut self, write: &Arc<PlannedWrite>) -> Patch {
        let at = self.place_of(write);
        let pending = self.pending.get_mut(at);
        pending.map_or_else(Patch::default, |pending| std::mem::take(&mut pending.later))
    }

    /// What became of the pending writes, by what is stored now.
    pub(super) fn finding(&self, record: &Record, token: Option<&TokenState>) -> Finding {
        let sent = |pending: &PendingWrite| SentWrite {
            stamp: pending.write.draft.stamp,
            expected: match &pending.write.kind {
                WriteKind::Create => None,
                WriteKind::Save(expected) => Some(expected.stamp()),
            },
            is_doubtful: pending.is_doubtful,
        };
        let sent: Vec<SentWrite> = self.pending.iter().map(sent).collect();
        let is_same_sign_in = match &self.lifecycle {
            Lifecycle::Stored(judged, _) => judged.is_same_sign_in(token),
            _ => false,
        };
        let stamp = record.version.stamp();
        resolve(
            &sent,
            Found {
                stamp,
                token,
                is_same_sign_in,
            },
        )
    }
}
