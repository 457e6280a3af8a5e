//! The store under test, with calls that must succeed.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use session_core::{
    Cursor, Draft, Ended, Owner, Page, Record, Result, Saved, SessionDirectory, SessionId,
    SessionInfo, SessionStore, Timeout, Ttl, Version,
};

use crate::compare::check_same;

/// The most pages of a listing, or calls to end an owner's sessions. More count as endless.
const MOST_PAGES: usize = 100_000;

/// The limit of a page or call where a case needs no other.
const USUAL_LIMIT: usize = 100;

/// The store under test. It is a `SessionStore`; its methods of its own (`must_…`) panic where the
/// store answers with an error, which is never right where a case uses them.
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

    /// The store, for the manager.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn SessionStore> {
        Arc::clone(&self.0)
    }

    /// Creates it, and checks that this was done and which version is given back.
    pub async fn must_create(&self, id: &SessionId, draft: &Draft) -> Version {
        let created = self.create(id, draft).await.expect("create failed");
        done(created, draft, "a create of an id that no session has")
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

    /// Checks that the session is as `draft` made it, but for what is left of its time.
    pub async fn must_be(&self, id: &SessionId, draft: &Draft, what: &str) {
        let found = self.must_find(id).await;
        check_same(&found, draft, what);
    }

    /// Saves it, and checks the version that is given back if it is done.
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

    /// Saves it, and checks that this was done.
    pub async fn must_replace(
        &self,
        id: &SessionId,
        draft: &Draft,
        expected: impl Into<Version>,
    ) -> Version {
        let saved = self.must_save(id, draft, expected).await;
        done(saved, draft, "a save of the version in place")
    }

    /// Touches it.
    pub async fn must_touch(&self, id: &SessionId, idle: impl Into<Timeout>) -> Option<Ttl> {
        self.touch(id, idle.into()).await.expect("touch failed")
    }

    /// Destroys it, whatever its version, and checks the id that is given back.
    pub async fn must_destroy(&self, id: &SessionId) -> Option<Ended> {
        own_end(self.destroy(id, None).await, id)
    }

    /// Destroys this version of it, and checks the id that is given back.
    pub async fn must_destroy_version(
        &self,
        id: &SessionId,
        expected: impl Into<Version>,
    ) -> Option<Ended> {
        own_end(self.destroy(id, Some(&expected.into())).await, id)
    }

    /// Destroys it, and checks that it was there.
    pub async fn must_end(&self, id: &SessionId) -> Ended {
        let ended = self.must_destroy(id).await;
        ended.unwrap_or_else(|| panic!("destroy of the live session {id:?} found none"))
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
        all_pages(async |cursor| {
            let page = self.dir().list(cursor.as_ref(), limit).await;
            page.expect("list failed")
        })
        .await
    }

    /// The ids that a listing gives; a store may give one twice.
    pub async fn must_list_ids(&self, limit: usize) -> BTreeSet<SessionId> {
        ids_of(&self.must_list(limit).await)
    }

    /// Lists the sessions of an owner by pages of `limit`.
    pub async fn must_own_by(&self, owner: &Owner, limit: usize) -> Vec<SessionInfo> {
        all_pages(async |cursor| {
            let page = self.dir().owned_by(owner, cursor.as_ref(), limit).await;
            page.expect("owned_by failed")
        })
        .await
    }

    /// Lists the sessions of an owner.
    pub async fn must_own(&self, owner: &Owner) -> Vec<SessionInfo> {
        self.must_own_by(owner, USUAL_LIMIT).await
    }

    /// The ids of an owner's sessions.
    pub async fn must_own_ids(&self, owner: &Owner) -> BTreeSet<SessionId> {
        ids_of(&self.must_own(owner).await)
    }

    /// Ends sessions of an owner, about `limit` of them.
    pub async fn must_destroy_some_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Vec<Ended> {
        let ended = self.dir().destroy_owned_by(owner, except, limit).await;
        ended.expect("destroy_owned_by failed")
    }

    /// Ends the sessions of an owner, about `limit` a call, until none is left. Gives all that was
    /// reported.
    pub async fn must_destroy_owned_by_steps(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Vec<Ended> {
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let ended = self.must_destroy_some_owned_by(owner, except, limit).await;
            if ended.is_empty() {
                return all;
            }
            all.extend(ended);
        }
        panic!("an owner's sessions do not come to an end: {MOST_PAGES} calls so far");
    }

    /// Ends the sessions of an owner. Gives all that was reported.
    pub async fn must_destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Vec<Ended> {
        self.must_destroy_owned_by_steps(owner, except, USUAL_LIMIT)
            .await
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

/// What all pages show, from the first to the last. `page` is told where the next one starts.
pub(super) async fn all_pages<R>(page: impl Fn(Option<Cursor>) -> R) -> Vec<SessionInfo>
where
    R: Future<Output = Page>,
{
    let mut sessions = Vec::new();
    let mut cursor: Option<Cursor> = None;
    for _ in 0..MOST_PAGES {
        let shown = page(cursor).await;
        sessions.extend(shown.sessions);
        match shown.next {
            Some(next) => cursor = Some(next),
            None => return sessions,
        }
    }
    panic!("the listing does not end: {MOST_PAGES} pages so far");
}

/// The ids of what a listing shows.
pub(super) fn ids_of(sessions: &[SessionInfo]) -> BTreeSet<SessionId> {
    sessions.iter().map(|one| one.id.clone()).collect()
}

/// The version that a write has made, which must be the draft's.
fn done(saved: Saved, draft: &Draft, what: &str) -> Version {
    let Saved::Done(version) = saved else {
        panic!("{what} must be Done, was {saved:?}");
    };
    assert_eq!(
        version.stamp(),
        draft.stamp,
        "{what} gives back the draft's stamp"
    );
    version
}

fn own_end(ended: Result<Option<Ended>>, id: &SessionId) -> Option<Ended> {
    let ended = ended.expect("destroy failed");
    if let Some(one) = &ended {
        assert_eq!(one.id, *id, "destroy gives back the id of what it ended");
    }
    ended
}
