//! What a database must do to keep Express' records.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use session_core::{Cursor, Error, Result, Ttl};

use crate::options::Express;

/// A value that is there.
#[derive(Clone, Debug)]
pub struct Found {
    /// The value, as it is stored.
    pub value: Bytes,
    /// How long it will be there, by the database's clock.
    pub left: Ttl,
    /// How long ago it was written or touched, where that is kept.
    pub modified: Option<Duration>,
}

/// A page of a listing.
#[derive(Debug, Default)]
pub struct Listed {
    /// Names and values. Where names are transformed, as they are stored.
    pub values: Vec<(String, Found)>,
    /// Where the next page starts.
    pub next: Option<Cursor>,
}

/// Values under names, each with a time to live, in the layout of one of Express' stores.
///
/// Every operation is one atomic step, but for [`rename`](Self::rename) where that says so, and
/// takes an expired value for absent. Times to live are counted from now by the database's clock,
/// in steps as coarse as those of Express' store and rounded as it rounds them.
///
/// Errors and what becomes of a dropped future are as
/// [`SessionStore`](session_core::SessionStore) says.
#[async_trait]
pub trait KeyValue: Debug + Send + Sync + 'static {
    /// How long a record lives whose cookie ends with the browser, if the app does not say.
    const TTL: Duration;

    /// The most bytes of a record.
    fn max_data(&self) -> usize;

    /// A touch that comes sooner than this after the last write is left out.
    fn touch_after(&self) -> Duration {
        Duration::ZERO
    }

    /// The value `name`.
    async fn get(&self, operation: &'static str, name: &str) -> Result<Option<Found>>;

    /// Adds `value`, if there is none; whether that was so.
    async fn add(&self, name: &str, value: &Bytes, ttl: Ttl) -> Result<bool>;

    /// Puts `new` in the place of `old`, if that is there; whether it was.
    async fn swap(&self, name: &str, old: &Bytes, new: &Bytes, ttl: Ttl) -> Result<bool>;

    /// Makes a value live for `ttl`, if it would end sooner; whether there is one.
    async fn extend(&self, name: &str, ttl: Ttl) -> Result<bool>;

    /// Puts `new` under the name `to`, if `old` is there under `from`, which is then free; whether it
    /// was. Where that can't be one step, `from` goes first: in between there is neither.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if there is a value under `to`.
    async fn rename(
        &self,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<bool>;

    /// Removes a value; whether there was one.
    async fn remove(&self, name: &str) -> Result<bool>;

    /// How many values there are.
    async fn count(&self) -> Result<u64>;

    /// About `limit` values from `cursor` on.
    async fn page(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Listed>;

    /// Removes all values of this store.
    async fn clear(&self) -> Result<u64>;

    /// Removes about `limit` expired values, where the database does not do that by itself.
    async fn purge(&self, limit: usize) -> Result<()> {
        let _ = limit;
        Ok(())
    }

    /// The JSON in a stored value.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it holds none.
    async fn open(&self, value: &Bytes) -> Result<Bytes> {
        Ok(value.clone())
    }

    /// The value to store for this JSON, where `old` was before.
    ///
    /// # Errors
    /// Those of making it.
    async fn seal(&self, json: Bytes, old: Option<&Bytes>) -> Result<Bytes> {
        let _ = old;
        Ok(json)
    }
}

/// What has options of its own, beside those of the app.
pub trait Configured: KeyValue {
    /// Sets a store up.
    type Builder: From<Express>;
}

/// Refuses a record that is too large.
pub(crate) fn check(kv: &impl KeyValue, json: &Bytes) -> Result<()> {
    Error::check_size("record", json.len(), kv.max_data())
}
