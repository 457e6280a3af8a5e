//! Ends at a date, and cookies that end with the browser.

mod support;

use std::time::{Duration, SystemTime};

use session_core::{ErrorKind, Lifetime, Session, SessionToken, Sessions, Timeout};
use support::sessions;

const MINUTE: Duration = Duration::from_secs(60);
const SLACK: Duration = Duration::from_millis(50);

async fn open(sessions: &Sessions, token: &SessionToken) -> Session {
    sessions.open(token).await.expect("up")
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_in_that_time_however_much_it_is_used() {
    let (sessions, _, _) = sessions();
    let session = sessions.start();
    session.insert("n", 0).expect("JSON");
    session.save().await.expect("up");
    let token = session.token().expect("stored");
    tokio::time::advance(20 * MINUTE).await;
    let session = open(&sessions, &token).await;
    session.end_in(40 * MINUTE).expect("a good time");
    session.save().await.expect("up");
    for _ in 0..3 {
        tokio::time::advance(13 * MINUTE).await;
        let session = open(&sessions, &token).await;
        session.touch().await.expect("it lives");
    }
    tokio::time::advance(MINUTE - SLACK).await;
    let session = open(&sessions, &token).await;
    assert!(!session.is_new(), "it lives until then");
    let left = session.expires_in().left().expect("it ends");
    assert!(left <= SLACK, "{left:?}");
    tokio::time::advance(SLACK).await;
    assert!(open(&sessions, &token).await.is_new());
}

#[tokio::test]
async fn an_end_shortens_the_idle_limit_and_refuses_what_is_none() {
    let (sessions, _, _) = sessions();
    let session = sessions.start();
    session.end_in(MINUTE).expect("a good time");
    assert_eq!(session.lifetime(), Lifetime::fixed(MINUTE));
    session
        .set_lifetime(Lifetime::idle(Timeout::Never))
        .expect("good");
    session.end_in(MINUTE).expect("a good time");
    assert_eq!(session.lifetime(), Lifetime::new(Timeout::Never, MINUTE));
    for wrong in [Duration::ZERO, Duration::from_nanos(1)] {
        let refused = session.end_in(wrong).expect_err("no end");
        assert_eq!(refused.kind(), ErrorKind::InvalidLifetime);
    }
    assert_eq!(session.lifetime(), Lifetime::new(Timeout::Never, MINUTE));
    session.set_lifetime(Lifetime::idle(MINUTE)).expect("good");
    let refused = session.end_in(Duration::MAX).expect_err("too long");
    assert_eq!(refused.kind(), ErrorKind::InvalidLifetime);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_never_later_than_the_absolute_limit_has_it() {
    let (sessions, _, _) = sessions();
    let session = sessions.start();
    let lifetime = Lifetime::new(10 * MINUTE, 60 * MINUTE);
    session.set_lifetime(lifetime).expect("good");
    session.insert("n", 0).expect("JSON");
    session.save().await.expect("up");
    tokio::time::advance(5 * MINUTE).await;
    let token = session.token().expect("stored");
    let session = open(&sessions, &token).await;
    for later in [56 * MINUTE, 600 * MINUTE, Duration::MAX] {
        session.end_in(later).expect("it ends before");
        assert_eq!(session.lifetime(), lifetime, "{later:?}");
        assert!(!session.is_changed());
    }
    session.end_in(30 * MINUTE).expect("a good time");
    let absolute = session.lifetime().absolute.duration().expect("a limit");
    assert!(
        (35 * MINUTE..36 * MINUTE).contains(&absolute),
        "{absolute:?}"
    );
    let ends = session.lifetime();
    session.end_in(40 * MINUTE).expect("it ends before");
    assert_eq!(session.lifetime(), ends, "an end that was set is kept");
}

#[tokio::test]
async fn the_end_is_shown_by_this_machines_clock() {
    let (sessions, _, _) = sessions();
    let session = sessions.start();
    session.insert("n", 0).expect("JSON");
    session.end_in(MINUTE).expect("a good time");
    let assert_shown = |when: &str| {
        let left = session.expires_at().expect("it ends");
        let left = left.duration_since(SystemTime::now()).expect("later");
        assert!(left <= MINUTE && left > MINUTE / 2, "{when}: {left:?}");
    };
    assert_shown("before the save");
    session.save().await.expect("up");
    assert_shown("after it");
    session
        .set_lifetime(Lifetime::new(Timeout::Never, Timeout::Never))
        .expect("good");
    session.save().await.expect("up");
    assert_eq!(session.expires_at(), None);
}

#[tokio::test]
async fn whether_a_cookie_outlives_the_browser_is_kept_and_creates_no_session() {
    let (sessions, _, _) = sessions();
    let session = sessions.start();
    assert_eq!(session.persistent(), None);
    session.set_persistent(true).expect("memory");
    assert!(!session.is_changed(), "it is nothing to keep");
    session.save().await.expect("nothing to do");
    assert_eq!(session.token().map(drop), None);
    session.insert("n", 1).expect("JSON");
    session.sign_in("ann").await.expect("up");
    let again = open(&sessions, &session.token().expect("stored")).await;
    assert_eq!(again.persistent(), Some(true));
    assert_eq!(again.keys(), ["n"]);
    again.set_persistent(true).expect("memory");
    assert!(!again.is_changed(), "it says so already");
    again.clear();
    again.save().await.expect("up");
    let again = open(&sessions, &session.token().expect("stored")).await;
    assert_eq!((again.persistent(), again.is_empty()), (Some(true), true));
    again.set_persistent(false).expect("memory");
    assert!(again.is_changed());
}
