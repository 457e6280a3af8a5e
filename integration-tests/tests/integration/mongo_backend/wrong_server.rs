//! Servers that are not, or no longer, the primary; runtimes that have ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private};
use session_core::{
    Draft, ErrorKind, Lifetime, Owner, Result, SessionStore, SessionToken, Sessions, Timeout,
    Version,
};
use session_mongo::MongoStore;
use session_mongo::express::{Express, ExpressLayout, ExpressStore};
use session_mongo::mongodb::Client;
use session_mongo::mongodb::bson::doc;

use super::pair::pair;
use super::relay::Relay;
use super::{name, url};

const LIMIT: Duration = Duration::from_secs(1);

/// A store of each layout at `url`, and the sessions in it.
async fn open(url: &str) -> [(&'static str, Sessions); 2] {
    let store = MongoStore::builder().collection(name()).timeout(LIMIT);
    let store = store.connect(url).await.expect("set up");
    let express = ExpressStore::builder(Express::new("secret")).collection(name());
    let express = express.timeout(LIMIT).connect(url).await.expect("set up");
    let lifetime = express.lifetime();
    let express = Sessions::builder(Arc::new(express)).lifetime(lifetime);
    [
        ("native", Sessions::new(Arc::new(store))),
        ("express", express.build().expect("good rules")),
    ]
}

/// The relay leads to the secondary for a while. Nothing is read from it; and once the address
/// leads to the primary again the next calls work, though the connections to the secondary stay
/// open.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_address_leads_to_the_primary_again_works_at_once() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let pair = pair().await;
    let relay = Relay::start(pair.primary.port).await;
    let url = format!(
        "mongodb://127.0.0.1:{}/app?directConnection=true",
        relay.port
    );
    let mut open = open(&url).await.to_vec();
    let mut live = Vec::new();
    for (layout, sessions) in &open {
        let session = sessions.start();
        session.insert("n", 1).expect("JSON");
        session
            .save()
            .await
            .unwrap_or_else(|error| panic!("{layout}: {error}"));
        live.push(session);
    }
    relay.switch(pair.secondary.port);
    relay.cut();
    for ((layout, sessions), session) in open.iter().zip(&live) {
        let opened = sessions.open(session.token().as_ref()).await;
        let error = opened.expect_err("a secondary that is behind");
        assert!(error.is_temporary(), "{layout}: {error}");
        assert!(
            error.to_string().contains("127.0.0.1:"),
            "{layout}: {error}"
        );
        let new = sessions.start();
        new.insert("n", 2).expect("JSON");
        let error = new.save().await.expect_err("a secondary");
        assert!(error.is_temporary(), "{layout}: {error}");
    }
    relay.switch(pair.primary.port);
    tokio::time::sleep(Duration::from_millis(600)).await;
    for ((layout, sessions), session) in open.drain(..).zip(live) {
        let opened = sessions.open(session.token().as_ref()).await;
        let opened = opened.unwrap_or_else(|error| panic!("{layout}: load: {error}"));
        assert!(!opened.is_new(), "{layout}");
        opened.insert("n", 3).expect("JSON");
        let saved = opened.save().await;
        saved.unwrap_or_else(|error| panic!("{layout}: save: {error}"));
        opened.touch().await.expect("touched");
        opened.destroy().await.expect("destroyed");
    }
}

const OPERATIONS: [&str; 9] = [
    "create",
    "load",
    "save",
    "touch",
    "destroy",
    "destroy version",
    "count",
    "clear",
    "destroy_owned_by",
];

/// As after a failover: the open connections lead to the old primary, which says that it is none,
/// and the address leads to the new one.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_call_after_an_address_leads_to_another_primary_succeeds() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let start: [fn(Kind, &[&str]) -> Private; 2] = [Private::start_bare, Private::start];
    for start in start {
        let server = || {
            let start = move || start(Kind::Mongo, &["--setParameter", "enableTestCommands=1"]);
            tokio::task::spawn_blocking(start)
        };
        let (old, new) = tokio::join!(server(), server());
        first_calls(&old.expect("started"), &new.expect("started")).await;
    }
}

async fn first_calls(old: &Private, new: &Private) {
    let relay = Relay::start(old.port).await;
    let far = format!(
        "mongodb://127.0.0.1:{}/app?directConnection=true",
        relay.port
    );
    let mut cases = Vec::new();
    let all = OPERATIONS.map(|operation| (operation, 10107));
    let codes = [91, 189, 11600, 11602, 13435].map(|code| ("save", code));
    for (operation, code) in all.into_iter().chain(codes) {
        let name = name();
        let (far, near) = (both(&far, &name).await, both(&new.url, &name).await);
        cases.push((operation, code, far, near));
    }
    relay.switch(new.port);
    // A client that is young is kept.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let client = Client::with_uri_str(&old.url).await.expect("a good URL");
    let admin = client.database("admin");
    for (operation, code, far, near) in cases {
        let fail = doc! {
            "configureFailPoint": "failCommand",
            "mode": "alwaysOn",
            "data": {
                "failCommands": ["find", "aggregate", "insert", "update", "delete", "findAndModify"],
                "errorCode": code,
            },
        };
        admin.run_command(fail).await.expect("told");
        for (far, near) in far.iter().zip(&near) {
            let is_express = far.capabilities().plain_ids;
            if is_express && operation == "destroy_owned_by" {
                continue;
            }
            let done = first_call(operation, &**far, &**near).await;
            done.unwrap_or_else(|error| panic!("{is_express}: {operation}, {code}: {error}"));
        }
    }
}

/// A store of each layout at `url`.
async fn both(url: &str, name: &str) -> [Box<dyn SessionStore>; 2] {
    let store = MongoStore::builder().collection(name);
    let express = ExpressStore::builder(Express::new("secret")).collection(format!("{name}e"));
    let (store, express) = tokio::join!(store.connect(url), express.connect(url));
    [
        Box::new(store.expect("set up")),
        Box::new(express.expect("set up")),
    ]
}

async fn first_call(
    operation: &str,
    far: &dyn SessionStore,
    near: &dyn SessionStore,
) -> Result<()> {
    let (id, ann) = (SessionToken::generate().id(), Owner::new("ann")?);
    let draft = || Draft::new("{}", Lifetime::idle(Duration::from_secs(60)));
    let is_express = near.capabilities().plain_ids;
    let first = draft().with_owner((!is_express).then(|| ann.clone()));
    assert!(near.create(&id, &first).await?.is_done());
    let version = near.load(&id).await?.expect("created").version;
    let directory = || far.directory().expect("it lists");
    match operation {
        "create" => {
            let other = SessionToken::generate().id();
            assert!(far.create(&other, &draft()).await?.is_done());
        }
        "load" => assert!(far.load(&id).await?.is_some()),
        "save" => assert!(far.save(&id, &draft(), &version).await?.is_done()),
        "touch" => {
            let longer = Timeout::After(Duration::from_secs(90));
            assert!(far.touch(&id, longer).await?.is_some());
        }
        "destroy" => assert!(far.destroy(&id, None).await?.is_some()),
        "destroy version" => {
            let bare = Version::new(version.stamp());
            assert!(far.destroy(&id, Some(&bare)).await?.is_some());
        }
        "count" => assert_eq!(directory().count().await?, 1),
        "clear" => assert_eq!(directory().clear().await?, 1),
        _ => {
            let ended = directory().destroy_owned_by(&ann, None, 10).await?;
            assert_eq!(ended.len(), 1);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_to_the_primary_whatever_the_url_says() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let pair = pair().await;
    for preference in [
        "readPreference=secondaryPreferred",
        "readPreference=secondary",
        "readPreference=nearest&localThresholdMS=1000",
        "readPreference=secondaryPreferred&maxStalenessSeconds=90",
    ] {
        for (layout, sessions) in open(&pair.url(preference)).await {
            for _ in 0..5 {
                let session = sessions.start();
                session.insert("n", 1).expect("JSON");
                session.save().await.expect("saved");
                let opened = sessions.open(session.token().as_ref()).await.expect("read");
                assert!(!opened.is_new(), "{layout}, {preference}");
            }
            assert_eq!(
                sessions.count().await.expect("up"),
                5,
                "{layout}, {preference}"
            );
            let directory = sessions.store().directory().expect("it lists");
            let page = directory.list(None, 10).await.expect("up");
            assert_eq!(page.sessions.len(), 5, "{layout}, {preference}");
            assert_eq!(
                directory.clear().await.expect("up"),
                5,
                "{layout}, {preference}"
            );
        }
    }
}

/// A database of the caller's has a read preference too.
#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_callers_database_go_to_the_primary() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let url = pair().await.url("readPreference=secondaryPreferred");
    let client = session_mongo::mongodb::Client::with_uri_str(&url).await;
    let database = client.expect("a good URL").database("app");
    let builder = MongoStore::builder().collection(name());
    let store = builder.build(database.clone()).await.expect("set up");
    let sessions = Sessions::new(Arc::new(store));
    let session = sessions.start();
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("saved");
    let opened = sessions.open(session.token().as_ref()).await.expect("read");
    assert!(!opened.is_new());
}

#[test]
fn a_store_outlives_the_runtime_that_it_was_made_in() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let first = runtime();
    let open = first.block_on(open(url()));
    let tokens = open.each_ref().map(|(_, sessions)| {
        first.block_on(async {
            let session = sessions.start();
            session.insert("n", 1).expect("JSON");
            session.save().await.expect("saved");
            session.token()
        })
    });
    drop(first);
    for _ in 0..2 {
        let next = runtime();
        for ((layout, sessions), token) in open.iter().zip(&tokens) {
            next.block_on(async {
                let opened = sessions.open(token.as_ref()).await;
                let opened = opened.unwrap_or_else(|error| panic!("{layout}: {error}"));
                assert!(!opened.is_new(), "{layout}");
                opened.insert("n", 2).expect("JSON");
                opened.save().await.expect("saved");
                sessions.count().await.expect("counted");
            });
        }
    }
}

/// The store can't make another.
#[test]
fn a_callers_client_whose_runtime_has_ended_is_named_as_the_cause() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let first = runtime();
    let (native, express) = first.block_on(async {
        let client = Client::with_uri_str(url()).await.expect("a good URL");
        let database = client.database("app");
        let native = MongoStore::builder().collection(name());
        let native = native.timeout(LIMIT).build(database.clone()).await;
        let express = ExpressStore::builder(Express::new("secret")).collection(name());
        let express = express.timeout(LIMIT).build(database).await;
        (native.expect("set up"), express.expect("set up"))
    });
    drop(first);
    runtime().block_on(async {
        let id = SessionToken::generate().id();
        for error in [
            native.load(&id).await.expect_err("it has ended"),
            native.destroy(&id, None).await.expect_err("it has ended"),
            express.load(&id).await.expect_err("it has ended"),
        ] {
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
            assert!(error.to_string().contains("runtime"), "{error}");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_store_closes_its_connections_at_once() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let server = url().split(['/', '?']).nth(2).expect("a host");
    let port = server.rsplit_once(':').expect("a port").1;
    let relay = Relay::start(port.parse().expect("a number")).await;
    let url = format!(
        "mongodb://127.0.0.1:{}/app?directConnection=true",
        relay.port
    );
    let open = open(&url).await;
    for (_, sessions) in &open {
        let session = sessions.start();
        session.insert("n", 1).expect("JSON");
        session.save().await.expect("saved");
    }
    // For the round-trip monitor to be there too.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(relay.open() >= 4, "{}", relay.open());
    drop(open);
    let began = Instant::now();
    while relay.open() > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{} are open",
            relay.open()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
