//! What `Sessions` and `Session` promise, on the memory store: the parts that no store can break.

mod support;

use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Credential, Draft, Error, ErrorKind, Lifetime, Limits, Owner, Reaper, SessionStore,
    SessionToken, Sessions, Ttl,
};
use session_memory::MemoryStore;
use support::{Call, Faulty, Recorder, sessions};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_new_empty_session_writes_nothing_and_has_no_token() {
    let (sessions, store, _) = sessions();
    let session = sessions.open(None::<&str>).await.expect("no I/O");
    session.insert("a", 1).expect("a number");
    session.remove("a");
    session
        .set_lifetime(Lifetime::fixed(MINUTE))
        .expect("allowed");
    session.save().await.expect("nothing to do");
    session.cycle_id().await.expect("nothing to do");
    session.touch().await.expect("nothing to do");
    session.destroy().await.expect("nothing to do");
    assert_eq!(session.token(), None);
    assert!(session.is_new());
    assert_eq!(store.calls(), []);
}

#[tokio::test]
async fn reading_is_one_round_trip_and_writing_two() {
    let (sessions, store, _) = sessions();
    let first = sessions.start();
    first.insert("name", "Napoleon").expect("a string");
    first.save().await.expect("saved");
    assert_eq!(store.take_calls(), [Call::Create]);

    let token = first.token();
    let read = sessions.open(token.as_ref()).await.expect("there");
    assert_eq!(read.get("name").ok(), Some(Some("Napoleon".to_owned())));
    read.insert("name", "Napoleon").expect("as it was");
    read.save().await.expect("nothing changed");
    assert_eq!(
        store.take_calls(),
        [Call::Load],
        "a clean session writes nothing"
    );

    let write = sessions.open(token.as_ref()).await.expect("there");
    write.insert("name", "Josephine").expect("a string");
    write.save().await.expect("saved");
    assert_eq!(store.take_calls(), [Call::Load, Call::Save]);
}

#[tokio::test]
async fn a_token_that_was_never_issued_is_reported_and_not_adopted() {
    let (sessions, _, recorder) = sessions();
    let forged = SessionToken::generate();
    let session = sessions.open(Some(&forged)).await.expect("a new one");
    assert_eq!(recorder.names(), ["unknown"]);
    session.insert("a", 1).expect("a number");
    session.save().await.expect("saved");
    assert_ne!(session.token(), Some(forged));
}

#[tokio::test]
async fn a_destroyed_handle_is_a_new_session() {
    let (sessions, _, _) = sessions();
    let session = sessions.start();
    session.insert("a", 1).expect("a number");
    session
        .set_lifetime(Lifetime::fixed(MINUTE))
        .expect("allowed");
    session.save().await.expect("saved");
    let old = session.token();
    session.destroy().await.expect("destroyed");
    assert!(session.is_new() && session.is_empty());
    assert_eq!(session.lifetime(), Lifetime::default());
    session.insert("flash", "bye").expect("a string");
    session.save().await.expect("saved");
    assert_ne!(session.token(), old);
    assert_eq!(session.keys(), ["flash"]);
}

#[tokio::test]
async fn limits_are_checked_before_any_io() {
    let store = Arc::new(Faulty::default());
    let limits = Limits::default()
        .with_key_bytes(8)
        .with_owner_bytes(4)
        .with_lifetime(MINUTE);
    let sessions = Sessions::builder(store.clone())
        .limits(limits)
        .lifetime(Lifetime::fixed(MINUTE))
        .build()
        .expect("good rules");
    let session = sessions.start();
    let said = |error: Error, says: &str| {
        let text = error.to_string();
        assert!(text.contains(says), "{text} says {says}");
    };
    said(
        session.insert("too long a key", 1).expect_err("key"),
        "14 bytes",
    );
    let owner = Owner::new("longer").expect("valid elsewhere");
    said(
        session.sign_in(owner).await.expect_err("owner"),
        "limit of 4",
    );
    for (lifetime, says) in [
        (Lifetime::fixed(Duration::ZERO), "under 1 ms"),
        (Lifetime::fixed(2 * MINUTE), "limit of 60s"),
        (
            Lifetime::new(MINUTE, MINUTE / 2),
            "longer than the absolute",
        ),
    ] {
        said(session.set_lifetime(lifetime).expect_err("lifetime"), says);
    }
    assert_eq!(store.calls(), []);
}

#[tokio::test]
async fn data_over_the_limit_of_the_store_is_refused_and_can_be_made_smaller() {
    let store = MemoryStore::builder().max_data(100).build().expect("good");
    let session = Sessions::new(Arc::new(store)).start();
    let large = "x".repeat(100);
    session.insert("k", large).expect("checked by the store");
    let refused = session.save().await.expect_err("too large");
    assert!(refused.to_string().contains("limit of 100"), "{refused}");
    session.insert("k", "x").expect("a string");
    session.save().await.expect("small enough now");
}

#[tokio::test]
async fn rules_that_make_no_sense_are_refused() {
    let store = Arc::new(Faulty::default());
    let builder = || Sessions::builder(store.clone());
    assert!(builder().attempts(0).build().is_err());
    let second = Duration::from_secs(1);
    let renewal = |after, grace| builder().renew_after(after).grace(grace).build();
    assert!(renewal(4 * second, second).is_ok());
    assert!(renewal(4 * second - Duration::from_millis(1), second).is_err());
    assert!(renewal(240 * second, Duration::ZERO).is_err());
    assert!(builder().grace(5 * 3_600 * second).build().is_err());
    assert!(
        builder().renew_after(239 * second).build().is_err(),
        "a grace is 60 s by default"
    );
    assert!(
        builder()
            .lifetime(Lifetime::fixed(Lifetime::MAX * 2))
            .build()
            .is_err()
    );
}

#[tokio::test]
async fn a_corrupt_record_is_absent_and_reported() {
    let (sessions, store, recorder) = sessions();
    for data in [
        b"".as_slice(),
        b"[]",
        b"{\"a\":1,\"a\":2}",
        b"\xff",
        b"{\"a\":",
    ] {
        let token = SessionToken::generate();
        let draft = Draft::new(data, Lifetime::default())
            .with_credential(Credential::opened_by(&token, None));
        let created = store.create(&token.id(), &draft).await.expect("stored");
        assert!(created.is_done());
        let session = sessions.open(Some(&token)).await.expect("a new one");
        assert!(session.is_new());
        session.insert("a", 1).expect("a number");
        session
            .save()
            .await
            .expect("the client's next session works");
        assert_ne!(session.token(), Some(token));
    }
    assert_eq!(
        recorder
            .names()
            .iter()
            .filter(|name| **name == "corrupt")
            .count(),
        5
    );
}

#[tokio::test]
async fn a_store_that_fails_is_never_an_empty_session() {
    let (sessions, store, _) = sessions();
    store.fail_next(9);
    let error = sessions
        .open(Some(&SessionToken::generate()))
        .await
        .expect_err("down");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn an_update_may_use_the_session_it_updates() {
    let (sessions, _, _) = sessions();
    let session = sessions.start();
    session.insert("step", 5).expect("a number");
    let sum = session
        .update("sum", |sum: Option<u32>| {
            sum.unwrap_or(0) + session.get::<u32>("step").ok().flatten().unwrap_or(0)
        })
        .await;
    assert_eq!(sum.ok(), Some(5));
    let wrong = session
        .update("sum", |_: Option<String>| String::new())
        .await;
    assert_eq!(wrong.expect_err("a number").kind(), ErrorKind::Value);
    assert_eq!(session.get::<u32>("sum").ok(), Some(Some(5)));
}

/// At most half of a session's idle limit counts.
#[tokio::test(start_paused = true)]
async fn a_session_with_a_short_idle_limit_stays_alive_in_use_whatever_touch_after_is() {
    for after in [10 * MINUTE, Duration::MAX, Duration::ZERO] {
        let builder = Sessions::builder(Arc::new(Faulty::default())).touch_after(after);
        let lifetime = Lifetime::idle(Duration::from_secs(1));
        let sessions = builder.lifetime(lifetime).build().expect("good");
        let session = sessions.start();
        session.insert("a", 1).expect("a number");
        session.save().await.expect("saved");
        let token = session.token().expect("stored");
        for _ in 0..20 {
            tokio::time::advance(Duration::from_millis(490)).await;
            let session = sessions.find(&token).await.expect("up");
            session.expect("in use").touch().await.expect("alive");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_touch_is_sent_only_when_it_moves_the_deadline_noticeably() {
    let (sessions, store, _) = sessions();
    let session = sessions.start();
    session.insert("a", 1).expect("a number");
    session.save().await.expect("saved");
    let token = session.token();
    store.take_calls();

    tokio::time::advance(MINUTE).await; // of 30: less than a twentieth
    let soon = sessions.open(token.as_ref()).await.expect("there");
    soon.touch().await.expect("not sent");
    assert_eq!(store.take_calls(), [Call::Load]);

    tokio::time::advance(MINUTE).await;
    let later = sessions.open(token.as_ref()).await.expect("there");
    let other = sessions.open(token.as_ref()).await.expect("there");
    store.delay_next(Duration::from_millis(5));
    let (one, two) = tokio::join!(later.touch(), other.touch());
    one.and(two).expect("sent once");
    assert_eq!(store.take_calls(), [Call::Load, Call::Load, Call::Touch]);
    assert!(later.expires_in() > Ttl::Left(29 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn use_moves_the_idle_deadline_and_never_the_absolute_one() {
    let (sessions, _, _) = sessions();
    let session = sessions.start();
    session.insert("n", 0).expect("a number");
    session
        .set_lifetime(Lifetime::new(30 * MINUTE, 120 * MINUTE))
        .expect("allowed");
    session.save().await.expect("saved");
    for n in 1..12 {
        tokio::time::advance(10 * MINUTE).await;
        let used = sessions
            .open(session.token().as_ref())
            .await
            .expect("there");
        assert!(!used.is_new(), "in use after {n}0 minutes");
        match n % 3 {
            0 => used.touch().await.expect("touched"),
            1 => drop(used.update("n", |_: Option<u32>| n).await.expect("saved")),
            _ => {}
        }
    }
    tokio::time::advance(10 * MINUTE).await;
    let ended = sessions.open(session.token().as_ref()).await.expect("new");
    assert!(ended.is_new(), "120 minutes are over");
}

#[tokio::test(start_paused = true)]
async fn the_reaper_reports_each_expired_session_once_and_survives_errors() {
    let (sessions, store, recorder) = sessions();
    for n in 0..25 {
        let session = sessions.start();
        session.insert("n", n).expect("a number");
        session
            .set_lifetime(Lifetime::idle(MINUTE))
            .expect("allowed");
        session.save().await.expect("saved");
    }
    store.fail_reaps(2);
    let interval = Duration::from_secs(10);
    let reaper = Reaper::spawn_with(sessions.clone(), interval, 10).expect("a directory");
    // Two errors are answered by pauses of up to ten intervals each.
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let expired =
        |recorder: &Recorder| recorder.names().iter().filter(|n| **n == "expired").count();
    assert_eq!(expired(&recorder), 25);

    drop(reaper);
    tokio::time::sleep(interval).await;
    store.take_calls();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(store.calls(), [], "a dropped reaper reaps no more");
}

#[tokio::test]
async fn an_observer_that_panics_harms_nobody() {
    struct Panics;
    impl session_core::Observer for Panics {
        fn created(&self, _: session_core::Event<'_>) {
            panic!("an observer's mistake");
        }
    }
    let recorder = Recorder::default();
    let sessions = Sessions::builder(Arc::new(Faulty::default()))
        .observer(Panics)
        .observer(recorder.clone())
        .build()
        .expect("good rules");
    let session = sessions.start();
    session.insert("a", 1).expect("a number");
    session.save().await.expect("saved all the same");
    assert_eq!(recorder.names(), ["created"]);
}

#[tokio::test]
async fn nothing_shows_a_token_or_a_value() {
    let (sessions, _, _) = sessions();
    let session = sessions.start();
    session.insert("password", "hunter2").expect("a string");
    session.save().await.expect("saved");
    let token = session.token().expect("stored");
    let wrong = session.get::<u32>("password").expect_err("a string");
    let shown = format!("{session:?} {sessions:?} {token:?} {wrong} {wrong:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains(token.expose()),
        "{shown}"
    );
}

#[test]
fn the_futures_can_move_between_threads() {
    fn send<T: Send>(_: T) {}
    let sessions = sessions().0;
    let session = sessions.start();
    send(sessions.open(None::<&str>));
    send(session.save());
    send(session.update("n", |n: Option<u32>| n.unwrap_or(0)));
    send(session.cycle_id());
    send(session.touch());
    send(session.destroy());
    send(session.sign_in("u"));
    send(session.reauthenticated());
    send(session.renew_if_due());
    send(session.is_live());
}
