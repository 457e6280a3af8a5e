//! The suite on a store whose data is sealed.

use integration_tests::conformance::{StoreFactory, TestStore};
use integration_tests::conformance_tests;
use integration_tests::reference::ReferenceFactory;
use session_core::{Draft, Result, SessionId, SessionStore, async_trait};
use session_sealed::{KeyRing, SealedStore, Secret};

struct Sealed {
    inner: ReferenceFactory,
    ring: KeyRing,
}

impl Sealed {
    fn new() -> Self {
        let ring = KeyRing::new(Secret::generate()).with_previous(Secret::generate());
        Self {
            inner: ReferenceFactory::default(),
            ring,
        }
    }
}

#[async_trait]
impl StoreFactory for Sealed {
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let store = SealedStore::new(self.inner.store(namespace), &self.ring);
        Ok(TestStore::new(store))
    }

    /// Puts another session's data in the place of this one's, as somebody with access to the
    /// database can.
    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        let store = self.inner.store(namespace);
        let other = session_core::SessionToken::generate().id();
        let sealed = SealedStore::new(store.clone(), &self.ring);
        let draft = Draft::new("another's", session_core::Lifetime::default());
        sealed.create(&other, &draft).await?;
        let data = store.rows().get(&other).and_then(|row| row.data.clone());
        let mut rows = store.rows();
        rows.remove(&other);
        if let Some(row) = rows.get_mut(id) {
            row.data = data;
        }
        Ok(true)
    }
}

conformance_tests!(Sealed::new());

#[tokio::test]
async fn the_database_does_not_show_the_data() {
    let factory = Sealed::new();
    let TestStore { store, .. } = factory.open("n").await.expect("open");
    let id = session_core::SessionToken::generate().id();
    let draft = Draft::new(r#"{"name":"Napoleon"}"#, session_core::Lifetime::default());
    store.create(&id, &draft).await.expect("created");
    let rows = factory.inner.store("n");
    let rows = rows.rows();
    let data = rows[&id].data.clone().expect("some");
    assert!(!data.windows(8).any(|window| window == b"Napoleon"));
}

#[tokio::test]
async fn a_secret_that_was_dropped_opens_nothing_and_a_previous_one_does() {
    let inner = ReferenceFactory::default().store("n");
    let (old, new) = (Secret::generate(), Secret::generate());
    let before = SealedStore::new(inner.clone(), &KeyRing::new(old.clone()));
    let ring = KeyRing::of([new.clone(), old]).expect("two");
    let during = SealedStore::new(inner.clone(), &ring);
    let after = SealedStore::new(inner, &KeyRing::new(new));
    let id = session_core::SessionToken::generate().id();
    let draft = Draft::new("{}", session_core::Lifetime::default());
    before.create(&id, &draft).await.expect("created");
    let found = during.load(&id).await.expect("opens").expect("there");
    assert_eq!(found.data, "{}");
    assert!(after.load(&id).await.is_err(), "the old secret is out");
    let next = Draft::new("{}", session_core::Lifetime::default());
    let saved = during.save(&id, &next, found.stamp).await.expect("up");
    assert_eq!(saved, session_core::Saved::Done(next.stamp));
    after.load(&id).await.expect("sealed with the new one");
}
