//! A client that presents several tokens: which one counts, and what is told of the others.

mod support;

use std::sync::Arc;
use std::time::Duration;

use session_core::{ErrorKind, SessionToken, Sessions};
use support::{Call, Faulty, Recorder};

const GRACE: Duration = Duration::from_millis(50);

fn sessions() -> (Sessions, Arc<Faulty>, Recorder) {
    let (store, recorder) = (Arc::new(Faulty::default()), Recorder::default());
    let sessions = Sessions::builder(store.clone())
        .observer(recorder.clone())
        .grace(GRACE)
        .renew_after(4 * GRACE)
        .build();
    (sessions.expect("good rules"), store, recorder)
}

async fn signed_in(sessions: &Sessions, owner: &str) -> SessionToken {
    let session = sessions.start();
    session.sign_in(owner).await.expect("up");
    session.token().expect("stored")
}

async fn owner(sessions: &Sessions, tokens: &[SessionToken]) -> (Option<String>, Option<usize>) {
    let (session, by) = sessions.open_first(tokens).await.expect("up");
    let by = by.map(|by| tokens.iter().position(|token| *token == by).expect("one"));
    (session.owner().map(|owner| owner.to_string()), by)
}

#[tokio::test]
async fn the_first_token_that_opens_a_session_counts() {
    let (sessions, store, recorder) = sessions();
    let ann = signed_in(&sessions, "ann").await;
    let bob = signed_in(&sessions, "bob").await;
    let dead = SessionToken::generate();
    let [ann_s, bob_s] = ["ann", "bob"].map(|name| Some(name.to_owned()));
    recorder.take();
    store.take_calls();
    for (tokens, expected, told) in [
        (vec![], (None, None), vec![]),
        (vec![ann.clone()], (ann_s.clone(), Some(0)), vec![]),
        (vec![dead.clone()], (None, None), vec!["unknown"]),
        (
            vec![dead.clone(), ann.clone()],
            (ann_s.clone(), Some(1)),
            vec!["unknown"],
        ),
        (
            vec![ann.clone(), dead.clone()],
            (ann_s.clone(), Some(0)),
            vec![],
        ),
        (
            vec![bob.clone(), ann.clone()],
            (bob_s.clone(), Some(0)),
            vec![],
        ),
        (
            vec![dead.clone(), dead.clone()],
            (None, None),
            vec!["unknown"; 2],
        ),
    ] {
        assert_eq!(owner(&sessions, &tokens).await, expected);
        assert_eq!(recorder.take(), told);
        assert_eq!(store.take_calls(), vec![Call::Load; tokens.len()]);
    }
}

#[tokio::test]
async fn a_token_that_was_just_replaced_gives_way_to_a_good_one_and_bars_without() {
    let (sessions, _, recorder) = sessions();
    let guest = sessions.start();
    guest.insert("n", 1).expect("a number");
    guest.save().await.expect("up");
    let late = guest.token().expect("stored");
    guest.sign_in("ann").await.expect("up");
    let ann = guest.token().expect("stored");
    recorder.take();
    let (name, by) = owner(&sessions, &[late.clone(), ann]).await;
    assert_eq!((name.as_deref(), by), (Some("ann"), Some(1)));
    let dead = SessionToken::generate();
    let tokens = [late, dead];
    let (session, by) = sessions.open_first(&tokens).await.expect("up");
    assert!(session.is_gone() && by.is_none());
    let told = ["just replaced", "just replaced", "unknown"];
    assert_eq!(recorder.take(), told);
}

#[tokio::test]
async fn an_old_token_is_reuse_unless_the_client_has_the_current_one_too() {
    let (sessions, _, recorder) = sessions();
    let old = signed_in(&sessions, "ann").await;
    let bob = signed_in(&sessions, "bob").await;
    tokio::time::sleep(4 * GRACE).await;
    let session = sessions.open(Some(&old)).await.expect("up");
    assert!(session.renew_if_due().await.expect("up"));
    let current = session.token().expect("stored");
    let session = sessions.open(Some(&current)).await.expect("up");
    session.touch().await.expect("confirmed");
    tokio::time::sleep(2 * GRACE).await;
    recorder.take();
    for tokens in [
        [old.clone(), current.clone()],
        [current.clone(), old.clone()],
    ] {
        assert_eq!(owner(&sessions, &tokens).await.0.as_deref(), Some("ann"));
        assert_eq!(recorder.take(), [""; 0]);
    }
    let (name, by) = owner(&sessions, &[old.clone(), bob]).await;
    assert_eq!((name.as_deref(), by), (Some("bob"), Some(1)));
    assert_eq!(recorder.take(), ["reused", "ended by reuse"]);
    assert_eq!(owner(&sessions, &[current]).await, (None, None));
}

#[tokio::test]
async fn a_token_whose_load_fails_is_not_passed_over() {
    let (sessions, store, _) = sessions();
    let ann = signed_in(&sessions, "ann").await;
    store.fail_next(1);
    let tokens = [SessionToken::generate(), ann];
    let failed = sessions.open_first(&tokens).await;
    assert!(matches!(&failed, Err(error) if error.kind() == ErrorKind::Unavailable));
}

/// A token's text does as a token does, and what is no token is nothing but reported.
#[tokio::test]
async fn texts_are_read_as_tokens() {
    let (sessions, store, recorder) = sessions();
    let token = signed_in(&sessions, "ann").await;
    let text = token.expose().to_owned();
    let opened = [
        sessions.open(&token).await,
        sessions.open(token.clone()).await,
        sessions.open(Some(&token)).await,
        sessions.open(&*text).await,
        sessions.open(&text).await,
        sessions.open(text.clone()).await,
        sessions.open(Some(&*text)).await,
        sessions.open(Some(text.clone())).await,
    ];
    for session in opened {
        let owner = session.expect("up").owner();
        assert_eq!(owner.as_ref().map(|owner| owner.as_str()), Some("ann"));
    }
    assert!(sessions.find(&text).await.expect("up").is_some());
    let (_, by) = sessions.open_first(["junk", &text]).await.expect("up");
    assert_eq!(by, Some(token));
    store.take_calls();
    recorder.take();
    for text in ["", "junk", &text[1..], &text.repeat(5)] {
        let session = sessions.open(text).await.expect("no I/O");
        assert!(session.is_new() && session.token().is_none());
        assert!(sessions.find(Some(text)).await.expect("no I/O").is_none());
    }
    let (session, by) = sessions.open_first(["", "junk"]).await.expect("no I/O");
    assert!(session.is_new() && by.is_none());
    assert_eq!(store.take_calls(), []);
    assert_eq!(recorder.names(), ["unreadable"; 7]);
}
