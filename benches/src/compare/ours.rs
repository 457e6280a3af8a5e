//! This project's stores: a save names the version that it replaces.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session_core::{
    Credential, Draft, Lifetime, Saved, SessionId, SessionStore, SessionToken, Version,
};

use super::contender::{Contender, json, read_json};

pub(crate) struct Ours<S> {
    store: S,
    sessions: Vec<Session>,
}

struct Session {
    id: SessionId,
    /// The credential of a new session, 57 bytes, created before the measurement.
    credential: Credential,
    /// The version of the last write.
    version: Mutex<Option<Version>>,
}

impl<S: SessionStore> Ours<S> {
    pub(crate) fn new(store: S, sessions: usize) -> Self {
        let session = |_| {
            let token = SessionToken::generate();
            Session {
                id: token.id(),
                credential: Credential::opened_by(&token, None),
                version: Mutex::default(),
            }
        };
        Self {
            store,
            sessions: (0..sessions).map(session).collect(),
        }
    }
}

impl Session {
    fn draft(&self, text: &str) -> Draft {
        let hour = Duration::from_secs(3_600);
        let draft = Draft::new(json(text), Lifetime::new(hour, 12 * hour));
        draft.with_credential(self.credential.clone())
    }

    fn version(&self) -> MutexGuard<'_, Option<Version>> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn written(&self, saved: Saved) {
        let Saved::Done(version) = saved else {
            panic!("not written: {saved:?}");
        };
        *self.version() = Some(version);
    }
}

impl<S: SessionStore> Contender for Ours<S> {
    async fn create(&self, n: usize, text: String) {
        let session = &self.sessions[n];
        let created = self.store.create(&session.id, &session.draft(&text)).await;
        session.written(created.expect("up"));
    }

    async fn load(&self, n: usize) -> (u64, usize) {
        let loaded = self.store.load(&self.sessions[n].id).await;
        read_json(&loaded.expect("up").expect("there").data)
    }

    async fn save(&self, n: usize, text: String) {
        let session = &self.sessions[n];
        let draft = session.draft(&text);
        let expected = session.version().take().expect("it was created");
        let saved = self.store.save(&session.id, &draft, &expected).await;
        session.written(saved.expect("up"));
    }
}
