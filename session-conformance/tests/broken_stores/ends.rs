//! Faults of destroy, and of notices.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use session_core::{Ended, Notice, NoticeStream, Result, SessionId, SessionStore, Version};

use crate::factory::locked;
use crate::fault::Fault;
use crate::store::Broken;

impl Broken {
    pub(crate) async fn destroy_as_written(
        &self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        locked(&self.shared.destroyed).push(id.clone());
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

    /// Notices of all calls of destroy, whether they ended a session or not; or of none.
    pub(crate) fn wrong_notices(&self) -> Option<NoticeStream> {
        let first = stream::iter([Ok(Notice::Missed)]);
        match self.fault {
            Fault::NoNotices => Some(Box::pin(first)),
            Fault::FalseNotices => {
                let from = locked(&self.shared.destroyed).len();
                let state = (Arc::clone(&self.shared), from);
                let rest = stream::unfold(state, |(shared, at)| async move {
                    loop {
                        if let Some(id) = locked(&shared.destroyed).get(at).cloned() {
                            return Some((Ok(Notice::Ended(id)), (Arc::clone(&shared), at + 1)));
                        }
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                });
                Some(Box::pin(first.chain(rest)))
            }
            _ => None,
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
