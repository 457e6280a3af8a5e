//! Where the store's connections come from.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::backend::Connector;
use session_core::{Error, Result, async_trait};
use sqlx::mysql::MySqlConnectOptions;

use crate::location;
pub use crate::pool::MysqlClient;

/// The one pool of a store. It is the store's client for good, so that the limit of connections is
/// one: another client is the same pool without the connections that it had.
#[derive(Clone)]
pub(crate) struct MysqlConnector {
    place: Arc<str>,
    client: MysqlClient,
}

impl MysqlConnector {
    /// With no connection yet.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] if the options name no database.
    pub(crate) fn new(options: MySqlConnectOptions, most: u32, timeout: Duration) -> Result<Self> {
        if options.get_database().is_none() {
            return Err(Error::misconfigured(
                "the MySQL URL names no database: mysql://user@host/database",
            ));
        }
        let place = location::place(&options);
        // Less than the whole, so that the answer says what the server has said.
        let patience = timeout.mul_f64(0.8);
        Ok(Self {
            place,
            client: MysqlClient::new(options, most, patience),
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

    /// Those that were used since do answer.
    fn replaces_silent(&self, _: &MysqlClient, since: Instant) -> bool {
        self.client.discard_unused_since(since);
        false
    }

    fn is_one_connection(&self) -> bool {
        false
    }

    /// Any connection may lead to another server, and each costs only itself: those that were made
    /// a moment ago may lead to the wrong one too.
    fn min_age(&self) -> Duration {
        Duration::ZERO
    }
}

/// Shows no options: there may be a password in them.
impl fmt::Debug for MysqlConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlConnector")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
