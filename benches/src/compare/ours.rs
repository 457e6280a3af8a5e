//! Our stores: a save compares the stamp.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use session_core::{Draft, Lifetime, Saved, SessionId, SessionStore, SessionToken, Stamp};

use super::contender::{Contender, json, read_json};

pub(crate) struct Ours<S> {
    store: S,
    sessions: Vec<(SessionId, Mutex<Stamp>)>,
}

impl<S: SessionStore> Ours<S> {
    pub(crate) fn new(store: S, sessions: usize) -> Self {
        let session = |_| {
            let stamp = Mutex::new(Stamp::generate());
            (SessionToken::generate().id(), stamp)
        };
        Self {
            store,
            sessions: (0..sessions).map(session).collect(),
        }
    }

    fn draft(text: &str) -> Draft {
        let hour = Duration::from_secs(3_600);
        Draft::new(json(text), Lifetime::new(hour, 12 * hour))
    }
}

impl<S: SessionStore> Contender for Ours<S> {
    async fn create(&self, n: usize, text: String) {
        let (id, stamp) = &self.sessions[n];
        let created = self.store.create(id, &Self::draft(&text)).await;
        *stamp.lock().unwrap_or_else(PoisonError::into_inner) = created.expect("created");
    }

    async fn load(&self, n: usize) -> (u64, usize) {
        let loaded = self.store.load(&self.sessions[n].0).await;
        read_json(&loaded.expect("up").expect("there").data)
    }

    async fn save(&self, n: usize, text: String) {
        let (id, stamp) = &self.sessions[n];
        let draft = Self::draft(&text);
        let expected = *stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = self.store.save(id, &draft, expected).await.expect("up");
        assert_eq!(saved, Saved::Done(draft.stamp));
        *stamp.lock().unwrap_or_else(PoisonError::into_inner) = draft.stamp;
    }
}
