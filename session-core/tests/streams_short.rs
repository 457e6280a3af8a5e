//! What streams that are open for a moment cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use session_core::{
    Error, Notice, NoticeStream, Record, Result, Session, SessionEnd, SessionId, SessionStore,
    Sessions, StoreWrapper,
};
use session_memory::MemoryStore;
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// A store that counts what streams ask of it.
#[derive(Clone, Debug, Default)]
struct Counting(MemoryStore, Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    loads: AtomicUsize,
    subscriptions: AtomicUsize,
    /// Those that are open.
    listening: AtomicUsize,
    /// How many milliseconds it takes to subscribe.
    delay: AtomicUsize,
    /// Whether it fails.
    is_refused: AtomicUsize,
}

struct Listening(Arc<Counts>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.fetch_sub(1, SeqCst);
    }
}

impl StoreWrapper for Counting {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.0
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        this.1.loads.fetch_add(1, SeqCst);
        this.0.load(id).await
    }

    fn notices(this: &Self) -> Option<NoticeStream> {
        let counts = Arc::clone(&this.1);
        counts.subscriptions.fetch_add(1, SeqCst);
        counts.listening.fetch_add(1, SeqCst);
        let listening = Listening(Arc::clone(&counts));
        let inner = this.0.notices()?;
        let opened = stream::once(async move {
            sleep(Duration::from_millis(counts.delay.load(SeqCst) as u64)).await;
            if counts.is_refused.load(SeqCst) > 0 {
                let refused = Error::unavailable("notices", "refused");
                return stream::iter([Err(refused)]).boxed();
            }
            inner
        });
        let all = opened.flatten();
        Some(Box::pin(all.map(move |notice: Result<Notice>| {
            let _listening = &listening;
            notice
        })))
    }
}

impl Counting {
    fn take_loads(&self) -> usize {
        self.1.loads.swap(0, SeqCst)
    }

    fn take_subscriptions(&self) -> usize {
        self.1.subscriptions.swap(0, SeqCst)
    }

    fn listening(&self) -> usize {
        self.1.listening.load(SeqCst)
    }
}

async fn signed_in(sessions: &Sessions) -> Session {
    let session = sessions.start();
    session.sign_in("ann").await.expect("signed in");
    session
}

/// A stream of `session` that is open for so long, and then over by itself.
async fn stream_for(session: &Session, open: Duration) {
    let ended = timeout(open, session.ended()).await;
    ended.expect_err("its session lives");
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_a_few_milliseconds_costs_nothing() {
    let store = Counting::default();
    let sessions = Sessions::new(store.clone());
    let session = signed_in(&sessions).await;
    for _ in 0..100 {
        stream_for(&session, Duration::from_millis(8)).await;
        sleep(Duration::from_millis(1)).await;
    }
    sleep(20 * SECOND).await;
    assert_eq!((store.take_loads(), store.take_subscriptions()), (0, 0));
    assert_eq!(sessions.open_streams(), 0);

    let open = tokio::spawn(session.ended());
    sleep(SECOND).await;
    store.take_loads();
    for _ in 0..100 {
        let other = signed_in(&sessions).await;
        stream_for(&other, Duration::from_millis(8)).await;
    }
    assert_eq!(store.take_loads(), 0, "beside another stream");
    open.abort();
}

#[tokio::test(start_paused = true)]
async fn a_first_stream_is_one_subscription_and_one_load_and_none_is_left_when_it_is_over() {
    for delay in [0, 7, 100] {
        let store = Counting::default();
        store.1.delay.store(delay, SeqCst);
        let sessions = Sessions::new(store.clone());
        let session = signed_in(&sessions).await;
        stream_for(&session, SECOND / 2).await;
        assert_eq!((store.take_loads(), store.take_subscriptions()), (1, 1));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(store.listening(), 0, "the last stream is over");
    }
}

#[tokio::test(start_paused = true)]
async fn what_ended_before_the_first_subscription_is_found_though_it_is_late_or_refused() {
    for (delay, is_refused) in [(0, 0), (0, 1), (100, 0), (100, 1), (60_000, 0)] {
        let store = Counting::default();
        store.1.delay.store(delay, SeqCst);
        store.1.is_refused.store(is_refused, SeqCst);
        let (sessions, elsewhere) = (Sessions::new(store.clone()), Sessions::new(store.0.clone()));
        let session = signed_in(&sessions).await;
        let open = tokio::spawn(session.ended());
        sleep(Duration::from_millis(5)).await;
        let id = session.id().expect("stored");
        assert!(elsewhere.destroy(&id).await.expect("up"));
        let closed = timeout(SECOND * 6 / 10, open).await;
        let end = closed.expect("it is asked for").expect("no panic");
        assert_eq!(end, SessionEnd::Ended);
    }
}
