//! Where clients come from.

use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Failure;
use crate::async_trait;

/// What operations are sent by: a connection, a pool, a client of the driver's. Clones share it.
pub trait Client: Clone + Send + Sync + 'static {}

impl<C: Clone + Send + Sync + 'static> Client for C {}

/// Makes the clients of a store, and knows where they lead.
#[async_trait]
pub trait Connector: Debug + Send + Sync + 'static {
    /// What operations are sent by.
    type Client: Client;

    /// The product and its address, for errors: `Redis at 127.0.0.1:6379`. Nothing secret.
    fn place(&self) -> &str;

    /// Another client, which connects when it is first used. `None` if there is no other: the
    /// caller's own is used.
    fn connect(&self) -> Option<Self::Client> {
        None
    }

    /// Gives the server what it lacks, after [`Failure::prepare`] of a command of `operation`.
    ///
    /// # Errors
    /// If that can't be done: the error of that operation.
    async fn prepare(&self, client: Self::Client, operation: &'static str) -> Result<(), Failure> {
        let _ = (client, operation);
        Ok(())
    }

    /// Whether `client` can't be used any more, because its runtime has ended for example. Called
    /// for each attempt, so quick.
    fn is_spent(&self, client: &Self::Client) -> bool {
        let _ = client;
        false
    }

    /// Calls over `client` that began at `since` were given up without an answer. Whether another
    /// client takes its place: a pool may close only those of its connections that were not used
    /// since.
    fn replaces_silent(&self, client: &Self::Client, since: Instant) -> bool {
        let _ = (client, since);
        true
    }

    /// Whether an answer over a client shows that all of it works. That of one connection does,
    /// that of a cluster does not: each node has a connection of its own.
    fn is_one_connection(&self) -> bool {
        true
    }

    /// How long a client is kept at least, so that a server which stays the wrong one is not
    /// connected to for each operation; default 100 ms.
    fn min_age(&self) -> Duration {
        Duration::from_millis(100)
    }
}

/// The connector of the one client that there is: no other takes its place.
pub struct Fixed<C> {
    place: Arc<str>,
    client: PhantomData<fn() -> C>,
}

impl<C> Fixed<C> {
    /// For a client that leads to `place`.
    #[must_use]
    pub fn new(place: impl Into<Arc<str>>) -> Self {
        Self {
            place: place.into(),
            client: PhantomData,
        }
    }
}

impl<C> Debug for Fixed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fixed").field(&self.place).finish()
    }
}

impl<C: Client> Connector for Fixed<C> {
    type Client = C;

    fn place(&self) -> &str {
        &self.place
    }
}
