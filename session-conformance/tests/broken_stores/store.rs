//! The reference store with one fault: create, load and touch.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_conformance::reference::{ReferenceFactory, ReferenceStore};
use session_core::{
    Capabilities, Draft, Ended, NoticeStream, Record, Result, Saved, SessionDirectory, SessionId,
    SessionStore, Timeout, Ttl, Version, async_trait,
};

use crate::factory::{PASSWORD, Shared, locked};
use crate::fault::Fault;

/// One instance of a store with a fault.
pub(crate) struct Broken {
    pub(crate) fault: Fault,
    pub(crate) inner: ReferenceStore,
    pub(crate) all: ReferenceFactory,
    pub(crate) shared: Arc<Shared>,
    pub(crate) instance: usize,
    pub(crate) namespace: String,
}

impl Broken {
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// The id under which a store that does not compare byte by byte stores `id`.
    fn stored_id(&self, id: &SessionId) -> SessionId {
        let text = match self.fault {
            Fault::FoldsCase => id.as_str().to_lowercase(),
            Fault::TrimsSpace => id.as_str().trim_end_matches(' ').to_owned(),
            _ => return id.clone(),
        };
        SessionId::from_stored(&text).unwrap_or_else(|_| id.clone())
    }

    /// Lets other operations run in between.
    pub(crate) async fn pause(&self) {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }

    /// The record as a store with this fault returns it.
    fn with_fault(&self, mut record: Record) -> Record {
        if let (Fault::OwnClock, Ttl::Left(left)) = (self.fault, record.ttl) {
            let ahead = Duration::from_secs(60) * self.instance as u32;
            record.ttl = Ttl::Left(left.saturating_sub(ahead));
        }
        if self.has(Fault::NeedsStoredBytes) {
            record.version = record.version.with_stored("as stored".into());
        }
        record
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Broken");
        if self.has(Fault::ShowsPassword) {
            shown.field("url", &format!("db://app:{PASSWORD}@db"));
        }
        shown.finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for Broken {
    fn capabilities(&self) -> Capabilities {
        match self.fault {
            Fault::DeclaresNothing => Capabilities::new(),
            Fault::DeclaresPlainIds => self.inner.capabilities().with_plain_ids(true),
            _ => self.inner.capabilities(),
        }
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        (!self.has(Fault::DeclaresNothing)).then_some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        let id = self.stored_id(id);
        let mut draft = self.stored(draft).await;
        if self.has(Fault::ForgetsPast) {
            draft.past = None;
        }
        if self.has(Fault::CreateOverwrites) {
            self.inner.destroy(&id, None).await?;
        }
        if self.has(Fault::RepeatedCreateWrites) {
            self.write_again(&id, &draft);
        }
        let created = self.inner.create(&id, &draft).await?;
        self.remember(&id, &draft, &created);
        Ok(created)
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let id = self.stored_id(id);
        if self.has(Fault::NoExpiryFilter) {
            let mut rows = self.inner.rows();
            if let Some(row) = rows.get_mut(&id) {
                row.deadline = None;
            }
        }
        let Some(record) = self.inner.load(&id).await? else {
            return Ok(None);
        };
        let mut record = self.with_fault(record);
        if self.has(Fault::TornLoad) || self.has(Fault::TornCredential) {
            self.pause().await;
            let later = self.inner.load(&id).await?;
            let later = later.unwrap_or_else(|| record.clone());
            match self.fault {
                Fault::TornLoad => record.owner = later.owner,
                _ => record.credential = later.credential,
            }
        }
        Ok(Some(record))
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let id = self.stored_id(id);
        let draft = self.stored(draft).await;
        let before = self.inner.rows().get(&id).cloned();
        let saved = self.save_as_written(&id, &draft, expected).await?;
        self.remember(&id, &draft, &saved);
        if let (Some(before), true) = (before, saved.is_done()) {
            self.after_save(&id, &before, &draft);
        }
        Ok(saved)
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let id = self.stored_id(id);
        let now = Instant::now();
        if self.has(Fault::TouchWritesData) {
            let before = self.inner.rows().get(&id).cloned();
            self.pause().await;
            if let (Some(row), Some(before)) = (self.inner.rows().get_mut(&id), before) {
                *row = before;
            }
        }
        if let Some(row) = self.inner.rows().get_mut(&id) {
            match self.fault {
                Fault::TouchRevives => {
                    row.deadline = row.deadline_after(idle, now).or(row.deadline);
                }
                Fault::TouchPassesAbsolute => {
                    row.deadline = idle.duration().map(|idle| now + idle);
                }
                Fault::TouchShortens => row.deadline = row.deadline_after(idle, now),
                Fault::TouchLosesCredential => row.credential = None,
                Fault::TouchLosesDescription => row.description = None,
                _ => {}
            }
        }
        self.inner.touch(&id, idle).await
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        let id = self.stored_id(id);
        if self.has(Fault::StaleOwners) {
            let listed = self.inner.list(None, usize::MAX).await?.sessions;
            let ended = listed.into_iter().filter(|info| info.id == id);
            locked(&self.shared.stale).extend(ended);
        }
        self.destroy_as_written(&id, expected).await
    }

    fn notices(&self) -> Option<NoticeStream> {
        self.wrong_notices()
    }
}
