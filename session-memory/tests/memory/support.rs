//! Sessions for the tests, and calls that must succeed.

use std::collections::BTreeSet;
use std::time::Duration;

use session_core::{Credential, Draft, Saved};
use session_memory::{
    Lifetime, MemoryStore, Owner, SessionDirectory, SessionId, SessionInfo, SessionStore,
    SessionToken,
};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn id() -> SessionId {
    SessionToken::generate().id()
}

pub(crate) fn draft(lifetime: Lifetime) -> Draft {
    Draft::new("{}", lifetime)
}

pub(crate) fn owner() -> Owner {
    Owner::new("u").expect("valid")
}

pub(crate) fn credential(length: usize) -> Option<Credential> {
    Credential::from_stored(&vec![length as u8; length]).expect("it fits")
}

pub(crate) async fn create(store: &MemoryStore, id: &SessionId, draft: &Draft) {
    let created = store.create(id, draft).await.expect("room");
    assert_eq!(created, Saved::done(draft));
}

pub(crate) async fn destroy(store: &MemoryStore, id: &SessionId) {
    let ended = store.destroy(id, None).await.expect("up");
    assert_eq!(ended.expect("live").id, *id);
}

/// All sessions of an owner, by pages of `limit`.
pub(crate) async fn owned(store: &MemoryStore, owner: &Owner, limit: usize) -> Vec<SessionInfo> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.owned_by(owner, cursor.as_ref(), limit).await;
        let page = page.expect("up");
        assert!(page.sessions.len() <= limit, "the limit");
        all.extend(page.sessions);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return all,
        }
    }
}

pub(crate) fn ids(sessions: &[SessionInfo]) -> BTreeSet<SessionId> {
    sessions.iter().map(|info| info.id.clone()).collect()
}

/// Creates 10,000 sessions of an owner, so that each shard has more than one step handles.
pub(crate) async fn create_many(
    store: &MemoryStore,
    owner: &Owner,
    lifetime: Lifetime,
) -> BTreeSet<SessionId> {
    let mut ids = BTreeSet::new();
    for _ in 0..10_000 {
        let (id, draft) = (id(), draft(lifetime).with_owner(owner.clone()));
        create(store, &id, &draft).await;
        ids.insert(id);
    }
    ids
}
