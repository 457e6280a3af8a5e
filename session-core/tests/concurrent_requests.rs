//! Several requests that change one session at the same time.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::{ErrorKind, Session, Sessions};
use support::{Call, Faulty, sessions};

/// A stored session, opened again.
async fn stored(sessions: &Sessions) -> Session {
    let session = sessions.start();
    session.insert("kept", "as it was").expect("JSON");
    session.insert("removed", 1).expect("JSON");
    session.save().await.expect("saved");
    sessions.open(session.token().as_ref()).await.expect("up")
}

#[tokio::test]
async fn writers_of_different_keys_lose_nothing() {
    let (sessions, _, _) = sessions();
    let first = sessions.start();
    first.insert("start", 0).expect("a number");
    first.save().await.expect("saved");
    let token = first.token();
    let mut writers = Vec::new();
    for n in 0..64 {
        let session = sessions.open(token.as_ref()).await.expect("there");
        writers.push(tokio::spawn(async move {
            session.insert(&format!("key{n}"), n).expect("a number");
            session.save().await
        }));
    }
    for writer in writers {
        writer.await.expect("no panic").expect("saved");
    }
    let last = sessions.open(token.as_ref()).await.expect("there");
    assert_eq!(last.keys().len(), 65);
}

#[tokio::test(flavor = "multi_thread")]
async fn update_counts_every_writer() {
    let (sessions, _, _) = sessions();
    let first = sessions.start();
    first.insert("n", 0).expect("a number");
    first.save().await.expect("saved");
    let token = first.token();
    let mut writers = Vec::new();
    for _ in 0..8 {
        let session = sessions.open(token.as_ref()).await.expect("there");
        writers.push(tokio::spawn(async move {
            for _ in 0..50 {
                session
                    .update("n", |n: Option<u32>| n.unwrap_or(0) + 1)
                    .await
                    .expect("in the end");
            }
        }));
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    let last = sessions.open(token.as_ref()).await.expect("there");
    assert_eq!(last.get::<u32>("n").ok(), Some(Some(400)));
}

#[tokio::test]
async fn a_patch_is_replayed_on_what_others_wrote() {
    let (sessions, _, _) = sessions();
    let first = sessions.start();
    first.insert("kept", 1).expect("a number");
    first.insert("removed", 1).expect("a number");
    first.save().await.expect("saved");
    let mine = sessions.open(first.token().as_ref()).await.expect("there");
    first.insert("theirs", 2).expect("a number");
    first.save().await.expect("saved");

    mine.remove("removed");
    mine.insert("mine", 3).expect("a number");
    mine.save().await.expect("saved after a conflict");
    assert_eq!(mine.keys(), ["kept", "theirs", "mine"]);
}

#[tokio::test]
async fn contention_without_end_is_an_error_and_keeps_the_changes() {
    let store = Arc::new(Faulty::default());
    let sessions = Sessions::builder(store.clone())
        .attempts(3)
        .build()
        .expect("good rules");
    let session = sessions.start();
    session.insert("a", 1).expect("a number");
    session.save().await.expect("saved");
    session.insert("a", 2).expect("a number");
    store.conflict_always(true);
    let error = session.save().await.expect_err("others are always faster");
    assert_eq!(error.kind(), ErrorKind::Contention);
    assert!(error.is_temporary());
    store.conflict_always(false);
    assert!(session.is_changed());
    session.save().await.expect("at last");
    let again = sessions
        .open(session.token().as_ref())
        .await
        .expect("there");
    assert_eq!(again.get::<u32>("a").ok(), Some(Some(2)));
}

#[tokio::test]
async fn a_slow_request_does_not_undo_a_logout() {
    let (sessions, _, recorder) = sessions();
    let session = sessions.start();
    session.insert("a", 1).expect("a number");
    session.save().await.expect("saved");
    let token = session.token();
    let slow = sessions.open(token.as_ref()).await.expect("there");
    session.destroy().await.expect("destroyed");
    slow.insert("a", 2).expect("a number");
    for _ in 0..2 {
        let error = slow.save().await.expect_err("ended");
        assert_eq!(error.kind(), ErrorKind::Gone);
    }
    assert!(matches!(
        slow.cycle_id().await, Err(error) if error.kind() == ErrorKind::Gone && !error.is_doubtful()));
    let update = slow.update("a", |n: Option<u32>| n.unwrap_or(0) + 1).await;
    assert!(
        matches!(&update, Err(error) if error.kind() == ErrorKind::Gone && !error.is_doubtful())
    );
    assert!(slow.is_gone());
    assert_eq!(slow.token(), None);
    assert!(sessions.open(token.as_ref()).await.expect("new").is_new());
    assert_eq!(recorder.names(), ["created", "signed out", "unknown"]);
}

#[tokio::test]
async fn what_is_changed_during_a_save_is_saved_by_the_next() {
    let (sessions, store, _) = sessions();
    let session = sessions.start();
    session.insert("a", 1).expect("a number");
    session.save().await.expect("saved");
    session.insert("a", 2).expect("a number");
    store.delay_next(Duration::from_millis(50));
    let saving = tokio::spawn({
        let session = session.clone();
        async move { session.save().await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    session.insert("b", 3).expect("a number");
    saving.await.expect("no panic").expect("saved");
    assert!(session.is_changed());
    assert_eq!(session.keys(), ["a", "b"]);
    session.save().await.expect("saved");
    let again = sessions
        .open(session.token().as_ref())
        .await
        .expect("there");
    assert_eq!(again.get::<u32>("b").ok(), Some(Some(3)));
}

#[tokio::test]
async fn what_two_requests_make_at_first_use_is_one_or_both_and_none_is_lost() {
    let (sessions, store, _) = sessions();
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
    let (sessions, store, _) = sessions();
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
    let (sessions, _, _) = sessions();
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
    let (sessions, _, _) = sessions();
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
    let (sessions, _, _) = sessions();
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
