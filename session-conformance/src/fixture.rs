//! What one case runs on: a namespace of its own, and the stores opened for it.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_core::{Error, Result, SessionId, SessionStore, Stamp};

use crate::checked::CheckedStore;
use crate::random::{self, Random};
use crate::{Need, StoreFactory, TestStore};

/// How long removing what a case left may take.
const CLEANING_LIMIT: Duration = Duration::from_secs(30);

/// What one case runs on: a namespace without sessions, and stores on it. Clones are the same fixture.
#[derive(Clone)]
pub struct Fixture(Arc<Inner>);

struct Inner {
    factory: Arc<dyn StoreFactory>,
    namespace: String,
    first: CheckedStore,
    opened: Mutex<Vec<Opened>>,
    seed: u64,
    /// Whether the case has asked for the seed.
    is_random: AtomicBool,
}

/// One store, and what must be dropped after it.
struct Opened {
    namespace: String,
    store: Arc<dyn SessionStore>,
    _guard: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A fixture on a namespace of its own.
    pub(super) async fn new(factory: Arc<dyn StoreFactory>) -> Result<Self> {
        let namespace = fresh_namespace();
        let TestStore { store, guard } = factory.open(&namespace).await?;
        let first = Opened {
            namespace: namespace.clone(),
            store: Arc::clone(&store),
            _guard: guard,
        };
        Ok(Self(Arc::new(Inner {
            factory,
            namespace,
            first: CheckedStore::new(store),
            opened: Mutex::new(vec![first]),
            seed: random::seed(),
            is_random: AtomicBool::new(false),
        })))
    }

    /// The case's store.
    #[must_use]
    pub fn store(&self) -> CheckedStore {
        self.0.first.clone()
    }

    /// Another instance on the same sessions, as another app server has.
    ///
    /// # Panics
    /// If the factory can't open it.
    pub async fn instance(&self) -> CheckedStore {
        self.open(self.namespace())
            .await
            .expect("another instance of the same store must open")
    }

    /// A store on the namespace of this name. Make the name from [`namespace`](Self::namespace), so
    /// that no other case has it.
    ///
    /// # Errors
    /// The factory's.
    pub async fn open(&self, namespace: &str) -> Result<CheckedStore> {
        let TestStore { store, guard } = self.0.factory.open(namespace).await?;
        self.opened().push(Opened {
            namespace: namespace.to_owned(),
            store: Arc::clone(&store),
            _guard: guard,
        });
        Ok(CheckedStore::new(store))
    }

    /// The case's namespace: 20 lower-case letters and digits.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Overwrites what is stored for `id` with something that can't be read as a session.
    ///
    /// # Panics
    /// If the factory can't, which a case must name in its [`needs`](crate::Case::needs).
    pub async fn corrupt(&self, id: &SessionId) {
        let done = self.0.factory.corrupt(self.namespace(), id).await;
        assert!(
            done.expect("corrupting a session failed"),
            "the factory could corrupt a session before, and now says it can't"
        );
    }

    /// The seed of what the case draws at random: `CONFORMANCE_SEED`, or a new one. Once a case has
    /// asked for it, the message of its failure ends with it.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.is_random.store(true, SeqCst);
        self.0.seed
    }

    /// Random numbers of that seed.
    pub(super) fn random(&self) -> Random {
        Random::of(self.seed())
    }

    /// The text of a failure, with the seed if the case has used it.
    pub(super) fn failure(&self, text: String) -> String {
        match self.0.is_random.load(SeqCst) {
            true => format!("{text} [{}]", random::again(self.0.seed)),
            false => text,
        }
    }

    /// The texts that must not show.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.0.factory.secrets()
    }

    /// The first of `needs` that the store or its factory lacks.
    pub(super) async fn lacks(&self, needs: &[Need]) -> Result<Option<Need>> {
        for &need in needs {
            let store = &self.0.first;
            let there = match need {
                Need::Directory => store.directory().is_some(),
                Need::ExpiryReports => store.capabilities().expiry_reports,
                Need::MaxData => store.capabilities().max_data.is_some(),
                Need::Corruption => self.can_corrupt().await?,
            };
            if !there {
                return Ok(Some(need));
            }
        }
        Ok(None)
    }

    /// Tries it on a session in a namespace of its own.
    async fn can_corrupt(&self) -> Result<bool> {
        let probe = fresh_namespace();
        let store = self.open(&probe).await?;
        let (id, draft) = (crate::samples::id(), crate::samples::draft("probe"));
        if !store.create(&id, &draft).await?.is_done() {
            return Err(Error::refused("create", "a new id is taken"));
        }
        self.0.factory.corrupt(&probe, &id).await
    }

    /// Removes the sessions that the case left, as far as that works, and drops the guards.
    pub(super) async fn clean_up(&self) {
        let opened = std::mem::take(&mut *self.opened());
        let mut cleared: Vec<&str> = Vec::new();
        for one in &opened {
            if cleared.contains(&one.namespace.as_str()) {
                continue;
            }
            cleared.push(&one.namespace);
            if let Some(directory) = one.store.directory() {
                // A store that is broken or hangs has failed its case already.
                let _ = tokio::time::timeout(CLEANING_LIMIT, directory.clear()).await;
            }
        }
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Vec<Opened>> {
        self.0.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 20 random lower-case letters and digits, the first a letter: a name that every database takes.
fn fresh_namespace() -> String {
    let random = u128::from_be_bytes(*Stamp::generate().as_bytes());
    format!("conf{:016x}", random as u64)
}
