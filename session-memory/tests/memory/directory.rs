//! Listings, owners, clearing and reaping.

use std::collections::BTreeSet;

use session_core::Saved;
use session_memory::{
    ErrorKind, Lifetime, MemoryStore, Owner, SessionDirectory, SessionId, SessionStore,
};

use crate::support::{MINUTE, create, create_many, destroy, draft, id, ids, owned, owner};

#[tokio::test]
async fn a_listing_shows_each_session_that_lives_throughout_it_once() {
    let (store, owner) = (MemoryStore::new(), owner());
    let mut stay = create_many(&store, &owner, Lifetime::default()).await;
    let leave: Vec<SessionId> = stay.iter().take(3_000).cloned().collect();
    let (mut leaving, mut seen, mut cursor) = (leave.iter(), Vec::new(), None);
    loop {
        let page = store.list(cursor.as_ref(), 50).await.expect("up");
        assert!(page.sessions.len() <= 50, "the limit");
        seen.extend(page.sessions.into_iter().map(|info| info.id));
        // Other sessions begin and end between any two pages.
        for id in leaving.by_ref().take(15) {
            destroy(&store, id).await;
            stay.remove(id);
        }
        create(&store, &id(), &draft(Lifetime::default())).await;
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    for id in &stay {
        let times = seen.iter().filter(|seen| *seen == id).count();
        assert_eq!(times, 1, "{id:?}");
    }
}

#[tokio::test]
async fn an_owner_may_have_very_many_sessions() {
    let (store, owner) = (MemoryStore::new(), owner());
    let all = create_many(&store, &owner, Lifetime::default()).await;
    let other = Owner::new("v").expect("valid");
    let theirs = draft(Lifetime::default()).with_owner(other.clone());
    create(&store, &id(), &theirs).await;
    for limit in [1, 7, 1_000, usize::MAX] {
        let owned = owned(&store, &owner, limit).await;
        assert_eq!(owned.len(), all.len(), "each once, by {limit}");
        assert_eq!(ids(&owned), all);
    }

    let except = all.first().expect("many");
    let mut ended = BTreeSet::new();
    loop {
        let some = store.destroy_owned_by(&owner, Some(except), 999).await;
        let some = some.expect("up");
        assert!(some.len() <= 999, "the limit");
        if some.is_empty() {
            break;
        }
        assert!(some.iter().all(|ended| ended.age.is_some()));
        ended.extend(some.into_iter().map(|ended| ended.id));
    }
    assert_eq!(ended.len(), all.len() - 1);
    let left = owned(&store, &owner, 10).await;
    assert_eq!(ids(&left), BTreeSet::from([except.clone()]));
    assert_eq!(owned(&store, &other, 10).await.len(), 1);
}

#[tokio::test]
async fn the_pages_of_an_owner_miss_no_session_that_stays() {
    let (store, owner) = (MemoryStore::new(), owner());
    let all = create_many(&store, &owner, Lifetime::default()).await;
    let other = Owner::new("v").expect("valid");
    let (mut cursor, mut seen, mut gone) = (None, BTreeSet::new(), BTreeSet::new());
    for round in 0.. {
        let page = store.owned_by(&owner, cursor.as_ref(), 20).await;
        let page = page.expect("up");
        let listed = ids(&page.sessions);
        assert_eq!(listed.len(), page.sessions.len(), "each once in a page");
        // Between two pages, the last session listed ends or changes its owner.
        if let Some(last) = page.sessions.last().map(|info| &info.id) {
            if round % 2 == 0 {
                destroy(&store, last).await;
                gone.insert(last.clone());
            } else {
                for whose in [&other, &owner] {
                    let found = store.load(last).await.expect("up").expect("live");
                    let next = draft(Lifetime::default()).with_owner(whose.clone());
                    let saved = store.save(last, &next, &found.version).await;
                    assert_eq!(saved.expect("up"), Saved::done(&next));
                }
            }
        }
        seen.extend(listed);
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert!(gone.len() > 100, "{}", gone.len());
    assert_eq!(seen, all, "the owner had all of them at the first page");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owners_listing_shows_every_session_that_stays_while_others_end() {
    let (store, owner) = (MemoryStore::new(), owner());
    let all = Vec::from_iter(create_many(&store, &owner, Lifetime::default()).await);
    let (stay, leave) = all.split_at(8_000);
    let leaving = {
        let (store, leave) = (store.clone(), leave.to_vec());
        tokio::spawn(async move {
            for id in leave {
                destroy(&store, &id).await;
            }
        })
    };
    while !leaving.is_finished() {
        let listed = owned(&store, &owner, usize::MAX).await;
        let found = ids(&listed);
        assert_eq!(found.len(), listed.len(), "each once");
        assert!(stay.iter().all(|id| found.contains(id)));
    }
    leaving.await.expect("no panic");
}

#[tokio::test]
async fn a_cursor_of_another_listing_is_refused() {
    let (store, owner) = (MemoryStore::new(), owner());
    create_many(&store, &owner, Lifetime::default()).await;
    let all = store.list(None, 1).await.expect("up").next;
    let theirs = store.owned_by(&owner, None, 1).await.expect("up").next;
    let refused = [
        store.list(theirs.as_ref(), 1).await,
        store.owned_by(&owner, all.as_ref(), 1).await,
    ];
    for page in refused {
        let error = page.expect_err("not of this listing");
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
    }
}

#[tokio::test(start_paused = true)]
async fn clear_counts_live_sessions_and_leaves_none_to_report() {
    let (store, owner) = (MemoryStore::new(), owner());
    let lived = create_many(&store, &owner, Lifetime::idle(60 * MINUTE)).await;
    create_many(&store, &owner, Lifetime::idle(MINUTE)).await;
    tokio::time::advance(MINUTE).await;
    // Some expired sessions are reported, the others are not yet found.
    store.reap(1_000).await.expect("up");
    assert_eq!(store.clear().await.ok(), Some(lived.len() as u64));
    assert_eq!(store.reap(50_000).await.expect("up"), []);
    assert_eq!(store.count().await.ok(), Some(0));
    let again = lived.first().expect("many");
    let anew = draft(Lifetime::default()).with_owner(owner.clone());
    create(&store, again, &anew).await;
    assert_eq!(owned(&store, &owner, 10).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reap_has_taken_nothing() {
    let (store, owner) = (MemoryStore::new(), owner());
    let ids = create_many(&store, &owner, Lifetime::idle(MINUTE)).await;
    tokio::time::advance(MINUTE).await;
    for _ in 0..10 {
        // The call is polled once and dropped.
        tokio::select! {
            biased;
            _ = store.reap(ids.len()) => panic!("a long reap did not yield"),
            () = std::future::ready(()) => {}
        }
    }
    let reaped = store.reap(ids.len()).await.expect("up");
    assert_eq!(reaped.len(), ids.len());
    let reaped: BTreeSet<SessionId> = reaped.into_iter().map(|ended| ended.id).collect();
    assert_eq!(reaped, ids);
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_is_reported_after_its_id_is_reused() {
    let store = MemoryStore::new();
    let id = id();
    create(&store, &id, &draft(Lifetime::idle(MINUTE))).await;
    tokio::time::advance(MINUTE).await;
    create(&store, &id, &draft(Lifetime::default())).await;
    let reaped = store.reap(10).await.expect("up");
    assert_eq!(reaped.len(), 1);
    assert_eq!((&reaped[0].id, reaped[0].age), (&id, Some(MINUTE)));
    assert_eq!(store.count().await.ok(), Some(1));
}
