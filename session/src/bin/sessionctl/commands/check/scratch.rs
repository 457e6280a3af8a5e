//! Scratch stores beside the one that is checked: in the same database, and in tables, collections or
//! under prefixes of their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_conformance::{StoreFactory, TestStore};
use session_store::session_core::async_trait;
use session_store::{Error, Result, SessionStore};
use tokio::sync::RwLock;

use crate::url::Url;

/// How long removing may take.
pub(super) const CLEANING: Duration = Duration::from_secs(2);

/// The prefix of scratch names: an operator who finds one knows its origin.
const PREFIX: &str = "session_check_";

/// Opens scratch stores, and removes all of them. Clones share them.
#[derive(Clone)]
pub(super) struct Scratch(Arc<Inner>);

struct Inner {
    url: Url,
    option: &'static str,
    /// One store of each name; all that were opened where only one process has them.
    opened: Mutex<HashMap<String, Arc<dyn SessionStore>>>,
    /// A database in memory is another for each connection, so instances share one.
    is_in_memory: bool,
    /// Set when they are being removed: none is opened from then on.
    is_closed: RwLock<bool>,
}

/// The option that names a part of the database of its own, in URLs of this scheme.
pub(super) fn option(scheme: &str) -> Option<&'static str> {
    match scheme {
        "mongodb" | "mongodb+srv" => Some("collection"),
        "mysql" | "mariadb" | "postgres" | "postgresql" | "sqlite" => Some("table"),
        "memory" => None,
        _ => Some("prefix"),
    }
}

impl Scratch {
    pub(super) fn of(url: &Url) -> Option<Self> {
        let option = option(url.scheme())?;
        let url = url.with("migrate", "true");
        // A server in use has few connections to spare.
        let url = match url.scheme() {
            "mysql" | "mariadb" | "postgres" | "postgresql" => url.with("connections", "2"),
            _ => url,
        };
        Some(Self(Arc::new(Inner {
            is_in_memory: url.scheme() == "sqlite" && url.secret().contains(":memory:"),
            url,
            option,
            opened: Mutex::default(),
            is_closed: RwLock::new(false),
        })))
    }

    /// Makes one, and removes it again.
    pub(super) async fn rehearse(&self) -> Result<()> {
        let name = format!("{PREFIX}{}", random_name());
        let store = self.connect(name.clone()).await?;
        remove(&*store).await?;
        self.0.opened().remove(&name);
        Ok(())
    }

    /// Goes on if its caller goes away: a table that is being created is removed once it is there.
    async fn connect(&self, name: String) -> Result<Arc<dyn SessionStore>> {
        let inner = Arc::clone(&self.0);
        let connecting = tokio::spawn(async move { inner.connect(&name).await });
        let ended = |_| Err(Error::refused("open", "the check has ended"));
        connecting.await.unwrap_or_else(ended)
    }

    /// Removes all of them; the names of those that could not be removed.
    pub(super) async fn remove(&self) -> Vec<String> {
        // Waits for those that are being opened.
        *self.0.is_closed.write().await = true;
        let opened = std::mem::take(&mut *self.0.opened());
        let removals = opened.into_iter().map(|(name, store)| async move {
            let removed = tokio::time::timeout(CLEANING, remove(&*store)).await;
            (!matches!(removed, Ok(Ok(())))).then_some(name)
        });
        let left = futures_util::future::join_all(removals).await;
        left.into_iter().flatten().collect()
    }
}

impl Inner {
    async fn connect(&self, name: &str) -> Result<Arc<dyn SessionStore>> {
        let is_closed = self.is_closed.read().await;
        if *is_closed {
            return Err(Error::refused("open", "the check has ended"));
        }
        if self.is_in_memory
            && let Some(store) = self.opened().get(name)
        {
            return Ok(Arc::clone(store));
        }
        // Keys of a store are its prefix and the id.
        let value = match self.option {
            "prefix" => format!("{name}:"),
            _ => name.to_owned(),
        };
        let url = self.url.with(self.option, &value);
        let connected = session_store::connect(url.secret()).await;
        let made = match &connected {
            Ok(store) => Ok(Arc::clone(store)),
            // The table may be there all the same: after a time-out, or without the rights to use it.
            Err(_) => session_store::connect(url.with("migrate", "false").secret()).await,
        };
        if let Ok(made) = made {
            self.opened().entry(name.to_owned()).or_insert(made);
        }
        connected
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<dyn SessionStore>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn remove(store: &dyn SessionStore) -> Result<()> {
    match store.inspect() {
        Some(inspect) => inspect.remove().await,
        None => Ok(()),
    }
}

fn random_name() -> String {
    let id = session_store::SessionToken::generate().id();
    let letters = id.as_str().bytes();
    letters.map(|byte| char::from(b'a' + byte % 26)).collect()
}

#[async_trait]
impl StoreFactory for Scratch {
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let store = self.connect(format!("{PREFIX}{namespace}")).await?;
        Ok(TestStore::new(store))
    }
}
