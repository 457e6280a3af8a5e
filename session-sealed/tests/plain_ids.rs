//! A sealed store around a store whose ids are the tokens.

use std::time::Duration;

use session_core::{
    Capabilities, Draft, ErrorKind, Lifetime, SessionStore, SessionToken, StoreWrapper, TokenChange,
};
use session_memory::MemoryStore;
use session_sealed::{KeyRing, SealedStore, Secret};

/// A store that declares that its ids are the tokens.
#[derive(Debug)]
struct Plain(MemoryStore);

impl StoreWrapper for Plain {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.0
    }

    fn capabilities(this: &Self) -> Capabilities {
        this.0.capabilities().with_plain_ids(true)
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
        let is_refused = matches!(&saved, Err(error) if error.kind() == ErrorKind::Unsupported);
        assert_eq!(is_refused, refused, "{saved:?}");
        let found = store.load(&id).await.expect("opens").expect("live");
        assert_eq!(found.data, if refused { "1" } else { "2" });
    }
}
