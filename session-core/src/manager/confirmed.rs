//! Ends that are confirmed before they are reported.

use std::sync::Arc;
use std::time::Instant;

use crate::manager::ending::Ending;
use crate::manager::sessions::Manager;
use crate::{Confirmation, Error, Owner, Result, SessionId};

/// How often sessions are ended again that failovers bring back.
const MOST_FAILOVERS: u32 = 8;

/// Sessions that are to be ended.
pub(crate) enum Ends {
    One(Ending),
    /// All of an owner but one.
    Owned(Owner, Option<SessionId>),
}

impl Manager {
    /// Ends sessions, and waits until that is confirmed; how many.
    ///
    /// A failover before the confirmation may have brought one back, of which the confirmation then
    /// says nothing: so they are ended again after it, until none is found.
    pub(crate) async fn end_confirmed(self: &Arc<Self>, ends: Ends) -> Result<usize> {
        let began = Instant::now();
        let ended = match &ends {
            Ends::One(ending) => usize::from(self.end_here(ending).await?),
            Ends::Owned(owner, except) => self.end_owned(owner, except.as_ref()).await?,
        };
        let confirmation = self.confirmation;
        if confirmation == Confirmation::Acknowledged {
            return Ok(ended);
        }
        let unconfirmed = |error| Error::unconfirmed(confirmation, error);
        for _ in 0..MOST_FAILOVERS {
            let confirmed = self.store.confirm(confirmation).await;
            confirmed.map_err(unconfirmed)?;
            if self.end_again(&ends, began).await.map_err(unconfirmed)? == 0 {
                return Ok(ended);
            }
        }
        Err(unconfirmed(Error::contention(MOST_FAILOVERS)))
    }

    /// Ends what is there of sessions that were ended; how many. An owner may have signed in since
    /// then: those sessions stay.
    async fn end_again(self: &Arc<Self>, ends: &Ends, began: Instant) -> Result<usize> {
        match ends {
            Ends::One(ending) => self.end_here(ending).await.map(usize::from),
            Ends::Owned(owner, except) => {
                let mut ended = 0;
                for ending in self.listed_before(began, owner, except.as_ref()).await? {
                    ended += usize::from(self.end_here(&ending).await?);
                }
                Ok(ended)
            }
        }
    }
}
