//! The listing of an Express layout.

use session_core::backend::Call;
use session_core::{Cursor, Page, Result, SessionId, SessionInfo};

use crate::expiry::now;
use crate::key_value::{Found, KeyValue};
use crate::layout::{Layout, is_over};

impl<K: KeyValue> Layout<K> {
    pub(crate) async fn page(
        &self,
        call: &Call<K::Client>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        let listed = self.kv.page(call, cursor, limit).await?;
        let mut sessions = Vec::with_capacity(listed.values.len());
        for (name, found) in &listed.values {
            sessions.extend(self.info(name, found).await);
        }
        let next = listed.next;
        Ok(Page::new(sessions, next))
    }

    /// The live session that is listed under this name; `None` if the value is not a session.
    async fn info(&self, name: &str, found: &Found) -> Option<SessionInfo> {
        let session = self.decode_listed(name, &found.value).await.ok()?;
        let id = SessionId::plain(name).ok()?;
        let now = now();
        let left = found.left.min(session.absolute_left(now));
        (!is_over(left)).then(|| {
            SessionInfo::new(
                id,
                session.lifetime(self.ttl),
                left,
                session.age(now),
                found.value.len(),
            )
            .with_owner(session.owner())
        })
    }
}
