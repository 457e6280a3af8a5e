//! Random sequences of operations, on the store and on a model of it.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use session_core::{
    Anchor, Credential, Draft, Ended, Lifetime, Owner, Record, Result, Saved, SessionId,
    SessionStore, Stamp, Timeout, Ttl, Version,
};
use tokio::runtime::Handle;

use crate::Fixture;
use crate::checked::{CheckedStore, ids_of};
use crate::reference::ReferenceStore;
use crate::samples::{credential, ended_ids, fixed, hours, id, ids, ms, noise};

/// How many sequences are tried.
const SEQUENCES: u32 = 48;
/// The maximum length of a sequence.
const MAX_STEPS: usize = 40;

/// One operation; numbers choose among a few ids, owners, lifetimes and earlier writes.
#[derive(Clone, Debug)]
enum Step {
    Create(usize, Written),
    Load(usize),
    Save(usize, Written, Expected),
    Touch(usize, usize),
    Destroy(usize, Option<Expected>),
    Owned(usize),
    LogOut(usize, Option<usize>),
}

/// What is written.
#[derive(Clone, Debug)]
enum Written {
    New {
        size: usize,
        credential: usize,
        owner: Option<usize>,
        lifetime: usize,
        restart: bool,
    },
    /// The previous write again, as after a broken connection.
    Again,
}

/// The version that a write or a destroy expects.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// The stored version, or the one that the repeated write expected.
    Right,
    /// A version that never existed.
    Never,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let written = || {
        let new = (
            0..3_000_usize,
            prop_oneof![1 => Just(0), 4 => 0..=Credential::MAX_BYTES],
            prop::option::of(0..2_usize),
            0..8_usize,
            any::<bool>(),
        );
        let new = new.prop_map(
            |(size, credential, owner, lifetime, restart)| Written::New {
                size,
                credential,
                owner,
                lifetime,
                restart,
            },
        );
        prop_oneof![6 => new, 1 => Just(Written::Again)]
    };
    let expected = || prop_oneof![5 => Just(Expected::Right), 1 => Just(Expected::Never)];
    let id = || 0..3_usize;
    let step = prop_oneof![
        4 => (id(), written()).prop_map(|(id, written)| Step::Create(id, written)),
        2 => id().prop_map(Step::Load),
        4 => (id(), written(), expected()).prop_map(|(id, w, e)| Step::Save(id, w, e)),
        2 => (id(), 0..4_usize).prop_map(|(id, idle)| Step::Touch(id, idle)),
        2 => (id(), prop::option::of(expected())).prop_map(|(id, e)| Step::Destroy(id, e)),
        1 => (0..2_usize).prop_map(Step::Owned),
        1 => (0..2_usize, prop::option::of(id())).prop_map(|(o, but)| Step::LogOut(o, but)),
    ];
    vec(step, 1..MAX_STEPS)
}

/// Both stores, and the state of one sequence.
struct Run {
    store: CheckedStore,
    model: ReferenceStore,
    ids: [SessionId; 3],
    owners: [Owner; 2],
    last: Option<(Draft, Version)>,
    writes: usize,
}

/// The parts of a record that must be equal in both stores.
type Observed = (
    Vec<u8>,
    Stamp,
    Option<Vec<u8>>,
    Option<Owner>,
    Lifetime,
    bool,
);

fn observed(record: Record) -> Observed {
    let ends = record.ttl != Ttl::Never;
    let credential = record.credential.map(|bytes| bytes.as_bytes().to_vec());
    let (data, stamp) = (record.data.to_vec(), record.version.stamp());
    (data, stamp, credential, record.owner, record.lifetime, ends)
}

/// The part of a write's outcome that must be equal in both stores, which omits the stored bytes.
fn outcome(saved: Saved) -> Saved {
    match saved {
        Saved::Done(version) => Saved::Done(version.stamp().into()),
        other => other,
    }
}

/// The parts of an `Ended` that must be equal in both stores.
type Returned = (SessionId, Option<Owner>, bool);

fn returned(ended: Ended) -> Returned {
    (ended.id, ended.owner, ended.age.is_some())
}

/// The answer; an error fails the case.
fn answer<T>(answer: Result<T>) -> T {
    answer.unwrap_or_else(|error| panic!("an error in the middle of a sequence: {error:?}"))
}

impl Run {
    fn new(store: CheckedStore) -> Self {
        let name = id();
        let owner = |n| crate::samples::owner(&format!("owner {n} of {}", name.as_str()));
        Self {
            store,
            model: ReferenceStore::new(),
            ids: ids(),
            owners: [owner(0), owner(1)],
            last: None,
            writes: 0,
        }
    }

    /// A lifetime, and whether it ends at once.
    fn lifetime(choice: usize) -> (Lifetime, bool) {
        match choice {
            0 => (fixed(ms(1)), true),
            1 => (Lifetime::idle(Timeout::Never), false),
            2 => (Lifetime::idle(hours(3).idle), false),
            3 => (Lifetime::new(Timeout::Never, hours(3).absolute), false),
            _ => (hours(1), false),
        }
    }

    /// The version to expect, as a stamp, which is the same in both stores.
    async fn version(&self, id: &SessionId, expected: Expected) -> Version {
        let found = match expected {
            Expected::Right => answer(self.model.load(id).await),
            Expected::Never => None,
        };
        let stamp = found.map_or_else(Stamp::generate, |record| record.version.stamp());
        stamp.into()
    }

    /// The draft to write, the version to expect, and whether the session ends at once.
    async fn write(
        &mut self,
        id: &SessionId,
        written: &Written,
        expected: Expected,
    ) -> (Draft, Version, bool) {
        let (size, secret, owner, lifetime, restart) = match (written, &self.last) {
            (Written::Again, Some((draft, expected))) => {
                let brief = draft.lifetime.idle <= Timeout::After(ms(1));
                return (draft.clone(), expected.clone(), brief);
            }
            (Written::Again, None) => (1, 0, None, 4, false),
            (
                &Written::New {
                    size,
                    credential,
                    owner,
                    lifetime,
                    restart,
                },
                _,
            ) => (size, credential, owner, lifetime, restart),
        };
        let version = self.version(id, expected).await;
        self.writes += 1;
        let mut data = format!("write {} ", self.writes).into_bytes();
        data.resize(data.len() + size, 0);
        let (lifetime, brief) = Self::lifetime(lifetime);
        let anchor = if restart {
            Anchor::Restart
        } else {
            Anchor::Keep
        };
        let draft = Draft::new(data, lifetime)
            .with_credential(credential(&noise(secret)))
            .with_owner(owner.map(|n| self.owners[n].clone()))
            .with_anchor(anchor);
        self.last = Some((draft.clone(), version.clone()));
        (draft, version, brief)
    }

    /// Applies `step` to both stores and compares the results.
    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let ids = self.ids.clone();
        let mut brief = false;
        match step {
            Step::Create(n, written) => {
                let (draft, _, over) = self.write(&ids[*n], written, Expected::Never).await;
                let there = answer(self.store.create(&ids[*n], &draft).await);
                let model = answer(self.model.create(&ids[*n], &draft).await);
                prop_assert_eq!(outcome(there), outcome(model), "create");
                brief = over;
            }
            Step::Load(n) => {
                let there = self.store.must_load(&ids[*n]).await.map(observed);
                let model = answer(self.model.load(&ids[*n]).await).map(observed);
                prop_assert_eq!(there, model, "load");
            }
            Step::Save(n, written, expected) => {
                let (draft, version, over) = self.write(&ids[*n], written, *expected).await;
                let there = answer(self.store.save(&ids[*n], &draft, &version).await);
                let model = answer(self.model.save(&ids[*n], &draft, &version).await);
                prop_assert_eq!(outcome(there), outcome(model), "save");
                brief = over;
            }
            Step::Touch(n, idle) => {
                let idle = Self::lifetime(idle + 1).0.idle;
                let there = self.store.must_touch(&ids[*n], idle).await;
                let model = answer(self.model.touch(&ids[*n], idle).await);
                let ends = |ttl: Ttl| ttl != Ttl::Never;
                prop_assert_eq!(there.map(ends), model.map(ends), "touch");
            }
            Step::Destroy(n, expected) => {
                let version = match expected {
                    Some(expected) => Some(self.version(&ids[*n], *expected).await),
                    None => None,
                };
                let there = answer(self.store.destroy(&ids[*n], version.as_ref()).await);
                let model = answer(self.model.destroy(&ids[*n], version.as_ref()).await);
                prop_assert_eq!(there.map(returned), model.map(returned), "destroy");
            }
            Step::Owned(owner) => self.owned(*owner).await?,
            Step::LogOut(owner, but) => self.log_out(*owner, *but).await?,
        }
        if brief {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        Ok(())
    }

    fn model(&self) -> CheckedStore {
        CheckedStore::new(Arc::new(self.model.clone()))
    }

    async fn owned(&self, owner: usize) -> Result<(), TestCaseError> {
        if self.store.directory().is_none() {
            return Ok(());
        }
        let owner = &self.owners[owner];
        let there = ids_of(&self.store.must_own_by(owner, 2).await);
        let model = ids_of(&self.model().must_own(owner).await);
        prop_assert_eq!(there, model, "owned_by");
        Ok(())
    }

    async fn log_out(&self, owner: usize, but: Option<usize>) -> Result<(), TestCaseError> {
        if self.store.directory().is_none() {
            return Ok(());
        }
        let (owner, but) = (&self.owners[owner], but.map(|n| &self.ids[n]));
        let there = self.store.must_destroy_owned_by_steps(owner, but, 2).await;
        let model = self.model().must_destroy_owned_by(owner, but).await;
        prop_assert_eq!(ended_ids(&there), ended_ids(&model), "destroy_owned_by");
        Ok(())
    }

    /// Compares the remaining sessions, and removes them.
    async fn end(&mut self) -> Result<(), TestCaseError> {
        for n in 0..self.ids.len() {
            self.step(&Step::Load(n)).await?;
        }
        for owner in 0..self.owners.len() {
            self.owned(owner).await?;
            self.log_out(owner, None).await?;
        }
        for n in 0..self.ids.len() {
            self.step(&Step::Destroy(n, None)).await?;
        }
        Ok(())
    }
}

/// Tries the sequences of `seed` until one differs.
fn try_all(seed: u64, store: &CheckedStore, runtime: &Handle) -> Result<(), TestError<Vec<Step>>> {
    let mut runner = TestRunner::new(Config {
        cases: SEQUENCES,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    });
    runner.run(&steps(), |steps| {
        runtime.block_on(async {
            let mut run = Run::new(store.clone());
            for step in &steps {
                run.step(step).await?;
            }
            run.end().await
        })
    })
}

pub(super) async fn random_sequences_match_a_model(fixture: Fixture) {
    let (seed, store, runtime) = (fixture.seed(), fixture.store(), Handle::current());
    let tried = tokio::task::spawn_blocking(move || try_all(seed, &store, &runtime));
    match tried.await {
        Ok(Ok(())) => {}
        Ok(Err(TestError::Fail(reason, steps))) => {
            panic!("the store differs from the model: {reason}, after the steps {steps:#?}")
        }
        Ok(Err(error)) => panic!("{error}"),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
