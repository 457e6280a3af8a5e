//! Ends are told, though answers are lost and callers go away.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::{
    EndId, EndKind, EndReason, Event, Lifetime, Observer, Owner, Session, SessionId, Sessions,
};
use support::Faulty;

const MILLI: Duration = Duration::from_millis(1);

/// One end as it was told.
#[derive(Clone, Debug)]
struct Told {
    end: EndId,
    owner: Option<Owner>,
    age: Option<Duration>,
}

#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<Told>>>);

impl Ends {
    fn push(&self, event: Event<'_>) {
        self.0.lock().expect("whole").push(Told {
            end: event.end_id().expect("an end"),
            owner: event.owner.cloned(),
            age: event.age,
        });
    }

    fn all(&self) -> Vec<Told> {
        self.0.lock().expect("whole").clone()
    }

    /// Waits until so many were told, and then that no more are.
    async fn are(&self, count: usize, context: &str) -> Vec<Told> {
        for _ in 0..2_000 {
            if self.all().len() >= count {
                break;
            }
            tokio::time::sleep(MILLI).await;
        }
        tokio::time::sleep(700 * MILLI).await;
        assert_eq!(self.all().len(), count, "{context}: {:?}", self.all());
        self.all()
    }
}

impl Observer for Ends {
    fn created(&self, event: Event<'_>) {
        assert_eq!(event.end_id(), None, "it begins");
    }

    fn destroyed(&self, event: Event<'_>, _: EndReason) {
        assert_eq!(event.end_id().map(|end| end.kind), Some(EndKind::Destroyed));
        self.push(event);
    }

    fn expired(&self, event: Event<'_>) {
        assert_eq!(event.end_id().map(|end| end.kind), Some(EndKind::Expired));
        self.push(event);
    }
}

struct World {
    sessions: Sessions,
    store: Arc<Faulty>,
    ends: Ends,
}

impl World {
    fn new() -> Self {
        let (store, ends) = (Arc::new(Faulty::default()), Ends::default());
        let sessions = Sessions::builder(Arc::clone(&store)).observer(ends.clone());
        Self {
            sessions: sessions.build().expect("good rules"),
            store,
            ends,
        }
    }

    /// A session of `ann`, of some age.
    async fn session(&self) -> Session {
        let session = self.sessions.start();
        session.insert("n", 1).expect("a number");
        session.sign_in("ann").await.expect("saved");
        tokio::time::sleep(5 * MILLI).await;
        session
    }

    async fn is_live(&self, id: Option<SessionId>) -> bool {
        let listed = self.sessions.owned_by("ann").await.expect("up");
        listed.iter().any(|listed| Some(&listed.id) == id.as_ref())
    }
}

fn check(told: &Told, context: &str) {
    assert_eq!(told.owner, Owner::new("ann").ok(), "{context}");
    assert!(told.age >= Some(5 * MILLI), "{context}: {told:?}");
}

#[tokio::test]
async fn an_end_whose_caller_goes_away_is_told() {
    for way in ["sign out", "by id", "by owner", "newest", "reaped"] {
        let world = World::new();
        let session = world.session().await;
        let id = session.id().expect("stored");
        if way == "reaped" {
            session
                .set_lifetime(Lifetime::fixed(MILLI))
                .expect("allowed");
            session.save().await.expect("saved");
            tokio::time::sleep(5 * MILLI).await;
            world.store.delay_next(30 * MILLI);
        }
        world.store.delay_next_destroy(30 * MILLI);
        let sessions = &world.sessions;
        let end = async {
            match way {
                "sign out" => session.destroy().await,
                "by id" => sessions.destroy(&id).await.map(drop),
                "by owner" => sessions.destroy_owned_by("ann", None).await.map(drop),
                "newest" => sessions.keep_newest("ann", 0).await.map(drop),
                _ => sessions.reap(10).await.map(drop),
            }
        };
        let cut = tokio::time::timeout(10 * MILLI, end).await;
        assert!(cut.is_err(), "{way} takes longer");
        let told = world.ends.are(1, way).await;
        assert_eq!(told[0].end.session, id, "{way}");
        check(&told[0], way);
        assert!(!world.is_live(Some(id)).await, "{way}");
    }
}

#[tokio::test]
async fn an_end_whose_answers_are_lost_is_told_with_what_was_held() {
    for way in ["sign out", "newest"] {
        for lost in 1..4 {
            let world = World::new();
            let session = world.session().await;
            world.store.lose_answers(lost);
            let ended = match way {
                "sign out" => session.destroy().await,
                _ => world.sessions.keep_newest("ann", 0).await.map(drop),
            };
            let context = format!("{way}, {lost} lost: {ended:?}");
            assert_eq!(ended.is_err(), lost > 1, "{context}");
            let told = world.ends.are(1, &context).await;
            check(&told[0], &context);
        }
    }
}

#[tokio::test]
async fn a_repeat_by_the_caller_tells_an_end_whose_answers_were_lost() {
    let world = World::new();
    let session = world.session().await;
    let id = session.id().expect("stored");
    world.store.lose_answers(2);
    world.sessions.destroy(&id).await.expect_err("lost");
    assert_eq!(world.ends.all().len(), 0);
    assert_eq!(world.sessions.destroy(&id).await.ok(), Some(true));
    assert_eq!(world.ends.all().len(), 1, "told at once");
    assert_eq!(world.sessions.destroy(&id).await.ok(), Some(false));
    world.ends.are(1, "and only once").await;
}

#[tokio::test]
async fn a_session_whose_end_has_failed_ends_all_the_same_unless_it_is_signed_in_anew() {
    for signs_in in [false, true] {
        let world = World::new();
        let session = world.session().await;
        let id = session.id();
        world.store.fail_next_destroy();
        session.destroy().await.expect_err("the store is away");
        if signs_in {
            session.sign_in("ann").await.expect("saved");
        }
        world
            .ends
            .are(usize::from(!signs_in), "after a while")
            .await;
        assert_eq!(world.is_live(id).await, signs_in);
    }
}

#[tokio::test]
async fn all_ends_of_an_owner_are_told_though_the_answer_is_lost() {
    for way in ["lost", "failed"] {
        let world = World::new();
        let mut devices = Vec::new();
        for _ in 0..3 {
            devices.push(world.session().await);
        }
        match way {
            "lost" => world.store.lose_answer_of_next_end_of_owned(),
            _ => world.store.fail_next_end_of_owned(),
        }
        let here = devices[0].id();
        let ended = world.sessions.destroy_owned_by("ann", here.as_ref()).await;
        ended.expect_err("the connection broke");
        let told = world.ends.are(2, way).await;
        told.iter().for_each(|told| check(told, way));
        assert_ne!(told[0].end, told[1].end, "{way}");
        assert!(world.is_live(devices[0].id()).await, "{way}");
        assert!(!world.is_live(devices[1].id()).await, "{way}");
    }
}

/// A second click on "log out everywhere".
#[tokio::test]
async fn of_two_that_log_an_owner_out_at_once_one_tells_of_each_end() {
    let world = World::new();
    for _ in 0..3 {
        world.session().await;
    }
    world.store.delay_next_destroy(20 * MILLI);
    let one = world.sessions.destroy_owned_by("ann", None);
    let other = world.sessions.destroy_owned_by("ann", None);
    let (one, other) = tokio::join!(one, other);
    assert_eq!(one.expect("up") + other.expect("up"), 3);
    world.ends.are(3, "by two").await;
}

#[tokio::test]
async fn an_application_that_drops_its_manager_does_not_wait_for_an_end_in_doubt() {
    let world = World::new();
    let session = world.session().await;
    world.store.fail_next(u32::MAX);
    session.destroy().await.expect_err("the store is away");
    let store = Arc::downgrade(&world.store);
    drop((session, world));
    for _ in 0..500 {
        if store.strong_count() == 0 {
            return;
        }
        tokio::time::sleep(10 * MILLI).await;
    }
    panic!("something holds the store");
}
