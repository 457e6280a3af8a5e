//! Faults of destroy.

use session_core::{Ended, Result, SessionId, SessionStore, Version};

use crate::factory::locked;
use crate::fault::Fault;
use crate::store::Broken;

impl Broken {
    pub(crate) async fn destroy_as_written(
        &self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        match self.fault {
            Fault::DestroyIgnoresVersion => self.inner.destroy(id, None).await,
            Fault::DestroysNoVersion if expected.is_some() => Ok(None),
            Fault::DestroyInTwoCommands if expected.is_some() => {
                let found = self.inner.load(id).await?;
                if found.map(|found| found.version.stamp()) != expected.map(Version::stamp) {
                    return Ok(None);
                }
                self.pause().await;
                self.inner.destroy(id, None).await
            }
            Fault::DestroyComparesStamps => {
                let Some(found) = self.inner.load(id).await? else {
                    return Ok(None);
                };
                self.pause().await;
                let version = expected.unwrap_or(&found.version);
                self.inner.destroy(id, Some(version)).await
            }
            Fault::DestroyMarks => {
                let row = self.inner.rows().get(id).cloned();
                let ended = self.inner.destroy(id, expected).await?;
                if let (Some(row), Some(_)) = (row, &ended) {
                    locked(&self.shared.marked).insert(id.clone(), row);
                }
                Ok(ended)
            }
            _ => {
                let ended = self.inner.destroy(id, expected).await?;
                Ok(ended.map(|ended| self.without_fields(ended)))
            }
        }
    }

    fn without_fields(&self, mut ended: Ended) -> Ended {
        match self.fault {
            Fault::DestroyOmitsOwner => ended.owner = None,
            Fault::DestroyOmitsAge => ended.age = None,
            _ => {}
        }
        ended
    }

    /// Brings a marked session back for a save that checks its version only, and not the mark.
    pub(crate) fn unmark(&self, id: &SessionId, expected: &Version) {
        let mut marked = locked(&self.shared.marked);
        if let Some(row) = marked.get(id)
            && row.stamp == expected.stamp()
            && let Some(row) = marked.remove(id)
        {
            self.inner.rows().insert(id.clone(), row);
        }
    }
}
