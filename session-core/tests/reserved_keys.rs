//! The keys under which the library keeps values of its own: the secrets of form tokens, and the
//! messages for the next page.

mod support;

use serde_json::json;
use session_core::{Session, SessionToken, Sessions};
use support::{Call, sessions};

async fn open(sessions: &Sessions, token: &SessionToken) -> Session {
    let session = sessions.find(token).await.expect("up");
    session.expect("there")
}

/// A stored session, and its token.
async fn stored(sessions: &Sessions) -> (Session, SessionToken) {
    let session = sessions.start();
    session.insert("cart", 1).expect("a number");
    session.save().await.expect("saved");
    let token = session.token().expect("stored");
    (session, token)
}

async fn saved(session: &Session) {
    session.save().await.expect("saved");
}

/// What the first tokens are that two requests make at the same time.
async fn two_tokens(sessions: &Sessions, token: &SessionToken) -> [String; 2] {
    let (one, two) = (open(sessions, token).await, open(sessions, token).await);
    let tokens = [&one, &two].map(|session| session.csrf_token().expect("ours"));
    saved(&one).await;
    saved(&two).await;
    tokens
}

#[tokio::test]
async fn a_form_token_is_another_text_each_time_and_good_in_its_session_only() {
    let (sessions, _, _) = sessions();
    let ((session, token), (other, _)) = (stored(&sessions).await, stored(&sessions).await);
    let (one, two) = (session.csrf_token(), session.csrf_token());
    let (one, two) = (one.expect("ours"), two.expect("ours"));
    assert_ne!(one, two, "masked anew each time");
    saved(&session).await;
    let again = open(&sessions, &token).await;
    let three = again.csrf_token().expect("ours");
    assert!(!again.is_changed(), "the secret is there");
    let theirs = other.csrf_token().expect("ours");
    for (presented, is_good) in [
        (one.as_str(), true),
        (&two, true),
        (&three, true),
        (&theirs, false),
        ("", false),
        (&one[1..], false),
        (&one[..42], false),
        (&"A".repeat(86), false),
    ] {
        assert_eq!(again.is_csrf_token(presented), is_good, "{presented}");
    }
    assert!(
        !sessions.start().is_csrf_token(&one),
        "no session, no token"
    );
}

#[tokio::test]
async fn form_tokens_that_two_requests_make_at_once_are_both_good() {
    let (sessions, _, _) = sessions();
    let (_, token) = stored(&sessions).await;
    let tokens = two_tokens(&sessions, &token).await;
    let again = open(&sessions, &token).await;
    assert_eq!(
        tokens.map(|token| again.is_csrf_token(&token)),
        [true, true]
    );
}

#[tokio::test]
async fn what_other_code_has_put_in_the_place_of_the_secret_is_replaced() {
    let (sessions, _, _) = sessions();
    for other in [
        json!("hunter2"),
        json!(5),
        json!({ "secret": "hunter2" }),
        json!([1, 2]),
        json!(["hunter2"]),
        json!([]),
        json!(null),
    ] {
        let (session, token) = stored(&sessions).await;
        session.insert("_csrf", &other).expect("JSON");
        saved(&session).await;
        assert!(!session.is_csrf_token("hunter2"), "{other}");
        let tokens = two_tokens(&sessions, &token).await;
        let again = open(&sessions, &token).await;
        let good = tokens.map(|token| again.is_csrf_token(&token));
        assert_eq!(good, [true, true], "{other}");
    }
}

#[tokio::test]
async fn messages_are_taken_once_and_all_that_requests_leave_at_once_are_kept() {
    let (sessions, store, _) = sessions();
    let (_, token) = stored(&sessions).await;
    let (one, two) = (open(&sessions, &token).await, open(&sessions, &token).await);
    one.flash("info", "one").expect("ours");
    two.flash("error", "two").expect("ours");
    saved(&one).await;
    saved(&two).await;
    let again = open(&sessions, &token).await;
    let taken = again.take_flashes().expect("ours");
    let taken: Vec<_> = taken.iter().map(|f| (&*f.kind, &*f.text)).collect();
    assert_eq!(taken, [("info", "one"), ("error", "two")]);
    saved(&again).await;
    let last = open(&sessions, &token).await;
    assert_eq!(last.take_flashes().expect("ours"), []);
    store.take_calls();
    saved(&last).await;
    assert_eq!(store.take_calls(), [], "nothing to take, nothing to save");
}

#[tokio::test]
async fn reserved_keys_are_saved_and_not_listed() {
    let (sessions, store, _) = sessions();
    let session = sessions.start();
    let form = session.csrf_token().expect("ours");
    session.flash("info", "hello").expect("ours");
    assert!(session.is_changed(), "there is something to save");
    saved(&session).await;
    assert_eq!(store.take_calls(), [Call::Create]);

    let token = session.token().expect("stored");
    let again = open(&sessions, &token).await;
    assert!(again.is_csrf_token(&form));
    for key in ["_csrf", "_flash"] {
        assert!(again.contains_key(key), "{key} can be asked for by name");
        assert!(!format!("{again:?}").contains(key), "{again:?}");
    }
    assert!(again.is_empty() && again.keys().is_empty());
    again.insert("name", "Napoleon").expect("a text");
    assert_eq!(
        (again.keys(), again.is_empty()),
        (vec!["name".to_owned()], false)
    );
    assert!(format!("{again:?}").contains("name"));
}

#[tokio::test]
async fn a_clear_takes_messages_and_leaves_form_tokens_good() {
    for is_stored in [false, true] {
        let (sessions, _, _) = sessions();
        let session = sessions.start();
        session.insert("cart", 1).expect("a number");
        let form = session.csrf_token().expect("ours");
        session.flash("info", "hello").expect("ours");
        if is_stored {
            saved(&session).await;
        }
        session.clear();
        assert!(session.is_empty() && !session.contains_key("_flash"));
        saved(&session).await;
        let token = session.token().expect("stored");
        let again = open(&sessions, &token).await;
        assert!(again.is_csrf_token(&form), "stored before: {is_stored}");
        assert!(again.is_empty() && !again.contains_key("_flash"));
        again.clear();
        assert!(!again.is_changed(), "there is nothing to clear");
        again.cycle_id().await.expect("cycled");
        assert!(!again.is_csrf_token(&form), "it ends with the token");
    }
}

#[tokio::test]
async fn a_clear_leaves_a_form_token_that_another_request_has_made_meanwhile() {
    let (sessions, _, _) = sessions();
    let (session, token) = stored(&sessions).await;
    let other = open(&sessions, &token).await;
    let mine = session.csrf_token().expect("ours");
    session.clear();
    let theirs = other.csrf_token().expect("ours");
    other.flash("info", "hello").expect("ours");
    saved(&other).await;
    saved(&session).await;
    let again = open(&sessions, &token).await;
    let good = [mine, theirs].map(|form| again.is_csrf_token(&form));
    assert_eq!(good, [true, true]);
    assert!(!again.contains_key("_flash") && again.is_empty());
}
