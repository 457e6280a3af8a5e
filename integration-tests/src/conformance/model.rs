//! Random sequences of operations, on the store and on a model of it.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use session_core::{
    Anchor, Draft, Error, Lifetime, Owner, Record, Result, SessionId, SessionStore, Stamp, Timeout,
    Ttl,
};
use tokio::runtime::Handle;

use super::Stage;
use super::fixture::{fixed, hours, id, ms, related_ids};
use super::subject::Subject;
use crate::reference::ReferenceStore;

/// How many sequences are tried.
const SEQUENCES: u32 = 48;
/// The longest of them.
const LONGEST: usize = 40;

/// One operation; numbers choose among a few ids, owners, lifetimes and earlier writes.
#[derive(Clone, Debug)]
enum Step {
    Create(usize, Written),
    Load(usize),
    Save(usize, Written, Expected),
    Touch(usize, usize),
    Rename(usize, usize, Written, Expected),
    Destroy(usize),
    LogOut(usize, Option<usize>),
}

/// What is written.
#[derive(Clone, Debug)]
enum Written {
    New {
        size: usize,
        owner: Option<usize>,
        lifetime: usize,
        restart: bool,
    },
    /// The write before this one once more, as after a broken connection.
    Again,
}

/// The stamp that a write expects.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// The one in place, or the one that the repeated write expected.
    Right,
    /// One that was never there.
    Never,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let written = || {
        let new = (
            0..3_000_usize,
            prop::option::of(0..2_usize),
            0..8_usize,
            any::<bool>(),
        );
        let new = new.prop_map(|(size, owner, lifetime, restart)| Written::New {
            size,
            owner,
            lifetime,
            restart,
        });
        prop_oneof![6 => new, 1 => Just(Written::Again)]
    };
    let expected = || prop_oneof![5 => Just(Expected::Right), 1 => Just(Expected::Never)];
    let id = || 0..3_usize;
    let step = prop_oneof![
        4 => (id(), written()).prop_map(|(id, written)| Step::Create(id, written)),
        2 => id().prop_map(Step::Load),
        4 => (id(), written(), expected()).prop_map(|(id, w, e)| Step::Save(id, w, e)),
        2 => (id(), 0..4_usize).prop_map(|(id, idle)| Step::Touch(id, idle)),
        3 => (id(), 1..3_usize, written(), expected())
            .prop_map(|(from, on, w, e)| Step::Rename(from, (from + on) % 3, w, e)),
        2 => id().prop_map(Step::Destroy),
        1 => (0..2_usize, prop::option::of(id())).prop_map(|(o, but)| Step::LogOut(o, but)),
    ];
    vec(step, 1..LONGEST)
}

/// Both stores, and what one sequence has done to them.
struct Play {
    store: Subject,
    model: ReferenceStore,
    ids: [SessionId; 3],
    owners: [Owner; 2],
    last: Option<(Draft, Stamp)>,
    writes: usize,
}

/// What of a record both must agree about.
type Seen = (Vec<u8>, Stamp, Option<Owner>, Lifetime, bool);

fn seen(record: Record) -> Seen {
    let ends = record.ttl != Ttl::Never;
    let Record {
        data,
        stamp,
        owner,
        lifetime,
        ..
    } = record;
    (data.to_vec(), stamp, owner, lifetime, ends)
}

/// The answer, or that there was one already; any other error fails the case.
fn answer<T>(answer: Result<T>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(Error::AlreadyExists) => None,
        Err(error) => panic!("an error in the middle of a sequence: {error:?}"),
    }
}

impl Play {
    fn new(store: Subject) -> Self {
        let name = id();
        let owner = |n| super::fixture::owner(&format!("owner {n} of {}", name.as_str()));
        Self {
            store,
            model: ReferenceStore::new(),
            ids: related_ids(),
            owners: [owner(0), owner(1)],
            last: None,
            writes: 0,
        }
    }

    /// A lifetime, and whether it is over at once.
    fn lifetime(choice: usize) -> (Lifetime, bool) {
        match choice {
            0 => (fixed(ms(1)), true),
            1 => (Lifetime::idle(Timeout::Never), false),
            2 => (Lifetime::idle(hours(3).idle), false),
            3 => (Lifetime::new(Timeout::Never, hours(3).absolute), false),
            _ => (hours(1), false),
        }
    }

    async fn stamp_of(&self, id: &SessionId) -> Stamp {
        let found = self.model.load(id).await.expect("the model works");
        found.map_or_else(Stamp::generate, |record| record.stamp)
    }

    /// The draft to write, the stamp to expect, and whether it is over at once.
    async fn write(
        &mut self,
        id: &SessionId,
        written: &Written,
        expected: Expected,
    ) -> (Draft, Stamp, bool) {
        let stamp = match expected {
            Expected::Right => self.stamp_of(id).await,
            Expected::Never => Stamp::generate(),
        };
        let (size, owner, lifetime, restart) = match (written, &self.last) {
            (Written::Again, Some((draft, expected))) => {
                let brief = draft.lifetime.idle <= Timeout::After(ms(1));
                return (draft.clone(), *expected, brief);
            }
            (Written::Again, None) => (1, None, 4, false),
            (
                &Written::New {
                    size,
                    owner,
                    lifetime,
                    restart,
                },
                _,
            ) => (size, owner, lifetime, restart),
        };
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
            .with_owner(owner.map(|n| self.owners[n].clone()))
            .with_anchor(anchor);
        self.last = Some((draft.clone(), stamp));
        (draft, stamp, brief)
    }

    /// Does `step` to both and compares the answers.
    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let ids = self.ids.clone();
        let mut brief = false;
        match step {
            Step::Create(n, written) => {
                let (draft, _, over) = self.write(&ids[*n], written, Expected::Never).await;
                let there = answer(self.store.create(&ids[*n], &draft).await);
                let model = answer(self.model.create(&ids[*n], &draft).await);
                prop_assert_eq!(there, model, "create");
                brief = over;
            }
            Step::Load(n) => {
                let there = self.store.must_load(&ids[*n]).await.map(seen);
                let model = answer(self.model.load(&ids[*n]).await).flatten().map(seen);
                prop_assert_eq!(there, model, "load");
            }
            Step::Save(n, written, expected) => {
                let (draft, stamp, over) = self.write(&ids[*n], written, *expected).await;
                let there = answer(self.store.save(&ids[*n], &draft, stamp).await);
                let model = answer(self.model.save(&ids[*n], &draft, stamp).await);
                prop_assert_eq!(there, model, "save");
                brief = over;
            }
            Step::Touch(n, idle) => {
                let idle = Self::lifetime(idle + 1).0.idle;
                let there = self.store.must_touch(&ids[*n], idle).await;
                let model = answer(self.model.touch(&ids[*n], idle).await).flatten();
                let ends = |ttl: Ttl| ttl != Ttl::Never;
                prop_assert_eq!(there.map(ends), model.map(ends), "touch");
            }
            Step::Rename(from, to, written, expected) => {
                let (draft, stamp, over) = self.write(&ids[*from], written, *expected).await;
                let (from, to) = (&ids[*from], &ids[*to]);
                let there = answer(self.store.rename(from, to, &draft, stamp).await);
                let model = answer(self.model.rename(from, to, &draft, stamp).await);
                prop_assert_eq!(there, model, "rename");
                brief = over;
            }
            Step::Destroy(n) => {
                let there = self.store.must_destroy(&ids[*n]).await;
                let model = answer(self.model.destroy(&ids[*n]).await) == Some(true);
                prop_assert_eq!(there, model, "destroy");
            }
            Step::LogOut(owner, but) => self.log_out(*owner, *but).await?,
        }
        if brief {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        Ok(())
    }

    async fn log_out(&self, owner: usize, but: Option<usize>) -> Result<(), TestCaseError> {
        if self.store.directory().is_none() {
            return Ok(());
        }
        let (owner, but) = (&self.owners[owner], but.map(|n| &self.ids[n]));
        let ended = self.store.must_destroy_owned_by(owner, but).await;
        let mut there: Vec<_> = ended.into_iter().map(|ended| ended.id).collect();
        let model = Subject::new(std::sync::Arc::new(self.model.clone()));
        let ended = model.must_destroy_owned_by(owner, but).await;
        let model: Vec<_> = ended.into_iter().map(|ended| ended.id).collect();
        there.sort();
        prop_assert_eq!(there, model, "destroy_owned_by");
        Ok(())
    }

    /// Compares what is there in the end, and removes it.
    async fn end(&mut self) -> Result<(), TestCaseError> {
        for n in 0..self.ids.len() {
            self.step(&Step::Load(n)).await?;
        }
        for owner in 0..self.owners.len() {
            self.log_out(owner, None).await?;
        }
        for n in 0..self.ids.len() {
            self.step(&Step::Destroy(n)).await?;
        }
        Ok(())
    }
}

pub(super) async fn random_sequences_match_a_model(stage: Stage) {
    let (store, runtime) = (stage.store(), Handle::current());
    let checked = tokio::task::spawn_blocking(move || {
        let mut runner = TestRunner::new(Config {
            cases: SEQUENCES,
            failure_persistence: None,
            max_shrink_iters: 500,
            ..Config::default()
        });
        runner.run(&steps(), |steps| {
            runtime.block_on(async {
                let mut play = Play::new(store.clone());
                for step in &steps {
                    play.step(step).await?;
                }
                play.end().await
            })
        })
    });
    match checked.await {
        Ok(Ok(())) => {}
        Ok(Err(TestError::Fail(reason, steps))) => {
            panic!("the store differs from the model: {reason}, after the steps {steps:#?}")
        }
        Ok(Err(error)) => panic!("{error}"),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
