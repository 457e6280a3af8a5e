//! A user who may write sessions and not the indexes of their owners.

use integration_tests::servers::{self, Kind, Private, RedisCluster, redis_cluster};
use session_core::{Draft, Error, Saved, SessionId, SessionStore, Stamp};
use session_redis::express::{Express, ExpressStore};
use session_redis::{ErrorKind, RedisBackend, RedisStore};

use super::{ask, draft, id, owned, owner};

async fn acl(urls: &[String], rule: &str) {
    for url in urls {
        ask(url, &["ACL", "SETUSER", "default", rule]).await;
    }
}

fn hers() -> Draft {
    draft().with_owner(owner("ann"))
}

async fn created(store: &RedisStore, draft: &Draft) -> (SessionId, Stamp) {
    let id = id();
    assert!(store.create(&id, draft).await.expect("up").is_done());
    (id, draft.stamp)
}

/// The error of a write that is refused an index. Says whether the session is written, or that it may be.
async fn check(store: &RedisStore, id: &SessionId, stamp: Stamp, error: &Error) {
    let text = error.to_string();
    assert!(text.contains("a right that sessions need"), "{text}");
    let found = store.load(id).await.expect("up");
    let is_written = found.is_some_and(|found| found.version.stamp() == stamp);
    if error.is_doubtful() {
        assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
        assert!(text.contains("index entry was refused"), "{text}");
    } else {
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error:?}");
        assert!(!is_written, "{text}");
    }
}

/// Saves of guests and of an owner, all at once. A refused index costs only the owner's.
async fn a_refused_index_costs_only_its_own(store: &RedisStore, urls: &[String]) {
    let mut all = Vec::new();
    for n in 0..60 {
        let draft = if n % 3 == 0 { hers() } else { draft() };
        let (id, stamp) = created(store, &draft).await;
        all.push((id, stamp, n % 3 == 0));
    }
    acl(urls, "-zadd").await;
    let saves = all.iter().map(|(id, expected, is_hers)| {
        let draft = if *is_hers { hers() } else { draft() };
        let (store, id, expected) = (store.clone(), id.clone(), (*expected).into());
        let stamp = draft.stamp;
        tokio::spawn(async move { (stamp, store.save(&id, &draft, &expected).await) })
    });
    let saves: Vec<_> = saves.collect();
    let mut later = Vec::new();
    for (save, (id, _, is_hers)) in saves.into_iter().zip(&all) {
        let (stamp, saved) = save.await.expect("no panic");
        match saved {
            Ok(saved) => assert!(saved.is_done() && !is_hers, "{saved:?}"),
            Err(error) => {
                assert!(is_hers, "a guest's: {error:?}");
                check(store, id, stamp, &error).await;
                later.push(id);
            }
        }
    }
    assert_eq!(later.len(), 20);
    let (new, draft) = (id(), hers());
    let error = store.create(&new, &draft).await.expect_err("refused");
    check(store, &new, draft.stamp, &error).await;

    acl(urls, "+zadd").await;
    // The next save adds what was refused.
    for id in &later {
        let record = store.load(id).await.expect("up").expect("there");
        let saved = store.save(id, &hers(), &record.version).await;
        assert!(matches!(saved, Ok(Saved::Done(_))), "{saved:?}");
    }
    let listed = owned(store, &owner("ann"), 100).await;
    for id in later {
        assert!(listed.contains(id), "{id:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_index_costs_only_its_own_save_in_either_lane() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for (server, lane) in [
        (Private::start(Kind::Redis, &[]), "scripts"),
        (Private::valkey(&[]), "compare"),
    ] {
        let store = RedisStore::connect(&server.url).await.expect("up");
        assert_eq!(RedisBackend::lane(&store).await.ok(), Some(lane));
        a_refused_index_costs_only_its_own(&store, std::slice::from_ref(&server.url)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_no_session_is_written_whose_index_is_refused() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let cluster: RedisCluster = tokio::task::spawn_blocking(redis_cluster)
        .await
        .expect("started");
    let store = RedisStore::connect(&cluster.url()).await.expect("up");
    let urls = cluster.urls();
    a_refused_index_costs_only_its_own(&store, &urls).await;
    let (old, stamp) = created(&store, &hers()).await;
    acl(&urls, "-zadd").await;
    let (new, next) = (id(), hers());
    let error = store.create(&new, &next).await.expect_err("refused");
    assert!(!error.is_doubtful(), "{error:?}");
    assert_eq!(store.load(&new).await.expect("up"), None);
    let error = store.save(&old, &next, &stamp.into()).await;
    assert!(!error.expect_err("refused").is_doubtful());
    let found = store.load(&old).await.expect("up").expect("there");
    assert_eq!(found.version.stamp(), stamp);
}

/// Express' layout has no index: each write is one record's.
#[tokio::test(flavor = "multi_thread")]
async fn an_express_record_stays_as_it_is_when_a_write_is_refused() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in [Private::start(Kind::Redis, &[]), Private::valkey(&[])] {
        let builder = ExpressStore::builder(Express::new("keyboard cat"));
        let store = builder.connect(&server.url).await.expect("up");
        let id = SessionId::plain("a".repeat(32).as_str()).expect("valid");
        let created = store.create(&id, &hers()).await;
        assert!(created.expect("up").is_done());
        let before = store.load(&id).await.expect("up").expect("there");
        let urls = std::slice::from_ref(&server.url);
        acl(urls, "-set").await;
        let changed = Draft::new("{\"n\":1}", before.lifetime);
        let error = store.save(&id, &changed, &before.version).await;
        let error = error.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error:?}");
        acl(urls, "+set").await;
        let after = store.load(&id).await.expect("up").expect("there");
        assert_eq!((after.data, after.version), (before.data, before.version));
    }
}
