//! Sessions that are created, destroyed and changed while a listing is read.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use session_core::{Owner, SessionId, SessionInfo};

use crate::checked::{CheckedStore, ids_of};
use crate::concurrent::together;
use crate::samples::{draft, id, owner};

/// How many sessions live throughout the listing. As many others end or change their owner.
const STAYING: usize = 60;

/// Creates `count` sessions and returns their ids.
pub(super) async fn create_many(
    store: &CheckedStore,
    count: usize,
    owner: Option<&Owner>,
) -> BTreeSet<SessionId> {
    let created = together(count, async |n| {
        let (id, draft) = (id(), draft(&format!("number {n}")));
        store
            .must_create(&id, &draft.with_owner(owner.cloned()))
            .await;
        id
    });
    created.await.into_iter().collect()
}

/// Sessions that live throughout a listing, and others that end or change their owner between its
/// pages.
pub(super) struct Changing {
    owner: Option<Owner>,
    staying: BTreeSet<SessionId>,
    going: Mutex<Vec<SessionId>>,
}

impl Changing {
    /// Creates the sessions, with this owner or none.
    pub(super) async fn begin(store: &CheckedStore, owner: Option<&Owner>) -> Self {
        let staying = create_many(store, STAYING, owner).await;
        let going = create_many(store, STAYING, owner).await;
        Self {
            owner: owner.cloned(),
            staying,
            going: Mutex::new(going.into_iter().collect()),
        }
    }

    /// Changes some sessions between two pages.
    pub(super) async fn go_on(&self, store: &CheckedStore) {
        let leaving: Vec<SessionId> = {
            let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
            let count = going.len().min(5);
            going.drain(..count).collect()
        };
        if leaving.is_empty() {
            // If sessions were created forever, the listing might not end.
            return;
        }
        for (n, id) in leaving.iter().enumerate() {
            match &self.owner {
                Some(_) if n % 2 == 1 => {
                    let found = store.must_find(id).await;
                    let theirs = draft("another's").with_owner(owner("another"));
                    store.must_replace(id, &theirs, found.version).await;
                }
                _ => drop(store.must_end(id).await),
            }
        }
        create_many(store, 2, self.owner.as_ref()).await;
        let id = self.staying.iter().next().expect("some stay");
        let found = store.must_find(id).await;
        let larger = draft(&"x".repeat(1_000)).with_owner(self.owner.clone());
        store.must_replace(id, &larger, found.version).await;
    }

    /// Checks that a listing shows every session that lived throughout it.
    pub(super) fn check(&self, listed: &[SessionInfo]) {
        let listed = ids_of(listed);
        let missed: Vec<_> = self.staying.difference(&listed).collect();
        assert!(
            missed.is_empty(),
            "lived throughout the listing and was not listed: {missed:?}"
        );
    }
}
