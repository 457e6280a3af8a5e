//! Streams that close when their session ends: the parts that no store can break.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use session_core::{
    ErrorKind, Notice, NoticeStream, Observer, Record, Result, Session, SessionEnd, SessionId,
    SessionStore, SessionToken, Sessions, StoreWrapper,
};
use session_memory::MemoryStore;
use support::{Call, sessions};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// A store without notices, which may be down.
#[derive(Clone, Debug, Default)]
struct Mute(MemoryStore, Arc<Mutex<bool>>);

impl StoreWrapper for Mute {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.0
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        if *this.1.lock().expect("whole") {
            return Err(session_core::Error::unavailable("load", "down"));
        }
        this.0.load(id).await
    }

    fn notices(_: &Self) -> Option<NoticeStream> {
        None
    }
}

impl Mute {
    fn set_down(&self, is_down: bool) {
        *self.1.lock().expect("whole") = is_down;
    }
}

async fn signed_in(sessions: &Sessions) -> SessionToken {
    let session = sessions.start();
    session.sign_in("ann").await.expect("signed in");
    session.token().expect("stored")
}

async fn opened(sessions: &Sessions, token: &SessionToken) -> Session {
    sessions.find(token).await.expect("up").expect("there")
}

/// A stream that is open, as far as the store has been asked once.
async fn stream_of(session: &Session) -> JoinHandle<SessionEnd> {
    let open = tokio::spawn(session.ended());
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!open.is_finished(), "its session lives");
    open
}

async fn end_within(limit: Duration, open: JoinHandle<SessionEnd>) -> SessionEnd {
    let ended = timeout(limit, open).await;
    ended.expect("it closes in time").expect("no panic")
}

#[tokio::test(start_paused = true)]
async fn without_notices_a_stream_is_open_for_a_lease_at_most() {
    let store = Mute::default();
    let (here, elsewhere) = (Sessions::new(store.clone()), Sessions::new(store));
    let token = signed_in(&here).await;
    for wait in [0, 1_000, 2_400, 7_300] {
        let token = if wait == 0 {
            token.clone()
        } else {
            signed_in(&here).await
        };
        let open = stream_of(&opened(&here, &token).await).await;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        assert!(elsewhere.destroy(&token.id()).await.expect("up"));
        assert_eq!(end_within(5 * SECOND, open).await, SessionEnd::Ended);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_by_the_same_manager_needs_no_notice() {
    let store = Mute::default();
    let sessions = Sessions::new(store);
    let at_once = Duration::from_millis(1);
    let session = opened(&sessions, &signed_in(&sessions).await).await;
    let open = stream_of(&session).await;
    session.destroy().await.expect("up");
    assert_eq!(end_within(at_once, open).await, SessionEnd::Ended);

    let session = opened(&sessions, &signed_in(&sessions).await).await;
    let open = stream_of(&session).await;
    sessions.destroy_owned_by("ann", None).await.expect("up");
    assert_eq!(end_within(at_once, open).await, SessionEnd::Ended);

    let session = opened(&sessions, &signed_in(&sessions).await).await;
    let open = stream_of(&session).await;
    session.cycle_id().await.expect("up");
    assert_eq!(end_within(at_once, open).await, SessionEnd::NewToken);
    let open = stream_of(&session).await;
    session.insert("a", 1).expect("a number");
    session.save().await.expect("up");
    tokio::time::sleep(20 * SECOND).await;
    assert!(!open.is_finished(), "it was opened under the new token");
}

#[tokio::test(start_paused = true)]
async fn a_notice_closes_a_stream_of_another_manager_at_once() {
    let store = MemoryStore::new();
    let (here, elsewhere) = (Sessions::new(store.clone()), Sessions::new(store));
    let at_once = Duration::from_millis(1);
    let token = signed_in(&here).await;
    let open = stream_of(&opened(&here, &token).await).await;
    elsewhere.destroy_owned_by("ann", None).await.expect("up");
    assert_eq!(end_within(at_once, open).await, SessionEnd::Ended);
    let token = signed_in(&here).await;
    let open = stream_of(&opened(&here, &token).await).await;
    let session = opened(&elsewhere, &token).await;
    session.sign_in("ann").await.expect("up");
    assert_eq!(end_within(at_once, open).await, SessionEnd::NewToken);
    let open = stream_of(&opened(&here, &session.token().expect("stored")).await).await;
    let directory = elsewhere.store().directory().expect("one");
    directory.clear().await.expect("up");
    assert_eq!(end_within(at_once, open).await, SessionEnd::Ended);
}

#[tokio::test(start_paused = true)]
async fn if_the_store_is_down_streams_close_after_the_lease_or_the_outage_that_is_allowed() {
    let store = Mute::default();
    let strict = Sessions::new(store.clone());
    let patient = strict.to_builder().stream_outage(60 * SECOND).build();
    let patient = patient.expect("good rules");
    let token = signed_in(&strict).await;
    let closes = stream_of(&opened(&strict, &token).await).await;
    let stays = stream_of(&opened(&patient, &token).await).await;
    store.set_down(true);
    let began = Instant::now();
    assert_eq!(
        end_within(6 * SECOND, closes).await,
        SessionEnd::Unconfirmed
    );
    assert!(began.elapsed() > 4 * SECOND, "{:?}", began.elapsed());
    tokio::time::sleep(50 * SECOND).await;
    assert!(!stays.is_finished());
    store.set_down(false);
    tokio::time::sleep(20 * SECOND).await;
    assert!(!stays.is_finished());
    assert!(strict.destroy(&token.id()).await.expect("up"));
    assert_eq!(end_within(5 * SECOND, stays).await, SessionEnd::Ended);
}

#[tokio::test(start_paused = true)]
async fn all_streams_of_a_session_are_asked_for_together() {
    let (sessions, store, _) = sessions();
    let token = signed_in(&sessions).await;
    let session = opened(&sessions, &token).await;
    let open: Vec<_> = (0..100).map(|_| tokio::spawn(session.ended())).collect();
    tokio::time::sleep(SECOND / 10).await;
    assert_eq!(sessions.open_streams(), 100);
    store.take_calls();
    tokio::time::sleep(10 * SECOND).await;
    let calls = store.take_calls();
    assert_eq!(calls, [Call::Load; 4], "two each lease");
    for open in &open {
        open.abort();
    }
    tokio::time::sleep(SECOND / 10).await;
    assert_eq!(sessions.open_streams(), 0);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(store.take_calls(), [], "the last stream has ended");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_in_no_store_has_ended() {
    let (sessions, store, _) = sessions();
    let guest = sessions.start();
    assert_eq!(guest.ended().await, SessionEnd::Ended);
    assert_eq!(store.calls(), []);
    let later = guest.ended();
    guest.sign_in("ann").await.expect("up");
    let open = tokio::spawn(later);
    tokio::time::sleep(20 * SECOND).await;
    assert!(!open.is_finished(), "it counts when it is polled");
}

#[tokio::test(start_paused = true)]
async fn a_stream_gives_its_items_until_the_session_ends() {
    let sessions = Sessions::new(MemoryStore::new());
    let session = opened(&sessions, &signed_in(&sessions).await).await;
    let ticks = stream::unfold(0, |n| async move {
        tokio::time::sleep(SECOND).await;
        Some((n, n + 1))
    });
    let mut news = Box::pin(session.until_ended(ticks));
    assert_eq!(news.next().await, Some(0));
    assert_eq!(news.next().await, Some(1));
    session.destroy().await.expect("up");
    assert_eq!(news.next().await, None);
    let session = opened(&sessions, &signed_in(&sessions).await).await;
    let brief = session.until_ended(stream::iter([1, 2]));
    assert_eq!(brief.collect::<Vec<i32>>().await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_when_the_session_ends() {
    let sessions = Sessions::new(MemoryStore::new());
    let session = opened(&sessions, &signed_in(&sessions).await).await;
    assert_eq!(session.while_live(async { 7 }).await, Ok(7));
    let mut received = Vec::new();
    let work = async {
        loop {
            received.push(1);
            tokio::time::sleep(SECOND).await;
        }
    };
    let ending = async {
        tokio::time::sleep(SECOND * 5 / 2).await;
        session.destroy().await
    };
    let (end, destroyed) = tokio::join!(session.while_live(work), ending);
    destroyed.expect("up");
    assert_eq!(end, Err::<(), _>(SessionEnd::Ended));
    assert_eq!(received, [1, 1, 1]);
}

/// Remembers what closed.
#[derive(Default)]
struct Closings(Mutex<Vec<(SessionEnd, usize)>>);

impl Observer for Closings {
    fn streams_closed(&self, _: &SessionId, end: SessionEnd, streams: usize) {
        self.0.lock().expect("whole").push((end, streams));
    }
}

#[tokio::test(start_paused = true)]
async fn observers_hear_of_the_streams_that_were_closed() {
    let closings = Arc::new(Closings::default());
    let builder = Sessions::builder(MemoryStore::new());
    let sessions = builder.shared_observer(closings.clone()).build();
    let sessions = sessions.expect("good rules");
    let session = opened(&sessions, &signed_in(&sessions).await).await;
    let open = [stream_of(&session).await, stream_of(&session).await];
    session.destroy().await.expect("up");
    for open in open {
        open.await.expect("closed");
    }
    let closings = closings.0.lock().expect("whole").clone();
    assert_eq!(closings, [(SessionEnd::Ended, 2)]);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_closes_a_stream_to_the_millisecond_unless_the_session_is_used() {
    let sessions = Sessions::builder(MemoryStore::new());
    let lifetime = session_core::Lifetime::idle(7 * SECOND);
    let sessions = sessions.lifetime(lifetime).build().expect("good rules");
    let session = opened(&sessions, &signed_in(&sessions).await).await;
    let (open, began) = (tokio::spawn(session.ended()), Instant::now());
    tokio::time::sleep(5 * SECOND).await;
    let id = session.id().expect("stored");
    let touched = sessions.store().touch(&id, lifetime.idle);
    touched.await.expect("up").expect("it lives");
    assert_eq!(end_within(8 * SECOND, open).await, SessionEnd::Ended);
    let open_for = began.elapsed().as_millis();
    assert!((12_000..=12_050).contains(&open_for), "{open_for} ms");
}

/// Gives notices until it is cut, and counts how often they are asked for.
#[derive(Debug, Default)]
struct Cut(MemoryStore, Arc<Mutex<usize>>);

impl StoreWrapper for Cut {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.0
    }

    fn notices(this: &Self) -> Option<NoticeStream> {
        *this.1.lock().expect("whole") += 1;
        let error = session_core::Error::unavailable("notices", "cut");
        let all = stream::iter([Ok(Notice::Missed), Err(error)]);
        Some(Box::pin(all))
    }
}

#[tokio::test(start_paused = true)]
async fn notices_that_break_off_are_asked_for_again_with_pauses() {
    let asked = Arc::new(Mutex::new(0));
    let store = Cut(MemoryStore::new(), asked.clone());
    let sessions = Sessions::new(store);
    let session = opened(&sessions, &signed_in(&sessions).await).await;
    assert_eq!(*asked.lock().expect("whole"), 0, "no stream is open");
    let open = stream_of(&session).await;
    tokio::time::sleep(10 * SECOND).await;
    let asked = *asked.lock().expect("whole");
    // Five random pauses of up to 100 ms to 1.6 s, and then of up to 5 s.
    assert!((4..=20).contains(&asked), "{asked}");
    assert!(!open.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_lease_or_an_outage_that_is_too_short_or_too_long_is_refused() {
    let day = Duration::from_secs(86_400);
    let build = |lease, outage| {
        let builder = Sessions::builder(MemoryStore::new());
        builder.stream_lease(lease).stream_outage(outage).build()
    };
    for (lease, outage) in [
        (Duration::from_millis(99), Duration::ZERO),
        (day + Duration::from_nanos(1), Duration::ZERO),
        (Duration::MAX, Duration::ZERO),
        (SECOND, day + Duration::from_nanos(1)),
        (SECOND, Duration::MAX),
    ] {
        let refused = build(lease, outage).map_err(|error| error.kind());
        assert_eq!(refused.map(drop), Err(ErrorKind::Misconfigured));
    }
    let sessions = build(day, day).expect("the longest");
    let session = opened(&sessions, &signed_in(&sessions).await).await;
    stream_of(&session).await;
}
