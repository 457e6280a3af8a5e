//! Clusters with and without replicas: sessions on all nodes, owners on any.

use std::time::Instant;

use integration_tests::servers::{self, Kind, RedisCluster, redis_cluster, valkey_cluster};
use session_core::{Saved, SessionDirectory, SessionStore, Timeout, Ttl};
use session_redis::RedisStore;

use super::{MILLI, SECOND, draft, end_all, id, number, owned, owner};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_spreads_sessions_and_keeps_owners_on_any_node() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for start in [redis_cluster, valkey_cluster] {
        let cluster = tokio::task::spawn_blocking(start).await;
        every_prefix_works_on(&cluster.expect("started")).await;
    }
}

async fn every_prefix_works_on(cluster: &RedisCluster) {
    for prefix in ["session:", "a{}b", "all in {one} slot:"] {
        let store = RedisStore::builder().prefix(prefix);
        let store = store.connect(&cluster.url()).await.expect("set up");
        cluster_keeps_sessions(&store).await;
        for url in cluster.urls() {
            let began = Instant::now();
            // A replica follows its primary a little later.
            while number(&url, &["DBSIZE"]).await > 0 {
                assert!(began.elapsed() < 10 * SECOND, "something is left");
                tokio::time::sleep(10 * MILLI).await;
            }
        }
    }
}

async fn cluster_keeps_sessions(store: &RedisStore) {
    let mut ids = Vec::new();
    for n in 0..200 {
        let (id, whose) = (id(), owner(&format!("u{}", n % 3)));
        let first = draft().with_owner(whose.clone());
        let created = store.create(&id, &first).await.expect("up");
        assert_eq!(created, Saved::done(&first));
        let next = draft().with_owner(whose.clone());
        let saved = store.save(&id, &next, &first.stamp.into()).await;
        assert_eq!(saved.expect("up"), Saved::done(&next));
        let late = store.save(&id, &draft(), &first.stamp.into()).await;
        assert_eq!(late.expect("up"), Saved::Conflict);
        let touched = store.touch(&id, Timeout::Never).await.expect("up");
        assert!(touched > Some(Ttl::Left(3_600 * SECOND)), "{touched:?}");
        let record = store.load(&id).await.expect("up").expect("there");
        assert_eq!(
            (record.owner, record.version),
            (Some(whose), next.stamp.into())
        );
        ids.push(id);
    }
    assert_eq!(store.count().await.ok(), Some(200));
    let mut listed = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.list(cursor.as_ref(), 50).await.expect("listed");
        listed.extend(page.sessions.into_iter().map(|session| session.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    listed.sort();
    listed.dedup();
    ids.sort();
    assert_eq!(listed, ids);
    let mut of_u0 = owned(store, &owner("u0"), 10).await;
    assert_eq!(of_u0.len(), 67);
    let spared = of_u0.remove(7);
    let mut ended = end_all(store, &owner("u0"), Some(&spared)).await;
    ended.sort();
    assert_eq!(ended, of_u0);
    let one = owned(store, &owner("u1"), 10).await.remove(0);
    let ended = store.destroy(&one, None).await.expect("up");
    assert_eq!(ended.and_then(|ended| ended.owner), Some(owner("u1")));
    assert_eq!(store.destroy(&one, None).await.expect("up"), None);
    assert_eq!(store.clear().await.ok(), Some(133));
}
