//! The namespace of one case, and the stores opened for it.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_core::{Error, Result, SessionId, SessionStore, Stamp};

use crate::checked::CheckedStore;
use crate::random::{self, Random};
use crate::{Need, StoreFactory, TestStore};

/// How long clearing a case's namespaces may take.
const CLEANING_LIMIT: Duration = Duration::from_secs(30);

/// The namespace of one case, without sessions, and the stores on it. Clones are the same fixture.
#[derive(Clone)]
pub struct Fixture(Arc<Inner>);

struct Inner {
    factory: Arc<dyn StoreFactory>,
    namespace: String,
    first: CheckedStore,
    opened: Mutex<Vec<Opened>>,
    seed: u64,
    /// Whether the case has used the seed.
    is_random: AtomicBool,
}

/// One store, and the guard that must be dropped after it.
struct Opened {
    namespace: String,
    store: Arc<dyn SessionStore>,
    _guard: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// Creates a fixture on a new namespace.
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

    /// Returns the case's store.
    #[must_use]
    pub fn store(&self) -> CheckedStore {
        self.0.first.clone()
    }

    /// Opens another instance on the same sessions, as another app server would.
    ///
    /// # Panics
    /// If the factory can't open it.
    pub async fn instance(&self) -> CheckedStore {
        self.open(self.namespace())
            .await
            .expect("another instance of the same store must open")
    }

    /// Opens a store on the namespace of this name. Derive the name from
    /// [`namespace`](Self::namespace), so that no other case uses it.
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

    /// Returns the case's namespace: 20 lower-case letters and digits.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Overwrites the stored session `id` with a value that is not a session.
    ///
    /// # Panics
    /// If the factory can't do that, which the case must list in its [`needs`](crate::Case::needs).
    pub async fn corrupt(&self, id: &SessionId) {
        let done = self.0.factory.corrupt(self.namespace(), id).await;
        assert!(
            done.expect("corrupting a session failed"),
            "the factory corrupted a session before, and now returns false"
        );
    }

    /// Makes all claims on expired sessions lapse; whether the factory can do that.
    ///
    /// # Panics
    /// If the factory fails.
    pub async fn lapse_claims(&self) -> bool {
        let done = self.0.factory.lapse_claims(self.namespace()).await;
        done.expect("making claims lapse failed")
    }

    /// Returns the seed of the case's random numbers: `CONFORMANCE_SEED`, or a new one. If the case
    /// fails after calling this, the message ends with the seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.is_random.store(true, SeqCst);
        self.0.seed
    }

    /// Random numbers from the case's seed.
    pub(super) fn random(&self) -> Random {
        Random::of(self.seed())
    }

    /// The message of a failure, with the seed if the case has used it.
    pub(super) fn failure(&self, text: String) -> String {
        match self.0.is_random.load(SeqCst) {
            true => format!("{text} [{}]", random::how_to_repeat(self.0.seed)),
            false => text,
        }
    }

    /// Returns the texts that `Debug` and errors must not show.
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
                Need::Descriptions => store.capabilities().descriptions,
                Need::Past => store.capabilities().keeps_past,
                Need::Corruption => self.can_corrupt().await?,
            };
            if !there {
                return Ok(Some(need));
            }
        }
        Ok(None)
    }

    /// Tries to corrupt a session in a separate namespace.
    async fn can_corrupt(&self) -> Result<bool> {
        let probe = fresh_namespace();
        let store = self.open(&probe).await?;
        let (id, draft) = (crate::samples::id(), crate::samples::draft("probe"));
        if !store.create(&id, &draft).await?.is_done() {
            return Err(Error::refused("create", "a new id is taken"));
        }
        self.0.factory.corrupt(&probe, &id).await
    }

    /// Clears the case's namespaces, if the stores can, and drops the guards.
    pub(super) async fn clean_up(&self) {
        let opened = std::mem::take(&mut *self.opened());
        let mut cleared: Vec<&str> = Vec::new();
        for one in &opened {
            if cleared.contains(&one.namespace.as_str()) {
                continue;
            }
            cleared.push(&one.namespace);
            if let Some(directory) = one.store.directory() {
                // A store that fails or hangs here has already failed its case.
                let _ = tokio::time::timeout(CLEANING_LIMIT, directory.clear()).await;
            }
        }
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Vec<Opened>> {
        self.0.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 20 random lower-case letters and digits, the first a letter: valid as a name in every database.
fn fresh_namespace() -> String {
    let random = u128::from_be_bytes(*Stamp::generate().as_bytes());
    format!("conf{:016x}", random as u64)
}
