//! Makes the clients of a store.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::backend::Connector;
use session_core::{Error, Result, async_trait};
use sqlx::mysql::MySqlConnectOptions;

use crate::client::MysqlClient;
use crate::url;

/// A store has one pool for its lifetime, so that there is one limit of connections. To replace the
/// client means to close the connections of the pool.
#[derive(Clone)]
pub(crate) struct MysqlConnector {
    place: Arc<str>,
    client: MysqlClient,
}

impl MysqlConnector {
    /// Opens no connection yet.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if the options name no
    /// database.
    pub(crate) fn new(
        options: MySqlConnectOptions,
        max_connections: u32,
        timeout: Duration,
    ) -> Result<Self> {
        if options.get_database().is_none() {
            return Err(Error::misconfigured(
                "the MySQL URL names no database: mysql://user@host/database",
            ));
        }
        let place = url::place(&options);
        // Less than the time limit, so that the error contains the server's reason.
        let acquire_timeout = timeout.mul_f64(0.8);
        Ok(Self {
            place,
            client: MysqlClient::new(options, max_connections, acquire_timeout),
        })
    }

    /// The pool.
    pub(crate) fn client(&self) -> MysqlClient {
        self.client.clone()
    }
}

#[async_trait]
impl Connector for MysqlConnector {
    type Client = MysqlClient;

    fn place(&self) -> &str {
        &self.place
    }

    fn connect(&self) -> Option<MysqlClient> {
        self.client.discard();
        Some(self.client())
    }

    /// Keeps connections that were used since: they answer.
    fn replaces_silent(&self, _: &MysqlClient, since: Instant) -> bool {
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
impl fmt::Debug for MysqlConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlConnector")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
