//! The sessions of an owner, in pages and batches.

use std::collections::{BTreeSet, HashSet};

use integration_tests::servers::{self, Kind};
use session_core::{Draft, ErrorKind, Lifetime, SessionDirectory, SessionId, SessionStore};
use session_mysql::MysqlStore;

use super::{drop_table, id, owner, store, table};

async fn create(store: &MysqlStore, who: &str, many: usize) -> Vec<SessionId> {
    let mut ids = Vec::new();
    for _ in 0..many {
        let (id, draft) = (id(), Draft::new("{}", Lifetime::default()));
        let draft = draft.with_owner(owner(who));
        let created = store.create(&id, &draft).await.expect("up");
        assert!(created.is_done());
        ids.push(id);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_s_sessions_are_listed_in_pages_by_id() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    create(&store, "bob", 5).await;
    let ids: BTreeSet<SessionId> = create(&store, "ann", 25).await.into_iter().collect();
    create(&store, "ann2", 5).await;
    for limit in [1, 10, 25, 100] {
        let (mut listed, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.owned_by(&owner("ann"), cursor.as_ref(), limit).await;
            let page = page.expect("up");
            assert!(page.sessions.len() <= limit);
            listed.extend(page.sessions.into_iter().map(|session| session.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert!(listed.iter().eq(&ids), "by {limit}: {listed:?}");
    }
    let odd = session_core::Cursor::new("odd");
    let error = store.owned_by(&owner("ann"), Some(&odd), 1).await;
    assert_eq!(error.expect_err("odd").kind(), ErrorKind::Misconfigured);
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_s_sessions_end_in_batches_until_none_is_left() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let others = create(&store, "bob", 3).await;
    let ids = create(&store, "ann", 300).await;
    let (ann, spared) = (owner("ann"), &ids[7]);
    let mut sizes = Vec::new();
    let mut told = HashSet::new();
    loop {
        let ended = store.destroy_owned_by(&ann, Some(spared), 140).await;
        let ended = ended.expect("up");
        if ended.is_empty() {
            break;
        }
        sizes.push(ended.len());
        for ended in ended {
            assert_eq!(ended.owner.as_ref(), Some(&ann));
            assert!(ended.age.is_some());
            assert!(told.insert(ended.id), "told once");
        }
    }
    assert_eq!(sizes, [140, 140, 19]);
    let expected: HashSet<&SessionId> = ids.iter().filter(|id| *id != spared).collect();
    assert_eq!(told.iter().collect::<HashSet<_>>(), expected);
    for id in others.iter().chain([spared]) {
        assert!(store.load(id).await.expect("up").is_some());
    }
    let ended = store.destroy_owned_by(&ann, None, 1).await.expect("up");
    assert_eq!(ended.len(), 1);
    drop_table(&name).await;
}

/// Many who end the same sessions at the same time: each session is told once, and none that is
/// found by a caller lives when it returns with nothing.
#[tokio::test(flavor = "multi_thread")]
async fn callers_who_end_the_same_sessions_tell_each_once() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let ids = create(&store, "ann", 400).await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut all = Vec::new();
            loop {
                let ended = store.destroy_owned_by(&owner("ann"), None, 30).await;
                let ended = ended.expect("up");
                if ended.is_empty() {
                    let left = store.owned_by(&owner("ann"), None, 10).await;
                    assert!(left.expect("up").sessions.is_empty());
                    return all;
                }
                all.extend(ended.into_iter().map(|ended| ended.id));
            }
        }));
    }
    let mut told = Vec::new();
    for task in tasks {
        told.extend(task.await.expect("no panic"));
    }
    assert_eq!(told.len(), ids.len());
    assert_eq!(told.into_iter().collect::<HashSet<_>>().len(), ids.len());
    drop_table(&name).await;
}
