//! Makes the clients of a store.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::async_trait;
use session_core::backend::Connector;

use crate::client::SqlClient;
use crate::dialect::OptionsOf;
use crate::{Dialect, Statement};

/// A store has one pool for its lifetime, so that there is one limit of connections. To replace the
/// client means to close the connections of the pool.
pub struct SqlConnector<D: Dialect> {
    place: Arc<str>,
    client: SqlClient<D>,
    acquire_timeout: Duration,
}

impl<D: Dialect> Clone for SqlConnector<D> {
    fn clone(&self) -> Self {
        Self {
            place: Arc::clone(&self.place),
            client: self.client.clone(),
            ..*self
        }
    }
}

impl<D: Dialect> SqlConnector<D> {
    /// For up to `max_connections` connections with `options`, which lead to `place`, for
    /// operations with this time limit. Opens none yet.
    pub fn new(
        options: OptionsOf<D>,
        place: Arc<str>,
        max_connections: u32,
        timeout: Duration,
    ) -> Self {
        // Less than the time limit, so that the error contains the server's reason.
        let acquire_timeout = timeout.mul_f64(0.8);
        Self {
            place,
            client: SqlClient::new(options, max_connections, acquire_timeout),
            acquire_timeout,
        }
    }

    /// The same, with one connection with `options` for all that writes.
    #[must_use]
    pub fn with_writer(mut self, options: OptionsOf<D>) -> Self {
        self.client = self.client.with_writer(options, self.acquire_timeout);
        self
    }

    /// The same, where no statement stays prepared unless `prepares`.
    #[must_use]
    pub fn with_prepared(mut self, prepares: bool) -> Self {
        self.client = self.client.with_prepared(prepares);
        self
    }

    /// The same, whose new connections make an empty database a store's by `create`
    /// ([`Dialect::open`]). Before any client is taken.
    #[must_use]
    pub fn with_creation(mut self, create: &[Statement<D>]) -> Self {
        self.client = self.client.with_creation(&create.into());
        self
    }

    /// The pool.
    #[must_use]
    pub fn client(&self) -> SqlClient<D> {
        self.client.clone()
    }
}

#[async_trait]
impl<D: Dialect> Connector for SqlConnector<D> {
    type Client = SqlClient<D>;

    fn place(&self) -> &str {
        &self.place
    }

    fn connect(&self) -> Option<SqlClient<D>> {
        self.client.discard();
        Some(self.client())
    }

    /// Keeps connections that were used since: they answer.
    fn replaces_silent(&self, _: &SqlClient<D>, since: Instant) -> bool {
        self.client.discard_unused_since(since);
        false
    }

    fn is_one_connection(&self) -> bool {
        false
    }

    /// New connections may lead to the wrong server too, so they may be closed at any age.
    fn min_age(&self) -> Duration {
        Duration::ZERO
    }
}

/// Hides the options, which may contain a password.
impl<D: Dialect> fmt::Debug for SqlConnector<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlConnector")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
