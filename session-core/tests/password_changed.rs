//! A changed password: what opens a session afterwards, and what is left if a step fails.

mod support;

use std::sync::Arc;
use std::time::Duration;

use session_core::{ErrorKind, Session, SessionStore, SessionToken, Sessions, StoreWrapper};
use session_memory::MemoryStore;
use support::sessions;

/// A session of `owner`, and its token.
async fn signed_in(sessions: &Sessions, owner: &str) -> (Session, SessionToken) {
    let session = sessions.start();
    session.sign_in(owner).await.expect("signed in");
    let token = session.token().expect("stored");
    (session, token)
}

async fn opens(sessions: &Sessions, token: &SessionToken) -> bool {
    sessions.find(token).await.expect("up").is_some()
}

/// Ann's session with its token, that of another of hers, and Bob's.
async fn three(sessions: &Sessions) -> (Session, [SessionToken; 3]) {
    let (session, own) = signed_in(sessions, "ann").await;
    let (_, other) = signed_in(sessions, "ann").await;
    let (_, bobs) = signed_in(sessions, "bob").await;
    (session, [own, other, bobs])
}

/// Which of them open a session.
async fn open(sessions: &Sessions, tokens: &[SessionToken; 3]) -> [bool; 3] {
    let mut open = [false; 3];
    for (open, token) in open.iter_mut().zip(tokens) {
        *open = opens(sessions, token).await;
    }
    open
}

#[tokio::test]
async fn no_earlier_token_of_the_owner_opens_anything() {
    let (sessions, _, recorder) = sessions();
    let (session, tokens) = three(&sessions).await;
    let (id, form) = (session.id(), session.csrf_token().expect("made"));
    recorder.take();
    assert_eq!(session.password_changed().await.expect("up"), 1);
    assert_eq!(recorder.take(), ["renewed", "revoked"]);
    assert_eq!(open(&sessions, &tokens).await, [false, false, true]);
    assert_eq!(session.id(), id);
    assert!(opens(&sessions, &session.token().expect("stored")).await);
    assert!(!session.is_csrf_token(&form), "a planter may have read it");
    let alone = session.password_changed().await;
    assert_eq!(alone.expect("up"), 0, "it may be called again");
}

#[tokio::test]
async fn if_the_others_cannot_be_ended_the_new_token_is_in_place_and_a_repeat_ends_them() {
    let (sessions, store, _) = sessions();
    let (session, tokens) = three(&sessions).await;
    store.fail_next_end_of_owned();
    let error = session.password_changed().await.expect_err("down");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(open(&sessions, &tokens).await, [false, true, true]);
    let token = session.token().expect("the new one");
    assert!(opens(&sessions, &token).await);
    let again = sessions.open(&token).await.expect("up");
    assert_eq!(again.password_changed().await.expect("up"), 1);
    assert_eq!(open(&sessions, &tokens).await, [false, false, true]);
    assert!(!opens(&sessions, &token).await);
}

#[tokio::test]
async fn if_there_is_no_new_token_all_sessions_of_the_owner_end() {
    for why in [
        "the store is down",
        "a thief has a new token",
        "others win",
        "the response has begun",
    ] {
        let (sessions, store, _) = sessions();
        let (session, tokens) = three(&sessions).await;
        let mut thiefs = None;
        match why {
            "the store is down" => store.fail_next(2),
            "others win" => store.conflict_always(true),
            "the response has begun" => session.forbid_new_token(),
            _ => {
                let thief = sessions.open(&tokens[0]).await.expect("up");
                thief.cycle_id().await.expect("up");
                thiefs = thief.token();
            }
        }
        session.password_changed().await.expect_err(why);
        assert_eq!(
            open(&sessions, &tokens).await,
            [false, false, true],
            "{why}"
        );
        if let Some(token) = thiefs {
            assert!(!opens(&sessions, &token).await, "{why}");
        }
    }
}

#[tokio::test]
async fn if_neither_step_can_be_done_both_are_told_and_nothing_is_lost() {
    let (sessions, store, _) = sessions();
    let (session, tokens) = three(&sessions).await;
    store.fail_next(2);
    store.fail_next_end_of_owned();
    session.password_changed().await.expect_err("down");
    assert_eq!(open(&sessions, &tokens).await, [true, true, true]);
    assert_eq!(session.password_changed().await.expect("up"), 1);
    assert_eq!(open(&sessions, &tokens).await, [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_after_the_new_token_still_ends_the_others() {
    const SECOND: Duration = Duration::from_secs(1);
    let (sessions, store, recorder) = sessions();
    let (session, tokens) = three(&sessions).await;
    recorder.take();
    store.delay_next_destroy(SECOND);
    let dropped = tokio::time::timeout(SECOND / 2, session.password_changed()).await;
    dropped.expect_err("must be under way");
    assert_eq!(recorder.take(), ["renewed"]);
    assert_eq!(open(&sessions, &tokens).await, [false, true, true]);
    tokio::time::sleep(SECOND).await;
    assert!(recorder.take().contains(&"revoked"));
    assert_eq!(open(&sessions, &tokens).await, [false, false, true]);
}

#[tokio::test]
async fn a_guest_has_no_password() {
    let (sessions, store, _) = sessions();
    let session = sessions.start();
    session.insert("cart", 1).expect("JSON");
    store.take_calls();
    let error = session.password_changed().await.expect_err("nobody's");
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert_eq!(store.take_calls(), []);
}

/// A store without a directory.
#[derive(Debug, Default)]
struct NoDirectory(MemoryStore);

impl StoreWrapper for NoDirectory {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.0
    }

    fn has_directory(_: &Self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_store_without_owners_says_so_before_anything_is_written() {
    let sessions = Sessions::new(Arc::new(NoDirectory::default()));
    assert!(sessions.store().directory().is_none());
    let (session, token) = signed_in(&sessions, "ann").await;
    let error = session.password_changed().await.expect_err("no owners");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(opens(&sessions, &token).await);
}
