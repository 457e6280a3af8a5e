//! What account pages and admin tools see: counts, listings, owners, clearing.

use std::collections::BTreeSet;

use session_core::{Cursor, Draft, Error, Lifetime, Owner, SessionId, Ttl};

use super::Stage;
use super::crowd::{in_parallel, together};
use super::fixture::{draft, draft_living, fixed, hours, id, ms, owner, related_ids, secs};
use super::subject::Subject;
use super::timing::{check_age, check_ttl, timed, wait_until};

/// Creates so many sessions and gives their ids.
async fn crowd(store: &Subject, count: usize, owner: Option<&Owner>) -> BTreeSet<SessionId> {
    let created = together(count, async |n| {
        let (id, draft) = (id(), draft(&format!("number {n}")));
        store
            .must_create(&id, &draft.with_owner(owner.cloned()))
            .await;
        id
    });
    created.await.into_iter().collect()
}

/// Creates a session of this owner and gives its id.
async fn session_of(store: &Subject, owner: &Owner) -> SessionId {
    let (id, draft) = (id(), draft("somebody's").with_owner(owner.clone()));
    store.must_create(&id, &draft).await;
    id
}

pub(super) async fn a_store_without_sessions_lists_none(stage: Stage) {
    let store = stage.store();
    assert_eq!(store.must_count().await, 0, "the count of nothing");
    assert!(store.must_list(10).await.is_empty(), "a listing of nothing");
    let nobody = owner("nobody");
    assert!(store.must_own(&nobody).await.is_empty(), "of nobody");
    let ended = store.must_destroy_owned_by(&nobody, None).await;
    assert!(ended.is_empty(), "ended of nobody");
    assert_eq!(store.must_clear().await, 0, "cleared of nothing");
}

pub(super) async fn pages_of_every_size_list_everything(stage: Stage) {
    let store = stage.store();
    let ids = crowd(&store, 45, None).await;
    assert_eq!(store.must_count().await, 45, "the count");
    for limit in [1, 7, 44, 45, 46, 1_000, usize::MAX] {
        let listed = store.must_list_ids(limit).await;
        assert_eq!(listed, ids, "listed by pages of {limit}");
    }
}

pub(super) async fn a_page_of_no_size_ends_too(stage: Stage) {
    let store = stage.store();
    let ids = crowd(&store, 5, None).await;
    let listed = store.must_list_ids(0).await;
    assert!(
        listed.is_empty() || listed == ids,
        "pages of 0 give nothing or everything, gave {listed:?}"
    );
}

pub(super) async fn another_instance_continues_a_listing(stage: Stage) {
    let stores = [stage.store(), stage.instance().await];
    let ids = crowd(&stores[0], 20, None).await;
    let (mut listed, mut cursor) = (BTreeSet::new(), None);
    for turn in 0..1_000 {
        let page = stores[turn % 2].dir().list(cursor.as_ref(), 3).await;
        let page = page.expect("list failed");
        listed.extend(page.sessions.into_iter().map(|session| session.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(listed, ids, "listed by two instances in turn");
}

pub(super) async fn a_foreign_cursor_is_refused(stage: Stage) {
    let store = stage.store();
    crowd(&store, 3, None).await;
    for text in [
        "",
        "x",
        "-1",
        "99999999999999999999999",
        "{\"$gt\":\"\"}",
        "🦀",
        "a\0b",
    ] {
        let page = store.dir().list(Some(&Cursor::new(text)), 10).await;
        assert!(
            matches!(page, Err(Error::Misconfigured { .. })),
            "a page from the cursor {text:?} is Misconfigured, was {page:?}"
        );
    }
}

pub(super) async fn a_listing_tells_all_about_a_session(stage: Stage) {
    let (store, somebody) = (stage.store(), owner("somebody"));
    let ids: [SessionId; 2] = [id(), id()];
    let drafts = [
        Draft::new(vec![b'x'; 321], Lifetime::new(secs(600), secs(6_000)))
            .with_owner(somebody.clone()),
        Draft::new(
            Vec::new(),
            Lifetime::new(session_core::Timeout::Never, session_core::Timeout::Never),
        ),
    ];
    let ((), began) = timed(async {
        store.must_create(&ids[0], &drafts[0]).await;
        store.must_create(&ids[1], &drafts[1]).await;
    })
    .await;
    wait_until(began.ended + ms(30)).await;
    let (listed, read) = timed(store.must_list(10)).await;
    assert_eq!(listed.len(), 2, "sessions listed once each: {listed:?}");
    for info in listed.iter().chain(&store.must_own(&somebody).await) {
        let n = usize::from(info.id == ids[1]);
        assert_eq!(info.id, ids[n], "the id");
        assert_eq!(info.owner, drafts[n].owner, "the owner of {:?}", info.id);
        assert_eq!(info.lifetime, drafts[n].lifetime, "the limits");
        assert_eq!(info.size, drafts[n].data.len(), "the size");
    }
    let first = listed.iter().find(|info| info.id == ids[0]).expect("there");
    check_ttl(first.ttl, secs(600), began, read, "as listed");
    check_age(first.age, began, read, "as listed");
    let second = listed.iter().find(|info| info.id == ids[1]).expect("there");
    assert_eq!(second.ttl, Ttl::Never, "without limits");
}

pub(super) async fn a_listing_under_change_misses_nobody(stage: Stage) {
    let (store, other) = (stage.store(), stage.instance().await);
    let staying = crowd(&store, 60, None).await;
    let mut going: Vec<_> = crowd(&store, 60, None).await.into_iter().collect();
    let (mut listed, mut cursor) = (BTreeSet::new(), None);
    loop {
        let page = store.dir().list(cursor.as_ref(), 7).await;
        let page = page.expect("list failed");
        listed.extend(page.sessions.into_iter().map(|session| session.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        // Between two pages some end, some begin, and one of those that stay is written.
        for id in going.drain(..going.len().min(5)) {
            assert!(other.must_destroy(&id).await, "destroy between two pages");
        }
        crowd(&other, 2, None).await;
        let id = staying.iter().next().expect("60");
        let found = other.must_find(id).await;
        let larger = draft(&format!("{:1000}", listed.len()));
        other.must_replace(id, &larger, found.stamp).await;
        assert!(listed.len() < 1_000, "the listing does not end");
    }
    let missed: Vec<_> = staying.difference(&listed).collect();
    assert!(
        missed.is_empty(),
        "lived all the time and was not listed: {missed:?}"
    );
}

pub(super) async fn an_owner_is_shown_their_own_sessions_only(stage: Stage) {
    let store = stage.store();
    let (ann, bob) = (owner("ann"), owner("bob"));
    let of_ann = crowd(&store, 12, Some(&ann)).await;
    let of_bob = crowd(&store, 3, Some(&bob)).await;
    crowd(&store, 3, None).await;
    assert_eq!(store.must_own_ids(&ann).await, of_ann, "ann's");
    assert_eq!(store.must_own_ids(&bob).await, of_bob, "bob's");
    assert!(store.must_own(&owner("an")).await.is_empty(), "an's");
}

pub(super) async fn a_change_of_owner_moves_the_session(stage: Stage) {
    let store = stage.store();
    let (ann, bob) = (owner("ann"), owner("bob"));
    let (id, unowned) = (id(), draft("nobody's yet"));
    store.must_create(&id, &unowned).await;
    let anns = draft("ann's").with_owner(ann.clone());
    store.must_replace(&id, &anns, unowned.stamp).await;
    assert_eq!(
        store.must_own_ids(&ann).await,
        [id.clone()].into(),
        "signed in"
    );
    let bobs = draft("bob's").with_owner(bob.clone());
    store.must_replace(&id, &bobs, anns.stamp).await;
    assert!(store.must_own(&ann).await.is_empty(), "ann's, now bob's");
    assert_eq!(store.must_own_ids(&bob).await, [id.clone()].into(), "bob's");
    let ended = store.must_destroy_owned_by(&ann, None).await;
    assert!(ended.is_empty(), "ended of ann's: {ended:?}");
    let found = store.must_find(&id).await;
    assert_eq!(found.owner, Some(bob.clone()), "as loaded");
    store
        .must_replace(&id, &draft("signed out"), bobs.stamp)
        .await;
    assert!(store.must_own(&bob).await.is_empty(), "bob's, now nobody's");
    assert_eq!(store.must_find(&id).await.owner, None, "as loaded");
}

pub(super) async fn an_owner_is_not_shown_what_has_ended(stage: Stage) {
    let (store, ann) = (stage.store(), owner("ann"));
    let (kept, destroyed) = (
        session_of(&store, &ann).await,
        session_of(&store, &ann).await,
    );
    let [old, new] = related_ids();
    let first = draft("renamed").with_owner(ann.clone());
    store.must_create(&old, &first).await;
    let expired = id();
    let brief = draft_living("brief", fixed(ms(5))).with_owner(ann.clone());
    let ((), written) = timed(store.must_create(&expired, &brief)).await;
    assert!(store.must_destroy(&destroyed).await, "destroy");
    let second = draft("renamed").with_owner(ann.clone());
    store.must_move(&old, &new, &second, first.stamp).await;
    wait_until(written.dead_from(ms(5))).await;
    let expected = [kept.clone(), new.clone()].into();
    assert_eq!(store.must_own_ids(&ann).await, expected, "ann's");
    // An id that is used again is not its last owner's.
    store.must_create(&destroyed, &draft("nobody's")).await;
    store.must_create(&expired, &draft("nobody's")).await;
    assert_eq!(
        store.must_own_ids(&ann).await,
        expected,
        "ann's after reuse"
    );
    let ended = store.must_destroy_owned_by(&ann, None).await;
    let ended: BTreeSet<_> = ended.into_iter().map(|ended| ended.id).collect();
    assert_eq!(ended, expected, "ended of ann's");
    store.must_find(&destroyed).await;
    store.must_find(&expired).await;
}

pub(super) async fn logging_out_everywhere_ends_all(stage: Stage) {
    let (store, other) = (stage.store(), stage.instance().await);
    let (ann, bob) = (owner("ann"), owner("bob"));
    let of_ann = crowd(&store, 30, Some(&ann)).await;
    let of_bob = session_of(&store, &bob).await;
    let ended = other.must_destroy_owned_by(&ann, None).await;
    let told: Vec<_> = ended.iter().map(|ended| ended.id.clone()).collect();
    assert_eq!(told.len(), of_ann.len(), "each is told once: {told:?}");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), of_ann, "told");
    for one in &ended {
        assert_eq!(one.owner.as_ref(), Some(&ann), "the owner told of {one:?}");
        assert!(one.age < secs(3_600), "the age told of {one:?}");
        store
            .must_lack(&one.id, "its owner logged out everywhere")
            .await;
    }
    assert!(store.must_own(&ann).await.is_empty(), "ann's afterwards");
    store.must_find(&of_bob).await;
    assert_eq!(store.must_count().await, 1, "bob's alone is left");
}

pub(super) async fn logging_out_everywhere_else_keeps_one(stage: Stage) {
    let (store, ann) = (stage.store(), owner("ann"));
    let mut of_ann = crowd(&store, 10, Some(&ann)).await;
    let here = of_ann.pop_first().expect("10");
    let ended = store.must_destroy_owned_by(&ann, Some(&here)).await;
    let ended: BTreeSet<_> = ended.into_iter().map(|ended| ended.id).collect();
    assert_eq!(ended, of_ann, "ended elsewhere");
    store.must_find(&here).await;
    assert_eq!(store.must_own_ids(&ann).await, [here].into(), "left");
    // An exception that is nobody's, or somebody else's, spares nobody.
    let (of_bob, more) = (session_of(&store, &owner("bob")).await, id());
    let ended = store.must_destroy_owned_by(&ann, Some(&of_bob)).await;
    assert_eq!(ended.len(), 1, "ended but bob's: {ended:?}");
    session_of(&store, &ann).await;
    let ended = store.must_destroy_owned_by(&ann, Some(&more)).await;
    assert_eq!(ended.len(), 1, "ended but nobody's: {ended:?}");
    store.must_find(&of_bob).await;
}

pub(super) async fn logging_out_everywhere_is_final(stage: Stage) {
    let stores = [stage.store(), stage.instance().await];
    for round in 0..20 {
        let ann = owner(&format!("ann {round}"));
        let ids: Vec<_> = crowd(&stores[0], 8, Some(&ann)).await.into_iter().collect();
        let (work, writers, whose) = (ids.clone(), stores.clone(), ann.clone());
        in_parallel(ids.len() + 1, move |n| {
            let (store, ann) = (writers[n % 2].clone(), whose.clone());
            let id = work.get(n).cloned();
            async move {
                let Some(id) = id else {
                    store.must_destroy_owned_by(&ann, None).await;
                    return;
                };
                // A request that keeps writing while its user logs out everywhere.
                for _ in 0..10 {
                    let Some(found) = store.must_load(&id).await else {
                        break;
                    };
                    let next = draft("written meanwhile").with_owner(ann.clone());
                    let _ = store.must_save(&id, &next, found.stamp).await;
                }
            }
        })
        .await;
        for id in &ids {
            stores[0]
                .must_lack(id, "its owner logged out everywhere")
                .await;
        }
        assert!(stores[1].must_own(&ann).await.is_empty(), "round {round}");
    }
}

pub(super) async fn clear_ends_every_session(stage: Stage) {
    let (store, other) = (stage.store(), stage.instance().await);
    let ann = owner("ann");
    let mut ids = crowd(&store, 150, None).await;
    ids.extend(crowd(&store, 150, Some(&ann)).await);
    assert_eq!(other.must_clear().await, 300, "cleared");
    assert_eq!(store.must_count().await, 0, "the count afterwards");
    assert!(store.must_own(&ann).await.is_empty(), "ann's afterwards");
    assert!(store.must_list(100).await.is_empty(), "listed afterwards");
    for id in ids.iter().take(20) {
        store.must_lack(id, "all were cleared").await;
        store.must_create(id, &draft("again")).await;
    }
    assert_eq!(store.must_count().await, 20, "created after clear");
}

pub(super) async fn counts_follow_beginnings_and_ends(stage: Stage) {
    let store = stage.store();
    let (one, brief) = (id(), id());
    let limit = ms(40);
    store
        .must_create(&one, &draft_living("one", hours(1)))
        .await;
    let ((), written) =
        timed(store.must_create(&brief, &draft_living("brief", fixed(limit)))).await;
    wait_until(written.dead_from(limit)).await;
    assert_eq!(store.must_count().await, 1, "after one has expired");
    assert!(store.must_destroy(&one).await, "destroy");
    assert_eq!(store.must_count().await, 0, "after the other was destroyed");
}
