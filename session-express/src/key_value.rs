//! What a database must do to keep Express' records.

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
/// Write the methods as plain `async fn`s. Every operation is one atomic step, except
/// [`rename`](Self::rename) where an implementation says so, and treats an expired value as absent.
/// Times to live count from now by the database's clock, in steps as coarse as those of Express'
/// store and rounded as it rounds them.
///
/// Everything is sent through [`Call::send`]. Errors are those of
/// [`SessionStore`](session_core::SessionStore), and a future may be dropped at any point.
///
/// # Repeats
/// A write that is repeated after a lost connection can find what its own first sending has done,
/// and a value does not say who wrote it. So where an answer [`is_repeated`], and says that
/// nothing was written, an implementation of [`add`](Self::add), [`swap`](Self::swap) or
/// [`rename`](Self::rename) answers with the error of the lost connection, and one of
/// [`remove`](Self::remove) that finds nothing with `true`. After a failure that proves that nothing
/// was written, such as a deadlock, a repeat is an ordinary write.
///
/// [`is_repeated`]: session_core::backend::Sent::is_repeated
pub trait KeyValue: Debug + Send + Sync + 'static {
    /// What operations are sent by, as [`Backend::Client`](session_core::backend::Backend::Client).
    type Client: Client;

    /// The product's name, as [`Backend::NAME`](session_core::backend::Backend::NAME).
    const NAME: &'static str;

    /// How long a record lives whose cookie ends with the browser, if the app does not say.
    const TTL: Duration;

    /// How long an operation may take, how large a record may be, and how often a command is
    /// repeated. Nothing is batched, whatever this says.
    fn policy(&self) -> Policy;

    /// A touch that comes sooner than this after the last write is left out.
    fn touch_after(&self) -> Duration {
        Duration::ZERO
    }

    /// The name that [`page`](Self::page) gives for what is filed under `name`: where names are
    /// transformed, another one.
    fn listed_as<'n>(&self, name: &'n str) -> Cow<'n, str> {
        Cow::Borrowed(name)
    }

    /// The value of `name`. The [operation](Call::operation) says what for.
    fn get(
        &self,
        call: &Call<Self::Client>,
        name: &str,
    ) -> impl Future<Output = Result<Option<Found>>> + Send;

    /// Adds `value` if `name` has none; whether it did.
    fn add(
        &self,
        call: &Call<Self::Client>,
        name: &str,
        value: &Bytes,
        ttl: Ttl,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Replaces the value `old` by `new`; whether it did. If `name` has another value, or none,
    /// nothing is written.
    fn swap(
        &self,
        call: &Call<Self::Client>,
        name: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Makes a value live for `ttl` if it would end sooner; whether there is one.
    fn extend(
        &self,
        call: &Call<Self::Client>,
        name: &str,
        ttl: Ttl,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Puts `new` under the name `to` and frees the name `from`, if `from` has the value `old` and
    /// `to` has none. Where the database can't do that in one step, `from` is freed first, so that
    /// no reader ever sees both.
    fn rename(
        &self,
        call: &Call<Self::Client>,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> impl Future<Output = Result<Renamed>> + Send;

    /// Removes a value; whether there was one.
    fn remove(
        &self,
        call: &Call<Self::Client>,
        name: &str,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// How many values there are.
    fn count(&self, call: &Call<Self::Client>) -> impl Future<Output = Result<u64>> + Send;

    /// About `limit` values from `cursor` on.
    fn page(
        &self,
        call: &Call<Self::Client>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> impl Future<Output = Result<Listed>> + Send;

    /// Removes all values of this store; how many.
    fn clear(&self, call: &Call<Self::Client>) -> impl Future<Output = Result<u64>> + Send;

    /// Removes about `limit` expired values, where the database does not do that by itself.
    fn purge(
        &self,
        call: &Call<Self::Client>,
        limit: usize,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (call, limit);
        async { Ok(()) }
    }

    /// The JSON in a stored value.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) if it holds none.
    fn open(&self, value: &Bytes) -> impl Future<Output = Result<Bytes>> + Send {
        let json = value.clone();
        async { Ok(json) }
    }

    /// The value to store for this JSON, in the place of `old`.
    ///
    /// # Errors
    /// Those of encryption or encoding.
    fn seal(&self, json: Bytes, old: Option<&Bytes>) -> impl Future<Output = Result<Bytes>> + Send {
        let _ = old;
        async { Ok(json) }
    }
}

/// A layout with options of its own, beside those of the app.
pub trait Configured: KeyValue {
    /// Sets a store up.
    type Builder: From<Express>;
}
