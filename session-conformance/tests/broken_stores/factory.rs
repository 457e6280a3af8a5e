//! The factory of stores with one fault.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_conformance::reference::{ReferenceFactory, Row};
use session_conformance::{StoreFactory, TestStore};
use session_core::{Credential, Owner, Result, SessionId, SessionInfo, Stamp, async_trait};

use crate::fault::Fault;
use crate::store::Broken;

pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// Makes stores with one fault.
pub(crate) struct BrokenFactory {
    fault: Fault,
    reference: ReferenceFactory,
    shared: Mutex<HashMap<String, Arc<Shared>>>,
}

/// State that the instances on one namespace share beside the sessions.
#[derive(Default)]
pub(crate) struct Shared {
    instances: AtomicUsize,
    /// A lock that allows one write at a time.
    pub(crate) busy: AtomicBool,
    /// Destroyed sessions that a stale index still lists.
    pub(crate) stale: Mutex<Vec<SessionInfo>>,
    /// An owner index without removals.
    pub(crate) index: Mutex<BTreeSet<(Owner, SessionId)>>,
    /// Entries that were removed from the owner index too late.
    pub(crate) removed: Mutex<HashSet<(Owner, SessionId)>>,
    /// The stamps of all writes.
    pub(crate) written: Mutex<HashSet<Stamp>>,
    /// Destroyed sessions that are only marked.
    pub(crate) marked: Mutex<HashMap<SessionId, Row>>,
    /// The ids of all calls of destroy.
    pub(crate) destroyed: Mutex<Vec<SessionId>>,
    /// The credential of the last write.
    pub(crate) latest: Mutex<Option<Credential>>,
}

impl BrokenFactory {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            reference: ReferenceFactory::default(),
            shared: Mutex::default(),
        }
    }
}

#[async_trait]
impl StoreFactory for BrokenFactory {
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let shared = Arc::clone(
            locked(&self.shared)
                .entry(namespace.to_owned())
                .or_default(),
        );
        Ok(TestStore::new(Broken {
            fault: self.fault,
            inner: self.reference.store(namespace),
            all: self.reference.clone(),
            instance: shared.instances.fetch_add(1, SeqCst),
            shared,
            namespace: namespace.to_owned(),
        }))
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        if self.fault == Fault::DeclaresNothing {
            return Ok(false);
        }
        self.reference.corrupt(namespace, id).await
    }

    async fn lapse_claims(&self, namespace: &str) -> Result<bool> {
        self.reference.lapse_claims(namespace).await
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned()]
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
