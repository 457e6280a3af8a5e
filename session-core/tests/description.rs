//! Describing sessions: when it is written, what keeps it, and what refuses it.

#[path = "support/log.rs"]
mod log;
mod support;

use std::sync::Arc;
use std::time::Duration;

use log::Log;
use session_core::{
    Capabilities, Description, ErrorKind, Lifetime, Session, SessionToken, Sessions, StoreWrapper,
};
use session_memory::MemoryStore;
use support::{Call, Faulty, sessions};

fn named(label: &str) -> Description {
    Description::new().with_label(label).with_browser("Firefox")
}

async fn open(sessions: &Sessions, token: &SessionToken) -> Session {
    sessions.open(Some(token)).await.expect("the store works")
}

/// A guest's session, described as the phone, and its token.
async fn phone(sessions: &Sessions) -> (Session, SessionToken) {
    let session = sessions.start();
    session.insert("cart", 1).expect("a number");
    session.describe(named("phone")).expect("there is room");
    session.save().await.expect("saved");
    let token = session.token().expect("stored");
    (session, token)
}

#[tokio::test]
async fn a_description_is_written_by_the_next_save_and_only_if_it_changes() {
    let (sessions, store, _) = sessions();
    let (_, token) = phone(&sessions).await;
    assert_eq!(store.take_calls(), [Call::Create]);
    let session = open(&sessions, &token).await;
    assert_eq!(session.description(), Some(named("phone")));
    session.describe(named("phone")).expect("there is room");
    assert!(!session.is_changed());
    session.save().await.expect("saved");
    assert_eq!(store.take_calls(), [Call::Load]);
    session.describe(named("tablet")).expect("there is room");
    assert!(session.is_changed());
    session.save().await.expect("saved");
    assert!(!session.is_changed());
    assert_eq!(store.take_calls(), [Call::Save]);
    let again = open(&sessions, &token).await;
    assert_eq!(again.description(), Some(named("tablet")));
    assert_eq!(again.get("cart").ok(), Some(Some(1)));
    again.describe(Description::new()).expect("nothing fits");
    again.save().await.expect("saved");
    let bare = open(&sessions, &token).await;
    assert_eq!(bare.description(), None);
}

#[tokio::test]
async fn a_new_session_that_is_only_described_is_not_stored() {
    let (sessions, store, _) = sessions();
    let session = sessions.start();
    session.describe(named("phone")).expect("there is room");
    assert!(!session.is_changed());
    session.save().await.expect("nothing to do");
    assert_eq!(store.take_calls(), []);
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("saved");
    let token = session.token().expect("stored");
    let again = open(&sessions, &token).await;
    assert_eq!(again.description(), Some(named("phone")));
}

#[tokio::test]
async fn discard_takes_a_description_back_and_a_dropped_one_is_warned_of() {
    let log = Log::start();
    let (sessions, _, _) = sessions();
    let (_, token) = phone(&sessions).await;
    let session = open(&sessions, &token).await;
    session.describe(named("hunter2")).expect("there is room");
    session.discard();
    assert_eq!(session.description(), Some(named("phone")));
    assert!(!session.is_changed());
    drop(session);
    assert_eq!(log.take(), [""; 0]);
    let session = open(&sessions, &token).await;
    session.describe(named("hunter2")).expect("there is room");
    drop(session);
    let lines = log.take();
    let [line] = &lines[..] else {
        panic!("one warning: {lines:?}");
    };
    assert!(line.contains("keys=[description] "), "{line}");
    assert!(!line.contains("hunter2"), "{line}");
}

#[tokio::test]
async fn a_conflict_keeps_a_description_and_what_others_have_changed() {
    let (sessions, _, _) = sessions();
    let (_, token) = phone(&sessions).await;
    let (describing, changing) = (open(&sessions, &token).await, open(&sessions, &token).await);
    changing.insert("cart", 2).expect("JSON");
    changing
        .set_lifetime(Lifetime::fixed(Duration::from_secs(60)))
        .expect("allowed");
    changing.save().await.expect("saved");
    describing.describe(named("tablet")).expect("there is room");
    describing.save().await.expect("saved after a conflict");
    changing.insert("n", 1).expect("JSON");
    changing.save().await.expect("saved after a conflict");
    assert_eq!(
        changing.description(),
        Some(named("tablet")),
        "as it was read"
    );
    let found = open(&sessions, &token).await;
    assert_eq!(found.description(), Some(named("tablet")));
    assert_eq!(found.get("cart").ok(), Some(Some(2)));
    assert_eq!(found.get("n").ok(), Some(Some(1)));
}

/// An update that meets a conflict reads the other writer's description, and writes it again.
#[tokio::test]
async fn an_update_beside_a_description_keeps_both() {
    let (sessions, _, _) = sessions();
    let (_, token) = phone(&sessions).await;
    let (describing, updating) = (open(&sessions, &token).await, open(&sessions, &token).await);
    describing.describe(None).expect("nothing fits");
    describing.save().await.expect("saved");
    let add = |n: Option<u32>| n.unwrap_or(0) + 1;
    let n = updating
        .update("cart", add)
        .await
        .expect("saved after a conflict");
    assert_eq!(n, 2);
    let found = open(&sessions, &token).await;
    assert_eq!(
        (found.description(), found.get("cart").ok()),
        (None, Some(Some(2)))
    );
}

#[tokio::test]
async fn a_sign_in_keeps_the_description_and_one_made_beside_it() {
    let (sessions, _, _) = sessions();
    let (session, _) = phone(&sessions).await;
    session.sign_in("u").await.expect("signed in");
    let token = session.token().expect("stored");
    assert_eq!(
        open(&sessions, &token).await.description(),
        Some(named("phone"))
    );
    session.describe(named("tablet")).expect("there is room");
    session.sign_in("u").await.expect("signed in");
    let listed = sessions.owned_by("u").await.expect("listed");
    let descriptions: Vec<_> = listed.into_iter().map(|info| info.description).collect();
    assert_eq!(descriptions, [Some(named("tablet"))]);
}

/// Another request has signed in with the session, or it has ended: the sign-in makes another one.
#[tokio::test]
async fn a_session_that_a_sign_in_begins_anew_is_described() {
    for (ends, is_described, expected) in [
        (false, true, Some("tablet")),
        (false, false, Some("phone")),
        (true, true, Some("tablet")),
        (true, false, None),
    ] {
        let (sessions, _, _) = sessions();
        let (_, token) = phone(&sessions).await;
        let (first, second) = (open(&sessions, &token).await, open(&sessions, &token).await);
        match ends {
            true => first.destroy().await.expect("ended"),
            false => first.sign_in("u").await.expect("signed in"),
        }
        if is_described {
            second.describe(named("tablet")).expect("there is room");
        }
        second.sign_in("v").await.expect("signed in");
        let token = second.token().expect("stored");
        let found = open(&sessions, &token).await.description();
        assert_eq!(found, expected.map(named), "{ends} {is_described}");
    }
}

#[tokio::test]
async fn a_description_whose_answer_was_lost_is_written_once() {
    let (sessions, store, _) = sessions();
    let (_, token) = phone(&sessions).await;
    let session = open(&sessions, &token).await;
    session.describe(named("tablet")).expect("there is room");
    store.lose_next_answer_and_refuse_repeat();
    session.save().await.expect_err("its outcome is unknown");
    // Another request describes the session in between: the later one counts.
    let other = open(&sessions, &token).await;
    other.describe(named("laptop")).expect("there is room");
    other.save().await.expect("saved");
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("saved");
    let found = open(&sessions, &token).await;
    assert_eq!(found.description(), Some(named("laptop")));
    assert_eq!(found.get("n").ok(), Some(Some(1)));
}

#[tokio::test]
async fn a_session_that_is_destroyed_starts_without_a_description() {
    let (sessions, _, _) = sessions();
    let (session, _) = phone(&sessions).await;
    session.destroy().await.expect("ended");
    assert_eq!(session.description(), None);
}

#[tokio::test]
async fn too_long_a_description_is_refused_and_the_limit_named() {
    let (sessions, _, _) = sessions();
    let (session, _) = phone(&sessions).await;
    for (length, fits) in [(188, true), (189, false), (10_000, false)] {
        let long = Description::new().with_label("x".repeat(length));
        let described = session.describe(long.clone());
        if fits {
            described.expect("it fits");
            assert_eq!(session.description(), Some(long));
            session.discard();
        } else {
            let error = described.expect_err("too long");
            assert_eq!(error.kind(), ErrorKind::TooLarge);
            let size = long.as_bytes().len();
            let message = format!("the description has {size} bytes, over the limit of 192");
            assert_eq!(error.to_string(), message);
            assert!(!session.is_changed());
        }
        assert_eq!(session.description(), Some(named("phone")), "as it was");
    }
}

/// A store of before descriptions.
#[derive(Debug)]
struct Old(Arc<Faulty>);

impl StoreWrapper for Old {
    type Inner = Faulty;

    fn inner(this: &Self) -> &Faulty {
        &this.0
    }

    fn capabilities(_: &Self) -> Capabilities {
        Capabilities::new()
    }
}

#[tokio::test]
async fn a_store_without_room_refuses_descriptions_and_takes_the_rest() {
    let store = Arc::new(Faulty::default());
    let sessions = Sessions::new(Old(store));
    let session = sessions.start();
    let error = session.describe(named("phone")).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.to_string().contains("descriptions of sessions"),
        "{error}"
    );
    session.describe(None).expect("nothing needs no room");
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("saved");
}

#[tokio::test(start_paused = true)]
async fn the_last_use_is_known_by_the_touch_of_each_request() {
    let sessions = Sessions::new(MemoryStore::new());
    let (session, token) = phone(&sessions).await;
    session.sign_in("u").await.expect("signed in");
    let token = session.token().unwrap_or(token);
    let last_used = async || {
        let listed = sessions.owned_by("u").await.expect("listed");
        (listed[0].last_used(), listed[0].age)
    };
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    assert_eq!(last_used().await, (Some(minutes(0)), minutes(0)));
    tokio::time::advance(minutes(20)).await;
    assert_eq!(last_used().await, (Some(minutes(20)), minutes(20)));
    open(&sessions, &token)
        .await
        .touch()
        .await
        .expect("touched");
    assert_eq!(last_used().await, (Some(minutes(0)), minutes(20)));
    tokio::time::advance(minutes(1)).await;
    // The deadline would hardly move, so no write is spent on it.
    open(&sessions, &token)
        .await
        .touch()
        .await
        .expect("not due");
    assert_eq!(last_used().await, (Some(minutes(1)), minutes(21)));
}
