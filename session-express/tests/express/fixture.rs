//! Stores and ids that the tests share.

use std::time::Duration;

use session_core::{Result, Saved, SessionId, SessionStore, SessionToken, Version};
use session_express::{Express, ExpressStore, KeyValue};

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
/// How often a race is run.
pub(crate) const ROUNDS: u64 = 1_000;

/// A store of an app whose cookies end with the browser.
pub(crate) fn store<K: KeyValue<Client = ()>>(kv: K) -> ExpressStore<K> {
    ExpressStore::with_client(kv, Express::new("s"), ()).expect("good options")
}

/// The id for an Express session id.
pub(crate) fn plain(sid: &str) -> SessionId {
    SessionId::plain(sid).expect("any text")
}

pub(crate) fn new_plain_id() -> SessionId {
    SessionToken::generate_plain().id()
}

/// The version of a write, which must be done.
pub(crate) fn done(saved: Result<Saved>) -> Version {
    match saved {
        Ok(Saved::Done(version)) => version,
        other => panic!("expected a write that is done, was {other:?}"),
    }
}

pub(crate) async fn lives(store: &impl SessionStore, id: &SessionId) -> bool {
    store.load(id).await.expect("read").is_some()
}
