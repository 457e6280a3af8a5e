use session_conformance::reference::ReferenceFactory as MyDatabase; // yours
use session_conformance::{Fixture, StoreFactory, TestStore, conformance_tests};
use session_core::{Result, SessionId, async_trait};

#[derive(Default)]
struct MyFactory(MyDatabase);

#[async_trait]
impl StoreFactory for MyFactory {
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let store = self.0.store(namespace);
        Ok(TestStore::new(store).with_guard("dropped when the case is over: a table, a directory"))
    }

    /// Overwrites the stored session with something that is none, without asking the store.
    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        self.0.corrupt(namespace, id).await
    }

    /// The suite checks that no `Debug` and no error shows one of these.
    fn secrets(&self) -> Vec<String> {
        vec!["the password of the database".to_owned()]
    }

    /// No case runs if this gives a reason.
    fn absent(&self) -> Option<&'static str> {
        std::env::var_os("SKIP_MY_DATABASE").map(|_| "SKIP_MY_DATABASE is set")
    }
}

conformance_tests!(MyFactory::default(), own_cases = [a_new_store_is_empty]);

/// What your store promises beyond the suite: a case panics if the store is wrong.
async fn a_new_store_is_empty(fixture: Fixture) {
    let store = fixture.store();
    let directory = store.directory().expect("this store has one");
    assert_eq!(directory.count().await.expect("it is up"), 0);
}
