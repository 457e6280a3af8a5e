//! Faults of create and save.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use session_conformance::reference::Row;
use session_core::{
    Anchor, Credential, Draft, Lifetime, Owner, Result, Saved, SessionId, SessionStore, Timeout,
    Version,
};

use crate::factory::locked;
use crate::fault::Fault;
use crate::store::Broken;

impl Broken {
    /// The draft as it is stored.
    pub(crate) async fn stored(&self, draft: &Draft) -> Draft {
        let mut draft = draft.clone();
        match self.fault {
            Fault::TruncatesBlobs => draft.data.truncate(65_535),
            Fault::SaveRestarts => draft.anchor = Anchor::Restart,
            Fault::WholeSeconds => {
                let Lifetime { idle, absolute } = draft.lifetime;
                draft.lifetime = Lifetime::new(whole_seconds(idle), whole_seconds(absolute));
            }
            Fault::DropsCredential => draft.credential = None,
            Fault::DropsDescription => draft.description = None,
            Fault::LongDataDropsCredential if draft.data.len() > 65_535 => draft.credential = None,
            Fault::JoinsCredentialAndOwner => join(&mut draft),
            Fault::MixesCredentials => {
                locked(&self.shared.latest).clone_from(&draft.credential);
                self.pause().await;
                draft.credential = locked(&self.shared.latest).clone();
            }
            _ => {
                let bytes = Credential::stored(draft.credential.as_ref());
                draft.credential = credential(&self.stored_bytes(bytes));
            }
        }
        draft
    }

    /// A credential as it is stored.
    fn stored_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        match self.fault {
            Fault::TruncatesCredential => bytes.iter().copied().take(128).collect(),
            Fault::TrimsCredential => bytes.trim_ascii_end().to_vec(),
            Fault::CredentialIsText => String::from_utf8_lossy(bytes).into_owned().into_bytes(),
            _ => bytes.to_vec(),
        }
    }

    /// Overwrites the session if it is the same draft that is stored.
    pub(crate) fn write_again(&self, id: &SessionId, draft: &Draft) {
        let (mut rows, now) = (self.inner.rows(), Instant::now());
        if let Some(row) = rows.get_mut(id).filter(|row| row.stamp == draft.stamp) {
            *row = Row::new(draft, row.began, now);
        }
    }

    /// Updates what a store keeps beside its sessions, after a write.
    pub(crate) fn remember(&self, id: &SessionId, draft: &Draft, saved: &Saved) {
        if !saved.is_done() {
            return;
        }
        locked(&self.shared.written).insert(draft.stamp);
        if let Some(owner) = &draft.owner {
            let entry = (owner.clone(), id.clone());
            locked(&self.shared.removed).remove(&entry);
            locked(&self.shared.index).insert(entry);
        }
    }

    /// Applies faults after a save that replaced `before`.
    pub(crate) fn after_save(&self, id: &SessionId, before: &Row, draft: &Draft) {
        if let Some(row) = self.inner.rows().get_mut(id) {
            let keeps = match self.fault {
                Fault::KeepsFirstCredential => true,
                Fault::NeverClearsCredential => draft.credential.is_none(),
                _ => false,
            };
            if keeps {
                row.credential.clone_from(&before.credential);
            }
            let keeps = match self.fault {
                Fault::KeepsFirstDescription => true,
                Fault::NeverClearsDescription => draft.description.is_none(),
                _ => false,
            };
            if keeps {
                row.description.clone_from(&before.description);
            }
        }
        if self.has(Fault::LosesIndexEntry)
            && before.owner != draft.owner
            && let Some(owner) = before.owner.clone()
        {
            self.remove_from_index_late(owner, id.clone());
        }
    }

    /// Removes the session from the owner's index after the save was answered.
    fn remove_from_index_late(&self, owner: Owner, id: SessionId) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            locked(&shared.removed).insert((owner, id));
        });
    }

    pub(crate) async fn save_as_written(
        &self,
        id: &SessionId,
        draft: &Draft,
        expected: &Version,
    ) -> Result<Saved> {
        let is_overtaken = || locked(&self.shared.written).contains(&draft.stamp);
        match self.fault {
            Fault::LastWriteWins => {
                let Some(found) = self.inner.load(id).await? else {
                    return Ok(Saved::Gone);
                };
                self.inner.save(id, draft, &found.version).await
            }
            Fault::CompareThenWrite => self.compare_then_write(id, draft, expected).await,
            Fault::RepeatedSaveWrites => {
                self.write_again(id, draft);
                self.inner.save(id, draft, expected).await
            }
            Fault::SaveCreates => match self.inner.save(id, draft, expected).await? {
                Saved::Gone => self.inner.create(id, draft).await,
                saved => Ok(saved),
            },
            Fault::IgnoresOwnStamp => {
                let found = self.inner.load(id).await?;
                if found.is_some_and(|found| found.version.stamp() == draft.stamp) {
                    return Ok(Saved::Conflict);
                }
                self.inner.save(id, draft, expected).await
            }
            Fault::OvertakenSaveIsDone if is_overtaken() => Ok(Saved::done(draft)),
            Fault::OvertakenSaveWrites if is_overtaken() => {
                let saved = self.inner.save(id, draft, expected).await?;
                if let Some(row) = self.inner.rows().get_mut(id) {
                    *row = Row::new(draft, row.began, Instant::now());
                }
                Ok(saved)
            }
            Fault::NeedsStoredBytes if expected.stored().is_empty() => Ok(Saved::Conflict),
            Fault::ConflictWritesCredential | Fault::ConflictWritesDescription => {
                let saved = self.inner.save(id, draft, expected).await?;
                if let Some(row) = self.inner.rows().get_mut(id) {
                    match self.fault {
                        Fault::ConflictWritesCredential => {
                            row.credential.clone_from(&draft.credential);
                        }
                        _ => row.description.clone_from(&draft.description),
                    }
                }
                Ok(saved)
            }
            Fault::DestroyMarks => {
                self.unmark(id, expected);
                self.inner.save(id, draft, expected).await
            }
            Fault::KeepsLock => {
                while self.shared.busy.swap(true, SeqCst) {
                    self.pause().await;
                }
                self.pause().await;
                let saved = self.inner.save(id, draft, expected).await;
                // If the future is dropped before, the lock is never released.
                self.shared.busy.store(false, SeqCst);
                saved
            }
            _ => self.inner.save(id, draft, expected).await,
        }
    }

    async fn compare_then_write(
        &self,
        id: &SessionId,
        draft: &Draft,
        expected: &Version,
    ) -> Result<Saved> {
        let Some(found) = self.inner.load(id).await? else {
            return Ok(Saved::Gone);
        };
        let found = found.version.stamp();
        if found != draft.stamp && found != expected.stamp() {
            return Ok(Saved::Conflict);
        }
        self.pause().await;
        if let Some(row) = self.inner.rows().get_mut(id) {
            *row = Row::new(draft, row.began, Instant::now());
        }
        Ok(Saved::done(draft))
    }
}

fn whole_seconds(timeout: Timeout) -> Timeout {
    match timeout {
        Timeout::After(limit) => Timeout::After(Duration::from_secs(limit.as_secs())),
        Timeout::Never => Timeout::Never,
    }
}

fn credential(bytes: &[u8]) -> Option<Credential> {
    let fitting = &bytes[..bytes.len().min(Credential::MAX_BYTES)];
    Credential::from_stored(fitting).expect("it fits")
}

/// Stores both in one field, separated by a zero byte.
fn join(draft: &mut Draft) {
    let secret = Credential::stored(draft.credential.as_ref());
    let owner = draft.owner.as_ref().map_or("", Owner::as_str);
    let field = [secret, b"\0", owner.as_bytes()].concat();
    let (secret, owner) = field.split_at(field.iter().position(|&byte| byte == 0).unwrap_or(0));
    draft.owner = Owner::new(String::from_utf8_lossy(&owner[1..])).ok();
    draft.credential = credential(secret);
}
