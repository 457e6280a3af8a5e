//! What the task does with the invalidations of a store.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use session_cached::CachedStore;
use session_core::{
    Draft, Error, Invalidation, InvalidationStream, Lifetime, Result, SessionId, SessionStore,
    SessionToken, StoreWrapper,
};
use session_memory::MemoryStore;
use tokio::sync::mpsc;
use tokio::time::{advance, sleep};

const LEASE: Duration = Duration::from_secs(1_000);

type Told = Result<Invalidation>;

/// Tells what the test sends, over one stream after the other.
#[derive(Debug, Default)]
struct Telling {
    inner: MemoryStore,
    sender: Mutex<Option<mpsc::UnboundedSender<Told>>>,
    streams: AtomicUsize,
    is_mute: bool,
}

impl Telling {
    async fn tell(&self, told: Told) {
        let sender = self.sender.lock().expect("whole").clone();
        sender.expect("a stream").send(told).expect("it is heard");
        sleep(Duration::from_millis(1)).await;
    }

    fn is_heard(&self) -> bool {
        let sender = self.sender.lock().expect("whole");
        sender.as_ref().is_some_and(|sender| !sender.is_closed())
    }
}

impl StoreWrapper for Telling {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.inner
    }

    fn invalidations(this: &Self, silence: Duration) -> Option<InvalidationStream> {
        assert!(silence < LEASE / 2 && !silence.is_zero());
        this.streams.fetch_add(1, SeqCst);
        if this.is_mute {
            return None;
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        *this.sender.lock().expect("whole") = Some(sender);
        Some(Box::pin(stream::unfold(receiver, |mut told| async {
            Some((told.recv().await?, told))
        })))
    }
}

type Cached = CachedStore<Arc<Telling>>;

fn cached(is_mute: bool) -> (Cached, Arc<Telling>) {
    let telling = Arc::new(Telling {
        is_mute,
        ..Telling::default()
    });
    let store = CachedStore::builder(telling.clone()).lease(LEASE).build();
    (store.expect("good limits"), telling)
}

/// A session of which there is a copy.
async fn copied(store: &Cached) -> SessionId {
    let id = SessionToken::generate().id();
    let draft = Draft::new("{}", Lifetime::default());
    assert!(store.create(&id, &draft).await.expect("up").is_done());
    store.load(&id).await.expect("up").expect("there");
    assert!(is_copied(store, &id).await);
    id
}

/// Whether a copy is served; there is one after that.
async fn is_copied(store: &Cached, id: &SessionId) -> bool {
    let loaded = store.load(id).await.expect("up");
    loaded.expect("there").is_copy
}

#[tokio::test(start_paused = true)]
async fn copies_of_what_is_named_are_dropped() {
    let (store, telling) = cached(false);
    let (one, other) = (copied(&store).await, copied(&store).await);
    sleep(Duration::from_millis(1)).await;
    telling.tell(Ok(Invalidation::Session(one.clone()))).await;
    assert!(is_copied(&store, &other).await);
    assert!(!is_copied(&store, &one).await);
    telling.tell(Ok(Invalidation::All)).await;
    assert!(!is_copied(&store, &other).await);
    assert!(!is_copied(&store, &one).await);
    assert_eq!(telling.streams.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn all_copies_are_dropped_when_the_stream_breaks_and_it_is_asked_for_again() {
    let (store, telling) = cached(false);
    let id = copied(&store).await;
    sleep(Duration::from_millis(1)).await;
    for n in 1..4 {
        let error = Error::unavailable("invalidations", "the connection was closed");
        telling.tell(Err(error)).await;
        assert!(!is_copied(&store, &id).await, "after break {n}");
        assert!(is_copied(&store, &id).await, "copies are kept meanwhile");
        sleep(Duration::from_secs(6)).await;
        assert_eq!(telling.streams.load(SeqCst), n + 1);
        assert!(is_copied(&store, &id).await);
        // The new one says so when it begins.
        telling.tell(Ok(Invalidation::All)).await;
        assert!(!is_copied(&store, &id).await);
    }
    // Also where it ends without an error.
    telling.sender.lock().expect("whole").take();
    sleep(Duration::from_millis(1)).await;
    assert!(!is_copied(&store, &id).await);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_tells_nothing_has_the_lease() {
    let (store, telling) = cached(true);
    let id = copied(&store).await;
    sleep(Duration::from_secs(60)).await;
    assert!(is_copied(&store, &id).await);
    copied(&store).await;
    assert_eq!(telling.streams.load(SeqCst), 1, "it is asked once");
    let unsupported = cached(false);
    copied(&unsupported.0).await;
    sleep(Duration::from_millis(1)).await;
    unsupported.1.tell(Err(Error::unsupported("this"))).await;
    copied(&unsupported.0).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(unsupported.1.streams.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_listens_when_the_store_is_gone() {
    let (store, telling) = cached(false);
    copied(&store).await;
    sleep(Duration::from_millis(1)).await;
    let clone = store.clone();
    drop(store);
    sleep(Duration::from_millis(1)).await;
    assert!(telling.is_heard());
    drop(clone);
    sleep(Duration::from_millis(1)).await;
    assert!(!telling.is_heard());
    assert_eq!(Arc::strong_count(&telling), 1);
    advance(Duration::from_secs(600)).await;
    assert_eq!(telling.streams.load(SeqCst), 1);
}

#[test]
fn a_runtime_that_ends_takes_the_copies_along_and_the_next_one_listens() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().build().expect("a runtime")
    };
    let (store, telling) = cached(false);
    let first = runtime();
    let id = first.block_on(async {
        let id = copied(&store).await;
        sleep(Duration::from_millis(5)).await;
        id
    });
    drop(first);
    runtime().block_on(async {
        assert!(!is_copied(&store, &id).await);
        assert!(is_copied(&store, &id).await);
        sleep(Duration::from_millis(5)).await;
        telling.tell(Ok(Invalidation::Session(id.clone()))).await;
        sleep(Duration::from_millis(5)).await;
        assert!(!is_copied(&store, &id).await);
    });
    assert_eq!(telling.streams.load(SeqCst), 2);
}
