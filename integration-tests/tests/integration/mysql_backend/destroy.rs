//! What ending a session tells, and what it costs.

use std::time::Duration;

use integration_tests::servers::{self, Kind};
use session_core::{Draft, Ended, Lifetime, SessionId, SessionStore, Stamp, Version};
use session_mysql::MysqlStore;

use super::proxy::Proxy;
use super::{drop_table, id, is_mariadb, owner, store, table, url};

async fn session(store: &MysqlStore, who: &str) -> (SessionId, Version) {
    let (id, draft) = (id(), Draft::new("{}", Lifetime::default()));
    let draft = draft.with_owner(owner(who));
    let created = store.create(&id, &draft).await.expect("up");
    assert!(created.is_done());
    (id, draft.stamp.into())
}

fn check(ended: Option<Ended>, id: &SessionId, who: &str) {
    let ended = ended.expect("it was live");
    assert_eq!((&ended.id, ended.owner), (id, Some(owner(who))));
    assert!(ended.age.expect("it is known") < Duration::from_secs(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_tells_owner_and_age_in_one_statement_on_mariadb_and_two_on_mysql() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let proxy = Proxy::start().await;
    let store = proxy.store(&name).await;
    let sent = || ["SELECT `id`, `owner`", "DELETE"].map(|word| proxy.count(word));
    let statements = match is_mariadb().await {
        true => [0, 1],
        false => [1, 1],
    };
    for n in 0..3 {
        let (id, version) = session(&store, "ann").await;
        let before = sent();
        let expected = (n == 2).then_some(&version);
        let ended = store.destroy(&id, expected).await.expect("up");
        let after = sent();
        check(ended, &id, "ann");
        assert_eq!([after[0] - before[0], after[1] - before[1]], statements);
        assert_eq!(store.load(&id).await.expect("up"), None);
    }
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_expected_version_is_destroyed() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let (id, version) = session(&store, "ann").await;
    let other = Version::new(Stamp::generate());
    assert_eq!(store.destroy(&id, Some(&other)).await.expect("up"), None);
    assert!(store.load(&id).await.expect("up").is_some());
    let ended = store.destroy(&id, Some(&version)).await.expect("up");
    check(ended, &id, "ann");
    for expected in [None, Some(&version)] {
        assert_eq!(store.destroy(&id, expected).await.expect("up"), None);
    }
    drop_table(&name).await;
}

/// With one connection, all but the first go together.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_destroyed_together_have_each_their_own_answer() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let builder = MysqlStore::builder().table(&name).connections(1);
    let store = builder.connect(url()).await.expect("set up");
    let mut tasks = Vec::new();
    for n in 0..60 {
        let who = format!("u{n}");
        let (id, version) = session(&store, &who).await;
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let other = Version::new(Stamp::generate());
            let (expected, is_live) = match n % 4 {
                0 => (None, true),
                1 => (Some(version), true),
                2 => (Some(other), true),
                _ => {
                    let ended = store.destroy(&id, None).await.expect("up");
                    check(ended, &id, &who);
                    (None, false)
                }
            };
            let ended = store.destroy(&id, expected.as_ref()).await.expect("up");
            let left = store.load(&id).await.expect("up");
            assert_eq!(left.is_some(), n % 4 == 2);
            match n % 4 {
                2 => assert_eq!(ended, None),
                _ if is_live => check(ended, &id, &who),
                _ => assert_eq!(ended, None),
            }
        }));
    }
    for task in tasks {
        task.await.expect("each was right");
    }
    drop_table(&name).await;
}

/// Of many who end one session at the same time, one is told that it did.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_has_ended_a_session() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let stores = [store(&name).await, store(&name).await];
    for _ in 0..20 {
        let (id, _) = session(&stores[0], "ann").await;
        let mut tasks = Vec::new();
        for n in 0..8 {
            let (store, id) = (stores[n % 2].clone(), id.clone());
            tasks.push(tokio::spawn(async move { store.destroy(&id, None).await }));
        }
        let mut ended = 0;
        for task in tasks {
            ended += u32::from(task.await.expect("no panic").expect("up").is_some());
        }
        assert_eq!(ended, 1);
    }
    drop_table(&name).await;
}
