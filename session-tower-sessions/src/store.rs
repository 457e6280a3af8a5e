//! The adapter: what tower-sessions asks of a store, by the operations of ours.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use session_core::{
    Draft, Error, ErrorKind, Lifetime, Owner, Record, Result, Saved, SessionStore, shared,
};
use time::OffsetDateTime;

use crate::key::Key;
use crate::record::{expiry_after, lifetime_until};

/// The values of a session of tower-sessions, by their keys.
pub type Data = HashMap<String, Value>;

type FindOwner = dyn Fn(&Data) -> Option<Owner> + Send + Sync;

/// How often a save is tried while other requests write the same session.
const ATTEMPTS: u64 = 24;
/// How many expired sessions are removed by one call of the store.
const REAPED_AT_ONCE: usize = 500;

/// One of this project's stores, as a store of tower-sessions.
///
/// It implements `tower_sessions_core::SessionStore` and `ExpiredDeletion`, of version 0.15 and,
/// with the Cargo feature `tower-sessions-0-14`, of 0.14 too. Clones share the store.
///
/// ```
/// use session_memory::MemoryStore;
/// use session_tower_sessions::TowerSessionsStore;
/// use tower_sessions::SessionManagerLayer;
///
/// # fn layer() -> session_tower_sessions::Result<()> {
/// let layer = SessionManagerLayer::new(TowerSessionsStore::new(MemoryStore::new())?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TowerSessionsStore {
    store: Arc<dyn SessionStore>,
    find_owner: Option<Arc<FindOwner>>,
}

/// What became of a create.
pub(crate) enum Created {
    Done,
    /// There is a session of this id.
    Taken,
}

impl TowerSessionsStore {
    /// Sessions of tower-sessions in `store`, beside others that it may hold.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] for a store in an Express layout, whose records have no room
    /// for a hash of the id.
    pub fn new(store: impl SessionStore) -> Result<Self> {
        if store.capabilities().plain_ids {
            return Err(Error::misconfigured(
                "this store has Express' layout, whose ids are the clients' secrets: give tower-sessions \
                 a native store",
            ));
        }
        Ok(Self {
            store: shared(store),
            find_owner: None,
        })
    }

    /// Has the store know whose each session is, which tower-sessions does not say: for "my
    /// devices" and "log out everywhere" with [`Sessions`](session_core::Sessions) on the same
    /// store. It is asked at each write.
    ///
    /// What axum-login keeps of a user whose ids are numbers:
    ///
    /// ```
    /// # fn example(store: session_memory::MemoryStore) -> session_tower_sessions::Result<()> {
    /// use session_tower_sessions::{Owner, TowerSessionsStore};
    ///
    /// let store = TowerSessionsStore::new(store)?.with_owner_from(|data| {
    ///     let user = data.get("axum-login.data")?.get("user_id")?.as_u64()?;
    ///     Owner::new(user.to_string()).ok()
    /// });
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_owner_from(
        mut self,
        find: impl Fn(&Data) -> Option<Owner> + Send + Sync + 'static,
    ) -> Self {
        self.find_owner = Some(Arc::new(find));
        self
    }

    fn draft(&self, key: &Key, data: &Data, lifetime: Lifetime) -> Result<Draft> {
        let json = serde_json::to_vec(data).map_err(|error| Error::refused("save", error))?;
        let owner = self.find_owner.as_ref().and_then(|find| find(data));
        Ok(Draft::new(json, lifetime)
            .with_credential(key.credential()?)
            .with_owner(owner))
    }

    pub(crate) async fn create_record(
        &self,
        tower_id: i128,
        data: &Data,
        expiry: OffsetDateTime,
    ) -> Result<Created> {
        let key = Key::of(tower_id)?;
        let Some(lifetime) = lifetime_until(expiry, OffsetDateTime::now_utc()) else {
            // It has ended before it has begun: there is nothing that a load could find.
            return Ok(Created::Done);
        };
        let draft = self.draft(&key, data, lifetime)?;
        match self.store.create(&key.id, &draft).await? {
            Saved::Done(_) => Ok(Created::Done),
            Saved::Conflict => Ok(Created::Taken),
            Saved::Unknown => match self.store.load(&key.id).await? {
                Some(record) if record.version.stamp() == draft.stamp => Ok(Created::Done),
                Some(_) => Ok(Created::Taken),
                None => Err(Error::outcome_unknown()),
            },
            Saved::Gone => Err(Error::gone()),
        }
    }

    /// Replaces the data of a session that lives. Of two saves at the same time the later one
    /// counts, because tower-sessions does not say what a request has changed.
    pub(crate) async fn save_record(
        &self,
        tower_id: i128,
        data: &Data,
        expiry: OffsetDateTime,
    ) -> Result<()> {
        let key = Key::of(tower_id)?;
        let Some(lifetime) = lifetime_until(expiry, OffsetDateTime::now_utc()) else {
            return self.delete_record(tower_id).await;
        };
        let draft = self.draft(&key, data, lifetime)?;
        for attempt in 0..ATTEMPTS {
            let Some(record) = self.live(&key).await? else {
                return Err(Error::gone());
            };
            match self.store.save(&key.id, &draft, &record.version).await? {
                Saved::Done(_) => return Ok(()),
                Saved::Conflict => tokio::time::sleep(Duration::from_millis(attempt)).await,
                Saved::Gone => return Err(Error::gone()),
                Saved::Unknown => return self.check_written(&key, &draft).await,
            }
        }
        Err(Error::contention(ATTEMPTS as u32))
    }

    /// Whether a write without an answer was made. If another has replaced the session since, it
    /// can't be told, and writing once more would undo that other write.
    async fn check_written(&self, key: &Key, draft: &Draft) -> Result<()> {
        match self.live(key).await? {
            Some(record) if record.version.stamp() == draft.stamp => Ok(()),
            Some(_) => Err(Error::outcome_unknown()),
            None => Err(Error::gone()),
        }
    }

    pub(crate) async fn load_record(
        &self,
        tower_id: i128,
    ) -> Result<Option<(Data, OffsetDateTime)>> {
        let key = Key::of(tower_id)?;
        let Some(record) = self.live(&key).await? else {
            return Ok(None);
        };
        let expiry = expiry_after(record.ttl, OffsetDateTime::now_utc());
        match serde_json::from_slice(&record.data) {
            Ok(data) => Ok(Some((data, expiry))),
            Err(error) => {
                // Its text may show data.
                let (line, column) = (error.line(), error.column());
                tracing::warn!(id = ?key.id, line, column, "a stored session is no JSON object");
                Ok(None)
            }
        }
    }

    /// The live session of this key. One that can't be read is as good as none: its client gets a
    /// new one.
    async fn live(&self, key: &Key) -> Result<Option<Record>> {
        let loaded = match self.store.load(&key.id).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(id = ?key.id, %error, "a stored session is treated as absent");
                None
            }
            loaded => loaded?,
        };
        Ok(loaded.filter(|record| key.opens(record.credential.as_ref())))
    }

    /// No error if there was no session: a second click on "sign out" deletes what the first has
    /// deleted, and tower-sessions' `cycle_id` an id that was never stored.
    pub(crate) async fn delete_record(&self, tower_id: i128) -> Result<()> {
        let key = Key::of(tower_id)?;
        self.store.destroy(&key.id, None).await.map(drop)
    }

    /// Removes expired sessions of the whole store. Observers are not told of them, not by a
    /// [`Reaper`](session_core::Reaper) either, which finds them removed.
    pub(crate) async fn delete_expired_records(&self) -> Result<()> {
        let what = "deleting expired sessions";
        let directory = self.store.directory();
        let directory = directory.ok_or_else(|| Error::unsupported(what))?;
        loop {
            let reaped = directory.reap(REAPED_AT_ONCE).await?;
            directory.confirm_reaped(&reaped).await?;
            if reaped.len() < REAPED_AT_ONCE {
                return Ok(());
            }
        }
    }
}

/// Shows the store.
impl fmt::Debug for TowerSessionsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerSessionsStore")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
