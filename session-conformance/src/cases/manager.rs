//! The store below the manager, as a web application uses it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::{
    Error, ErrorKind, Event, Observer, Owner, Session, SessionId, SessionToken, Sessions,
};

use crate::Fixture;
use crate::checked::CheckedStore;
use crate::concurrent::in_parallel;
use crate::counting::Counting;
use crate::samples::owner;

fn manager(store: &CheckedStore) -> Sessions {
    // These cases have many concurrent writers of one session.
    let builder = Sessions::builder(store.shared()).attempts(200);
    builder.build().expect("good settings")
}

/// Stores a session with `n` = 0 and returns its token.
async fn started(sessions: &Sessions) -> SessionToken {
    let session = sessions.start();
    session.insert("n", 0).expect("a number is JSON");
    session.save().await.expect("save failed");
    session.token().expect("a stored session has a token")
}

async fn opened(sessions: &Sessions, token: &SessionToken) -> Session {
    let found = sessions.find(token).await.expect("find failed");
    found.expect("the session is there")
}

pub(super) async fn requests_that_set_different_keys_lose_none(fixture: Fixture) {
    const WRITERS: usize = 64;
    let stores = [fixture.store(), fixture.instance().await];
    let token = started(&manager(&stores[0])).await;
    let managers = stores.map(|store| manager(&store));
    let (sessions, written) = (managers.clone(), token.clone());
    in_parallel(WRITERS, move |n| {
        let (sessions, token) = (sessions[n % 2].clone(), written.clone());
        async move {
            let session = opened(&sessions, &token).await;
            session.insert(&format!("key {n}"), n).expect("JSON");
            session.save().await.expect("save failed");
        }
    })
    .await;
    let session = opened(&managers[0], &token).await;
    for n in 0..WRITERS {
        let value: Option<usize> = session.get(&format!("key {n}")).expect("a number");
        assert_eq!(value, Some(n), "what the writer {n} of {WRITERS} has set");
    }
}

pub(super) async fn updates_add_up(fixture: Fixture) {
    let stores = [fixture.store(), fixture.instance().await];
    let managers = stores.map(|store| manager(&store));
    let token = started(&managers[0]).await;
    let (sessions, written) = (managers.clone(), token.clone());
    in_parallel(16, move |n| {
        let (sessions, token) = (sessions[n % 2].clone(), written.clone());
        async move {
            let session = opened(&sessions, &token).await;
            for _ in 0..5 {
                let add = |n: Option<u64>| n.unwrap_or(0) + 1;
                session.update("n", add).await.expect("update failed");
            }
        }
    })
    .await;
    let session = opened(&managers[1], &token).await;
    let n: Option<u64> = session.get("n").expect("a number");
    assert_eq!(n, Some(80), "16 requests of 5 additions");
}

pub(super) async fn a_request_makes_as_few_calls_as_it_needs(fixture: Fixture) {
    let store = Counting::new(fixture.store().shared());
    let sessions = Sessions::new(Arc::new(store.clone()));
    let visitor = sessions.open(None::<&str>).await.expect("open failed");
    visitor.save().await.expect("save failed");
    assert_eq!(store.take_count(), 0, "a visitor without data");
    let token = started(&sessions).await;
    assert_eq!(store.take_count(), 1, "a session begins");
    let session = opened(&sessions, &token).await;
    let _: Option<u64> = session.get("n").expect("a number");
    session.save().await.expect("save failed");
    session.touch().await.expect("touch failed");
    assert_eq!(store.take_count(), 1, "a request that only reads");
    let session = opened(&sessions, &token).await;
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("save failed");
    assert_eq!(store.take_count(), 2, "a request that changes something");
    let session = opened(&sessions, &token).await;
    session.insert("n", 2).expect("JSON");
    session.sign_in("ann").await.expect("sign_in failed");
    assert_eq!(store.take_count(), 2, "a sign-in");
    session.destroy().await.expect("destroy failed");
    assert_eq!(store.take_count(), 1, "a sign-out");
}

pub(super) async fn a_slow_request_does_not_undo_a_logout(fixture: Fixture) {
    let (here, there) = (
        manager(&fixture.store()),
        manager(&fixture.instance().await),
    );
    let token = started(&here).await;
    let (slow, cycling) = (opened(&here, &token).await, opened(&here, &token).await);
    let leaving = opened(&there, &token).await;
    slow.insert("late", true).expect("JSON");
    leaving.destroy().await.expect("destroy failed");
    for (what, done) in [
        ("save", slow.save().await),
        ("cycle_id", cycling.cycle_id().await),
    ] {
        assert!(
            matches!(&done, Err(error) if error.kind() == ErrorKind::Gone),
            "{what} after a logout elsewhere is Gone, was {done:?}"
        );
    }
    let found = here.find(&token).await.expect("find failed");
    assert!(found.is_none(), "the session that was logged out is back");
    assert!(slow.token().is_none(), "a session that is gone has a token");
}

pub(super) async fn signing_in_changes_the_token_and_keeps_the_data(fixture: Fixture) {
    let (here, there) = (
        manager(&fixture.store()),
        manager(&fixture.instance().await),
    );
    let old = started(&here).await;
    let session = opened(&here, &old).await;
    let id = session.id().expect("it is stored");
    session.sign_in("ann").await.expect("sign_in failed");
    let new = session.token().expect("it is stored");
    assert!(old != new, "the token is another one");
    assert_eq!(session.id(), Some(id.clone()), "the id stays");
    let found = there.find(&old).await.expect("find failed");
    assert!(found.is_none(), "the old token still opens the session");
    let found = opened(&there, &new).await;
    let n: Option<u64> = found.get("n").expect("a number");
    assert_eq!(n, Some(0), "the data under the new token");
    assert_eq!(found.owner(), Some(owner("ann")), "its owner");
    assert_eq!(found.id(), Some(id), "the id stays");
}

pub(super) async fn values_come_back_as_they_were_written(fixture: Fixture) {
    let sessions = manager(&fixture.store());
    let session = sessions.start();
    session.insert("u64", u64::MAX).expect("JSON");
    session.insert("i128", i128::MIN).expect("JSON");
    session.insert("text", "🦀 \u{0} \" \\ é").expect("JSON");
    session.insert("list", vec![Some(1.5), None]).expect("JSON");
    session.save().await.expect("save failed");
    let found = opened(&sessions, &session.token().expect("stored")).await;
    assert_eq!(found.get("u64").expect("a number"), Some(u64::MAX));
    assert_eq!(found.get("i128").expect("a number"), Some(i128::MIN));
    let text: Option<String> = found.get("text").expect("a text");
    assert_eq!(text.as_deref(), Some("🦀 \u{0} \" \\ é"));
    let list: Option<Vec<Option<f64>>> = found.get("list").expect("a list");
    assert_eq!(list, Some(vec![Some(1.5), None]));
}

/// An observer that records corrupt sessions.
#[derive(Clone, Default)]
struct Corrupt(Arc<Mutex<Vec<SessionId>>>);

impl Observer for Corrupt {
    fn corrupt(&self, id: &SessionId, _: &Error) {
        self.0
            .lock()
            .expect("no panic while locked")
            .push(id.clone());
    }
}

pub(super) async fn a_corrupt_session_is_reported_and_treated_as_absent(fixture: Fixture) {
    let (store, corrupt) = (fixture.store(), Corrupt::default());
    let sessions = Sessions::builder(store.shared()).observer(corrupt.clone());
    let sessions = sessions.build().expect("good settings");
    let token = started(&sessions).await;
    fixture.corrupt(&token.id()).await;
    let session = sessions.open(Some(&token)).await;
    let session = session.expect("a corrupt session is no error for its client");
    assert!(session.is_new() && session.is_empty(), "a fresh session");
    session.insert("n", 1).expect("JSON");
    session
        .save()
        .await
        .expect("the fresh session can be saved");
    assert_ne!(session.token().expect("stored").id(), token.id(), "its id");
    let reported = corrupt.0.lock().expect("no panic while locked").clone();
    assert_eq!(reported, [token.id()], "the sessions reported");
}

/// An observer that records expired sessions and their owners.
#[derive(Clone, Default)]
struct Expired(Arc<Mutex<Vec<Ending>>>);

type Ending = (SessionId, Option<Owner>);

impl Observer for Expired {
    fn expired(&self, event: Event<'_>) {
        let seen = (event.id.clone(), event.owner.cloned());
        self.0.lock().expect("no panic while locked").push(seen);
    }
}

pub(super) async fn an_expiry_is_reported_to_observers(fixture: Fixture) {
    let (store, expired) = (fixture.store(), Expired::default());
    let sessions = Sessions::builder(store.shared()).observer(expired.clone());
    let sessions = sessions.build().expect("good settings");
    let session = sessions.start();
    let brief = session_core::Lifetime::fixed(Duration::from_millis(50));
    session.set_lifetime(brief).expect("a good lifetime");
    session.insert("n", 1).expect("JSON");
    session.sign_in("ann").await.expect("sign_in failed");
    let id = session.id().expect("stored");
    tokio::time::sleep(Duration::from_millis(60)).await;
    for _ in 0..2 {
        sessions.reap(100).await.expect("reap failed");
    }
    let reported = expired.0.lock().expect("no panic while locked").clone();
    assert_eq!(reported, [(id, Some(owner("ann")))], "reported expiries");
}

pub(super) async fn a_token_that_was_never_issued_is_not_adopted(fixture: Fixture) {
    let (store, sessions) = (fixture.store(), manager(&fixture.store()));
    let token = SessionToken::generate();
    let session = sessions.open(Some(&token)).await.expect("open failed");
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("save failed");
    assert_ne!(session.token().expect("stored").id(), token.id(), "its id");
    store.must_lack(&token.id(), "a client made it up").await;
}
