//! What is served from memory, how long, and what it takes.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_cached::CachedStore;
use session_core::{
    Draft, Ended, ErrorKind, Lifetime, Owner, Record, Result, SessionDirectory, SessionId,
    SessionStore, SessionToken, StoreWrapper, Timeout, Ttl, Version,
};
use session_memory::MemoryStore;
use tokio::time::{Instant, advance, sleep};

const LEASE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(1);

/// Counts loads, which take `delay` each way. What ends sessions takes `end_delay` each way.
#[derive(Debug, Default)]
struct Counting {
    inner: MemoryStore,
    loads: AtomicUsize,
    delay: Duration,
    end_delay: Duration,
    /// How much later the answers of loads that are sent now come.
    answer_delay: Mutex<Duration>,
}

impl StoreWrapper for Counting {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.inner
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        this.loads.fetch_add(1, SeqCst);
        let answer_delay = this.delay + *this.answer_delay.lock().expect("whole");
        sleep(this.delay).await;
        let loaded = this.inner.load(id).await;
        sleep(answer_delay).await;
        loaded
    }

    async fn destroy(
        this: &Self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        sleep(this.end_delay).await;
        let ended = this.inner.destroy(id, expected).await;
        sleep(this.end_delay).await;
        ended
    }

    async fn destroy_owned_by(
        this: &Self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        sleep(this.end_delay).await;
        let ended = this.inner.destroy_owned_by(owner, except, limit).await;
        sleep(this.end_delay).await;
        ended
    }
}

type Cached = CachedStore<Arc<Counting>>;

fn cached(delay: Duration) -> (Cached, Arc<Counting>) {
    let inner = Arc::new(Counting {
        delay,
        ..Counting::default()
    });
    let store = CachedStore::builder(inner.clone()).lease(LEASE).build();
    (store.expect("good limits"), inner)
}

fn id() -> SessionId {
    SessionToken::generate().id()
}

fn owner() -> Owner {
    Owner::new("u").expect("an owner")
}

async fn created(store: &impl SessionStore, draft: &Draft) -> SessionId {
    let id = id();
    assert!(store.create(&id, draft).await.expect("up").is_done());
    id
}

async fn loaded(store: &impl SessionStore, id: &SessionId) -> Option<Record> {
    store.load(id).await.expect("up")
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_served_until_its_lease_is_over() {
    let (store, inner) = cached(Duration::ZERO);
    let id = created(&store, &Draft::new("{}", Lifetime::default())).await;
    let first = loaded(&store, &id).await.expect("there");
    assert!(!first.is_copy);
    advance(LEASE - TICK).await;
    let copy = loaded(&store, &id).await.expect("there");
    assert!(copy.is_copy && copy.data == first.data && copy.version == first.version);
    assert_eq!(inner.loads.load(SeqCst), 1);
    advance(TICK).await;
    assert!(!loaded(&store, &id).await.expect("there").is_copy);
    assert_eq!(inner.loads.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_counted_from_before_the_load_was_sent() {
    let delay = LEASE / 4;
    let (store, inner) = cached(delay);
    let id = created(&store, &Draft::new("{}", Lifetime::default())).await;
    let asked = Instant::now();
    loaded(&store, &id).await.expect("there");
    assert_eq!(asked.elapsed(), 2 * delay);
    advance(LEASE - 2 * delay - TICK).await;
    assert!(loaded(&store, &id).await.expect("there").is_copy);
    advance(TICK).await;
    assert!(!loaded(&store, &id).await.expect("there").is_copy);
    assert_eq!(inner.loads.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_copy_ages_and_ends_with_its_session() {
    let (store, inner) = cached(Duration::ZERO);
    let idle = Duration::from_millis(500);
    let id = created(&store, &Draft::new("{}", Lifetime::idle(idle))).await;
    let delay = Duration::from_millis(100);
    advance(delay).await;
    let first = loaded(&store, &id).await.expect("there");
    assert_eq!((first.ttl, first.age), (Ttl::Left(idle - delay), delay));
    advance(3 * delay).await;
    let copy = loaded(&store, &id).await.expect("there");
    assert!(copy.is_copy);
    assert_eq!((copy.ttl, copy.age), (Ttl::Left(delay), 4 * delay));
    advance(delay).await;
    assert_eq!(loaded(&store, &id).await, None);
    assert_eq!(inner.loads.load(SeqCst), 2, "the copy was not asked");
}

#[tokio::test(start_paused = true)]
async fn absent_sessions_are_asked_for_each_time() {
    let (store, inner) = cached(Duration::ZERO);
    let id = id();
    for _ in 0..3 {
        assert_eq!(loaded(&store, &id).await, None);
    }
    assert_eq!(inner.loads.load(SeqCst), 3);
    let draft = Draft::new("{}", Lifetime::default());
    assert!(store.create(&id, &draft).await.expect("up").is_done());
    assert!(loaded(&store, &id).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn own_writes_are_seen_at_once() {
    let (store, _) = cached(Duration::ZERO);
    let clone = store.clone();
    let draft = Draft::new("1", Lifetime::idle(LEASE)).with_owner(owner());
    let id = created(&store, &draft).await;
    let first = loaded(&clone, &id).await.expect("there");
    let second = Draft::new("2", Lifetime::idle(LEASE)).with_owner(owner());
    let saved = store.save(&id, &second, &first.version).await.expect("up");
    assert!(saved.is_done());
    assert_eq!(loaded(&clone, &id).await.expect("there").data, "2");
    advance(LEASE / 2).await;
    let idle = Timeout::After(2 * LEASE);
    let left = store.touch(&id, idle).await.expect("up").expect("there");
    assert_eq!(loaded(&clone, &id).await.expect("there").ttl, left);
    assert!(store.destroy(&id, None).await.expect("up").is_some());
    assert_eq!(loaded(&clone, &id).await, None);
}

#[tokio::test(start_paused = true)]
async fn signing_out_everywhere_and_clearing_are_seen_at_once() {
    let (store, inner) = cached(Duration::ZERO);
    let draft = Draft::new("1", Lifetime::default()).with_owner(owner());
    let (owned, guest) = (
        created(&store, &draft).await,
        created(&store, &Draft::new("1", Lifetime::default())).await,
    );
    // A copy of when it was a guest's.
    let late = loaded(&store, &guest).await.expect("there");
    let signed_in = inner.inner.save(&guest, &draft, &late.version).await;
    assert!(signed_in.expect("up").is_done());
    let other = created(&store, &Draft::new("1", Lifetime::default())).await;
    for id in [&owned, &guest, &other] {
        loaded(&store, id).await.expect("there");
        assert!(loaded(&store, id).await.expect("there").is_copy);
    }
    let ended = store.destroy_owned_by(&owner(), None, 10).await;
    assert_eq!(ended.expect("up").len(), 2);
    assert_eq!(loaded(&store, &owned).await, None);
    assert_eq!(loaded(&store, &guest).await, None);
    let kept = loaded(&store, &other).await.expect("there");
    assert!(kept.is_copy, "the copies of others stay");
    assert_eq!(store.clear().await.expect("up"), 1);
    assert_eq!(loaded(&store, &other).await, None);
}

/// What ends a session, or says that it may have ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Destroy,
    DestroyOwnedBy,
    Clear,
    DropCopy,
}

impl End {
    async fn of(self, store: &Cached, id: &SessionId) {
        match self {
            Self::Destroy => drop(store.destroy(id, None).await.expect("up")),
            Self::DestroyOwnedBy => {
                let ended = store.destroy_owned_by(&owner(), None, 10).await;
                assert_eq!(ended.expect("up").len(), 1);
            }
            Self::Clear => drop(store.clear().await.expect("up")),
            Self::DropCopy => store.drop_copy(id),
        }
    }
}

fn slow_ends() -> (Cached, Arc<Counting>) {
    let inner = Arc::new(Counting {
        end_delay: Duration::from_millis(20),
        ..Counting::default()
    });
    let store = CachedStore::builder(inner.clone()).lease(LEASE).build();
    (store.expect("good limits"), inner)
}

/// The load was sent before the write, and its answer comes after.
#[tokio::test(start_paused = true)]
async fn a_load_that_was_under_way_during_a_write_keeps_no_copy() {
    let delay = Duration::from_millis(10);
    let draft = Draft::new("1", Lifetime::default()).with_owner(owner());
    for end in [End::Destroy, End::DestroyOwnedBy, End::Clear, End::DropCopy] {
        let (store, inner) = cached(delay);
        let id = created(&store, &draft).await;
        let loading = tokio::spawn({
            let (store, id) = (store.clone(), id.clone());
            async move { loaded(&store, &id).await }
        });
        sleep(delay + delay / 2).await;
        end.of(&store, &id).await;
        let old = loading.await.expect("no panic");
        assert!(old.is_some(), "it was there when it was read");
        let now = loaded(&store, &id).await;
        assert!(now.is_none_or(|now| !now.is_copy), "after {end:?}");
        assert_eq!(inner.loads.load(SeqCst), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_loads_the_one_that_was_sent_later_is_kept() {
    let (store, inner) = cached(Duration::ZERO);
    let id = created(&store, &Draft::new("1", Lifetime::default())).await;
    *inner.answer_delay.lock().expect("whole") = Duration::from_millis(50);
    let first = tokio::spawn({
        let (store, id) = (store.clone(), id.clone());
        async move { loaded(&store, &id).await.expect("there").version }
    });
    sleep(Duration::from_millis(10)).await;
    *inner.answer_delay.lock().expect("whole") = Duration::ZERO;
    let before = inner.inner.load(&id).await.expect("up").expect("there");
    let draft = Draft::new("2", Lifetime::default());
    let saved = inner.inner.save(&id, &draft, &before.version).await;
    assert!(saved.expect("up").is_done());
    let second = loaded(&store, &id).await.expect("there");
    assert_eq!(second.version.stamp(), draft.stamp);
    assert_eq!(first.await.expect("no panic"), before.version);
    let copy = loaded(&store, &id).await.expect("there");
    assert!(copy.is_copy && copy.version == second.version);
}

#[tokio::test(start_paused = true)]
async fn no_copy_of_before_is_served_while_a_write_is_under_way() {
    for end in [End::Destroy, End::DestroyOwnedBy] {
        let (store, _) = slow_ends();
        let draft = Draft::new("1", Lifetime::default()).with_owner(owner());
        let id = created(&store, &draft).await;
        loaded(&store, &id).await.expect("there");
        let ending = tokio::spawn({
            let (store, id) = (store.clone(), id.clone());
            async move { end.of(&store, &id).await }
        });
        sleep(Duration::from_millis(30)).await;
        assert_eq!(loaded(&store, &id).await, None, "{end:?} has happened");
        ending.await.expect("no panic");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_caller_goes_away_drops_the_copy_and_that_of_loads_under_way() {
    for end in [End::Destroy, End::DestroyOwnedBy] {
        for is_under_way in [false, true] {
            let (store, inner) = slow_ends();
            let draft = Draft::new("1", Lifetime::default()).with_owner(owner());
            let id = created(&store, &draft).await;
            let ending = tokio::spawn({
                let (store, id) = (store.clone(), id.clone());
                async move { end.of(&store, &id).await }
            });
            sleep(Duration::from_millis(10)).await;
            if is_under_way {
                *inner.answer_delay.lock().expect("whole") = Duration::from_millis(50);
            }
            let loading = tokio::spawn({
                let (store, id) = (store.clone(), id.clone());
                async move { loaded(&store, &id).await }
            });
            sleep(Duration::from_millis(20)).await;
            ending.abort();
            assert!(ending.await.expect_err("it was aborted").is_cancelled());
            assert!(loading.await.expect("no panic").is_some());
            assert_eq!(loaded(&store, &id).await, None, "{end:?} has happened");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_what_is_used_stays() {
    const SESSIONS: usize = 400;
    let inner = Arc::new(Counting::default());
    let builder = CachedStore::builder(inner.clone()).lease(LEASE);
    let store = builder.max_bytes(200_000).build().expect("good limits");
    let draft = Draft::new(vec![b'x'; 1_000], Lifetime::default());
    let used = created(&store, &draft).await;
    loaded(&store, &used).await.expect("there");
    let mut ids = Vec::new();
    for _ in 0..SESSIONS {
        ids.push(created(&store, &draft).await);
        loaded(&store, &ids[ids.len() - 1]).await.expect("there");
        assert!(loaded(&store, &used).await.expect("there").is_copy);
    }
    let mut copies = 0;
    for id in &ids {
        let before = inner.loads.load(SeqCst);
        // It keeps those that are asked for, and evicts others for them.
        loaded(&store, id).await.expect("there");
        copies += usize::from(inner.loads.load(SeqCst) == before);
    }
    assert!(copies < 200, "{copies} copies of over 1,000 bytes each");
    let large = Draft::new(vec![b'x'; 300_000], Lifetime::default());
    let large = created(&store, &large).await;
    for _ in 0..2 {
        assert!(!loaded(&store, &large).await.expect("there").is_copy);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_zero_keeps_nothing() {
    let inner = Arc::new(Counting::default());
    let builder = CachedStore::builder(inner.clone()).lease(Duration::ZERO);
    let store = builder.build().expect("good limits");
    let id = created(&store, &Draft::new("1", Lifetime::default())).await;
    for n in 1..4 {
        assert!(!loaded(&store, &id).await.expect("there").is_copy);
        assert_eq!(inner.loads.load(SeqCst), n);
    }
}

#[test]
fn limits_that_can_not_be_meant_are_refused() {
    let builder = || CachedStore::builder(MemoryStore::new());
    let refused = [
        builder().lease(Duration::from_secs(3_601)).build(),
        builder().max_bytes(0).build(),
    ];
    for store in refused {
        let error = store.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn copies_of_copies_are_not_kept() {
    let (near, inner) = cached(Duration::ZERO);
    let far = CachedStore::builder(near.clone()).lease(LEASE).build();
    let far = far.expect("good limits");
    let id = created(&near, &Draft::new("1", Lifetime::default())).await;
    loaded(&near, &id).await.expect("there");
    advance(LEASE / 2).await;
    assert!(loaded(&far, &id).await.expect("there").is_copy);
    inner.inner.destroy(&id, None).await.expect("up");
    advance(LEASE / 2).await;
    assert_eq!(loaded(&far, &id).await, None);
    // Dropping reaches the copies inside.
    let id = created(&near, &Draft::new("1", Lifetime::default())).await;
    loaded(&near, &id).await.expect("there");
    inner.inner.destroy(&id, None).await.expect("up");
    far.drop_copy(&id);
    assert_eq!(loaded(&far, &id).await, None);
}
