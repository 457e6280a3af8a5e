//! The suite on MongoDB.

use std::time::Duration;

use integration_tests::servers::{self, Server};
use session_conformance::{StoreFactory, TestStore, conformance_tests};
use session_core::{Result, SessionId, async_trait};
use session_mongo::MongoStore;
use session_mongo::mongodb::bson::{Document, doc};
use session_mongo::mongodb::{Client, Collection};

const DATABASE: &str = "app";

struct Mongo(Option<&'static Server>);

impl Mongo {
    fn url(&self) -> &'static str {
        &self.0.expect("no case runs if there is none").url
    }
}

impl Mongo {
    async fn collection(&self, name: &str) -> Collection<Document> {
        let client = Client::with_uri_str(self.url()).await.expect("a good URL");
        client.database(DATABASE).collection(name)
    }
}

#[async_trait]
impl StoreFactory for Mongo {
    fn absent(&self) -> Option<&'static str> {
        self.0.is_none().then_some("SESSION_TEST_SKIP names mongo")
    }

    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let store = MongoStore::builder()
            .collection(namespace)
            .max_data(2 * 1024 * 1024)
            .timeout(servers::PATIENCE)
            .expiry_grace(Duration::from_secs(3_600))
            .connect(self.url())
            .await?;
        Ok(TestStore::new(store))
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        let garbage = doc! { "$set": { "data": "what is this?", "stamp": 5 } };
        let sessions = self.collection(namespace).await;
        let changed = sessions
            .update_one(doc! { "_id": id.as_str() }, garbage)
            .await;
        assert_eq!(changed.expect("overwritten").matched_count, 1);
        Ok(true)
    }

    async fn lapse_claims(&self, namespace: &str) -> Result<bool> {
        let earlier = doc! { "$set": { "claimed": { "$subtract": ["$$NOW", 3_600_000] } } };
        let claimed = doc! { "claim": { "$exists": true } };
        let sessions = self.collection(namespace).await;
        let lapsed = sessions.update_many(claimed, vec![earlier]).await;
        lapsed.expect("lapsed");
        Ok(true)
    }
}

conformance_tests!(Mongo(servers::mongo()));
