//! A sealed store around one whose ids are the tokens.

use std::time::Duration;

use session_core::{
    Capabilities, Draft, Ended, Error, Lifetime, Record, Result, Saved, SessionDirectory,
    SessionId, SessionStore, SessionToken, Timeout, TokenChange, Ttl, Version, async_trait,
};
use session_memory::MemoryStore;
use session_sealed::{KeyRing, SealedStore, Secret};

/// A store that says that its ids are the tokens.
#[derive(Debug)]
struct Plain(MemoryStore);

#[async_trait]
impl SessionStore for Plain {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities().with_plain_ids(true)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        None
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        self.0.create(id, draft).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        self.0.load(id).await
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        self.0.save(id, draft, expected).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        self.0.touch(id, idle).await
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        self.0.destroy(id, expected).await
    }
}

#[tokio::test]
async fn a_new_token_is_refused_where_the_session_would_move_to_another_id() {
    let ring = KeyRing::new(Secret::generate());
    let lifetime = Lifetime::fixed(Duration::from_secs(60));
    let native = SealedStore::new(MemoryStore::new(), &ring);
    let plain = SealedStore::new(Plain(MemoryStore::new()), &ring);
    for (store, refused) in [(native, false), (plain, true)] {
        let (id, first) = (SessionToken::generate().id(), Draft::new("1", lifetime));
        let created = store.create(&id, &first).await.expect("up");
        assert!(created.is_done());
        let signed_in = Draft::new("2", lifetime).with_token(TokenChange::New);
        let saved = store.save(&id, &signed_in, &first.stamp.into()).await;
        let is_refused = matches!(saved, Err(Error::Unsupported { .. }));
        assert_eq!(is_refused, refused, "{saved:?}");
        let found = store.load(&id).await.expect("opens").expect("live");
        assert_eq!(found.data, if refused { "1" } else { "2" });
    }
}
