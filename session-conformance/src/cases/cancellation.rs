//! Futures that are dropped before they finish (I9), as after a disconnect, a timeout or a panic.
//!
//! Every operation is dropped at each of its await points: after one poll, two polls, and so on
//! until it finishes.

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

/// How long a call may take beside dropped ones. It normally takes milliseconds.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// More polls than any operation needs.
const MAX_POLLS: usize = 1_000;

/// When a future that is not done after its last poll is dropped.
#[derive(Clone, Copy, Debug)]
enum Drop {
    /// At once, with its request in flight.
    Waiting,
    /// When it is woken, with its answer received.
    Woken,
}

/// Polls `work` at most `polls` times, then drops it.
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
struct Target {
    id: SessionId,
    owner: Owner,
    before: Draft,
    after: Draft,
}

impl Target {
    /// Creates the session, unless the operation is to create it.
    async fn new(store: &CheckedStore, is_absent: bool) -> Self {
        let owner = owner(&format!("owner {}", id().as_str()));
        let target = Self {
            id: id(),
            before: draft("before")
                .with_owner(owner.clone())
                .with_credential(credential(b"before")),
            after: draft("after")
                .with_owner(owner.clone())
                .with_credential(credential(b"after")),
            owner,
        };
        if !is_absent {
            store.must_create(&target.id, &target.before).await;
        }
        target
    }

    /// Checks that the session is as before or as after the operation, and that it can be used.
    ///
    /// The server may still execute the dropped request, so a write may have to be repeated.
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

/// The operation that is dropped.
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
    /// Runs the operation and ignores the result, because other tasks use the same session.
    async fn run(self, store: &CheckedStore, target: &Target) {
        let (id, before) = (&target.id, target.before.stamp.into());
        match self {
            Self::Create => drop(store.create(id, &target.after).await),
            Self::Load => drop(store.load(id).await),
            Self::Save => drop(store.save(id, &target.after, &before).await),
            Self::Touch => drop(store.touch(id, hours(2).idle).await),
            Self::Destroy => drop(store.destroy(id, None).await),
            Self::DestroyVersion => drop(store.destroy(id, Some(&before)).await),
            Self::Count => drop(store.dir().count().await),
            Self::List => drop(store.dir().list(None, 10).await),
            Self::OwnedBy => drop(store.dir().owned_by(&target.owner, None, 10).await),
            Self::DestroyOwnedBy => {
                drop(store.dir().destroy_owned_by(&target.owner, None, 10).await);
            }
            Self::Reap => drop(store.dir().reap(10).await),
            Self::Clear => drop(store.dir().clear().await),
        }
    }
}

/// Awaits `work` with a time limit, and panics if a dropped operation blocks it.
async fn promptly<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(TIME_LIMIT, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} keeps other callers waiting for over {TIME_LIMIT:?}"),
    }
}

/// Drops `operation` at each of its await points.
async fn drop_everywhere(fixture: &Fixture, operation: Operation) {
    let (store, other) = (fixture.store(), fixture.instance().await);
    for when in [Drop::Waiting, Drop::Woken] {
        for polls in 0..=MAX_POLLS {
            assert!(polls < MAX_POLLS, "{operation:?} does not come to an end");
            let what = format!("{operation:?}, dropped {when:?} after {polls} polls,");
            let target = Target::new(&store, matches!(operation, Operation::Create));
            let target = promptly(&what, target).await;
            let run = operation.run(&store, &target);
            let done = promptly(&what, dropped_after(polls, when, run)).await;
            // On the instance with the dropped operation, and on another one.
            promptly(&what, Target::new(&store, false)).await;
            promptly(&what, target.check(&other)).await;
            promptly(&what, target.check(&store)).await;
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
    let (target, random) = (Target::new(&store, false).await, fixture.random());
    in_parallel(24, move |n| {
        let (store, target, mut random) = (store.clone(), target.clone(), random.part(n));
        async move {
            for _ in 0..40 {
                if n < 16 {
                    // These tasks drop operations on one session, …
                    let run = random.one_of(&HOT).run(&store, &target);
                    let polls = 1 + random.below(6) as usize;
                    dropped_after(polls, Drop::Waiting, run).await;
                    tokio::task::yield_now().await;
                } else {
                    // … and these use their own sessions at the same time.
                    let mine = promptly("a dropped request", Target::new(&store, false)).await;
                    promptly("a dropped request", mine.check(&store)).await;
                }
            }
        }
    })
    .await;
}
