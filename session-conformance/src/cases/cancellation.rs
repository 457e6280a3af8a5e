//! Callers that go away half-way (I9): a client that hangs up, a timeout, a panic.
//!
//! Every await point of every operation is tried: the operation is polled once, twice, … and
//! dropped, until it gets to its end before that.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use session_core::{Draft, Owner, SessionId};

use crate::Fixture;
use crate::checked::CheckedStore;
use crate::compare::check_same;
use crate::concurrent::in_parallel;
use crate::samples::{credential, draft, draft_living, fixed, hours, id, ms, owner};

/// How long any call may take beside dropped ones. Without them it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// More polls than any operation needs.
const MOST_POLLS: usize = 1_000;

/// When a future is dropped that is not done after so many polls.
#[derive(Clone, Copy, Debug)]
enum Drop {
    /// At once, with its request under way.
    Waiting,
    /// When it is woken, with an answer there for it.
    Woken,
}

/// Polls `work` at most so many times and drops it then.
async fn dropped_after<T>(polls: usize, when: Drop, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 && matches!(when, Drop::Waiting) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The session that an operation is dropped on.
#[derive(Clone)]
struct Scene {
    id: SessionId,
    owner: Owner,
    before: Draft,
    after: Draft,
}

impl Scene {
    /// A live session, unless it shall be created.
    async fn set(store: &CheckedStore, empty: bool) -> Self {
        let owner = owner(&format!("owner {}", id().as_str()));
        let scene = Self {
            id: id(),
            before: draft("before")
                .with_owner(owner.clone())
                .with_credential(credential(b"before")),
            after: draft("after")
                .with_owner(owner.clone())
                .with_credential(credential(b"after")),
            owner,
        };
        if !empty {
            store.must_create(&scene.id, &scene.before).await;
        }
        scene
    }

    /// Checks that the session is as it was or as it was to become, and that it can be used.
    ///
    /// The request of a dropped operation may still be carried out, so a write may have to be
    /// repeated.
    async fn check(&self, store: &CheckedStore) {
        for _ in 0..50 {
            let Some(found) = store.must_load(&self.id).await else {
                return;
            };
            let written = if found.version.stamp() == self.before.stamp {
                &self.before
            } else {
                &self.after
            };
            check_same(&found, written, "neither as before nor as after");
            let next = draft("next").with_owner(self.owner.clone());
            let saved = store.must_save(&self.id, &next, found.version).await;
            if saved.is_done() {
                store.must_destroy(&self.id).await;
                return;
            }
        }
        panic!("a session that no other caller uses can't be saved");
    }
}

/// What is dropped.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Create,
    Load,
    Save,
    Touch,
    Destroy,
    DestroyVersion,
    Count,
    List,
    OwnedBy,
    DestroyOwnedBy,
    Reap,
    Clear,
}

impl Operation {
    /// Its answer does not matter: on a session that others drop operations on, all are right.
    async fn run(self, store: &CheckedStore, scene: &Scene) {
        let (id, before) = (&scene.id, scene.before.stamp.into());
        match self {
            Self::Create => drop(store.create(id, &scene.after).await),
            Self::Load => drop(store.load(id).await),
            Self::Save => drop(store.save(id, &scene.after, &before).await),
            Self::Touch => drop(store.touch(id, hours(2).idle).await),
            Self::Destroy => drop(store.destroy(id, None).await),
            Self::DestroyVersion => drop(store.destroy(id, Some(&before)).await),
            Self::Count => drop(store.dir().count().await),
            Self::List => drop(store.dir().list(None, 10).await),
            Self::OwnedBy => drop(store.dir().owned_by(&scene.owner, None, 10).await),
            Self::DestroyOwnedBy => {
                drop(store.dir().destroy_owned_by(&scene.owner, None, 10).await);
            }
            Self::Reap => drop(store.dir().reap(10).await),
            Self::Clear => drop(store.dir().clear().await),
        }
    }
}

/// Waits for `work`, but not for longer than it could take if nothing were left in its way.
async fn promptly<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} keeps others waiting, for over {PATIENCE:?}"),
    }
}

/// Drops `operation` at each of its await points.
async fn drop_everywhere(fixture: &Fixture, operation: Operation) {
    let (store, other) = (fixture.store(), fixture.instance().await);
    for when in [Drop::Waiting, Drop::Woken] {
        for polls in 0..=MOST_POLLS {
            assert!(polls < MOST_POLLS, "{operation:?} does not come to an end");
            let what = format!("{operation:?}, dropped {when:?} after {polls} polls,");
            let scene = Scene::set(&store, matches!(operation, Operation::Create));
            let scene = promptly(&what, scene).await;
            let run = operation.run(&store, &scene);
            let done = promptly(&what, dropped_after(polls, when, run)).await;
            // The one instance that had it dropped, and one that had not.
            promptly(&what, Scene::set(&store, false)).await;
            promptly(&what, scene.check(&other)).await;
            promptly(&what, scene.check(&store)).await;
            if done.is_some() {
                break;
            }
        }
    }
}

pub(super) async fn a_dropped_create_leaves_the_store_usable(fixture: Fixture) {
    drop_everywhere(&fixture, Operation::Create).await;
}

pub(super) async fn a_dropped_load_leaves_the_store_usable(fixture: Fixture) {
    drop_everywhere(&fixture, Operation::Load).await;
}

pub(super) async fn a_dropped_save_leaves_the_store_usable(fixture: Fixture) {
    drop_everywhere(&fixture, Operation::Save).await;
}

pub(super) async fn a_dropped_touch_leaves_the_store_usable(fixture: Fixture) {
    drop_everywhere(&fixture, Operation::Touch).await;
}

pub(super) async fn a_dropped_destroy_leaves_the_store_usable(fixture: Fixture) {
    for operation in [Operation::Destroy, Operation::DestroyVersion] {
        drop_everywhere(&fixture, operation).await;
    }
}

pub(super) async fn a_dropped_listing_leaves_the_store_usable(fixture: Fixture) {
    for operation in [Operation::Count, Operation::List, Operation::OwnedBy] {
        drop_everywhere(&fixture, operation).await;
    }
}

pub(super) async fn a_dropped_logout_everywhere_leaves_the_store_usable(fixture: Fixture) {
    drop_everywhere(&fixture, Operation::DestroyOwnedBy).await;
}

pub(super) async fn a_dropped_clear_leaves_the_store_usable(fixture: Fixture) {
    drop_everywhere(&fixture, Operation::Clear).await;
}

pub(super) async fn a_dropped_reap_leaves_the_store_usable(fixture: Fixture) {
    let store = fixture.store();
    for _ in 0..30 {
        let brief = draft_living("expired", fixed(ms(1)));
        store.must_create(&id(), &brief).await;
    }
    tokio::time::sleep(ms(2)).await;
    drop_everywhere(&fixture, Operation::Reap).await;
}

pub(super) async fn many_dropped_requests_keep_no_caller_waiting(fixture: Fixture) {
    const HOT: [Operation; 6] = [
        Operation::Create,
        Operation::Load,
        Operation::Save,
        Operation::Touch,
        Operation::Destroy,
        Operation::DestroyVersion,
    ];
    let store = fixture.store();
    let (scene, random) = (Scene::set(&store, false).await, fixture.random());
    in_parallel(24, move |n| {
        let (store, scene, mut random) = (store.clone(), scene.clone(), random.part(n));
        async move {
            for _ in 0..40 {
                if n < 16 {
                    // They drop operations on one session, …
                    let run = random.one_of(&HOT).run(&store, &scene);
                    let polls = 1 + random.below(6) as usize;
                    dropped_after(polls, Drop::Waiting, run).await;
                    tokio::task::yield_now().await;
                } else {
                    // … and these use their own at the same time.
                    let mine = promptly("a dropped request", Scene::set(&store, false)).await;
                    promptly("a dropped request", mine.check(&store)).await;
                }
            }
        }
    })
    .await;
}
