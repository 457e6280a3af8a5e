//! What a database must do to keep Express' records.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use session_core::{Cursor, Error, Result, Ttl};

use crate::options::Express;

/// A stored value.
#[derive(Clone)]
pub struct Found {
    /// The value, as it is stored.
    pub value: Bytes,
    /// How long it will be there, by the database's clock.
    pub left: Ttl,
    /// How long ago it was written or touched, where that is kept.
    pub modified: Option<Duration>,
}

/// Shows the size of the value, which is the visitors' data.
impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("value", &format_args!("{} bytes", self.value.len()))
            .field("left", &self.left)
            .field("modified", &self.modified)
            .finish()
    }
}

/// A page of a listing.
#[derive(Default)]
pub struct Listed {
    /// Names and values. Where names are transformed, as they are stored.
    pub values: Vec<(String, Found)>,
    /// Where the next page starts.
    pub next: Option<Cursor>,
}

/// Shows how many there are: names are the clients' secrets.
impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listed")
            .field("values", &self.values.len())
            .field("next", &self.next)
            .finish()
    }
}

/// How a [`rename`](KeyValue::rename) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a rename that did not happen must not pass for one that did"]
pub enum Renamed {
    /// The new value is in place, and the old name is free.
    Done,
    /// Nothing was written: the old name has another value, or none.
    Changed,
    /// The new name has a value already, which was left as it is. Where a rename takes two steps,
    /// the old name may be free by now.
    Taken,
}

/// Values under names, each with a time to live, in the layout of one of Express' stores.
///
/// Every operation is one atomic step, except [`rename`](Self::rename) where an implementation
/// says so, and treats an expired value as absent. Times to live count from now by the database's
/// clock, in steps as coarse as those of Express' store and rounded as it rounds them.
///
/// Errors are those of [`SessionStore`](session_core::SessionStore), and a future may be dropped at
/// any point.
///
/// # Repeats
/// A write that is repeated after a lost connection can find what its own first sending has done,
/// and a value does not say who wrote it. So an implementation whose driver repeats writes by
/// itself answers the error of the lost connection where a repeated [`add`](Self::add),
/// [`swap`](Self::swap) or [`rename`](Self::rename) would say that nothing was written, and answers
/// `true` where a repeated [`remove`](Self::remove) finds nothing. After a failure that proves that
/// nothing was written, such as a deadlock, a repeat is an ordinary write.
#[async_trait]
pub trait KeyValue: Debug + Send + Sync + 'static {
    /// How long a record lives whose cookie ends with the browser, if the app does not say.
    const TTL: Duration;

    /// The largest record, in bytes.
    fn max_data(&self) -> usize;

    /// A touch that comes sooner than this after the last write is left out.
    fn touch_after(&self) -> Duration {
        Duration::ZERO
    }

    /// The name that [`page`](Self::page) gives for what is filed under `name`: where names are
    /// transformed, another one.
    fn listed_as<'n>(&self, name: &'n str) -> Cow<'n, str> {
        Cow::Borrowed(name)
    }

    /// The value of `name`.
    async fn get(&self, operation: &'static str, name: &str) -> Result<Option<Found>>;

    /// Adds `value` if `name` has none; whether it did.
    async fn add(&self, name: &str, value: &Bytes, ttl: Ttl) -> Result<bool>;

    /// Replaces the value `old` by `new`; whether it did. If `name` has another value, or none,
    /// nothing is written.
    async fn swap(&self, name: &str, old: &Bytes, new: &Bytes, ttl: Ttl) -> Result<bool>;

    /// Makes a value live for `ttl` if it would end sooner; whether there is one.
    async fn extend(&self, name: &str, ttl: Ttl) -> Result<bool>;

    /// Puts `new` under the name `to` and frees the name `from`, if `from` has the value `old` and
    /// `to` has none. Where the database can't do that in one step, `from` is freed first, so that
    /// no reader ever sees both.
    async fn rename(
        &self,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<Renamed>;

    /// Removes a value; whether there was one.
    async fn remove(&self, name: &str) -> Result<bool>;

    /// How many values there are.
    async fn count(&self) -> Result<u64>;

    /// About `limit` values from `cursor` on.
    async fn page(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Listed>;

    /// Removes all values of this store; how many.
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

    /// The value to store for this JSON, in the place of `old`.
    ///
    /// # Errors
    /// Those of encryption or encoding.
    async fn seal(&self, json: Bytes, old: Option<&Bytes>) -> Result<Bytes> {
        let _ = old;
        Ok(json)
    }
}

/// A layout with options of its own, beside those of the app.
pub trait Configured: KeyValue {
    /// Sets a store up.
    type Builder: From<Express>;
}

/// Refuses a record that is too large.
pub(crate) fn check(kv: &impl KeyValue, json: &Bytes) -> Result<()> {
    Error::check_size("record", json.len(), kv.max_data())
}
