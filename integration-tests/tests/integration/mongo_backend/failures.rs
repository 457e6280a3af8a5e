//! What errors say and mean, of each way in which a server can fail.

use std::time::Duration;

use futures_util::future::join_all;
use integration_tests::servers::{self, Kind};
use session_core::{
    Draft, Error, ErrorKind, Lifetime, Owner, SessionDirectory, SessionStore, SessionToken,
};
use session_mongo::MongoStore;
use session_mongo::express::{Express, ExpressStore};
use session_mongo::mongodb::Client;
use session_mongo::mongodb::bson::doc;
use session_mongo::mongodb::options::{Acknowledgment, DatabaseOptions, ReadConcern, WriteConcern};

use super::guarded::{PASSWORD, guarded};
use super::relay::Relay;
use super::{HOUR, drop_collection, must_create, name, store, url};

const LIMIT: Duration = Duration::from_secs(1);
/// Long enough for a busy machine to find out why a server can't be used.
const PATIENCE: Duration = Duration::from_secs(5);

/// The error of each layout at `url`.
async fn errors(url: &str) -> [Error; 2] {
    let store = MongoStore::builder().collection(name()).timeout(PATIENCE);
    let express = ExpressStore::builder(Express::new("secret")).collection(name());
    let express = express.timeout(PATIENCE);
    let (native, express) = tokio::join!(store.connect(url), express.connect(url));
    [native.expect_err(url), express.map(drop).expect_err(url)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_not_be_used_is_named_with_the_cause() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let guarded = guarded().await;
    let (port, silent) = (guarded.port, Relay::start(0).await);
    let at = format!("MongoDB at 127.0.0.1:{port}");
    let plain = url().split(['/', '?']).nth(2).expect("a host").to_owned();
    let (down, wrong) = (ErrorKind::Unavailable, ErrorKind::Misconfigured);
    let refused = "MongoDB at 127.0.0.1:1: Connection refused";
    let mut cases = Vec::new();
    for (url, kind, texts) in [
        (
            format!("mongodb://u:{PASSWORD}@127.0.0.1:1/app"),
            down,
            vec!["cannot connect to the session store: ", refused],
        ),
        (
            format!("mongodb://u:{PASSWORD}@127.0.0.1:1/app?directConnection=true"),
            down,
            vec![refused],
        ),
        (
            format!("mongodb://u:{PASSWORD}@no-such-host.invalid/app"),
            down,
            vec!["MongoDB at no-such-host.invalid:27017: ", "lookup"],
        ),
        (
            format!("mongodb://127.0.0.1:{}/app", silent.port),
            down,
            vec!["MongoDB at 127.0.0.1:", "timed out"],
        ),
        (
            format!("mongodb://writer:{PASSWORD}3@127.0.0.1:{port}/app"),
            wrong,
            vec![&at, "password", "authSource"],
        ),
        (
            format!("mongodb://nobody:{PASSWORD}@127.0.0.1:{port}/app"),
            wrong,
            vec![&at, "password", "authSource"],
        ),
        (
            format!("mongodb://127.0.0.1:{port}/app"),
            wrong,
            vec![&at, "13 Unauthorized"],
        ),
        (
            guarded.url("reader", ""),
            wrong,
            vec![&at, "insert, update, remove, createIndex", "app."],
        ),
        (
            guarded.url("writer", "tls=true"),
            wrong,
            vec![&at, "certificate", "tlsCAFile"],
        ),
        (
            format!("mongodb://{plain}/app?tls=true"),
            down,
            vec![&plain, "handshake"],
        ),
    ] {
        cases.push((url, kind, texts));
    }
    let tried = cases.iter().map(|(url, ..)| errors(url));
    for (errors, (url, kind, texts)) in join_all(tried).await.iter().zip(&cases) {
        for error in errors {
            let text = error.to_string();
            assert_eq!(error.kind(), *kind, "{url}: {text}");
            for part in texts {
                assert!(text.contains(part), "{url}: {text}");
            }
            assert!(!format!("{error:?} {text}").contains(PASSWORD), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_named() {
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
    let builder = MongoStore::builder().collection(name()).timeout(LIMIT);
    let store = builder.connect(&url).await.expect("set up");
    relay.switch(0);
    relay.cut();
    let id = SessionToken::generate().id();
    let draft = Draft::new("{}", Lifetime::idle(HOUR));
    let at = format!("MongoDB at 127.0.0.1:{}", relay.port);
    for error in [
        store.load(&id).await.expect_err("silent"),
        store.create(&id, &draft).await.expect_err("silent"),
        store.count().await.expect_err("silent"),
    ] {
        assert!(error.is_temporary(), "{error}");
        assert!(error.to_string().contains(&at), "{error}");
    }
    relay.switch(port.parse().expect("a number"));
    relay.cut();
    assert_eq!(store.load(&id).await.expect("it is back"), None);
}

/// Each through the driver or past it, as the command goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_the_server_gives_up_is_temporary() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let (guarded, app) = (guarded().await, name());
    let url = guarded.url("writer", &format!("appName={app}&retryReads=false"));
    let builder = MongoStore::builder().collection(name());
    let store = builder.connect(&url).await.expect("set up");
    let (id, draft) = (
        SessionToken::generate().id(),
        Draft::new("{}", Lifetime::idle(HOUR)),
    );
    must_create(&store, &id, &draft).await;
    for (code, kind) in [
        (11601, ErrorKind::Timeout),
        (50, ErrorKind::Timeout),
        (365, ErrorKind::Unavailable),
        (237, ErrorKind::Unavailable),
    ] {
        let at = format!("MongoDB at 127.0.0.1:{}: error {code}", guarded.port);
        for command in ["find", "findAndModify", "aggregate"] {
            guarded
                .fail(&app, command, doc! { "errorCode": code })
                .await;
            let failed = match command {
                "find" => store.list(None, 10).await.map(drop),
                "findAndModify" if kind == ErrorKind::Timeout => {
                    store.touch(&id, HOUR.into()).await.map(drop)
                }
                "aggregate" => store.count().await.map(drop),
                // Sent again, and done then.
                _ => {
                    let touched = store.touch(&id, HOUR.into()).await.expect("repeated");
                    assert!(touched.is_some());
                    continue;
                }
            };
            let error = failed.expect_err(command);
            assert_eq!(error.kind(), kind, "{command}, {code}: {error}");
            assert!(error.to_string().contains(&at), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_was_dropped_is_to_be_migrated() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let store = store(&name).await;
    let ann = Owner::new("ann").expect("valid");
    let draft = Draft::new("{}", Lifetime::idle(HOUR)).with_owner(ann.clone());
    let id = || SessionToken::generate().id();
    for is_there in [false, true] {
        drop_collection(&name).await;
        if is_there {
            // By the first session that is created then, without an index.
            must_create(&store, &id(), &draft).await;
        }
        for failed in [
            store.owned_by(&ann, None, 10).await.map(drop),
            store.destroy_owned_by(&ann, None, 10).await.map(drop),
        ] {
            match failed {
                // Of a collection that is not there the server may not look at the hint.
                Ok(()) => assert!(!is_there),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
                    assert!(
                        error.to_string().contains("migrate the store first"),
                        "{error}"
                    );
                }
            }
        }
        store.list(None, 10).await.expect("by its ids");
    }
    store.migrate().await.expect("migrated");
    let page = store.owned_by(&ann, None, 10).await.expect("up");
    assert_eq!(page.sessions.len(), 1);
    drop_collection(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_without_a_database_or_with_an_unknown_option_is_refused() {
    for (url, text) in [
        (
            "mongodb://u:hunter2@127.0.0.1:1",
            "names no database: mongodb://host/database",
        ),
        ("mongodb://u:hunter2@127.0.0.1:1/", "names no database"),
        ("mongodb://u:hunter2@127.0.0.1:1/?w=1", "names no database"),
        ("mongodb://u:hunter2@127.0.0.1:1/app?tabel=x", "\"tabel\""),
        (
            "mongodb://u:hunter2@127.0.0.1:1/app?colection=x",
            "\"colection\"",
        ),
        (
            "mongodb://u:hunter2@127.0.0.1:1/app?collection=x",
            "\"collection\"",
        ),
        (
            "mongodb://u:hunter2@127.0.0.1:1/app?retryWrite=true",
            "there is retrywrites",
        ),
        ("mongodb://u:hunter2@127.0.0.1:1/app?w=0", "w=0"),
        (
            "mongodb://u:hunter2@127.0.0.1:1/app?tls=true&tlsCAFile=/no/such/file",
            "/no/such/file",
        ),
        (
            "mongodb://u:hunter2@127.0.0.1:1/app?tls=true&tlsCertificateKeyFile=/no/such/file",
            "TLS file",
        ),
    ] {
        let error = MongoStore::connect(url).await.expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}: {error}");
        assert!(error.to_string().contains(text), "{url}: {error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

/// What a URL may not say, a database may not say either.
#[tokio::test(flavor = "multi_thread")]
async fn the_concerns_of_a_callers_database_are_checked_too() {
    let client = Client::with_uri_str("mongodb://127.0.0.1:1/")
        .await
        .expect("a good URL");
    let unanswered = WriteConcern::builder().w(Acknowledgment::Nodes(0)).build();
    let unanswered = DatabaseOptions::builder().write_concern(unanswered).build();
    let stale = DatabaseOptions::builder()
        .read_concern(ReadConcern::available())
        .build();
    for (options, text) in [(unanswered, "w=0"), (stale, "readConcernLevel=available")] {
        let database = || client.database_with_options("app", options.clone());
        let native = MongoStore::builder().build(database()).await.map(drop);
        let express = ExpressStore::builder(Express::new("secret"))
            .build(database())
            .await;
        for refused in [native, express.map(drop)] {
            let error = refused.expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
