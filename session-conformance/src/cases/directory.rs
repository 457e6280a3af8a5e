//! Counts, listings and clearing, as admin tools use them. `owners` has the cases about owners.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use session_core::{Cursor, Draft, ErrorKind, Lifetime, SessionId, Ttl};

use crate::Fixture;
use crate::changing::{Changing, create_many};
use crate::checked::{all_pages, ids_of};
use crate::samples::{draft, draft_living, fixed, hours, id, ms, owner, secs};
use crate::timing::{check_age, check_ttl, timed, wait_until};

pub(super) async fn a_store_without_sessions_lists_none(fixture: Fixture) {
    let store = fixture.store();
    assert_eq!(store.must_count().await, 0, "the count of nothing");
    assert!(store.must_list(10).await.is_empty(), "a listing of nothing");
    let absent = owner("no such owner");
    assert!(
        store.must_own(&absent).await.is_empty(),
        "of an unknown owner"
    );
    let ended = store.must_destroy_owned_by(&absent, None).await;
    assert!(ended.is_empty(), "ended of an unknown owner");
    assert_eq!(store.must_clear().await, 0, "cleared of nothing");
}

pub(super) async fn pages_of_every_size_list_everything(fixture: Fixture) {
    let store = fixture.store();
    let ids = create_many(&store, 45, None).await;
    assert_eq!(store.must_count().await, 45, "the count");
    for limit in [1, 7, 44, 45, 46, 1_000, usize::MAX] {
        let listed = store.must_list_ids(limit).await;
        assert_eq!(listed, ids, "listed by pages of {limit}");
    }
}

pub(super) async fn a_listing_by_pages_of_0_ends(fixture: Fixture) {
    let store = fixture.store();
    let ids = create_many(&store, 5, None).await;
    let listed = store.must_list_ids(0).await;
    assert!(
        listed.is_empty() || listed == ids,
        "pages of 0 give nothing or everything, gave {listed:?}"
    );
}

pub(super) async fn another_instance_continues_a_listing(fixture: Fixture) {
    let (store, other) = (fixture.store(), fixture.instance().await);
    let ids = create_many(&store, 20, None).await;
    let call = AtomicUsize::new(0);
    let listed = all_pages(async |cursor| {
        let store = [&store, &other][call.fetch_add(1, SeqCst) % 2];
        let page = store.dir().list(cursor.as_ref(), 3).await;
        page.expect("list failed")
    })
    .await;
    assert_eq!(ids_of(&listed), ids, "listed by two instances in turn");
}

pub(super) async fn a_foreign_cursor_is_refused(fixture: Fixture) {
    let (store, ann) = (fixture.store(), owner("ann"));
    create_many(&store, 3, Some(&ann)).await;
    for text in [
        "",
        "x",
        "-1",
        "99999999999999999999999",
        "{\"$gt\":\"\"}",
        "🦀",
        "a\0b",
    ] {
        let cursor = Cursor::new(text);
        for page in [
            store.dir().list(Some(&cursor), 10).await,
            store.dir().owned_by(&ann, Some(&cursor), 10).await,
        ] {
            assert!(
                matches!(&page, Err(error) if error.kind() == ErrorKind::Misconfigured),
                "a page from the cursor {text:?} is Misconfigured, was {page:?}"
            );
        }
    }
}

pub(super) async fn a_listing_describes_each_session(fixture: Fixture) {
    let (store, ann) = (fixture.store(), owner("ann"));
    let ids: [SessionId; 2] = [id(), id()];
    let drafts = [
        Draft::new(vec![b'x'; 321], Lifetime::new(secs(600), secs(6_000))).with_owner(ann.clone()),
        Draft::new(
            Vec::new(),
            Lifetime::new(session_core::Timeout::Never, session_core::Timeout::Never),
        ),
    ];
    let (_, began) = timed(async {
        store.must_create(&ids[0], &drafts[0]).await;
        store.must_create(&ids[1], &drafts[1]).await;
    })
    .await;
    wait_until(began.ended + ms(30)).await;
    let (listed, read) = timed(store.must_list(10)).await;
    // One that lives throughout is listed at least once: a store may name it again.
    for info in listed.iter().chain(&store.must_own(&ann).await) {
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

pub(super) async fn a_listing_during_changes_misses_no_session(fixture: Fixture) {
    let (store, other) = (fixture.store(), fixture.instance().await);
    let changing = Changing::begin(&store, None).await;
    let listed = all_pages(async |cursor| {
        if cursor.is_some() {
            changing.go_on(&other).await;
        }
        let page = store.dir().list(cursor.as_ref(), 7).await;
        page.expect("list failed")
    })
    .await;
    changing.check(&listed);
}

pub(super) async fn clear_ends_every_session(fixture: Fixture) {
    let (store, other) = (fixture.store(), fixture.instance().await);
    let ann = owner("ann");
    let mut ids = create_many(&store, 150, None).await;
    ids.extend(create_many(&store, 150, Some(&ann)).await);
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

pub(super) async fn counts_follow_creates_and_ends(fixture: Fixture) {
    let store = fixture.store();
    let (one, brief) = (id(), id());
    let limit = ms(40);
    store
        .must_create(&one, &draft_living("one", hours(1)))
        .await;
    let (_, written) = timed(store.must_create(&brief, &draft_living("brief", fixed(limit)))).await;
    wait_until(written.dead_from(limit)).await;
    assert_eq!(store.must_count().await, 1, "after one has expired");
    store.must_end(&one).await;
    assert_eq!(store.must_count().await, 0, "after the other was destroyed");
}
