//! A sign-in while another user is signed in: the new user gets nothing of the former one's.

mod support;

use std::time::Duration;

use session_core::{Description, ErrorKind, Lifetime, Owner, Session, SessionToken, Sessions};
use support::{Call, sessions};

const MINUTE: Duration = Duration::from_secs(60);

async fn open(sessions: &Sessions, token: &SessionToken) -> Session {
    sessions.open(Some(token)).await.expect("the store works")
}

fn owner(name: &str) -> Owner {
    Owner::new(name).expect("valid")
}

/// A session that `ann` has signed in, with data, description and messages of her own.
async fn anns(sessions: &Sessions) -> Session {
    let session = sessions.start();
    session
        .describe(Description::new().with_label("Ann's laptop"))
        .expect("there is room");
    session
        .set_lifetime(Lifetime::fixed(90 * MINUTE))
        .expect("allowed");
    session.set_persistent(true).expect("JSON");
    session.flash("info", "Welcome, Ann").expect("JSON");
    session.insert("address", "Ann's").expect("JSON");
    session.sign_in("ann").await.expect("signed in");
    session
}

/// Checks that it is `ben`'s alone, and holds these keys.
fn must_be_bens(session: &Session, keys: &[&str]) {
    assert_eq!(session.owner(), Some(owner("ben")));
    assert_eq!(session.keys(), keys);
    assert_eq!(session.description(), None);
    assert_eq!(session.lifetime(), Lifetime::default());
    for reserved in ["_csrf", "_persistent"] {
        assert!(!session.contains_key(reserved), "{reserved}");
    }
    assert!(session.take_flashes().expect("JSON").is_empty());
}

#[tokio::test]
async fn another_users_sign_in_is_one_write_and_gets_nothing_of_the_owners() {
    let (sessions, store, _) = sessions();
    let session = anns(&sessions).await;
    let (id, old) = (session.id(), session.token().expect("stored"));
    let _ = session.csrf_token().expect("JSON");
    session.save().await.expect("saved");
    let late = open(&sessions, &old).await;
    store.take_calls();
    session.sign_in("ben").await.expect("signed in");
    assert_eq!(store.take_calls(), [Call::Save]);
    assert_eq!(session.id(), id, "an id never moves");
    let again = open(&sessions, &session.token().expect("stored")).await;
    for session in [&session, &again] {
        must_be_bens(session, &[]);
    }
    assert!(sessions.find(&old).await.expect("up").is_none());
    assert_eq!(sessions.owned_by("ann").await.expect("up").len(), 0);
    late.insert("late", "of Ann").expect("JSON");
    assert_eq!(
        late.save().await.expect_err("hers is over").kind(),
        ErrorKind::Gone
    );
    assert_eq!(late.get("address").ok(), Some(Some("Ann's".to_owned())));
}

#[tokio::test]
async fn what_was_changed_and_not_saved_stays_when_another_user_signs_in() {
    let (sessions, _, _) = sessions();
    let session = anns(&sessions).await;
    let lifetime = Lifetime::fixed(30 * MINUTE);
    session.set_lifetime(lifetime).expect("allowed");
    session
        .describe(Description::new().with_label("a phone"))
        .expect("there is room");
    session.insert("theme", "dark").expect("JSON");
    session.sign_in("ben").await.expect("signed in");
    let again = open(&sessions, &session.token().expect("stored")).await;
    for session in [&session, &again] {
        assert_eq!(session.keys(), ["theme"]);
        assert_eq!(session.lifetime(), lifetime);
        let described = session.description().expect("described");
        assert_eq!(described.label(), Some("a phone"));
    }
}

#[tokio::test]
async fn the_owners_own_sign_in_keeps_the_data() {
    let (sessions, _, _) = sessions();
    let session = anns(&sessions).await;
    session.sign_in("ann").await.expect("signed in");
    assert_eq!(session.keys(), ["address"]);
    assert!(session.description().is_some());
}

#[tokio::test]
async fn another_users_sign_in_that_fails_leaves_the_session_as_it_was() {
    let (sessions, store, _) = sessions();
    let session = anns(&sessions).await;
    store.fail_next(2);
    session.sign_in("ben").await.expect_err("the store is down");
    assert_eq!(session.owner(), Some(owner("ann")));
    assert_eq!(session.keys(), ["address"]);
    session.sign_in("ben").await.expect("signed in");
    must_be_bens(&session, &[]);
}

/// Two clicks on one button, while another user is signed in.
#[tokio::test]
async fn of_two_sign_ins_of_another_user_neither_gets_what_is_the_owners() {
    let (sessions, _, _) = sessions();
    let one = anns(&sessions).await;
    let two = open(&sessions, &one.token().expect("stored")).await;
    two.insert("changed", true).expect("JSON");
    one.sign_in("ben").await.expect("signed in");
    two.sign_in("ben").await.expect("signed in");
    assert_ne!(one.id(), two.id(), "the second has one of its own");
    must_be_bens(&one, &[]);
    must_be_bens(&two, &["changed"]);
}
