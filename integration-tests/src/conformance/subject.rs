//! The store under test, with calls that must succeed.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use session_core::{
    Cursor, Draft, Ended, Owner, Record, Saved, SessionDirectory, SessionId, SessionInfo,
    SessionStore, Stamp, Timeout, Ttl,
};

/// Pages that a listing may have before it counts as endless.
const MOST_PAGES: usize = 100_000;

/// The store under test. It is a `SessionStore`; its methods of its own (`must_…`) panic where the
/// store answers with an error, which is never right where a case uses them.
#[derive(Clone, Debug)]
pub struct Subject(Arc<dyn SessionStore>);

impl Deref for Subject {
    type Target = dyn SessionStore;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Subject {
    pub(super) fn new(store: Arc<dyn SessionStore>) -> Self {
        Self(store)
    }

    /// The store, for the manager.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn SessionStore> {
        Arc::clone(&self.0)
    }

    /// Creates it, and checks the stamp that is given back.
    pub async fn must_create(&self, id: &SessionId, draft: &Draft) {
        let stamp = self.create(id, draft).await.expect("create failed");
        assert_eq!(stamp, draft.stamp, "create gives back the draft's stamp");
    }

    /// Loads it.
    pub async fn must_load(&self, id: &SessionId) -> Option<Record> {
        self.load(id).await.expect("load failed")
    }

    /// Loads it, and checks that it is there.
    pub async fn must_find(&self, id: &SessionId) -> Record {
        let found = self.must_load(id).await;
        found.unwrap_or_else(|| panic!("expected a live session {id:?}, found none"))
    }

    /// Checks that there is no such session; `why` says why there should be none.
    pub async fn must_lack(&self, id: &SessionId, why: &str) {
        let found = self.must_load(id).await;
        assert!(
            found.is_none(),
            "{why}: expected no session, found {found:?}"
        );
    }

    /// Saves it, and checks the stamp that is given back if it is done.
    pub async fn must_save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Saved {
        let saved = self.save(id, draft, expected).await.expect("save failed");
        own_stamp(saved, draft)
    }

    /// Saves it, and checks that this was done.
    pub async fn must_replace(&self, id: &SessionId, draft: &Draft, expected: Stamp) {
        let saved = self.must_save(id, draft, expected).await;
        assert_eq!(
            saved,
            Saved::Done(draft.stamp),
            "a save of the stamp in place"
        );
    }

    /// Touches it.
    pub async fn must_touch(&self, id: &SessionId, idle: impl Into<Timeout>) -> Option<Ttl> {
        self.touch(id, idle.into()).await.expect("touch failed")
    }

    /// Renames it, and checks the stamp that is given back if it is done.
    pub async fn must_rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Saved {
        let saved = self.rename(from, to, draft, expected).await;
        own_stamp(saved.expect("rename failed"), draft)
    }

    /// Renames it, and checks that this was done.
    pub async fn must_move(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) {
        let saved = self.must_rename(from, to, draft, expected).await;
        assert_eq!(
            saved,
            Saved::Done(draft.stamp),
            "a rename of the stamp in place"
        );
    }

    /// Destroys it.
    pub async fn must_destroy(&self, id: &SessionId) -> bool {
        self.destroy(id).await.expect("destroy failed")
    }

    /// The directory, which the case says it needs.
    #[must_use]
    pub fn dir(&self) -> &dyn SessionDirectory {
        self.0
            .directory()
            .expect("the store had a directory when the case began, and now has none")
    }

    /// Counts the live sessions.
    pub async fn must_count(&self) -> u64 {
        self.dir().count().await.expect("count failed")
    }

    /// Lists all live sessions by pages of `limit`.
    pub async fn must_list(&self, limit: usize) -> Vec<SessionInfo> {
        let mut sessions = Vec::new();
        let mut cursor: Option<Cursor> = None;
        for _ in 0..MOST_PAGES {
            let page = self.dir().list(cursor.as_ref(), limit).await;
            let page = page.expect("list failed");
            sessions.extend(page.sessions);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return sessions,
            }
        }
        panic!("the listing does not end: {MOST_PAGES} pages so far");
    }

    /// The ids that a listing gives; a store may give one twice.
    pub async fn must_list_ids(&self, limit: usize) -> BTreeSet<SessionId> {
        ids_of(&self.must_list(limit).await)
    }

    /// Lists the sessions of an owner.
    pub async fn must_own(&self, owner: &Owner) -> Vec<SessionInfo> {
        let owned = self.dir().owned_by(owner).await;
        owned.expect("owned_by failed")
    }

    /// The ids of an owner's sessions.
    pub async fn must_own_ids(&self, owner: &Owner) -> BTreeSet<SessionId> {
        ids_of(&self.must_own(owner).await)
    }

    /// Ends the sessions of an owner.
    pub async fn must_destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Vec<Ended> {
        let ended = self.dir().destroy_owned_by(owner, except).await;
        ended.expect("destroy_owned_by failed")
    }

    /// Ends all sessions.
    pub async fn must_clear(&self) -> u64 {
        self.dir().clear().await.expect("clear failed")
    }

    /// Reaps.
    pub async fn must_reap(&self, limit: usize) -> Vec<Ended> {
        self.dir().reap(limit).await.expect("reap failed")
    }
}

fn ids_of(sessions: &[SessionInfo]) -> BTreeSet<SessionId> {
    sessions.iter().map(|one| one.id.clone()).collect()
}

fn own_stamp(saved: Saved, draft: &Draft) -> Saved {
    if let Saved::Done(stamp) = saved {
        assert_eq!(stamp, draft.stamp, "a write gives back the draft's stamp");
    }
    saved
}
