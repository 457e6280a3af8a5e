//! What a handler asks before it acts for a user.

mod support;

use std::time::Duration;

use session_core::{
    Credential, Draft, ErrorKind, Lifetime, Owner, Session, SessionStore, SessionToken, Sessions,
};
use support::sessions;

const MINUTE: Duration = Duration::from_secs(60);
const SLACK: Duration = Duration::from_millis(50);

async fn open(sessions: &Sessions, token: &SessionToken) -> Session {
    sessions.open(token).await.expect("up")
}

fn kind<T: std::fmt::Debug>(refused: session_core::Result<T>) -> ErrorKind {
    refused.expect_err("must be refused").kind()
}

#[tokio::test(start_paused = true)]
async fn only_a_user_who_is_signed_in_is_an_owner() {
    let (sessions, _, _) = sessions();
    let session = sessions.start();
    assert_eq!(kind(session.require_owner()), ErrorKind::Unauthenticated);
    assert_eq!(
        kind(session.require_recent_owner(MINUTE)),
        ErrorKind::Unauthenticated
    );
    session.sign_in("ann").await.expect("up");
    assert_eq!(session.require_owner().expect("ann").as_str(), "ann");
    let other = open(&sessions, &session.token().expect("stored")).await;
    other.destroy().await.expect("up");
    assert_eq!(kind(other.require_owner()), ErrorKind::Unauthenticated);
    session.touch().await.ok();
    assert_eq!(kind(session.save_unchanged().await), ErrorKind::Gone);
    assert_eq!(kind(session.require_owner()), ErrorKind::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn a_recent_authentication_is_the_latest_and_no_other_use() {
    let (sessions, _, _) = sessions();
    let session = sessions.start();
    session.insert("cart", 1).expect("JSON");
    session.save().await.expect("up");
    tokio::time::advance(20 * MINUTE).await;
    session.sign_in("ann").await.expect("up");
    let token = session.token().expect("stored");
    let within = |session: &Session| session.require_recent_owner(10 * MINUTE);
    tokio::time::advance(10 * MINUTE - SLACK).await;
    let session = open(&sessions, &token).await;
    within(&session).expect("just within");
    session.insert("cart", 2).expect("JSON");
    session.save().await.expect("up");
    session.cycle_id().await.expect("up");
    let token = session.token().expect("stored");
    tokio::time::advance(2 * SLACK).await;
    let session = open(&sessions, &token).await;
    assert_eq!(kind(within(&session)), ErrorKind::ReauthenticationRequired);
    session.require_owner().expect("still signed in");
    session.reauthenticated().await.expect("up");
    within(&session).expect("just now");
}

/// As `MovingStore` loads a session that Express began: its age is zero at each load.
#[tokio::test(start_paused = true)]
async fn a_sign_in_at_another_framework_is_no_recent_authentication() {
    let (sessions, store, _) = sessions();
    let theirs = SessionToken::foreign("an id of theirs").expect("any text");
    let draft = Draft::new("{}", Lifetime::default())
        .with_owner(Some(Owner::new("ann").expect("good")))
        .with_credential(Credential::opened_by(&theirs, None));
    let created = store.create(&theirs.id(), &draft).await.expect("up");
    assert!(created.is_done());
    let refused = |session: &Session, when: &str| {
        session.require_owner().expect("signed in");
        let refused = kind(session.require_recent_owner(MINUTE));
        assert_eq!(refused, ErrorKind::ReauthenticationRequired, "{when}");
    };
    let session = open(&sessions, &theirs).await;
    refused(&session, "before the move");
    assert!(session.replace_foreign_token().await.expect("up"));
    refused(&session, "as it moves");
    let token = session.token().expect("stored");
    let session = open(&sessions, &token).await;
    refused(&session, "after the move");
    session.cycle_id().await.expect("up");
    let token = session.token().expect("stored");
    refused(&open(&sessions, &token).await, "after a new token");
    session.reauthenticated().await.expect("up");
    let token = session.token().expect("stored");
    let session = open(&sessions, &token).await;
    session
        .require_recent_owner(MINUTE)
        .expect("authenticated here");
}
