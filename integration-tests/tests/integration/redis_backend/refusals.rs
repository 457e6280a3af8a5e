//! What a server refuses keeps its kind and its words, alone, in a script and in a pipeline.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private, RedisCluster};
use session_core::{
    Draft, Error, Lifetime, Saved, SessionDirectory, SessionId, SessionStore, Timeout,
};
use session_redis::express::{Express, ExpressStore};
use session_redis::redis::{self, AsyncConnectionConfig};
use session_redis::{ErrorKind, RedisStore};

use super::{SECOND, ask, draft, id, owner};

/// A setting that has writes refused, a bad and a good value of it, and the server's word.
const REFUSALS: [(&str, &str, &str, &str); 2] = [
    ("maxmemory", "1", "0", "OOM"),
    ("min-replicas-to-write", "1", "0", "NOREPLICAS"),
];

/// A server of each product.
fn products(arguments: &[&str]) -> [Private; 2] {
    [
        Private::start(Kind::Redis, arguments),
        Private::valkey(arguments),
    ]
}

/// The errors of each write, of guests and of owners, one at a time and many at once. Those of a
/// touch and a destroy come last.
async fn errors(store: &RedisStore) -> Vec<(&'static str, Error)> {
    let mut errors = Vec::new();
    let (long, short) = (vec![b'x'; 5_000], vec![b'x'; 5]);
    for whose in [None, Some(owner("ann"))] {
        for data in [&long, &short] {
            let draft = Draft::new(data.clone(), Lifetime::default()).with_owner(whose.clone());
            let created = store.create(&id(), &draft).await;
            errors.push(("create", created.expect_err("it is refused")));
            let saves = (0..60).map(|_| {
                let (store, draft) = (store.clone(), draft.clone());
                let expected = draft.stamp.into();
                tokio::spawn(async move { store.save(&id(), &draft, &expected).await })
            });
            for save in saves.collect::<Vec<_>>() {
                // Where there is no session, a guest's save writes nothing that takes memory.
                if let Err(error) = save.await.expect("no panic") {
                    errors.push(("save", error));
                }
            }
        }
    }
    errors
}

/// A session of each kind, made while nothing is refused.
async fn made(store: &RedisStore) -> Vec<(SessionId, Draft)> {
    let mut made = Vec::new();
    for whose in [None, Some(owner("ann"))] {
        let (id, draft) = (id(), draft().with_owner(whose));
        let created = store.create(&id, &draft).await.expect("up");
        assert_eq!(created, Saved::done(&draft));
        made.push((id, draft));
    }
    made
}

fn check(errors: Vec<(&'static str, Error)>, kind: ErrorKind, said: &str) {
    assert!(!errors.is_empty());
    for (what, error) in errors {
        assert_eq!(error.kind(), kind, "{what}: {error:?}");
        let text = error.to_string();
        assert!(text.contains(said), "{what}: {text}");
        assert!(text.contains("at 127.0.0.1:"), "{what}: {text}");
        assert_eq!(error.is_temporary(), kind == ErrorKind::Unavailable);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_passes_is_temporary_and_says_what_the_server_says() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in products(&[]) {
        let store = RedisStore::connect(&server.url).await.expect("set up");
        let express = ExpressStore::builder(Express::new("keyboard cat"));
        let express = express.connect(&server.url).await.expect("set up");
        let sessions = made(&store).await;
        for (setting, bad, good, said) in REFUSALS {
            ask(&server.url, &["CONFIG", "SET", setting, bad]).await;
            let mut errors = errors(&store).await;
            for (id, first) in &sessions {
                let saved = store.save(id, &draft(), &first.stamp.into()).await;
                errors.push(("save", saved.expect_err("it is refused")));
            }
            let name = SessionId::plain("a".repeat(32).as_str()).expect("valid");
            let created = express.create(&name, &draft()).await;
            errors.push(("express", created.expect_err("it is refused")));
            check(errors, ErrorKind::Unavailable, said);
            ask(&server.url, &["CONFIG", "SET", setting, good]).await;
            assert!(store.create(&id(), &draft()).await.expect("over").is_done());
        }
    }
}

/// Each node of a cluster refuses, of the one product and of the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_nodes_of_a_cluster_refuse_keeps_its_words() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for binary in ["redis-server", "valkey-server"] {
        let start = move || RedisCluster::start(binary, 3, 0);
        let cluster = tokio::task::spawn_blocking(start).await.expect("started");
        let store = RedisStore::connect(&cluster.url()).await.expect("set up");
        let express = ExpressStore::builder(Express::new("keyboard cat"));
        let express = express.connect(&cluster.url()).await.expect("set up");
        let sessions = made(&store).await;
        for (setting, bad, good, said) in REFUSALS {
            set(&cluster.urls(), setting, bad).await;
            let mut errors = errors(&store).await;
            for (id, first) in &sessions {
                let saved = store.save(id, &draft(), &first.stamp.into()).await;
                errors.push(("save", saved.expect_err("it is refused")));
            }
            let name = SessionId::plain("a".repeat(32).as_str()).expect("valid");
            let created = express.create(&name, &draft()).await;
            errors.push(("express", created.expect_err("it is refused")));
            check(errors, ErrorKind::Unavailable, said);
            set(&cluster.urls(), setting, good).await;
            assert!(store.create(&id(), &draft()).await.expect("over").is_done());
        }
    }
}

async fn set(urls: &[String], setting: &str, value: &str) {
    for url in urls {
        ask(url, &["CONFIG", "SET", setting, value]).await;
    }
}

/// The server refuses from the first moment on, so that it can't tell how writes compare.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_before_the_first_write_keeps_its_words_too() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in products(&[]) {
        let urls = [server.url.clone()];
        for (setting, bad, good, said) in REFUSALS {
            set(&urls, setting, bad).await;
            let unchecked = RedisStore::builder().migrate(false);
            let unchecked = unchecked.connect(&server.url).await.expect("connected");
            let mut errors = errors(&unchecked).await;
            if let Err(error) = RedisStore::connect(&server.url).await {
                errors.push(("connect", error));
            }
            let express = ExpressStore::builder(Express::new("keyboard cat"));
            let express = express.connect(&server.url).await.expect("connected");
            let name = SessionId::plain("a".repeat(32).as_str()).expect("valid");
            let created = express.create(&name, &draft()).await;
            errors.push(("express", created.expect_err("it is refused")));
            check(errors, ErrorKind::Unavailable, said);
            set(&urls, setting, good).await;
            let hers = draft().with_owner(owner("ann"));
            let made = unchecked.create(&id(), &hers).await;
            assert!(made.expect("over").is_done());
        }
    }
}

/// An end needs no memory; where replicas are missing, it is refused as any write is.
#[tokio::test(flavor = "multi_thread")]
async fn owners_are_logged_out_by_a_server_without_memory() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in products(&[]) {
        let urls = [server.url.clone()];
        let store = RedisStore::connect(&server.url).await.expect("set up");
        let ann = owner("ann");
        for (setting, bad, good, said) in REFUSALS {
            let sessions = made(&store).await;
            set(&urls, setting, bad).await;
            let (guests, owned) = (&sessions[0].0, &sessions[1].0);
            let ended = store.destroy(guests, None).await;
            let all = store.destroy_owned_by(&ann, None, 10).await;
            let longer = Timeout::After(9 * 3_600 * SECOND);
            let touched = store.touch(owned, longer).await;
            if said == "OOM" {
                assert!(ended.expect("an end").is_some());
                assert_eq!(all.expect("an end").len(), 1);
            } else {
                let (ended, all) = (ended.map(drop), all.map(drop));
                let refused = [ended, all, touched.map(drop)];
                let refused = refused.map(|done| ("an end", done.expect_err("it is refused")));
                check(refused.into(), ErrorKind::Unavailable, said);
            }
            set(&urls, setting, good).await;
            store.clear().await.expect("over");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_not_save_to_its_disk_says_so() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in products(&["--enable-protected-configs", "yes"]) {
        let store = RedisStore::connect(&server.url).await.expect("set up");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_string_lossy().into_owned();
        ask(&server.url, &["CONFIG", "SET", "dir", &path]).await;
        drop(folder);
        ask(&server.url, &["CONFIG", "SET", "save", "36000 1000000"]).await;
        ask(&server.url, &["BGSAVE"]).await;
        let began = Instant::now();
        while store.create(&id(), &draft()).await.is_ok() {
            assert!(began.elapsed() < 10 * SECOND, "it saves all the same");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        check(errors(&store).await, ErrorKind::Unavailable, "MISCONF");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_says_so_and_serves_again() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in products(&["--busy-reply-threshold", "50"]) {
        let store = RedisStore::connect(&server.url).await.expect("set up");
        let client = redis::Client::open(&*server.url).expect("a good URL");
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .expect("up");
        let endless = tokio::spawn(async move {
            let endless = redis::cmd("EVAL")
                .arg("while true do end")
                .arg(0)
                .to_owned();
            endless.query_async::<redis::Value>(&mut connection).await
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut errors = errors(&store).await;
        let loaded = store.load(&id()).await;
        errors.push(("load", loaded.expect_err("busy")));
        check(errors, ErrorKind::Unavailable, "BUSY");
        ask(&server.url, &["SCRIPT", "KILL"]).await;
        endless.await.expect("no panic").expect_err("killed");
        assert!(store.create(&id(), &draft()).await.expect("over").is_done());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_is_named_and_costs_no_session() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    // What each write of the product needs.
    let rights = [&["evalsha", "getrange", "set"][..], &["set"]];
    for (server, rights) in products(&[]).into_iter().zip(rights) {
        let store = RedisStore::connect(&server.url).await.expect("set up");
        let sessions = made(&store).await;
        for right in rights {
            let take = format!("-{right}");
            ask(&server.url, &["ACL", "SETUSER", "default", &take]).await;
            let mut errors = Vec::new();
            for (id, first) in &sessions {
                let saved = store.save(id, &draft(), &first.stamp.into()).await;
                errors.push(("save", saved.expect_err("it is refused")));
                if *right != "set" {
                    let touched = store.touch(id, Timeout::Never).await;
                    errors.push(("touch", touched.expect_err("it is refused")));
                    let ended = store.destroy(id, None).await;
                    errors.push(("destroy", ended.expect_err("it is refused")));
                }
            }
            let created = store.create(&id(), &draft()).await;
            errors.push(("create", created.expect_err("it is refused")));
            check(
                errors,
                ErrorKind::Misconfigured,
                "a right that sessions need",
            );
            let give = format!("+{right}");
            ask(&server.url, &["ACL", "SETUSER", "default", &give]).await;
        }
        for (id, first) in sessions {
            let record = store.load(&id).await.expect("up").expect("it is there");
            assert_eq!(record.version.stamp(), first.stamp);
        }
        assert_eq!(store.count().await.ok(), Some(2));
    }
}
