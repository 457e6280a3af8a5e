//! The store under test, with methods that must succeed.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use session_core::{
    Cursor, Draft, Ended, Owner, Page, Record, Result, Saved, SessionDirectory, SessionId,
    SessionInfo, SessionStore, Timeout, Ttl, Version,
};

use crate::compare::check_same;
use crate::samples::id;

/// The maximum number of pages of a listing, or of calls to end an owner's sessions.
const MAX_PAGES: usize = 100_000;

/// The limit of a page or call in cases that need no other.
const DEFAULT_LIMIT: usize = 100;

/// The store under test. It dereferences to a `SessionStore`. The methods `must_…` panic if the
/// store returns an error.
#[derive(Clone, Debug)]
pub struct CheckedStore(Arc<dyn SessionStore>);

impl Deref for CheckedStore {
    type Target = dyn SessionStore;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl CheckedStore {
    pub(super) fn new(store: Arc<dyn SessionStore>) -> Self {
        Self(store)
    }

    /// Returns the store, to build a manager.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn SessionStore> {
        Arc::clone(&self.0)
    }

    /// Creates a session. Checks that this is done and that the version is the draft's.
    pub async fn must_create(&self, id: &SessionId, draft: &Draft) -> Version {
        let created = self.create(id, draft).await.expect("create failed");
        done(created, draft, "a create of an id that no session has")
    }

    /// Loads a session.
    pub async fn must_load(&self, id: &SessionId) -> Option<Record> {
        self.load(id).await.expect("load failed")
    }

    /// Loads a session, which must exist.
    pub async fn must_find(&self, id: &SessionId) -> Record {
        let found = self.must_load(id).await;
        found.unwrap_or_else(|| panic!("expected a live session {id:?}, found none"))
    }

    /// Checks that there is no such session; `why` is the reason in the message.
    pub async fn must_lack(&self, id: &SessionId, why: &str) {
        let found = self.must_load(id).await;
        assert!(
            found.is_none(),
            "{why}: expected no session, found {found:?}"
        );
    }

    /// Checks that the session matches `draft`, except for its age and the time left.
    pub async fn must_be(&self, id: &SessionId, draft: &Draft, what: &str) {
        let found = self.must_find(id).await;
        check_same(&found, draft, what);
    }

    /// Saves a session. If this is done, checks that the version is the draft's.
    pub async fn must_save(
        &self,
        id: &SessionId,
        draft: &Draft,
        expected: impl Into<Version>,
    ) -> Saved {
        let saved = self.save(id, draft, &expected.into()).await;
        let saved = saved.expect("save failed");
        if saved.is_done() {
            done(saved.clone(), draft, "a save");
        }
        saved
    }

    /// Saves a session, which must be done.
    pub async fn must_replace(
        &self,
        id: &SessionId,
        draft: &Draft,
        expected: impl Into<Version>,
    ) -> Version {
        let saved = self.must_save(id, draft, expected).await;
        done(saved, draft, "a save of the version in place")
    }

    /// Creates a session as `first`, saves it as `second`, and checks that each is read back.
    pub(crate) async fn must_round_trip(&self, first: &Draft, second: &Draft, what: &str) {
        let id = id();
        self.must_create(&id, first).await;
        self.must_be(&id, first, &format!("{what}, created")).await;
        self.must_replace(&id, second, first.stamp).await;
        self.must_be(&id, second, &format!("{what}, saved")).await;
    }

    /// Touches a session.
    pub async fn must_touch(&self, id: &SessionId, idle: impl Into<Timeout>) -> Option<Ttl> {
        self.touch(id, idle.into()).await.expect("touch failed")
    }

    /// Destroys a session of any version. Checks the returned id.
    pub async fn must_destroy(&self, id: &SessionId) -> Option<Ended> {
        own_end(self.destroy(id, None).await, id)
    }

    /// Destroys a session if it is still this version. Checks the returned id.
    pub async fn must_destroy_version(
        &self,
        id: &SessionId,
        expected: impl Into<Version>,
    ) -> Option<Ended> {
        own_end(self.destroy(id, Some(&expected.into())).await, id)
    }

    /// Destroys a session, which must exist.
    pub async fn must_end(&self, id: &SessionId) -> Ended {
        let ended = self.must_destroy(id).await;
        ended.unwrap_or_else(|| panic!("destroy of the live session {id:?} found none"))
    }

    /// Returns the directory, which the case must list in its needs.
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

    /// Lists all live sessions in pages of `limit`.
    pub async fn must_list(&self, limit: usize) -> Vec<SessionInfo> {
        all_pages(async |cursor| {
            let page = self.dir().list(cursor.as_ref(), limit).await;
            page.expect("list failed")
        })
        .await
    }

    /// Lists all live sessions and returns their ids; a store may list one twice.
    pub async fn must_list_ids(&self, limit: usize) -> BTreeSet<SessionId> {
        ids_of(&self.must_list(limit).await)
    }

    /// Lists the sessions of an owner in pages of `limit`.
    pub async fn must_own_by(&self, owner: &Owner, limit: usize) -> Vec<SessionInfo> {
        all_pages(async |cursor| {
            let page = self.dir().owned_by(owner, cursor.as_ref(), limit).await;
            page.expect("owned_by failed")
        })
        .await
    }

    /// Lists the sessions of an owner.
    pub async fn must_own(&self, owner: &Owner) -> Vec<SessionInfo> {
        self.must_own_by(owner, DEFAULT_LIMIT).await
    }

    /// Lists the sessions of an owner and returns their ids.
    pub async fn must_own_ids(&self, owner: &Owner) -> BTreeSet<SessionId> {
        ids_of(&self.must_own(owner).await)
    }

    /// Destroys about `limit` sessions of an owner in one call.
    pub async fn must_destroy_some_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Vec<Ended> {
        let ended = self.dir().destroy_owned_by(owner, except, limit).await;
        ended.expect("destroy_owned_by failed")
    }

    /// Destroys the sessions of an owner, about `limit` in each call, until none is left. Returns
    /// all reports.
    pub async fn must_destroy_owned_by_steps(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Vec<Ended> {
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let ended = self.must_destroy_some_owned_by(owner, except, limit).await;
            if ended.is_empty() {
                return all;
            }
            all.extend(ended);
        }
        panic!("destroying an owner's sessions does not end: {MAX_PAGES} calls so far");
    }

    /// Destroys the sessions of an owner. Returns all reports.
    pub async fn must_destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Vec<Ended> {
        self.must_destroy_owned_by_steps(owner, except, DEFAULT_LIMIT)
            .await
    }

    /// Destroys all sessions and returns their number.
    pub async fn must_clear(&self) -> u64 {
        self.dir().clear().await.expect("clear failed")
    }

    /// Reaps up to `limit` expired sessions, and confirms that they were reported.
    pub async fn must_reap(&self, limit: usize) -> Vec<Ended> {
        let reaped = self.must_reap_unconfirmed(limit).await;
        self.must_confirm(&reaped).await;
        reaped
    }

    /// Reaps up to `limit` expired sessions, as a process that dies before it has reported them.
    pub async fn must_reap_unconfirmed(&self, limit: usize) -> Vec<Ended> {
        self.dir().reap(limit).await.expect("reap failed")
    }

    /// Confirms that expired sessions were reported.
    pub async fn must_confirm(&self, reaped: &[Ended]) {
        let confirmed = self.dir().confirm_reaped(reaped).await;
        confirmed.expect("confirm_reaped failed");
    }
}

/// The sessions of all pages, in order. `page` gets the cursor of the page to list.
pub(super) async fn all_pages<R>(page: impl Fn(Option<Cursor>) -> R) -> Vec<SessionInfo>
where
    R: Future<Output = Page>,
{
    let mut sessions = Vec::new();
    let mut cursor: Option<Cursor> = None;
    for _ in 0..MAX_PAGES {
        let shown = page(cursor).await;
        sessions.extend(shown.sessions);
        match shown.next {
            Some(next) => cursor = Some(next),
            None => return sessions,
        }
    }
    panic!("the listing does not end: {MAX_PAGES} pages so far");
}

/// The ids of listed sessions.
pub(super) fn ids_of(sessions: &[SessionInfo]) -> BTreeSet<SessionId> {
    sessions.iter().map(|one| one.id.clone()).collect()
}

/// The version of a write that must be done with the draft's stamp.
fn done(saved: Saved, draft: &Draft, what: &str) -> Version {
    let Saved::Done(version) = saved else {
        panic!("{what} must be Done, was {saved:?}");
    };
    assert_eq!(
        version.stamp(),
        draft.stamp,
        "{what} returns the draft's stamp"
    );
    version
}

fn own_end(ended: Result<Option<Ended>>, id: &SessionId) -> Option<Ended> {
    let ended = ended.expect("destroy failed");
    if let Some(one) = &ended {
        assert_eq!(
            one.id, *id,
            "destroy returns the id of the session it ended"
        );
    }
    ended
}
