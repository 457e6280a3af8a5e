//! Changes that are never saved: warned of once, or taken back, or refused because their client
//! can't be told.

#[path = "support/log.rs"]
mod log;
mod support;

use std::sync::Arc;
use std::time::Duration;

use log::Log;
use session_core::{ErrorKind, Lifetime, Session, SessionDirectory, Sessions};
use support::Faulty;

fn sessions() -> (Sessions, Arc<Faulty>) {
    let store = Arc::new(Faulty::default());
    (Sessions::new(store.clone()), store)
}

/// A stored session, opened again.
async fn stored(sessions: &Sessions) -> Session {
    let session = sessions.start();
    session.insert("kept", "as it was").expect("JSON");
    session.insert("removed", 1).expect("JSON");
    session.save().await.expect("saved");
    sessions.open(session.token().as_ref()).await.expect("up")
}

/// The one line that was logged.
fn warning(log: &Log) -> String {
    let lines = log.take();
    let [line] = &lines[..] else {
        panic!("one warning: {lines:?}");
    };
    assert!(line.starts_with("WARN"), "{line}");
    assert!(line.contains("dropped unsaved"), "{line}");
    assert!(!line.contains("hunter2"), "{line}");
    line.clone()
}

#[tokio::test]
async fn changes_that_are_dropped_are_named_once_without_their_values() {
    let log = Log::start();
    let (sessions, _) = sessions();
    let session = stored(&sessions).await;
    let id = session.id().expect("stored");
    session.insert("password", "hunter2").expect("JSON");
    session.push("list", "hunter2").expect("JSON");
    session.insert_if_absent("first", "hunter2").expect("JSON");
    session.remove("removed");
    // A closure and a task have clones: the last one counts.
    let clone = session.clone();
    let other = session.clone();
    let closure = move || other.keys();
    drop(session);
    tokio::spawn(async move { drop(clone) })
        .await
        .expect("no panic");
    assert_eq!(log.take(), [""; 0]);
    drop(closure);
    let line = warning(&log);
    let keys = r#"keys=["first", "list", "password", "removed"]"#;
    assert!(line.contains(keys), "{line}");
    assert!(line.contains(id.as_str()), "{line}");

    let session = sessions.start();
    session.insert("new", "hunter2").expect("JSON");
    drop(session);
    assert!(warning(&log).contains(r#"keys=["new"]"#));

    let session = stored(&sessions).await;
    session.clear();
    drop(session);
    assert!(warning(&log).contains("keys=[all keys] "));
    let session = stored(&sessions).await;
    let longer = Lifetime::fixed(Duration::from_secs(60));
    session.set_lifetime(longer).expect("allowed");
    drop(session);
    assert!(warning(&log).contains("keys=[lifetime] "));
    let session = stored(&sessions).await;
    session.clear();
    session.set_lifetime(longer).expect("allowed");
    session.insert("all keys", 1).expect("JSON");
    drop(session);
    let line = warning(&log);
    assert!(
        line.contains(r#"keys=[all keys, lifetime, "all keys"] "#),
        "a key is quoted: {line}"
    );

    let session = stored(&sessions).await;
    for n in 0..100 {
        session.insert(&format!("key{n:02}\n"), n).expect("JSON");
    }
    drop(session);
    let line = warning(&log);
    assert!(line.contains("suppressed=0"), "{line}");
    assert!(
        line.contains("more=84") && !line.contains("key16"),
        "{line}"
    );
    assert!(line.contains(r#""key00\n""#), "a key is escaped: {line}");
}

#[tokio::test]
async fn what_is_saved_unchanged_discarded_or_ended_is_not_warned_of() {
    let log = Log::start();
    let (sessions, store) = sessions();
    let session = stored(&sessions).await;
    session.insert("kept", "as it was").expect("JSON");
    session.get::<String>("kept").expect("a text");
    drop(session);

    let session = stored(&sessions).await;
    session.insert("a", 1).expect("JSON");
    session.save().await.expect("saved");
    session
        .update("n", |n: Option<u32>| n.unwrap_or(0) + 1)
        .await
        .expect("saved");
    drop(session);

    let session = stored(&sessions).await;
    session.insert("a", 1).expect("JSON");
    session.sign_in("u").await.expect("saved");
    drop(session);

    let session = stored(&sessions).await;
    session.insert("a", 1).expect("JSON");
    session.destroy().await.expect("ended");
    drop(session);

    for session in [stored(&sessions).await, sessions.start()] {
        session.insert("a", 1).expect("JSON");
        session.discard();
        drop(session);
    }

    let session = sessions.start();
    session.insert("a", 1).expect("JSON");
    session.remove("a");
    drop(session);

    // An error has told its caller.
    let session = stored(&sessions).await;
    session.insert("a", 1).expect("JSON");
    store.fail_next(2);
    session.save().await.expect_err("it is down");
    drop(session);
    let session = stored(&sessions).await;
    let other = sessions.open(session.token().as_ref()).await.expect("up");
    other.destroy().await.expect("ended");
    session.insert("a", 1).expect("JSON");
    session.save().await.expect_err("it has ended");
    drop(session);
    let session = stored(&sessions).await;
    let update = session.update_with("kept", |_: session_core::Result<Option<u32>>| {
        Err(session_core::Error::misconfigured("no"))
    });
    update.await.expect_err("its own");
    drop(session);
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test]
async fn a_change_after_a_failed_save_and_a_save_that_was_given_up_are_warned_of() {
    let log = Log::start();
    let (sessions, store) = sessions();
    let session = stored(&sessions).await;
    session.insert("a", 1).expect("JSON");
    store.fail_next(2);
    session.save().await.expect_err("it is down");
    session.insert("b", 1).expect("JSON");
    drop(session);
    assert!(warning(&log).contains(r#"keys=["a", "b"]"#));

    let session = stored(&sessions).await;
    session.insert("a", 1).expect("JSON");
    store.delay_next(Duration::from_secs(60));
    let given_up = tokio::time::timeout(Duration::from_millis(5), session.save()).await;
    given_up.expect_err("it takes long");
    drop(session);
    assert!(warning(&log).contains(r#"keys=["a"]"#));
}

#[tokio::test]
async fn a_change_that_another_task_makes_while_a_save_fails_is_warned_of() {
    let log = Log::start();
    let (sessions, store) = sessions();
    for lets_go in [false, true] {
        let session = stored(&sessions).await;
        session.insert("a", 1).expect("JSON");
        store.delay_next(Duration::from_millis(30));
        store.fail_next(2);
        let clone = session.clone();
        let other = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if lets_go {
                clone.insert("b", 1).expect("JSON");
            }
        });
        session.save().await.expect_err("it is down");
        other.await.expect("no panic");
        drop(session);
        match lets_go {
            true => assert!(warning(&log).contains(r#"keys=["a", "b"]"#)),
            false => assert_eq!(log.take(), [""; 0], "the error has told"),
        }
    }
    // A change that the failed save was to write is told by its error, whoever made it.
    let session = stored(&sessions).await;
    let clone = session.clone();
    clone.insert("a", 1).expect("JSON");
    store.fail_next(2);
    session.save().await.expect_err("it is down");
    drop((session, clone));
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test]
async fn clients_that_go_away_do_not_fill_the_log() {
    let log = Log::start();
    let (sessions, _) = sessions();
    let give_up = || sessions.start().insert("a", 1).expect("JSON");
    for _ in 0..10 {
        give_up();
        warning(&log);
    }
    for _ in 0..1_000 {
        give_up();
    }
    assert_eq!(log.take().len(), 0, "ten a minute are enough");
    // Another manager's are its own.
    let (another, _) = self::sessions();
    another.start().insert("a", 1).expect("JSON");
    warning(&log);
}

#[tokio::test]
async fn a_sign_in_that_is_refused_leaves_a_session_that_has_ended_as_that() {
    let (sessions, store) = sessions();
    let refused = |done: session_core::Result<()>| {
        assert_eq!(done.expect_err("too late").kind(), ErrorKind::TooLate);
    };
    // It is known to have ended.
    let session = stored(&sessions).await;
    let other = sessions.open(session.token().as_ref()).await.expect("up");
    other.destroy().await.expect("ended");
    session.insert("a", 1).expect("JSON");
    session.save().await.expect_err("it has ended");
    assert!(session.is_gone());
    session.forbid_new_token();
    refused(session.sign_in("u").await);
    assert!(session.is_gone() && !session.is_new());
    assert_eq!(
        session.save().await.expect_err("as before").kind(),
        ErrorKind::Gone
    );

    // It ends, and the response begins, while the sign-in is under way.
    let session = stored(&sessions).await;
    let other = sessions.open(session.token().as_ref()).await.expect("up");
    store.delay_next(Duration::from_millis(50));
    let (signed_in, ()) = tokio::join!(session.sign_in("u"), async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        other.destroy().await.expect("ended");
        session.forbid_new_token();
    });
    refused(signed_in);
    assert!(session.is_gone() && !session.is_new());
    assert_eq!(store.count().await.expect("up"), 0);
}

#[tokio::test]
async fn discarded_changes_are_in_no_later_write() {
    let (sessions, store) = sessions();
    let session = stored(&sessions).await;
    let lifetime = session.lifetime();
    session.insert("kept", "changed").expect("JSON");
    session.remove("removed");
    session.push("list", 1).expect("JSON");
    let other = Lifetime::fixed(Duration::from_secs(60));
    session.set_lifetime(other).expect("allowed");
    session.discard();
    assert!(!session.is_changed());
    assert_eq!(session.keys(), ["kept", "removed"]);
    assert_eq!(session.lifetime(), lifetime);
    store.take_calls();
    session.save().await.expect("nothing to do");
    assert_eq!(store.take_calls(), []);
    session.save_unchanged().await.expect("saved");
    let again = sessions.open(session.token().as_ref()).await.expect("up");
    assert_eq!(again.get("kept").ok(), Some(Some("as it was".to_owned())));
    assert_eq!(again.keys(), ["kept", "removed"]);

    // Back to the last save, and to what others had written then.
    again.insert("theirs", 1).expect("JSON");
    again.save().await.expect("saved");
    session.insert("mine", 1).expect("JSON");
    session.save().await.expect("saved after a conflict");
    session.clear();
    session.discard();
    assert_eq!(session.keys(), ["kept", "removed", "theirs", "mine"]);

    let new = sessions.start();
    new.insert("a", 1).expect("JSON");
    new.discard();
    assert!(new.is_empty() && new.is_new());
    new.save().await.expect("nothing to do");
    assert_eq!(new.token(), None);
}

#[tokio::test]
async fn once_the_response_has_begun_no_token_is_made_that_its_client_cant_get() {
    let (sessions, store) = sessions();
    let new = sessions.start();
    new.forbid_new_token();
    new.insert("a", 1).expect("JSON");
    let refused = |done: session_core::Result<()>| {
        let error = done.expect_err("too late");
        assert_eq!(error.kind(), ErrorKind::TooLate);
        assert!(!error.is_temporary());
        error.to_string()
    };
    let text = refused(new.save().await);
    assert!(
        text.starts_with("cannot save the new session, whose client has no token"),
        "{text}"
    );
    refused(new.save_unchanged().await);
    refused(new.sign_in("u").await);
    refused(new.update("n", |_: Option<u32>| 1).await.map(drop));
    assert_eq!(store.calls(), [], "nothing was stored");
    assert_eq!(store.count().await.expect("up"), 0);

    let session = stored(&sessions).await;
    let token = session.token();
    session.forbid_new_token();
    refused(session.sign_in("u").await);
    refused(session.cycle_id().await);
    refused(session.reauthenticated().await);
    session.insert("a", 1).expect("JSON");
    session.save().await.expect("its client has the token");
    session
        .update("n", |_: Option<u32>| 1)
        .await
        .expect("saved");
    assert_eq!(session.token(), token);
    session.destroy().await.expect("the store knows");
    // What comes then is a new one.
    session.insert("a", 1).expect("JSON");
    refused(session.save().await);

    let in_cookie = stored(&sessions).await;
    in_cookie.forbid_change();
    in_cookie.insert("a", 1).expect("JSON");
    store.take_calls();
    let text = refused(in_cookie.save().await);
    assert!(text.contains("kept in the client's cookie"), "{text}");
    refused(in_cookie.destroy().await);
    assert_eq!(store.take_calls(), []);
}
