//! The sessions of an owner, as account pages list and end them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use session_core::{Owner, SessionId};

use crate::Fixture;
use crate::busy::Busy;
use crate::changing::{Changing, create_many};
use crate::checked::{CheckedStore, all_pages, ids_of};
use crate::concurrent::together;
use crate::random::{Random, rounds};
use crate::samples::{draft, draft_living, ended_ids, fixed, id, ms, owner};
use crate::timing::{check_age, timed, wait_until};

/// The sessions of one owner that end in one call.
const MANY: usize = 2_000;

/// Creates a session of this owner and returns its id.
async fn session_of(store: &CheckedStore, owner: &Owner) -> SessionId {
    let (id, draft) = (id(), draft("owned").with_owner(owner.clone()));
    store.must_create(&id, &draft).await;
    id
}

/// Saves the session with this owner.
async fn change_owner(store: &CheckedStore, id: &SessionId, owner: Option<&Owner>) {
    let found = store.must_find(id).await;
    let changed = draft("another owner").with_owner(owner.cloned());
    store.must_replace(id, &changed, found.version).await;
}

pub(super) async fn an_owner_is_shown_their_own_sessions_only(fixture: Fixture) {
    let store = fixture.store();
    let (ann, bob) = (owner("ann"), owner("bob"));
    let of_ann = create_many(&store, 12, Some(&ann)).await;
    let of_bob = create_many(&store, 3, Some(&bob)).await;
    create_many(&store, 3, None).await;
    assert_eq!(store.must_own_ids(&ann).await, of_ann, "ann's");
    assert_eq!(store.must_own_ids(&bob).await, of_bob, "bob's");
    assert!(store.must_own(&owner("an")).await.is_empty(), "an's");
}

pub(super) async fn pages_of_every_size_list_an_owners_sessions(fixture: Fixture) {
    let (store, other) = (fixture.store(), fixture.instance().await);
    let ann = owner("ann");
    let ids = create_many(&store, 45, Some(&ann)).await;
    create_many(&store, 20, Some(&owner("bob"))).await;
    for limit in [1, 2, 7, 44, 45, 46, 1_000, usize::MAX] {
        let call = AtomicUsize::new(0);
        let listed = all_pages(async |cursor| {
            let store = [&store, &other][call.fetch_add(1, SeqCst) % 2];
            let page = store.dir().owned_by(&ann, cursor.as_ref(), limit).await;
            page.expect("owned_by failed")
        })
        .await;
        assert_eq!(ids_of(&listed), ids, "listed by pages of {limit}");
        let count = listed.len();
        assert_eq!(count, ids.len(), "listed once each by pages of {limit}");
    }
    let none = ids_of(&store.must_own_by(&ann, 0).await);
    assert!(
        none.is_empty() || none == ids,
        "pages of 0 give nothing or everything, gave {none:?}"
    );
}

pub(super) async fn an_owners_listing_during_changes_misses_no_session(fixture: Fixture) {
    let (store, other, ann) = (fixture.store(), fixture.instance().await, owner("ann"));
    let changing = Changing::begin(&store, Some(&ann)).await;
    let listed = all_pages(async |cursor| {
        if cursor.is_some() {
            changing.go_on(&other).await;
        }
        let page = store.dir().owned_by(&ann, cursor.as_ref(), 7).await;
        page.expect("owned_by failed")
    })
    .await;
    changing.check(&listed);
    let others = listed.iter().find(|one| one.owner.as_ref() != Some(&ann));
    assert_eq!(others, None, "listed as ann's");
}

pub(super) async fn a_change_of_owner_moves_the_session(fixture: Fixture) {
    let store = fixture.store();
    let (ann, bob) = (owner("ann"), owner("bob"));
    let (id, unowned) = (id(), draft("without owner"));
    store.must_create(&id, &unowned).await;
    let only = BTreeSet::from([id.clone()]);
    change_owner(&store, &id, Some(&ann)).await;
    assert_eq!(store.must_own_ids(&ann).await, only, "signed in");
    change_owner(&store, &id, Some(&bob)).await;
    assert!(store.must_own(&ann).await.is_empty(), "ann's, now bob's");
    assert_eq!(store.must_own_ids(&bob).await, only, "bob's");
    let ended = store.must_destroy_owned_by(&ann, None).await;
    assert!(ended.is_empty(), "ended of ann's: {ended:?}");
    let found = store.must_find(&id).await;
    assert_eq!(found.owner, Some(bob.clone()), "as loaded");
    change_owner(&store, &id, None).await;
    assert!(
        store.must_own(&bob).await.is_empty(),
        "bob's, now without owner"
    );
    let ended = store.must_destroy_owned_by(&bob, None).await;
    assert!(ended.is_empty(), "ended of bob's: {ended:?}");
    assert_eq!(store.must_find(&id).await.owner, None, "as loaded");
}

/// A change of owner must not remove the previous owner's index entry: a removal that arrives late
/// would delete the entry of a session that has come back.
pub(super) async fn a_session_that_returns_to_its_owner_is_in_the_index(fixture: Fixture) {
    let stores = [fixture.store(), fixture.instance().await];
    let (ann, bob) = (owner("ann"), owner("bob"));
    let ids: Vec<_> = create_many(&stores[0], 60, Some(&ann))
        .await
        .into_iter()
        .collect();
    let staying_away: BTreeSet<_> = ids.iter().step_by(4).cloned().collect();
    together(ids.len(), async |n| {
        change_owner(&stores[0], &ids[n], Some(&bob)).await;
        if !staying_away.contains(&ids[n]) {
            change_owner(&stores[n % 2], &ids[n], Some(&ann)).await;
        }
    })
    .await;
    // By then, work that a store does after it has answered is done.
    tokio::time::sleep(ms(50)).await;
    let mut back: BTreeSet<_> = ids.iter().cloned().collect();
    back.retain(|id| !staying_away.contains(id));
    assert_eq!(stores[1].must_own_ids(&ann).await, back, "ann's again");
    let owned = stores[1].must_own_ids(&bob).await;
    assert_eq!(owned, staying_away, "bob's still");
    let ended = ended_ids(&stores[0].must_destroy_owned_by(&ann, None).await);
    let back: Vec<_> = back.into_iter().collect();
    assert_eq!(ended, back, "ended of ann's");
    for id in &staying_away {
        let found = stores[0].must_find(id).await;
        assert_eq!(found.owner, Some(bob.clone()), "bob's, untouched");
    }
}

pub(super) async fn an_owners_listing_omits_ended_sessions(fixture: Fixture) {
    let (store, ann) = (fixture.store(), owner("ann"));
    let kept = session_of(&store, &ann).await;
    let destroyed = session_of(&store, &ann).await;
    let by_version = id();
    let draft_of_ann = draft("ann's").with_owner(ann.clone());
    let version = store.must_create(&by_version, &draft_of_ann).await;
    let expired = id();
    let brief = draft_living("brief", fixed(ms(5))).with_owner(ann.clone());
    let (_, written) = timed(store.must_create(&expired, &brief)).await;
    store.must_end(&destroyed).await;
    let ended = store.must_destroy_version(&by_version, version).await;
    assert!(ended.is_some(), "destroy of the version in place");
    wait_until(written.dead_from(ms(5))).await;
    let expected = BTreeSet::from([kept.clone()]);
    assert_eq!(store.must_own_ids(&ann).await, expected, "ann's");
    // A reused id does not belong to its previous owner.
    let again = [destroyed, by_version, expired];
    for id in &again {
        store.must_create(id, &draft("without owner")).await;
    }
    let owned = store.must_own_ids(&ann).await;
    assert_eq!(owned, expected, "ann's after reuse");
    let ended = store.must_destroy_owned_by(&ann, None).await;
    assert_eq!(ended_ids(&ended), [kept], "ended of ann's");
    for id in &again {
        store.must_find(id).await;
    }
}

pub(super) async fn logging_out_everywhere_ends_all(fixture: Fixture) {
    let (store, other) = (fixture.store(), fixture.instance().await);
    let (ann, bob) = (owner("ann"), owner("bob"));
    let (of_ann, began) = timed(create_many(&store, 30, Some(&ann))).await;
    let of_bob = session_of(&store, &bob).await;
    wait_until(began.ended + ms(20)).await;
    let (ended, read) = timed(other.must_destroy_owned_by(&ann, None)).await;
    let all: Vec<_> = of_ann.into_iter().collect();
    assert_eq!(ended_ids(&ended), all, "each is reported once");
    for one in &ended {
        assert_eq!(
            one.owner.as_ref(),
            Some(&ann),
            "the owner reported of {one:?}"
        );
        let age = one.age.expect("the age of a live session is known");
        check_age(age, began, read, "as ended");
        store
            .must_lack(&one.id, "its owner logged out everywhere")
            .await;
    }
    assert!(store.must_own(&ann).await.is_empty(), "ann's afterwards");
    store.must_find(&of_bob).await;
    assert_eq!(store.must_count().await, 1, "bob's alone is left");
}

pub(super) async fn logging_out_everywhere_else_keeps_one(fixture: Fixture) {
    let (store, ann) = (fixture.store(), owner("ann"));
    let mut of_ann = create_many(&store, 10, Some(&ann)).await;
    let here = of_ann.pop_first().expect("10");
    let ended = store.must_destroy_owned_by(&ann, Some(&here)).await;
    let all: Vec<_> = of_ann.into_iter().collect();
    assert_eq!(ended_ids(&ended), all, "ended elsewhere");
    store.must_find(&here).await;
    assert_eq!(store.must_own_ids(&ann).await, [here].into(), "left");
    // An exception without owner, or of another owner, spares no session.
    let (of_bob, more) = (session_of(&store, &owner("bob")).await, id());
    let ended = store.must_destroy_owned_by(&ann, Some(&of_bob)).await;
    assert_eq!(ended.len(), 1, "ended but bob's: {ended:?}");
    session_of(&store, &ann).await;
    let ended = store.must_destroy_owned_by(&ann, Some(&more)).await;
    assert_eq!(ended.len(), 1, "ended except an unknown id: {ended:?}");
    store.must_find(&of_bob).await;
}

pub(super) async fn logging_out_in_steps_ends_each_once(fixture: Fixture) {
    let store = fixture.store();
    for limit in [0, 1, 2, 3, 7, 20, 1_000, usize::MAX] {
        let (ann, mut live) = (owner(&format!("ann, by {limit}")), BTreeSet::new());
        for spared in ["the first", "the last", "none"] {
            live.extend(create_many(&store, 10, Some(&ann)).await);
            // At either end of the store's order.
            let except = match spared {
                "the first" => live.first().cloned(),
                "the last" => live.last().cloned(),
                _ => None,
            };
            let ended = store
                .must_destroy_owned_by_steps(&ann, except.as_ref(), limit)
                .await;
            let expected = live.iter().filter(|&id| Some(id) != except.as_ref());
            let expected: Vec<_> = expected.cloned().collect();
            let what = format!("ended by {limit}, sparing {spared}");
            assert_eq!(ended_ids(&ended), expected, "{what}, each reported once");
            live = except.into_iter().collect();
            assert_eq!(store.must_own_ids(&ann).await, live, "left, {what}");
            for id in &live {
                store.must_find(id).await;
            }
        }
    }
}

/// Stale index entries must not make a call answer that no session is left.
pub(super) async fn logging_out_in_steps_is_not_stopped_by_stale_entries(fixture: Fixture) {
    let (store, ann, bob) = (fixture.store(), owner("ann"), owner("bob"));
    let gone = create_many(&store, 25, Some(&ann)).await;
    let brief = draft_living("brief", fixed(ms(5))).with_owner(ann.clone());
    let (_, written) = timed(together(10, async |_| {
        store.must_create(&id(), &brief).await
    }))
    .await;
    let given: Vec<_> = create_many(&store, 25, Some(&ann))
        .await
        .into_iter()
        .collect();
    for id in &gone {
        store.must_end(id).await;
    }
    together(given.len(), async |n| {
        change_owner(&store, &given[n], Some(&bob)).await
    })
    .await;
    let left = create_many(&store, 5, Some(&ann)).await;
    wait_until(written.dead_from(ms(5))).await;
    let ended = store.must_destroy_owned_by_steps(&ann, None, 2).await;
    let left: Vec<_> = left.into_iter().collect();
    assert_eq!(ended_ids(&ended), left, "ended by 2, among 60 not ann's");
    let given: BTreeSet<_> = given.into_iter().collect();
    assert_eq!(store.must_own_ids(&bob).await, given, "bob's");
}

/// An error here is most likely the store's own time limit.
pub(super) async fn logging_out_2000_sessions_is_done_in_time(fixture: Fixture) {
    const LIMIT: usize = 100;
    let (store, ann) = (fixture.store(), owner("ann"));
    let mut of_ann = create_many(&store, MANY, Some(&ann)).await;
    let page = store.dir().owned_by(&ann, None, LIMIT).await;
    let page = page.expect("owned_by failed").sessions.len();
    assert!(page <= 10 * LIMIT, "about {LIMIT} on a page, were {page}");
    let here = of_ann.pop_first();
    let mut ended = store
        .must_destroy_some_owned_by(&ann, here.as_ref(), LIMIT)
        .await;
    let step = ended.len();
    assert!(
        (1..=10 * LIMIT).contains(&step),
        "about {LIMIT} end by one call, were {step}"
    );
    let rest = store.must_destroy_owned_by_steps(&ann, here.as_ref(), MANY);
    ended.extend(rest.await);
    let all: Vec<_> = of_ann.into_iter().collect();
    let (ended, count) = (ended_ids(&ended), all.len());
    // Not printed: it is long.
    assert!(ended == all, "{} of {count} were reported", ended.len());
    let left = store.must_own_ids(&ann).await;
    assert_eq!(left, here.into_iter().collect(), "left");
}

/// "Log out everywhere" also ends sessions that change all the time, such as a thief's.
pub(super) async fn logging_out_everywhere_is_final(fixture: Fixture) {
    let stores = [fixture.store(), fixture.instance().await];
    for round in 0..rounds(20) {
        race_logout(&stores, fixture.random().part(round), round).await;
    }
}

async fn race_logout(stores: &[CheckedStore; 2], mut random: Random, round: usize) {
    let ann = owner(&format!("ann {round}"));
    let count = 1 + random.below(6) as usize;
    let ids: Vec<_> = create_many(&stores[0], count, Some(&ann))
        .await
        .into_iter()
        .collect();
    let busy = Busy::begin(stores, &ids, &random);
    tokio::time::sleep(Duration::from_micros(random.below(3_000))).await;
    let limit = 1 + random.below(4) as usize;
    let ended = stores[1]
        .must_destroy_owned_by_steps(&ann, None, limit)
        .await;
    // The saves are still going on.
    for id in &ids {
        let why = "its owner logged out everywhere while it changed";
        stores[0].must_lack(id, why).await;
    }
    busy.end().await;
    for id in &ids {
        let why = "its owner logged out everywhere, and a save came late";
        stores[0].must_lack(id, why).await;
    }
    assert_eq!(ended_ids(&ended), ids, "ended in round {round}");
    assert!(stores[0].must_own(&ann).await.is_empty(), "round {round}");
}
