//! The suite on a store whose data is sealed.

use session_conformance::reference::ReferenceFactory;
use session_conformance::{StoreFactory, TestStore, conformance_tests};
use session_core::{
    Draft, Lifetime, Result, Saved, SessionId, SessionStore, SessionToken, async_trait,
};
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

    /// Puts another session's data in the place of this one's, as an attacker with write access
    /// to the database can.
    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        let store = self.inner.store(namespace);
        let other = SessionToken::generate().id();
        let sealed = SealedStore::new(store.clone(), &self.ring);
        let draft = Draft::new("another's", Lifetime::default());
        let created = sealed.create(&other, &draft).await?;
        assert_eq!(created, Saved::done(&draft));
        let data = store.rows().get(&other).and_then(|row| row.data.clone());
        let mut rows = store.rows();
        rows.remove(&other);
        if let Some(row) = rows.get_mut(id) {
            row.data = data;
        }
        Ok(true)
    }

    async fn lapse_claims(&self, namespace: &str) -> Result<bool> {
        self.inner.lapse_claims(namespace).await
    }
}

conformance_tests!(Sealed::new());

#[tokio::test]
async fn the_database_does_not_show_the_data() {
    let factory = Sealed::new();
    let TestStore { store, .. } = factory.open("n").await.expect("open");
    let id = SessionToken::generate().id();
    let draft = Draft::new(r#"{"name":"Napoleon"}"#, Lifetime::default());
    let created = store.create(&id, &draft).await.expect("up");
    assert_eq!(created, Saved::done(&draft));
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
    let id = SessionToken::generate().id();
    let draft = Draft::new("{}", Lifetime::default());
    let created = before.create(&id, &draft).await.expect("up");
    assert_eq!(created, Saved::done(&draft));
    let found = during.load(&id).await.expect("opens").expect("there");
    assert_eq!(found.data, "{}");
    assert!(after.load(&id).await.is_err(), "the old secret is out");
    let next = Draft::new("{}", Lifetime::default());
    let saved = during.save(&id, &next, &found.version).await.expect("up");
    assert_eq!(saved, Saved::done(&next));
    after.load(&id).await.expect("sealed with the new one");
}
