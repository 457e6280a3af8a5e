//! Changes that are never saved: warned of once, or taken back, or refused because their client
//! can't be told.

#[path = "support/log.rs"]
mod log;
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Log;
use session_core::{ErrorKind, Lifetime, Session, SessionDirectory, Sessions};
use support::{Call, Faulty};

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
    assert!(line.contains("untold=0"), "{line}");
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

#[tokio::test]
async fn what_two_requests_make_at_first_use_is_one_or_both_and_none_is_lost() {
    let (sessions, store) = sessions();
    let first = stored(&sessions).await;
    let open = async || sessions.open(first.token().as_ref()).await.expect("up");
    let (one, two) = (open().await, open().await);
    for (session, name) in [(&one, "one"), (&two, "two")] {
        assert!(session.insert_if_absent("device", name).expect("JSON"));
        assert!(!session.insert_if_absent("device", "again").expect("JSON"));
        assert!(session.push_if_absent("secrets", name).expect("JSON"));
        assert!(!session.push_if_absent("secrets", "again").expect("JSON"));
        session.push("list", name).expect("JSON");
        session.push("list", 2).expect("JSON");
    }
    one.save().await.expect("saved");
    two.save().await.expect("saved after a conflict");
    for session in [&two, &open().await] {
        let text = |key| {
            session
                .get::<serde_json::Value>(key)
                .expect("JSON")
                .expect("there")
        };
        assert_eq!(text("device"), "one", "the first one's stays");
        assert_eq!(text("secrets"), serde_json::json!(["one", "two"]));
        assert_eq!(text("list"), serde_json::json!(["one", 2, "two", 2]));
    }
    store.take_calls();
    let third = open().await;
    assert!(!third.insert_if_absent("device", "three").expect("JSON"));
    assert!(!third.push_if_absent("secrets", "three").expect("JSON"));
    assert!(!third.insert_if_absent("nothing", None::<u8>).expect("JSON"));
    third.save().await.expect("nothing to do");
    assert_eq!(store.take_calls(), [Call::Load]);
    let error = third.push("kept", 1).expect_err("it is a text").to_string();
    assert!(
        error.contains("\"kept\"") && error.contains("no list"),
        "{error}"
    );
    // A lost answer does not add twice.
    third.push("list", 3).expect("JSON");
    store.lose_next_answer();
    third.save().await.expect("found to be done");
    let list: Option<Vec<serde_json::Value>> = open().await.get("list").expect("a list");
    assert_eq!(list.map(|list| list.len()), Some(5));
}

#[tokio::test]
async fn what_is_added_and_taken_again_and_again_costs_no_more_each_time() {
    let (sessions, store) = sessions();
    let first = stored(&sessions).await;
    first.push("list", "there").expect("JSON");
    first.insert("null", None::<u8>).expect("JSON");
    first.insert("none", [0; 0]).expect("JSON");
    first.save().await.expect("saved");
    let open = async || sessions.open(first.token().as_ref()).await.expect("up");
    let (session, other) = (open().await, open().await);
    let began = Instant::now();
    for n in 0..100_000 {
        session.push("new", n).expect("JSON");
        assert_eq!(session.drain::<u32>("new").expect("a list"), [n]);
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(!session.is_changed(), "what was added is gone");
    for n in 0..1_000 {
        for key in ["list", "null", "none", "new"] {
            session.push(key, n.to_string()).expect("JSON");
            let taken = session.drain::<String>(key).expect("a list");
            assert_eq!(taken.last(), Some(&n.to_string()));
        }
        session.insert_if_absent("offered", [n]).expect("JSON");
        session.push("offered", n).expect("JSON");
        assert_eq!(session.drain::<u32>("offered").expect("a list"), [n, n]);
        session.insert_if_absent("no number", "x").expect("JSON");
        session
            .get_or_remove::<u32>("no number")
            .expect_err("a text");
    }
    other.push("list", "theirs").expect("JSON");
    other.push("null", "theirs").expect("JSON");
    other.save().await.expect("saved");
    store.take_calls();
    session.save().await.expect("saved after a conflict");
    assert_eq!(store.take_calls(), [Call::Save, Call::Load, Call::Save]);
    let left = open().await;
    let theirs = Some(vec!["theirs".to_owned()]);
    assert_eq!(left.get("list").expect("a list"), theirs);
    assert_eq!(left.get("null").expect("a list"), theirs);
    assert_eq!(left.keys(), ["kept", "removed", "list", "null"]);
}

#[tokio::test]
async fn what_does_not_fit_is_removed_and_what_others_have_put_there_is_not() {
    let (sessions, _) = sessions();
    let first = stored(&sessions).await;
    let open = async || sessions.open(first.token().as_ref()).await.expect("up");
    let number = |session: &Session| session.get::<u32>("kept").expect("a number");
    let (one, two, three) = (open().await, open().await, open().await);
    for session in [&one, &two, &three] {
        session.get_or_remove::<u32>("kept").expect_err("a text");
        assert!(!session.contains_key("kept"));
        assert_eq!(session.get_or_remove::<u32>("kept").expect("none"), None);
    }
    one.insert("kept", 1).expect("JSON");
    one.save().await.expect("saved");
    two.save().await.expect("saved after a conflict");
    assert_eq!(number(&two), Some(1), "it stays");
    let add = |old: Option<u32>| old.unwrap_or_default() + 1;
    assert_eq!(three.update("kept", add).await.expect("saved"), 2);
    let last = open().await;
    assert_eq!(last.get_or_remove("kept").expect("a number"), Some(2_u32));
    assert!(!last.is_changed());

    last.insert("kept", "spoilt").expect("JSON");
    last.save().await.expect("saved");
    let alone = open().await;
    alone.get_or_remove::<u32>("kept").expect_err("a text");
    alone.save().await.expect("saved");
    assert!(!open().await.contains_key("kept"));
}

#[tokio::test]
async fn what_is_added_while_a_list_of_nothing_is_taken_stays() {
    let (sessions, _) = sessions();
    let first = stored(&sessions).await;
    first.insert("null", None::<u8>).expect("JSON");
    first.insert("none", [0; 0]).expect("JSON");
    first.save().await.expect("saved");
    let open = async || sessions.open(first.token().as_ref()).await.expect("up");
    let (taker, adder) = (open().await, open().await);
    for key in ["null", "none"] {
        adder.push(key, 1).expect("JSON");
        assert_eq!(taker.drain::<u8>(key).expect("nothing"), [0; 0]);
        assert!(!taker.contains_key(key));
    }
    adder.save().await.expect("saved");
    taker.save().await.expect("saved after a conflict");
    for key in ["null", "none"] {
        assert_eq!(open().await.get(key).expect("a list"), Some(vec![1]));
    }
}

#[tokio::test]
async fn what_is_added_while_a_list_is_taken_stays() {
    let (sessions, _) = sessions();
    let first = stored(&sessions).await;
    first.push("list", "one").expect("JSON");
    first.push("list", "two").expect("JSON");
    first.save().await.expect("saved");
    let open = async || sessions.open(first.token().as_ref()).await.expect("up");
    let list = |session: &Session| session.get::<Vec<String>>("list").expect("a list");
    let (taker, too, adder) = (open().await, open().await, open().await);
    adder.push("list", "three").expect("JSON");
    adder.save().await.expect("saved");
    assert_eq!(
        taker.drain::<String>("list").expect("a list"),
        ["one", "two"]
    );
    assert!(!taker.contains_key("list"));
    taker.save().await.expect("saved after a conflict");
    assert_eq!(list(&taker), Some(vec!["three".to_owned()]));
    // Who takes the same at the same time takes no more than that.
    assert_eq!(too.drain::<String>("list").expect("a list"), ["one", "two"]);
    too.push("list", "four").expect("JSON");
    too.save().await.expect("saved after a conflict");
    let left = open().await;
    assert_eq!(
        list(&left),
        Some(vec!["three".to_owned(), "four".to_owned()])
    );
    left.drain::<u32>("list").expect_err("they are texts");
    assert_eq!(left.drain::<String>("list").expect("a list").len(), 2);
    left.save().await.expect("saved");
    assert!(!open().await.contains_key("list"));
    assert_eq!(left.drain::<String>("none").expect("no list"), [""; 0]);
    assert!(!left.is_changed());
    left.insert("null", None::<u8>).expect("JSON");
    assert_eq!(left.drain::<String>("null").expect("nothing"), [""; 0]);
    assert!(!left.contains_key("null"));
}
