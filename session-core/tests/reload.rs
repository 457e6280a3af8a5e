//! Reading a session anew while it is open.

mod support;

use session_core::{ErrorKind, Session, SessionToken, Sessions};
use support::{Call, sessions};

async fn opened(sessions: &Sessions, token: &SessionToken) -> Session {
    sessions.find(token).await.expect("up").expect("there")
}

async fn signed_in(sessions: &Sessions) -> SessionToken {
    let session = sessions.start();
    session.insert("a", 1).expect("a number");
    session.sign_in("ann").await.expect("signed in");
    session.token().expect("stored")
}

async fn set(session: &Session, key: &str, value: i32) {
    session.insert(key, value).expect("a number");
    session.save().await.expect("saved");
}

fn get(session: &Session, key: &str) -> Option<i32> {
    session.get(key).expect("a number")
}

#[tokio::test]
async fn a_reload_reads_what_others_have_written_under_unsaved_changes() {
    let (sessions, store, _) = sessions();
    let token = signed_in(&sessions).await;
    let (socket, other) = (
        opened(&sessions, &token).await,
        opened(&sessions, &token).await,
    );
    socket.insert("mine", 2).expect("a number");
    socket.insert("a", 5).expect("a number");
    other.insert("theirs", 3).expect("a number");
    set(&other, "a", 4).await;
    store.take_calls();
    socket.reload().await.expect("it lives");
    assert_eq!(store.take_calls(), [Call::Load]);
    let read = ["mine", "theirs", "a"].map(|key| get(&socket, key));
    assert_eq!(read, [Some(2), Some(3), Some(5)]);
    assert!(socket.is_changed());
    socket.save().await.expect("saved");
    assert_eq!(store.take_calls(), [Call::Save], "no conflict is left");
    assert_eq!(get(&opened(&sessions, &token).await, "a"), Some(5));
}

#[tokio::test]
async fn a_reload_finds_out_that_the_session_has_ended_or_is_another_sign_ins() {
    let (sessions, _, _) = sessions();
    for is_destroyed in [true, false] {
        let token = signed_in(&sessions).await;
        let socket = opened(&sessions, &token).await;
        let other = opened(&sessions, &token).await;
        if is_destroyed {
            other.destroy().await.expect("up");
        } else {
            other.insert("secret", 9).expect("a number");
            other.sign_in("ben").await.expect("up");
        }
        let gone = socket.reload().await.map_err(|error| error.kind());
        assert_eq!(gone, Err(ErrorKind::Gone));
        assert!(socket.is_gone());
        assert_eq!((get(&socket, "a"), get(&socket, "secret")), (Some(1), None));
        assert_eq!(socket.owner().expect("hers").as_str(), "ann");
        let gone = socket.reload().await.map_err(|error| error.kind());
        assert_eq!(gone, Err(ErrorKind::Gone));
    }
}

#[tokio::test]
async fn a_reload_finds_a_write_whose_answer_was_lost() {
    let (sessions, store, _) = sessions();
    let token = signed_in(&sessions).await;
    let socket = opened(&sessions, &token).await;
    store.lose_next_answer_and_refuse_repeat();
    socket.insert("a", 7).expect("a number");
    socket.save().await.expect_err("no answer");
    socket.reload().await.expect("it lives");
    assert_eq!(get(&socket, "a"), Some(7));
    store.take_calls();
    socket.save().await.expect("nothing to do");
    assert_eq!(store.take_calls(), [], "it was found to be written");
}

#[tokio::test]
async fn a_new_session_has_nothing_to_reload() {
    let (sessions, store, _) = sessions();
    let session = sessions.start();
    session.insert("a", 1).expect("a number");
    session.reload().await.expect("no I/O");
    assert_eq!((get(&session, "a"), store.calls()), (Some(1), vec![]));
}

#[tokio::test]
async fn a_reload_after_the_save_of_another_request_keeps_the_token() {
    let (sessions, _, _) = sessions();
    let token = signed_in(&sessions).await;
    let socket = opened(&sessions, &token).await;
    set(&opened(&sessions, &token).await, "b", 2).await;
    socket.reload().await.expect("it lives");
    assert_eq!(socket.token(), Some(token));
    assert!(!socket.is_changed());
}
