//! Reading a session anew.

use super::machine::Event;
use crate::manager::session::Lifecycle;
use crate::{Error, Result, Session};

impl Session {
    /// Reads the session anew, for a stream or a socket that is open for long: values, owner and
    /// limits are then those in the store. Changes that were not saved are kept, on top of what was
    /// read, as after a conflict. Nothing is written.
    ///
    /// One round trip; none for a session that was never saved, which stays as it is.
    ///
    /// # Errors
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) if the session has ended, or was given a token
    /// of another lineage by another request: what this handle has read stays readable.
    /// [`ErrorKind::OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if an earlier write was not
    /// answered and left no trace; its changes are dropped. The store's own.
    pub async fn reload(&self) -> Result<()> {
        let _lock = self.0.write_lock.lock().await;
        let id = match &self.state().lifecycle {
            Lifecycle::New => return Ok(()),
            Lifecycle::Barred | Lifecycle::Gone(_) => return Err(Error::gone()),
            Lifecycle::Stored(judged, _) => judged.id.clone(),
        };
        let Some(record) = self.0.manager.load_anew(&id).await? else {
            return Err(self.mark_gone());
        };
        match self.reconcile(&record)? {
            Event::SignedInElsewhere => Err(self.mark_gone()),
            Event::Untraceable => Err(Error::outcome_unknown()),
            _ if self.is_gone() => Err(Error::gone()),
            _ => Ok(()),
        }
    }
}
