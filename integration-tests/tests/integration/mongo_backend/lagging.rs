//! A replica set with a secondary that is behind: what a load answers does not depend on the read
//! preference of the URL.

use std::collections::BTreeSet;
use std::sync::Arc;

use integration_tests::servers::{self, Kind, Private};
use session_core::{SessionId, Sessions};
use session_mongo::MongoStore;
use session_mongo::express::{Express, ExpressLayout, ExpressStore};
use session_mongo::mongodb::Client;
use session_mongo::mongodb::bson::{Document, doc};

use super::name;
use super::pair::{admin, until};

/// Options that let reads go to a secondary.
const PREFERENCES: [&str; 4] = [
    "readPreference=secondaryPreferred",
    "readPreference=secondary&readPreferenceTags=is:late",
    "readPreference=nearest&localThresholdMS=1000",
    "readPreference=secondaryPreferred&maxStalenessSeconds=90",
];

/// A primary, a secondary that keeps up, so that majorities are quick, and one that is behind.
struct LaggingSet([Private; 3]);

impl LaggingSet {
    async fn start() -> Self {
        let start = || {
            let set = ["--replSet", "rs0", "--setParameter", "enableTestCommands=1"];
            tokio::task::spawn_blocking(move || Private::start_bare(Kind::Mongo, &set))
        };
        let (primary, near, late) = tokio::join!(start(), start(), start());
        let members = [primary, near, late].map(|one| one.expect("started"));
        let host = |at: usize| format!("127.0.0.1:{}", members[at].port);
        let never = |at: usize| doc! { "_id": at as i32, "host": host(at), "priority": 0 };
        let mut late = never(2);
        late.insert("tags", doc! { "is": "late" });
        let config = doc! { "replSetInitiate": {
            "_id": "rs0",
            "members": [{ "_id": 0, "host": host(0) }, never(1), late],
        } };
        let admin = admin(&members[0]).await;
        admin.run_command(config).await.expect("initiated");
        until(&admin, "isWritablePrimary").await;
        for secondary in &members[1..] {
            until(&self::admin(secondary).await, "secondary").await;
        }
        // A delayed member (`secondaryDelaySecs`) would be named to no client.
        let stop = doc! { "configureFailPoint": "rsSyncApplyStop", "mode": "alwaysOn" };
        let late = self::admin(&members[2]).await;
        late.run_command(stop).await.expect("stopped");
        Self(members)
    }

    fn url(&self, options: &str) -> String {
        let hosts = self
            .0
            .each_ref()
            .map(|one| format!("127.0.0.1:{}", one.port));
        format!("mongodb://{}/app?replicaSet=rs0&{options}", hosts.join(","))
    }
}

/// A manager of each layout, by the URL and by a database that the caller has made with it.
async fn managers(url: &str) -> Vec<(&'static str, Sessions)> {
    let client = Client::with_uri_str(url).await.expect("a good URL");
    let database = client.database("app");
    let store = MongoStore::builder().collection(name());
    let given = MongoStore::builder().collection(name());
    let express = || ExpressStore::builder(Express::new("secret")).collection(name());
    let store = store.connect(url).await.expect("set up");
    let given = given.build(database.clone()).await.expect("set up");
    let mut managers = vec![
        ("native", Sessions::from(store)),
        ("native, given", Sessions::from(given)),
    ];
    for (layout, express) in [
        ("Express", express().connect(url).await),
        ("Express, given", express().build(database).await),
    ] {
        let express = express.expect("set up");
        let lifetime = express.lifetime();
        let manager = Sessions::builder(Arc::new(express)).lifetime(lifetime);
        managers.push((layout, manager.build().expect("good rules")));
    }
    managers
}

async fn listed(sessions: &Sessions) -> BTreeSet<SessionId> {
    let directory = sessions.store().directory().expect("it lists");
    let page = directory.list(None, 100).await.expect("up");
    page.sessions
        .into_iter()
        .map(|session| session.id)
        .collect()
}

/// What has just been written is what is read, and what has just ended is gone.
async fn agrees_with_itself(sessions: &Sessions) {
    let mut live = BTreeSet::new();
    for round in 0..5 {
        let session = sessions.start();
        session.insert("n", round).expect("a number");
        session.save().await.expect("saved");
        let token = session.token();
        let opened = sessions.open(token.as_ref()).await.expect("read");
        assert!(!opened.is_new(), "it is absent");
        opened.insert("n", round + 10).expect("a number");
        opened.save().await.expect("saved");
        let again = sessions.open(token.as_ref()).await.expect("read");
        assert_eq!(again.get::<i32>("n").expect("a number"), Some(round + 10));
        if round % 2 == 0 {
            again.destroy().await.expect("destroyed");
            let ended = sessions.open(token.as_ref()).await.expect("read");
            assert!(ended.is_new(), "it is open again");
        } else {
            live.extend(session.id());
        }
    }
    assert_eq!(listed(sessions).await, live);
    assert_eq!(sessions.count().await.expect("up"), live.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_is_behind_is_not_read_whatever_the_url_says() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let set = LaggingSet::start().await;
    // The driver's own reads by such a URL do miss what was just written.
    let client = Client::with_uri_str(set.url(PREFERENCES[1])).await;
    let database = client.expect("a good URL").database("app");
    let documents = database.collection::<Document>("raw");
    documents.insert_one(doc! { "_id": 1 }).await.expect("up");
    let read = documents.find_one(doc! { "_id": 1 }).await;
    assert_eq!(read.expect("a secondary answers"), None, "it keeps up");
    for preference in PREFERENCES {
        for (layout, sessions) in managers(&set.url(preference)).await {
            let checked = tokio::spawn(async move { agrees_with_itself(&sessions).await });
            let checked = checked.await;
            assert!(checked.is_ok(), "{layout}, {preference}");
        }
    }
}
