//! The directory of a store that is made of a backend.

use super::{Backend, Operation, Store};
use crate::{Cursor, Ended, Owner, Page, Result, SessionDirectory, SessionId, async_trait};

#[async_trait]
impl<B: Backend> SessionDirectory for Store<B> {
    async fn count(&self) -> Result<u64> {
        let work = |call| async move { self.backend().count(&call).await };
        self.observe_commands(Operation::Count, work).await
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let work = |call| async move { self.backend().list(&call, cursor, limit).await };
        self.observe_commands(Operation::List, work).await
    }

    async fn owned_by(&self, owner: &Owner, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let work = |call| async move {
            let backend = self.backend();
            backend.owned_by(&call, owner, cursor, limit).await
        };
        self.observe_commands(Operation::OwnedBy, work).await
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let work = |call| async move {
            let backend = self.backend();
            backend.destroy_owned_by(&call, owner, except, limit).await
        };
        self.observe_commands(Operation::DestroyOwnedBy, work).await
    }

    async fn clear(&self) -> Result<u64> {
        let work = |call| async move { self.backend().clear(&call).await };
        self.observe_commands(Operation::Clear, work).await
    }

    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        self.core.reaper_watch.reaped();
        let work = |call| async move { self.backend().reap(&call, limit).await };
        self.observe_commands(Operation::Reap, work).await
    }

    async fn confirm_reaped(&self, reaped: &[Ended]) -> Result<()> {
        let work = |call| async move { self.backend().confirm_reaped(&call, reaped).await };
        self.observe_commands(Operation::Reap, work).await
    }
}
