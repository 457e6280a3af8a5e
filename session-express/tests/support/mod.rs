//! A key-value store in memory that tests can inspect and break.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use session_core::backend::{Call, Policy};
use session_core::{Bytes, Cursor, Error, Result, Ttl};
use session_express::{Found, KeyValue, Listed, Renamed};

type Values = HashMap<String, (Bytes, Option<Instant>)>;

/// Clones share the values.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    values: Arc<Mutex<Values>>,
    /// Operations so far.
    pub(crate) calls: Arc<AtomicUsize>,
    /// Whether the next write is done and its answer lost.
    pub(crate) cut: Arc<AtomicBool>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let values = self.values.lock().expect("whole");
        let (value, _) = values.get(name)?;
        Some(String::from_utf8(value.to_vec()).expect("JSON"))
    }

    /// Writes as Express does, without comparing.
    pub(crate) fn put(&self, name: &str, value: &str, ttl: Duration) {
        let value = (Bytes::from(value.to_owned()), Some(Instant::now() + ttl));
        self.values
            .lock()
            .expect("whole")
            .insert(name.into(), value);
    }

    /// The number of live values.
    pub(crate) fn len(&self) -> usize {
        self.live(|values| values.len())
    }

    /// Removes all values and returns their number.
    pub(crate) fn drain(&self) -> usize {
        self.live(|values| values.drain().count())
    }

    fn live<T>(&self, work: impl FnOnce(&mut Values) -> T) -> T {
        self.calls.fetch_add(1, SeqCst);
        let mut values = self.values.lock().expect("whole");
        let now = Instant::now();
        values.retain(|_, (_, end)| end.is_none_or(|end| now < end));
        work(&mut values)
    }

    fn answered<T>(&self, answer: T) -> Result<T> {
        match self.cut.swap(false, SeqCst) {
            true => Err(Error::unavailable("write", "the connection was closed")),
            false => Ok(answer),
        }
    }
}

fn end(ttl: Ttl) -> Option<Instant> {
    ttl.left().map(|left| Instant::now() + left)
}

impl KeyValue for Memory {
    type Client = ();

    const NAME: &'static str = "memory";
    const TTL: Duration = Duration::from_secs(86_400);

    fn policy(&self) -> Policy {
        Policy::new(Policy::TIMEOUT, 4096)
    }

    async fn get(&self, _: &Call<()>, name: &str) -> Result<Option<Found>> {
        Ok(self.live(|values| {
            let (value, end) = values.get(name)?;
            let left = end.map(|end| end - Instant::now());
            Some(Found {
                value: value.clone(),
                left: left.map_or(Ttl::Never, Ttl::Left),
                modified: None,
            })
        }))
    }

    async fn add(&self, _: &Call<()>, name: &str, value: &Bytes, ttl: Ttl) -> Result<bool> {
        let added = self.live(|values| {
            let free = !values.contains_key(name);
            if free {
                values.insert(name.into(), (value.clone(), end(ttl)));
            }
            free
        });
        self.answered(added)
    }

    async fn swap(
        &self,
        _: &Call<()>,
        name: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        let swapped = self.live(|values| match values.get_mut(name) {
            Some(there) if there.0 == old => {
                *there = (new.clone(), end(ttl));
                true
            }
            _ => false,
        });
        self.answered(swapped)
    }

    async fn extend(&self, _: &Call<()>, name: &str, ttl: Ttl) -> Result<bool> {
        Ok(self.live(|values| match values.get_mut(name) {
            Some(there) => {
                there.1 = there.1.max(end(ttl));
                true
            }
            None => false,
        }))
    }

    async fn rename(
        &self,
        _: &Call<()>,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<Renamed> {
        let renamed = self.live(|values| {
            if values.get(from).is_none_or(|there| there.0 != old) {
                return Renamed::Changed;
            }
            if values.contains_key(to) {
                return Renamed::Taken;
            }
            values.remove(from);
            values.insert(to.into(), (new.clone(), end(ttl)));
            Renamed::Done
        });
        self.answered(renamed)
    }

    async fn remove(&self, _: &Call<()>, name: &str) -> Result<bool> {
        let removed = self.live(|values| values.remove(name).is_some());
        self.answered(removed)
    }

    async fn count(&self, _: &Call<()>) -> Result<u64> {
        Ok(self.len() as u64)
    }

    async fn page(&self, _: &Call<()>, _: Option<&Cursor>, _: usize) -> Result<Listed> {
        let found = |value: &Bytes| Found {
            value: value.clone(),
            left: Ttl::Never,
            modified: None,
        };
        let values = self.live(|values| {
            let all = values.iter();
            all.map(|(name, (value, _))| (name.clone(), found(value)))
                .collect()
        });
        Ok(Listed { values, next: None })
    }

    async fn clear(&self, _: &Call<()>) -> Result<u64> {
        Ok(self.drain() as u64)
    }
}
