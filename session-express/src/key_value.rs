//! The operations that an Express layout needs from a database.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::time::Duration;

use bytes::Bytes;
use session_core::backend::{Call, Client, Policy};
use session_core::{Cursor, Result, Ttl};

use crate::options::Express;

/// A stored value.
#[derive(Clone)]
pub struct Found {
    /// The value as it is stored.
    pub value: Bytes,
    /// Its remaining time to live, by the database's clock.
    pub left: Ttl,
    /// How long ago it was written or touched, if the layout stores that.
    pub modified: Option<Duration>,
}

/// Shows only the size of the value, which is session data.
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
    /// Names and values. If the layout transforms names, these are the stored ones.
    pub values: Vec<(String, Found)>,
    /// Where the next page starts.
    pub next: Option<Cursor>,
}

/// Shows only the number of values: names are the clients' secrets.
impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listed")
            .field("values", &self.values.len())
            .field("next", &self.next)
            .finish()
    }
}

/// The outcome of a [`rename`](KeyValue::rename).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a rename that did not happen must not pass for one that did"]
pub enum Renamed {
    /// The new value is stored, and the old name is free.
    Done,
    /// Nothing was written: the old name has another value, or none.
    Changed,
    /// The new name already had a value, which is unchanged. If the rename takes two steps, the old
    /// name may be free.
    Taken,
}

/// Values by name, each with a time to live, in the layout of one of Express' stores.
///
/// Write the methods as plain `async fn`s. Every operation is one atomic step, except
/// [`rename`](Self::rename) if an implementation documents that, and treats an expired value as
/// absent. A time to live counts from now by the database's clock, with the resolution and rounding
/// of Express' store.
///
/// Implementations send every command through [`Call::send`]. Errors are those of
/// [`SessionStore`](session_core::SessionStore), and a future may be dropped at any point.
///
/// # Repeats
/// A write that is repeated after a lost connection can find the effect of its own first sending,
/// and a value does not name its writer. So if an answer [`is_repeated`] and reports that nothing
/// was written, [`add`](Self::add), [`swap`](Self::swap) and [`rename`](Self::rename) return the
/// error of the lost connection, and a [`remove`](Self::remove) that finds nothing returns `true`.
/// After a failure that proves that nothing was written, such as a deadlock, a repeat is an
/// ordinary write.
///
/// [`is_repeated`]: session_core::backend::Sent::is_repeated
pub trait KeyValue: Debug + Send + Sync + 'static {
    /// The client that sends commands, as
    /// [`Backend::Client`](session_core::backend::Backend::Client).
    type Client: Client;

    /// The product's name, as [`Backend::NAME`](session_core::backend::Backend::NAME).
    const NAME: &'static str;

    /// How long a record lives if its cookie ends with the browser and the app sets no `ttl`.
    const TTL: Duration;

    /// Returns the time limit, the size limit and the number of repeats. The batching in it is
    /// ignored.
    fn policy(&self) -> Policy;

    /// Returns how long after a write or touch the next touches are skipped.
    fn touch_after(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns the name under which [`page`](Self::page) lists the value of `name`, which differs
    /// if the layout transforms names.
    fn listed_as<'n>(&self, name: &'n str) -> Cow<'n, str> {
        Cow::Borrowed(name)
    }

    /// Reads the value of `name`, as part of the call's [operation](Call::operation).
    fn get(
        &self,
        call: &Call<Self::Client>,
        name: &str,
    ) -> impl Future<Output = Result<Option<Found>>> + Send;

    /// Adds `value` if `name` has none. Returns whether it did.
    fn add(
        &self,
        call: &Call<Self::Client>,
        name: &str,
        value: &Bytes,
        ttl: Ttl,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Replaces the value `old` with `new`. Returns whether it did: if `name` has another value or
    /// none, nothing is written.
    fn swap(
        &self,
        call: &Call<Self::Client>,
        name: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Extends a value's time to live to `ttl` if it is shorter. Returns whether there is a value.
    fn extend(
        &self,
        call: &Call<Self::Client>,
        name: &str,
        ttl: Ttl,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Stores `new` under the name `to` and frees the name `from`, if `from` has the value `old`
    /// and `to` has none. If the database can't do that in one step, the implementation frees
    /// `from` first, so that a reader never sees both.
    fn rename(
        &self,
        call: &Call<Self::Client>,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> impl Future<Output = Result<Renamed>> + Send;

    /// Removes a value. Returns whether there was one.
    fn remove(
        &self,
        call: &Call<Self::Client>,
        name: &str,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Counts the values of this store.
    fn count(&self, call: &Call<Self::Client>) -> impl Future<Output = Result<u64>> + Send;

    /// Lists about `limit` values from `cursor` on.
    fn page(
        &self,
        call: &Call<Self::Client>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> impl Future<Output = Result<Listed>> + Send;

    /// Removes all values of this store. Returns their number.
    fn clear(&self, call: &Call<Self::Client>) -> impl Future<Output = Result<u64>> + Send;

    /// Removes about `limit` expired values, if the database does not do that itself.
    fn purge(
        &self,
        call: &Call<Self::Client>,
        limit: usize,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (call, limit);
        async { Ok(()) }
    }

    /// Extracts the JSON from a stored value.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) if the value contains none.
    fn open(&self, value: &Bytes) -> impl Future<Output = Result<Bytes>> + Send {
        let json = value.clone();
        async { Ok(json) }
    }

    /// Converts JSON to the value to store in place of `old`.
    ///
    /// # Errors
    /// Those of encryption or encoding.
    fn seal(&self, json: Bytes, old: Option<&Bytes>) -> impl Future<Output = Result<Bytes>> + Send {
        let _ = old;
        async { Ok(json) }
    }
}

/// A layout that has options besides those of the app.
pub trait Configured: KeyValue {
    /// Builds a store of this layout.
    type Builder: From<Express>;
}
