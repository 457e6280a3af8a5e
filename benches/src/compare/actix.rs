//! actix-session.

use std::collections::HashMap;
use std::sync::OnceLock;

use actix_session::storage::{RedisSessionStore, SessionKey, SessionStore};
use actix_web::cookie::time::Duration;

use super::contender::{Contender, read};

const HOUR: Duration = Duration::hours(1);

pub(crate) struct Actix {
    store: RedisSessionStore,
    keys: Vec<OnceLock<String>>,
}

impl Actix {
    pub(crate) async fn new(url: &str, sessions: usize) -> Self {
        let store = RedisSessionStore::new(url).await.expect("up");
        let keys = (0..sessions).map(|_| OnceLock::new()).collect();
        Self { store, keys }
    }

    fn key(&self, n: usize) -> SessionKey {
        let key = self.keys[n].get().expect("created").clone();
        SessionKey::try_from(key).expect("a key")
    }
}

impl Contender for Actix {
    async fn create(&self, n: usize, text: String) {
        let key = self.store.save(state(text), &HOUR).await.expect("saved");
        self.keys[n].get_or_init(|| key.as_ref().to_owned());
    }

    async fn load(&self, n: usize) -> (u64, usize) {
        let state = self.store.load(&self.key(n)).await.expect("up");
        read(state.expect("there")["data"].as_str())
    }

    async fn save(&self, n: usize, text: String) {
        let updated = self.store.update(self.key(n), state(text), &HOUR).await;
        updated.expect("saved");
    }
}

fn state(text: String) -> HashMap<String, String> {
    HashMap::from([("data".to_owned(), text)])
}
