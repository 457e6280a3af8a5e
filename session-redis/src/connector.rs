//! Makes the clients of a store.
//!
//! The driver reconnects when it sees a connection break. It does not notice a connection that
//! stays open without answers or leads to a server that is no longer the primary, and it does not
//! retry an attempt to connect that the server refused (a wrong password, too many clients). In
//! these cases the store replaces its client.

use std::fmt;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
#[cfg(feature = "cluster")]
use redis::cluster::ClusterConfig;
use redis::{RedisResult, Script};
use session_core::backend::{Connector, Failure, Operation};
use session_core::{Error, Result, async_trait};

use crate::client::{DriverConnection, RedisClient};
use crate::connection::{Connection, Origin};
use crate::error::{failure, from_redis};
use crate::keepalive::with_keepalive;

/// Makes the clients of a store.
pub(crate) struct RedisConnector {
    origin: Origin,
    place: String,
    timeout: Duration,
    /// The scripts that the server must have.
    scripts: Vec<Script>,
}

impl RedisConnector {
    /// `timeout` is the time limit of an operation; the operations run `scripts`.
    pub(crate) fn new(connection: Connection, timeout: Duration, scripts: &[&Script]) -> Self {
        let origin = match connection.0 {
            Origin::Client(client) => Origin::Client(Box::new(with_keepalive(*client, timeout))),
            other => other,
        };
        Self {
            place: origin.place(),
            origin,
            timeout,
            scripts: scripts.iter().map(|script| (*script).clone()).collect(),
        }
    }

    /// Where connections come from, as the caller gave it, with keep-alive.
    pub(crate) fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// Connects the first client, within the time limit.
    pub(crate) async fn open(&self) -> Result<RedisClient> {
        let operation = Operation::Connect.as_str();
        match tokio::time::timeout(self.timeout, self.open_driver()).await {
            Ok(Ok(opened)) => Ok(RedisClient(opened)),
            Ok(Err(error)) => Err(from_redis(&self.place, operation, error)),
            Err(_) => Err(Error::no_answer(operation, &self.place, self.timeout)),
        }
    }

    async fn open_driver(&self) -> RedisResult<DriverConnection> {
        Ok(match &self.origin {
            Origin::Client(client) => {
                let config = manager_config(self.timeout);
                let manager = ConnectionManager::new_with_config((**client).clone(), config);
                DriverConnection::Single(manager.await?)
            }
            Origin::Manager(manager) => DriverConnection::Single(manager.clone()),
            #[cfg(feature = "cluster")]
            Origin::ClusterClient(client) => {
                let config = cluster_config(self.timeout);
                DriverConnection::Cluster(client.get_async_connection_with_config(config).await?)
            }
            #[cfg(feature = "cluster")]
            Origin::ClusterConnection(connection) => DriverConnection::Cluster(connection.clone()),
        })
    }
}

#[async_trait]
impl Connector for RedisConnector {
    type Client = RedisClient;

    fn place(&self) -> &str {
        &self.place
    }

    fn connect(&self) -> Option<RedisClient> {
        let connection = match &self.origin {
            Origin::Client(client) => {
                let config = manager_config(self.timeout);
                let manager = ConnectionManager::new_lazy_with_config((**client).clone(), config);
                DriverConnection::Single(manager.ok()?)
            }
            #[cfg(feature = "cluster")]
            Origin::ClusterClient(client) => {
                let config = cluster_config(self.timeout);
                DriverConnection::Cluster(client.get_pending_async_connection_with_config(config))
            }
            Origin::Manager(_) => return None,
            #[cfg(feature = "cluster")]
            Origin::ClusterConnection(_) => return None,
        };
        Some(RedisClient(connection))
    }

    /// Loads the scripts; in a cluster, on every node.
    async fn prepare(
        &self,
        mut client: RedisClient,
        operation: &'static str,
    ) -> Result<(), Failure> {
        for script in &self.scripts {
            let loaded = script.load_async(&mut client).await;
            loaded.map_err(|error| failure(&self.place, operation, error, 1))?;
        }
        Ok(())
    }

    /// Each node of a cluster has its own connection, so an answer of one says nothing about
    /// another.
    fn is_one_connection(&self) -> bool {
        !self.origin.is_cluster()
    }
}

/// The driver gets no time limit for answers, because operations have one.
fn manager_config(timeout: Duration) -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(None)
        .set_min_delay(Duration::from_millis(50))
        .set_number_of_retries(1)
}

#[cfg(feature = "cluster")]
fn cluster_config(timeout: Duration) -> ClusterConfig {
    ClusterConfig::new()
        .set_connection_timeout(timeout)
        .set_response_timeout(timeout)
}

impl fmt::Debug for RedisConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnector")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
