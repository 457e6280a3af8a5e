//! Ends that are confirmed before they are reported.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::{
    Confirmation, EndReason, Ended, Error, ErrorKind, Event, Observer, Owner, Result, Session,
    SessionId, SessionStore, Sessions, StoreWrapper, Version,
};
use session_memory::MemoryStore;

/// The answer of a server that is asked to confirm.
#[derive(Debug)]
enum Answer {
    Confirmed,
    /// Its owner signs in again meanwhile.
    SignIn(Session),
    Late,
}

#[derive(Debug, Default)]
struct Server {
    store: MemoryStore,
    answers: Mutex<VecDeque<Answer>>,
    /// How many of the next ends a failover undoes, before the server is asked to confirm.
    undone: AtomicUsize,
    calls: Mutex<Vec<&'static str>>,
}

impl Server {
    fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        *self.answers.lock().expect("whole") = answers.into_iter().collect();
    }

    fn is_undone(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        self.undone.fetch_update(Relaxed, Relaxed, one_less).is_ok()
    }

    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().expect("whole"))
    }
}

impl StoreWrapper for Server {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.store
    }

    async fn destroy(
        this: &Self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        this.calls.lock().expect("whole").push("destroy");
        if this.is_undone() {
            return Ok(Some(Ended::unknown(id.clone())));
        }
        this.store.destroy(id, expected).await
    }

    async fn destroy_owned_by(
        this: &Self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        if this.is_undone() {
            // None is left to find until the failover.
            return Ok(Vec::new());
        }
        let directory = this.store.directory().expect("it has one");
        directory.destroy_owned_by(owner, except, limit).await
    }

    async fn confirm(this: &Self, confirmation: Confirmation) -> Result<()> {
        assert_eq!(confirmation, Confirmation::Replicated);
        this.calls.lock().expect("whole").push("confirm");
        let answer = this.answers.lock().expect("whole").pop_front();
        match answer.expect("no more is asked than this") {
            Answer::Confirmed => {}
            Answer::SignIn(session) => session.sign_in("alice").await?,
            Answer::Late => return Err(Error::deadline("confirm", Duration::from_secs(2))),
        }
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Observer for Told {
    fn destroyed(&self, event: Event<'_>, _: EndReason) {
        let end = event.end_id().expect("an end");
        self.0.lock().expect("whole").push(format!("{end:?}"));
    }
}

struct World {
    server: Arc<Server>,
    sessions: Sessions,
    told: Told,
}

impl World {
    fn new() -> Self {
        let (server, told) = (Arc::new(Server::default()), Told::default());
        let sessions = Sessions::builder(Arc::clone(&server))
            .confirm_ends(Confirmation::Replicated)
            .observer(told.clone());
        let sessions = sessions.build().expect("good rules");
        Self {
            server,
            sessions,
            told,
        }
    }

    async fn signed_in(&self) -> Session {
        let session = self.sessions.start();
        session.sign_in("alice").await.expect("signed in");
        session
    }

    async fn count(&self) -> u64 {
        self.sessions.count().await.expect("counted")
    }
}

#[tokio::test]
async fn an_end_is_reported_once_it_is_confirmed_and_the_session_is_not_back() {
    let world = World::new();
    let session = world.signed_in().await;
    world.server.answer([Answer::Confirmed]);
    session.destroy().await.expect("confirmed");
    assert_eq!(world.server.calls(), ["destroy", "confirm", "destroy"]);
    assert_eq!(world.told.0.lock().expect("whole").len(), 1);
}

#[tokio::test]
async fn a_session_that_a_failover_brings_back_is_ended_again_and_told_as_the_same_end() {
    for by_owner in [false, true] {
        let world = World::new();
        let session = world.signed_in().await;
        let id = session.id().expect("saved");
        // So that the clock tells what had begun before.
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.server.undone.store(2, Relaxed);
        let confirmed = || Answer::Confirmed;
        world.server.answer([confirmed(), confirmed(), confirmed()]);
        match by_owner {
            true => {
                let ended = world.sessions.destroy_owned_by("alice", None).await;
                ended.expect("confirmed");
            }
            false => assert!(world.sessions.destroy(&id).await.expect("confirmed")),
        }
        assert_eq!(world.count().await, 0, "by owner: {by_owner}");
        let told = world.told.0.lock().expect("whole").clone();
        assert_eq!(told.len(), if by_owner { 2 } else { 3 }, "{told:?}");
        assert!(told.iter().all(|end| *end == told[0]), "{told:?}");
    }
}

#[tokio::test]
async fn an_owner_who_signs_in_meanwhile_stays_signed_in() {
    let world = World::new();
    world.signed_in().await;
    let later = world.sessions.start();
    world.server.answer([Answer::SignIn(later.clone())]);
    let ended = world.sessions.destroy_owned_by("alice", None).await;
    assert_eq!(ended.expect("confirmed"), 1);
    assert_eq!(world.count().await, 1);
    assert!(later.is_live().await.expect("asked"));
}

#[tokio::test]
async fn what_is_not_confirmed_has_ended_and_a_repeat_asks_for_the_confirmation_only() {
    let world = World::new();
    let session = world.signed_in().await;
    let id = session.id().expect("saved");
    world.server.answer([Answer::Late]);
    let error = session.destroy().await.expect_err("late");
    assert_eq!(error.kind(), ErrorKind::Unconfirmed);
    assert!(error.is_temporary());
    assert!(!error.is_doubtful(), "it has ended");
    assert_eq!(error.operation(), Some("confirm"));
    let text = error.to_string();
    assert!(text.contains("has ended"), "{text}");
    assert!(text.contains("is replicated is unknown"), "{text}");
    assert!(text.contains("no answer within 2s"), "{text}");
    assert_eq!(world.count().await, 0);
    assert_eq!(session.id(), None, "the handle is a new session");

    for by_id in [false, true] {
        world.server.calls();
        world.server.answer([Answer::Late]);
        let repeated = match by_id {
            true => world.sessions.destroy(&id).await.map(|_| ()),
            false => session.destroy().await,
        };
        let error = repeated.expect_err("late again");
        assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{error}");
        world.server.answer([Answer::Confirmed]);
        match by_id {
            true => assert!(!world.sessions.destroy(&id).await.expect("confirmed")),
            false => session.destroy().await.expect("confirmed"),
        }
    }
    assert_eq!(world.told.0.lock().expect("whole").len(), 1, "one end");
}

#[tokio::test]
async fn a_store_that_cannot_confirm_says_so_after_the_session_has_ended() {
    let sessions = Sessions::builder(MemoryStore::new()).confirm_ends(Confirmation::Durable);
    let sessions = sessions.build().expect("good rules");
    let session = sessions.start();
    session.sign_in("alice").await.expect("signed in");
    let error = session.destroy().await.expect_err("memory is no disk");
    assert_eq!(error.kind(), ErrorKind::Unconfirmed);
    assert!(!error.is_temporary());
    assert!(
        error.to_string().contains("is durable is unknown"),
        "{error}"
    );
    assert_eq!(sessions.count().await.expect("counted"), 0);
    let acknowledged = sessions.store().confirm(Confirmation::Acknowledged).await;
    acknowledged.expect("it answers");
}
