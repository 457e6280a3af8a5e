//! Streams that close when their session ends, by the store's notices or without any.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use session_core::{
    ErrorKind, Notice, NoticeStream, Session, SessionEnd, SessionId, SessionToken, Sessions,
};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Fixture;
use crate::samples::{draft, fixed, id, ms, secs};
use crate::timing::{TooSlow, timed, with_longer_units};
use crate::users::{GRACE, RENEWED_AFTER, guest, load_page, opened, signed_in, user};

/// The lease of the cases' managers.
const LEASE: Duration = secs(1);
/// How long a busy machine may take. A store that never ends a stream fails after that.
const LIMIT: Duration = secs(30);

/// Managers of two instances, of which a slow store closes no stream.
async fn two_managers(fixture: &Fixture) -> [Sessions; 2] {
    [fixture.store(), fixture.instance().await].map(|store| {
        let builder = Sessions::builder(store.shared()).attempts(400);
        let builder = builder.renew_after(RENEWED_AFTER).grace(GRACE);
        let builder = builder.stream_lease(LEASE).stream_outage(secs(600));
        builder.build().expect("good settings")
    })
}

/// A stream that is open, on a live session.
async fn open_stream(session: &Session) -> JoinHandle<SessionEnd> {
    let stream = tokio::spawn(session.ended());
    tokio::time::sleep(ms(50)).await;
    must_be_open(&stream, "its session lives");
    stream
}

fn must_be_open(stream: &JoinHandle<SessionEnd>, why: &str) {
    assert!(!stream.is_finished(), "a stream was closed, but {why}");
}

async fn must_close(stream: JoinHandle<SessionEnd>, why: &str) -> SessionEnd {
    let closed = timeout(LIMIT, stream).await;
    let closed = closed.unwrap_or_else(|_| panic!("a stream is open {LIMIT:?} after {why}"));
    closed.expect("no panic")
}

/// Opens a stream, ends its session by `end`, and checks that it closes, and no other one.
async fn closes_by<R>(
    fixture: &Fixture,
    why: &str,
    end: impl FnOnce([Sessions; 2], SessionToken) -> R,
) where
    R: Future<Output = ()>,
{
    let managers = two_managers(fixture).await;
    let token = signed_in(&managers[0], &user(fixture, 0)).await;
    let other = signed_in(&managers[0], &user(fixture, 1)).await;
    let stream = open_stream(&opened(&managers[0], &token).await).await;
    let other = open_stream(&opened(&managers[0], &other).await).await;
    end(managers, token).await;
    assert_eq!(must_close(stream, why).await, SessionEnd::Ended, "{why}");
    must_be_open(&other, "its own session lives");
    other.abort();
}

pub(super) async fn a_stream_closes_when_its_session_is_destroyed(fixture: Fixture) {
    closes_by(&fixture, "a sign-out", async |[here, _], token| {
        let session = opened(&here, &token).await;
        session.destroy().await.expect("destroy failed");
    })
    .await;
}

pub(super) async fn a_stream_closes_when_another_instance_destroys_its_session(fixture: Fixture) {
    closes_by(
        &fixture,
        "a destroy elsewhere",
        async |[_, elsewhere], token| {
            let ended = elsewhere.destroy(&token.id()).await;
            assert!(ended.expect("destroy failed"), "it lived");
        },
    )
    .await;
}

pub(super) async fn a_stream_closes_when_its_owner_is_logged_out_everywhere(fixture: Fixture) {
    let owner = user(&fixture, 0);
    closes_by(
        &fixture,
        "a logout everywhere",
        async |[_, elsewhere], _| {
            let ended = elsewhere.destroy_owned_by(&owner, None).await;
            assert_eq!(ended.expect("destroy_owned_by failed"), 1);
        },
    )
    .await;
}

pub(super) async fn a_stream_closes_when_its_session_expires(fixture: Fixture) {
    let [sessions, _] = two_managers(&fixture).await;
    with_longer_units(async |unit| {
        let (session, limit) = (sessions.start(), 3 * unit);
        session.set_lifetime(fixed(limit)).expect("allowed");
        let (signed_in, written) = timed(session.sign_in(user(&fixture, 0))).await;
        signed_in.expect("sign-in failed");
        let stream = tokio::spawn(session.ended());
        tokio::time::sleep(unit).await;
        let is_open = !stream.is_finished();
        if Instant::now() >= written.alive_until(limit) {
            return Err(TooSlow);
        }
        assert!(is_open, "a stream was closed before its session expired");
        assert_eq!(must_close(stream, "the deadline").await, SessionEnd::Ended);
        let late = Instant::now();
        assert!(late >= written.alive_until(limit), "closed too early");
        Ok(())
    })
    .await;
}

pub(super) async fn a_stream_is_open_while_its_session_is_used(fixture: Fixture) {
    let [here, elsewhere] = two_managers(&fixture).await;
    let token = signed_in(&here, &user(&fixture, 0)).await;
    let stream = open_stream(&opened(&here, &token).await).await;
    let session = opened(&elsewhere, &token).await;
    session.insert("cart", 2).expect("a number is JSON");
    session.save().await.expect("save failed");
    tokio::time::sleep(RENEWED_AFTER + ms(20)).await;
    must_be_open(&stream, "its session was only saved");
    let new = load_page(&elsewhere, &token).await.expect("renewed");
    assert_ne!(new, token, "it is renewed by now");
    load_page(&elsewhere, &new).await;
    tokio::time::sleep(LEASE + GRACE).await;
    must_be_open(&stream, "its token was only renewed");
    stream.abort();
}

pub(super) async fn a_stream_closes_when_its_session_is_signed_in_anew(fixture: Fixture) {
    let [here, elsewhere] = two_managers(&fixture).await;
    let token = guest(&here).await;
    let stream = open_stream(&opened(&here, &token).await).await;
    let session = opened(&elsewhere, &token).await;
    session
        .sign_in(user(&fixture, 0))
        .await
        .expect("sign-in failed");
    let closed = must_close(stream, "a sign-in elsewhere").await;
    assert_eq!(closed, SessionEnd::NewToken, "a guest's stream");
    let token = session.token().expect("signed in");
    let stream = open_stream(&opened(&here, &token).await).await;
    let session = opened(&elsewhere, &token).await;
    session.cycle_id().await.expect("cycle_id failed");
    let closed = must_close(stream, "a new token").await;
    assert_eq!(closed, SessionEnd::NewToken, "a stream from before");
    let token = session.token().expect("stored");
    let stream = open_stream(&opened(&here, &token).await).await;
    tokio::time::sleep(LEASE * 3 / 2).await;
    must_be_open(&stream, "it was opened under the new token");
    stream.abort();
}

pub(super) async fn a_dropped_stream_is_forgotten(fixture: Fixture) {
    let [sessions, _] = two_managers(&fixture).await;
    let session = opened(&sessions, &signed_in(&sessions, &user(&fixture, 0)).await).await;
    let (one, two) = (open_stream(&session).await, open_stream(&session).await);
    assert_eq!(sessions.open_streams(), 2);
    one.abort();
    assert!(one.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(sessions.open_streams(), 1);
    session.destroy().await.expect("destroy failed");
    must_close(two, "a destroy").await;
    assert_eq!(sessions.open_streams(), 0);
}

/// The notices from now on; `None` if there are none here.
async fn listening(notices: Option<NoticeStream>) -> Option<NoticeStream> {
    let mut notices = notices?;
    let first = timeout(LIMIT, notices.next()).await;
    match first
        .expect("notices begin in time")
        .expect("there is a first one")
    {
        Ok(first) => assert_eq!(first, Notice::Missed, "all later ends are told from now on"),
        Err(error) if error.kind() == ErrorKind::Unsupported => return None,
        Err(error) => panic!("notices failed: {error}"),
    }
    Some(notices)
}

/// The ids that are told to have ended, until the store has told of all of `expected`: that they have
/// ended, or are to be asked for.
async fn told(notices: &mut NoticeStream, expected: &[SessionId]) -> Vec<SessionId> {
    let (mut told, mut asked) = (Vec::new(), Vec::new());
    while !expected
        .iter()
        .all(|id| told.contains(id) || asked.contains(id))
    {
        let next = timeout(LIMIT, notices.next()).await;
        let next = next.unwrap_or_else(|_| panic!("of {expected:?}, only {told:?} were told"));
        match next.expect("notices go on").expect("notices failed") {
            Notice::Ended(id) => told.push(id),
            Notice::Changed(id) => asked.push(id),
            Notice::Missed => panic!("nothing was missed"),
            _ => {}
        }
    }
    told
}

/// A store without notices has nothing to prove here.
pub(super) async fn notices_tell_of_ended_sessions_and_of_no_others(fixture: Fixture) {
    let (store, elsewhere) = (fixture.store(), fixture.instance().await);
    let ([ended, spared], first) = ([id(), id()], draft("first"));
    for id in [&ended, &spared] {
        store.must_create(id, &first).await;
    }
    let Some(mut notices) = listening(store.notices()).await else {
        return;
    };
    let second = draft("second");
    store.must_replace(&spared, &second, first.stamp).await;
    store.must_touch(&spared, secs(7_000)).await;
    let other = elsewhere.must_destroy_version(&spared, first.stamp).await;
    assert!(other.is_none(), "another version is in place");
    elsewhere.must_end(&ended).await;
    let last = id();
    store.must_create(&last, &first).await;
    elsewhere.must_end(&last).await;
    let told = told(&mut notices, &[ended.clone(), last]).await;
    assert!(
        !told.contains(&spared),
        "{spared:?} lives, and was told to have ended"
    );
    store.must_be(&spared, &second, "it was spared").await;
}
