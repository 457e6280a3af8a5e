//! Signing in and out: one write, a new token, the same id; and what other requests meet then.

mod support;

use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Credential, Draft, ErrorKind, Lifetime, Owner, Session, SessionStore, SessionToken, Sessions,
    Ttl,
};
use support::{Call, Faulty, sessions};

const MINUTE: Duration = Duration::from_secs(60);

/// A guest's session with a cart, and its token.
async fn guest(sessions: &Sessions) -> (Session, SessionToken) {
    let session = sessions.start();
    session.insert("cart", 1).expect("a number");
    session.save().await.expect("saved");
    let token = session.token().expect("stored");
    (session, token)
}

async fn open(sessions: &Sessions, token: &SessionToken) -> Session {
    sessions.open(Some(token)).await.expect("the store works")
}

fn owner(name: &str) -> Owner {
    Owner::new(name).expect("valid")
}

#[tokio::test]
async fn signing_in_is_one_write_that_keeps_id_and_data_and_kills_the_old_token() {
    let (sessions, store, recorder) = sessions();
    let (session, old) = guest(&sessions).await;
    let (id, binding) = (session.id(), session.binding());
    store.take_calls();
    session.sign_in("u").await.expect("signed in");
    assert_eq!(store.take_calls(), [Call::Save]);
    assert_eq!(session.id(), id, "an id never moves");
    assert_ne!(session.binding(), binding);
    let new = session.token().expect("stored");
    assert_ne!(new, old);
    assert_eq!(new.id(), old.id());

    let again = open(&sessions, &new).await;
    assert_eq!(again.get("cart").ok(), Some(Some(1)));
    assert_eq!(again.owner(), Some(owner("u")));
    assert_eq!(again.binding(), session.binding());
    assert_eq!(sessions.find(&old).await.expect("up").map(|_| ()), None);
    assert_eq!(recorder.names(), ["created", "renewed", "just replaced"]);
}

#[tokio::test]
async fn a_new_session_is_signed_in_by_its_first_write() {
    let (sessions, store, recorder) = sessions();
    let session = sessions.start();
    session.sign_in(owner("u")).await.expect("signed in");
    assert_eq!(store.take_calls(), [Call::Create]);
    let again = open(&sessions, &session.token().expect("stored")).await;
    assert_eq!(again.owner(), Some(owner("u")));
    assert_eq!(recorder.names(), ["created"]);
}

#[tokio::test]
async fn what_is_bound_to_the_guest_is_dropped_by_each_new_lineage() {
    let (sessions, _, _) = sessions();
    for act in ["sign in", "cycle", "reauthenticate"] {
        let (session, _) = guest(&sessions).await;
        session
            .insert("_csrf", "known to the planter")
            .expect("JSON");
        session.save().await.expect("saved");
        match act {
            "sign in" => session.sign_in("u").await,
            "cycle" => session.cycle_id().await,
            _ => session.reauthenticated().await,
        }
        .expect("saved");
        let again = open(&sessions, &session.token().expect("stored")).await;
        for session in [session, again] {
            assert_eq!(session.keys(), ["cart"], "{act}");
            assert!(!session.contains_key("_csrf"), "{act}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn signing_in_counts_both_limits_anew_and_cycling_does_not() {
    let (sessions, store, _) = sessions();
    let (session, _) = guest(&sessions).await;
    session
        .set_lifetime(Lifetime::fixed(60 * MINUTE))
        .expect("allowed");
    session.save().await.expect("saved");
    let id = session.id().expect("stored");
    let left = async || store.load(&id).await.expect("up").expect("there").ttl;
    tokio::time::advance(50 * MINUTE).await;
    session.sign_in("u").await.expect("signed in");
    assert!(session.age() < MINUTE);
    assert_eq!(left().await, Ttl::Left(60 * MINUTE));
    tokio::time::advance(50 * MINUTE).await;
    session.cycle_id().await.expect("cycled");
    assert_eq!(left().await, Ttl::Left(10 * MINUTE));
    session.reauthenticated().await.expect("saved");
    assert_eq!(left().await, Ttl::Left(60 * MINUTE));
}

#[tokio::test]
async fn cycling_takes_what_others_wrote_along_and_kills_the_old_token() {
    let (sessions, _, _) = sessions();
    let (session, old) = guest(&sessions).await;
    let other = open(&sessions, &old).await;
    other.insert("theirs", 2).expect("a number");
    other.save().await.expect("saved");
    session.cycle_id().await.expect("cycled after a conflict");
    assert_eq!(session.keys(), ["cart", "theirs"]);
    assert!(sessions.find(&old).await.expect("up").is_none());
}

#[tokio::test]
async fn of_two_sign_ins_with_one_session_both_are_signed_in() {
    let (sessions, _, _) = sessions();
    let (one, token) = guest(&sessions).await;
    let two = open(&sessions, &token).await;
    two.insert("changed", true).expect("JSON");
    one.insert("secret of", "the first").expect("JSON");
    one.insert("_csrf", "theirs").expect("JSON");
    one.sign_in("u").await.expect("signed in");
    two.sign_in("u").await.expect("signed in");
    assert_ne!(one.id(), two.id(), "the second has one of its own");
    for session in [&one, &two] {
        let again = open(&sessions, &session.token().expect("stored")).await;
        assert_eq!(again.owner(), Some(owner("u")));
    }
    // What it had read and changed, and nothing of what the first has signed in with.
    assert_eq!(two.keys(), ["cart", "changed"]);
    assert!(!two.contains_key("_csrf"));
    assert_eq!(sessions.owned_by(&owner("u")).await.expect("up").len(), 2);
}

#[tokio::test]
async fn a_sign_in_on_a_session_that_has_ended_makes_one_of_what_it_changed() {
    for expires in [false, true] {
        let (sessions, _, recorder) = sessions();
        let (session, token) = guest(&sessions).await;
        let slow = open(&sessions, &token).await;
        if expires {
            session
                .set_lifetime(Lifetime::fixed(Duration::from_millis(1)))
                .expect("allowed");
            session.save().await.expect("saved");
            tokio::time::sleep(Duration::from_millis(5)).await;
        } else {
            session.destroy().await.expect("destroyed");
        }
        slow.insert("changed", 1).expect("JSON");
        slow.sign_in("u").await.expect("signed in");
        assert_eq!(slow.keys(), ["changed"], "not the cart, which has ended");
        assert_eq!(slow.owner(), Some(owner("u")));
        assert_eq!(recorder.names().last(), Some(&"created"));
        assert!(sessions.find(&token).await.expect("up").is_none());
    }
}

#[tokio::test]
async fn nothing_but_a_sign_in_ever_makes_a_session_of_its_own() {
    for act in ["save", "update", "cycle", "reauthenticate", "unchanged"] {
        for ends in ["sign in", "destroy"] {
            let (sessions, _, _) = sessions();
            let (session, token) = guest(&sessions).await;
            let slow = open(&sessions, &token).await;
            match ends {
                "sign in" => session.sign_in("u").await.expect("signed in"),
                _ => session.destroy().await.expect("destroyed"),
            }
            slow.insert("late", 1).expect("JSON");
            let done = match act {
                "save" => slow.save().await,
                "update" => slow.update("n", |_: Option<u32>| 1).await.map(drop),
                "cycle" => slow.cycle_id().await,
                "reauthenticate" => slow.reauthenticated().await,
                _ => slow.save_unchanged().await,
            };
            assert!(
                matches!(&done, Err(error) if error.kind() == ErrorKind::Gone && !error.is_doubtful()),
                "{act} after {ends}: {done:?}"
            );
            assert!(slow.is_gone() && slow.token().is_none() && slow.id().is_none());
            let live = sessions.count().await.expect("up");
            assert_eq!(live, u64::from(ends == "sign in"), "{act} after {ends}");
        }
    }
}

#[tokio::test]
async fn a_guests_slow_update_never_sees_what_was_stored_after_a_sign_in() {
    let (sessions, _, _) = sessions();
    let (session, token) = guest(&sessions).await;
    let slow = open(&sessions, &token).await;
    session.insert("n", 41).expect("a number");
    session.insert("secret", "the victim's").expect("JSON");
    session.sign_in("victim").await.expect("signed in");
    let mut seen = Vec::new();
    let updated = slow
        .update("n", |n: Option<u32>| {
            seen.push(n);
            n.unwrap_or(0) + 1
        })
        .await;
    assert_eq!(updated.expect_err("gone").kind(), ErrorKind::Gone);
    assert_eq!(
        seen,
        [None],
        "the closure saw what it had read, and no more"
    );
    assert!(!slow.contains_key("secret") && slow.owner().is_none());
}

#[tokio::test]
async fn a_save_across_a_mere_new_secret_goes_through() {
    // A renewal keeps the lineage, so a handler of two hours may still save.
    let store = Arc::new(Faulty::default());
    let second = Duration::from_millis(4);
    let sessions = Sessions::builder(store)
        .renew_after(second)
        .grace(Duration::from_millis(1))
        .build()
        .expect("good rules");
    let first = sessions.start();
    first.sign_in("u").await.expect("signed in");
    let token = first.token().expect("stored");
    let slow = open(&sessions, &token).await;
    let mut token = token;
    for _ in 0..3 {
        tokio::time::sleep(3 * second).await;
        let fast = open(&sessions, &token).await;
        assert!(fast.renew_if_due().await.expect("up"));
        token = fast.token().expect("the new one");
        open(&sessions, &token)
            .await
            .touch()
            .await
            .expect("confirmed");
    }
    slow.insert("late", 1).expect("JSON");
    slow.save().await.expect("it is the same sign-in");
    assert_eq!(slow.token(), None, "the client has a newer one");
    assert!(open(&sessions, &token).await.contains_key("late"));
}

#[tokio::test]
async fn a_request_on_its_way_at_a_sign_in_gets_an_empty_session_and_no_token() {
    let (sessions, store, recorder) = sessions();
    let (session, old) = guest(&sessions).await;
    session.sign_in("u").await.expect("signed in");
    let late = open(&sessions, &old).await;
    assert!(late.is_empty() && late.is_gone() && !late.is_new());
    assert_eq!(
        (late.token(), late.id(), late.binding()),
        (None, None, None)
    );
    late.save().await.expect("there is nothing to save");
    late.insert("n", 1).expect("JSON");
    assert_eq!(
        late.save().await.expect_err("barred").kind(),
        ErrorKind::Gone
    );
    assert_eq!(
        late.touch().await.expect_err("barred").kind(),
        ErrorKind::Gone
    );
    store.take_calls();
    let ended = late.destroy().await;
    assert_eq!(ended.expect_err("barred").kind(), ErrorKind::Gone);
    assert!(late.is_gone(), "it stays what it was");
    assert_eq!(
        store.take_calls(),
        [],
        "it must not end the session it was refused"
    );
    assert_eq!(recorder.names(), ["created", "renewed", "just replaced"]);

    let late = open(&sessions, &old).await;
    late.insert("n", 1).expect("JSON");
    late.sign_in("u").await.expect("signed in");
    assert_ne!(late.id(), session.id());
    assert_eq!(late.keys(), ["n"]);
    assert!(late.token().is_some());
}

#[tokio::test]
async fn a_sign_out_ends_the_session_under_whatever_token_it_is_known_by_then() {
    for act in ["sign in", "cycle", "reauthenticate"] {
        let (sessions, _, recorder) = sessions();
        let (session, token) = guest(&sessions).await;
        let out = open(&sessions, &token).await;
        match act {
            "sign in" => session.sign_in("u").await,
            "cycle" => session.cycle_id().await,
            _ => session.reauthenticated().await,
        }
        .expect("saved");
        out.destroy().await.expect("destroyed");
        let token = session.token().expect("its own");
        assert!(sessions.find(&token).await.expect("up").is_none(), "{act}");
        assert_eq!(sessions.count().await.ok(), Some(0));
        assert!(recorder.names().contains(&"signed out"));
    }
}

#[tokio::test]
async fn a_sign_out_after_a_refused_save_ends_the_session_all_the_same() {
    let (sessions, _, _) = sessions();
    let (session, token) = guest(&sessions).await;
    let out = open(&sessions, &token).await;
    session.sign_in("u").await.expect("signed in");
    out.insert("n", 1).expect("JSON");
    out.save().await.expect_err("somebody has signed in");
    out.destroy().await.expect("destroyed");
    assert_eq!(sessions.count().await.ok(), Some(0));
}

#[tokio::test]
async fn ids_that_were_listed_end_a_session_after_any_number_of_new_tokens() {
    let (sessions, _, _) = sessions();
    let (session, _) = guest(&sessions).await;
    session.sign_in("u").await.expect("signed in");
    let listed = sessions.owned_by(&owner("u")).await.expect("up");
    for _ in 0..5 {
        session.cycle_id().await.expect("cycled");
    }
    assert_eq!(sessions.destroy(&listed[0].id).await.ok(), Some(true));
    assert_eq!(sessions.destroy(&listed[0].id).await.ok(), Some(false));
    assert_eq!(sessions.count().await.ok(), Some(0));
    assert_eq!(
        session.cycle_id().await.expect_err("ended").kind(),
        ErrorKind::Gone
    );
}

#[tokio::test]
async fn a_destroy_whose_answer_is_lost_is_told_all_the_same() {
    let (sessions, store, recorder) = sessions();
    let (session, token) = guest(&sessions).await;
    store.lose_next_answer();
    session.destroy().await.expect("found out");
    assert_eq!(recorder.names(), ["created", "signed out"]);
    let (session, _) = guest(&sessions).await;
    store.lose_next_answer();
    let id = session.id().expect("stored");
    assert_eq!(sessions.destroy(&id).await.ok(), Some(true));
    assert_eq!(recorder.names()[2..], ["created", "revoked"]);
    assert!(sessions.find(&token).await.expect("up").is_none());
}

#[tokio::test]
async fn a_destroy_that_fails_is_an_error_and_can_be_made_again() {
    let (sessions, store, recorder) = sessions();
    let (session, token) = guest(&sessions).await;
    store.fail_next(2);
    session.destroy().await.expect_err("the store is down");
    assert!(sessions.find(&token).await.expect("up").is_some());
    session.destroy().await.expect("destroyed");
    assert!(sessions.find(&token).await.expect("up").is_none());
    assert_eq!(recorder.names()[..2], ["created", "signed out"]);
}

#[tokio::test]
async fn is_live_tells_of_ends_and_of_sign_ins_and_costs_one_load() {
    let (sessions, store, _) = sessions();
    let (session, token) = guest(&sessions).await;
    let socket = open(&sessions, &token).await;
    store.take_calls();
    assert!(socket.is_live().await.expect("up"));
    assert_eq!(store.take_calls(), [Call::Load]);
    assert!(!sessions.start().is_live().await.expect("no I/O"));
    session.sign_in("u").await.expect("signed in");
    assert!(!socket.is_live().await.expect("up"), "a guest's socket");
    assert!(session.is_live().await.expect("up"));
    session.clone().destroy().await.expect("destroyed");
    assert!(!session.is_live().await.expect("up"));
}

#[tokio::test]
async fn a_touch_of_a_session_that_has_ended_says_so() {
    let store = Arc::new(Faulty::default());
    let sessions = Sessions::builder(store).touch_after(Duration::ZERO).build();
    let sessions = sessions.expect("good rules");
    let (session, token) = guest(&sessions).await;
    let other = open(&sessions, &token).await;
    session.destroy().await.expect("destroyed");
    tokio::time::sleep(Duration::from_millis(2)).await;
    for _ in 0..2 {
        let touched = other.touch().await;
        assert_eq!(touched.expect_err("ended").kind(), ErrorKind::Gone);
        assert_eq!(other.expires_in(), Ttl::Left(Duration::ZERO));
    }
}

#[tokio::test]
async fn a_binding_is_the_sessions_own_also_for_another_frameworks_token() {
    let (sessions, store, _) = sessions();
    let mut bindings = Vec::new();
    for text in ["one id of theirs", "another id of theirs"] {
        let token = SessionToken::foreign(text).expect("any text");
        let draft = Draft::new("{}", Lifetime::default())
            .with_credential(Credential::opened_by(&token, None));
        assert!(
            store
                .create(&token.id(), &draft)
                .await
                .expect("up")
                .is_done()
        );
        let session = open(&sessions, &token).await;
        bindings.push(session.binding().expect("stored"));
        assert!(session.replace_foreign_token().await.expect("up"));
        assert!(!session.replace_foreign_token().await.expect("up"));
        let native = session.token().expect("stored");
        assert!(native.is_native());
        assert_eq!(native.id(), token.id());
        bindings.push(session.binding().expect("stored"));
    }
    let different: std::collections::HashSet<_> = bindings.iter().collect();
    assert_eq!(different.len(), 4, "{bindings:?}");
}
