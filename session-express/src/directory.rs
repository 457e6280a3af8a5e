//! Listing the sessions of an Express layout.

use async_trait::async_trait;
use session_core::{
    Cursor, Ended, Error, Owner, Page, Result, SessionDirectory, SessionId, SessionInfo,
};

use crate::expiry::now;
use crate::key_value::KeyValue;
use crate::store::{ExpressStore, is_over};

fn no_owners<T>() -> Result<T> {
    let what = "looking up owners in the layout of an Express store";
    Err(Error::Unsupported { what })
}

#[async_trait]
impl<K: KeyValue> SessionDirectory for ExpressStore<K> {
    /// Counts every record, including those that can't be read as sessions.
    async fn count(&self) -> Result<u64> {
        self.inner().kv.count().await
    }

    /// A record that can't be read as a session is left out.
    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let listed = self.inner().kv.page(cursor, limit).await?;
        let mut sessions = Vec::with_capacity(listed.values.len());
        for (name, found) in listed.values {
            let decoded = self.decode_listed(&name, &found.value).await;
            let (Ok(id), Ok(session)) = (SessionId::plain(&name), decoded) else {
                continue;
            };
            let now = now();
            let left = found.left.min(session.absolute_left(now));
            if is_over(left) {
                continue;
            }
            sessions.push(SessionInfo {
                id,
                owner: session.owner(),
                lifetime: session.lifetime(self.inner().ttl),
                ttl: left,
                age: session.age(now),
                size: found.value.len(),
            });
        }
        let next = listed.next;
        Ok(Page { sessions, next })
    }

    /// [`Error::Unsupported`]: there is no index of owners.
    async fn owned_by(&self, _: &Owner, _: Option<&Cursor>, _: usize) -> Result<Page> {
        no_owners()
    }

    /// [`Error::Unsupported`]: there is no index of owners.
    async fn destroy_owned_by(
        &self,
        _: &Owner,
        _: Option<&SessionId>,
        _: usize,
    ) -> Result<Vec<Ended>> {
        no_owners()
    }

    async fn clear(&self) -> Result<u64> {
        self.inner().kv.clear().await
    }

    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        self.inner().kv.purge(limit).await?;
        Ok(Vec::new())
    }
}
