//! Streams that close when another process ends their session, on real servers: by the notices of
//! the database, and by the lease where there are none.

mod mongo;
mod mysql;
mod postgres;
mod redis;

use std::time::{Duration, Instant};

use session_core::{Session, SessionEnd, SessionStore, SessionToken, Sessions};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);
/// So long that only a notice closes a stream in time.
const LONG: Duration = Duration::from_secs(120);
/// For stores of which only the lease closes a stream.
const SHORT: Duration = Duration::from_secs(1);
/// How long a busy machine may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A manager with this lease, which closes no stream because a machine is slow.
fn manager(store: impl SessionStore, lease: Duration) -> Sessions {
    let builder = Sessions::builder(store).stream_lease(lease);
    builder.stream_outage(LONG).build().expect("good rules")
}

async fn signed_in(sessions: &Sessions, user: &str) -> Session {
    let session = sessions.start();
    session.sign_in(user).await.expect("signed in");
    session
}

async fn opened(sessions: &Sessions, token: &SessionToken) -> Session {
    sessions.find(token).await.expect("up").expect("there")
}

/// Streams of as many sessions of a user.
async fn streams(sessions: &Sessions, user: &str, count: usize) -> Vec<JoinHandle<SessionEnd>> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        streams.push(tokio::spawn(signed_in(sessions, user).await.ended()));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let open = streams.iter().filter(|stream| !stream.is_finished());
    assert_eq!(open.count(), count, "their sessions live");
    streams
}

/// Waits until all are closed, and says how long that took.
async fn must_close(streams: Vec<JoinHandle<SessionEnd>>, within: Duration) -> Duration {
    let began = Instant::now();
    for stream in streams {
        let left = within.saturating_sub(began.elapsed());
        let end = timeout(left, stream).await.expect("it closes in time");
        assert_eq!(end.expect("no panic"), SessionEnd::Ended);
    }
    began.elapsed()
}

/// A sign-in by another process closes a guest's stream, and a destroy the next one.
async fn a_notice_closes_streams(here: &Sessions, elsewhere: &Sessions) {
    let guest = here.start();
    guest.insert("cart", 1).expect("a number");
    guest.save().await.expect("up");
    let stream = tokio::spawn(guest.ended());
    tokio::time::sleep(SECOND / 2).await;
    assert!(!stream.is_finished());
    let session = opened(elsewhere, &guest.token().expect("stored")).await;
    session.sign_in("ann").await.expect("up");
    let end = timeout(LIMIT, stream).await.expect("by a notice");
    assert_eq!(end.expect("no panic"), SessionEnd::NewToken);

    let hers = streams(here, "ann", 20).await;
    let his = streams(here, "ben", 1).await;
    elsewhere.destroy_owned_by("ann", None).await.expect("up");
    must_close(hers, LIMIT).await;
    tokio::time::sleep(SECOND / 2).await;
    assert!(!his[0].is_finished(), "his session lives");
    let directory = elsewhere.store().directory().expect("one");
    directory.clear().await.expect("up");
    must_close(his, LIMIT).await;
    assert_eq!(here.open_streams(), 0);
}

/// Without notices, the lease closes them.
async fn the_lease_closes_streams(here: &Sessions, elsewhere: &Sessions) {
    let hers = streams(here, "ann", 20).await;
    let his = streams(here, "ben", 1).await;
    elsewhere.destroy_owned_by("ann", None).await.expect("up");
    must_close(hers, LIMIT).await;
    assert!(!his[0].is_finished(), "his session lives");
    his[0].abort();
}
