//! The clients of a store: connections to one server or to a cluster.
//!
//! The driver opens a connection again when it has seen it break. It does not see one that stays open
//! while no answer comes any more, nor one to a server that is not the primary any more. And an
//! attempt to connect that was refused for another reason than the network (a password that was wrong
//! for a while, too many clients) it never makes again. So the store replaces its client then.

use std::fmt;
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
#[cfg(feature = "cluster")]
use redis::cluster::ClusterConfig;
#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Script, Value};
use session_core::backend::{Connector, Failure, Operation};
use session_core::{Error, Result, async_trait};

use crate::Connection;
use crate::connection::Origin;
use crate::error::{failure, from_redis};
use crate::socket::watched;

/// What a store sends commands by. Clones share its connections.
#[derive(Clone)]
pub struct RedisClient(pub(crate) DriverConnection);

#[derive(Clone)]
pub(crate) enum DriverConnection {
    Single(ConnectionManager),
    #[cfg(feature = "cluster")]
    Cluster(ClusterConnection),
}

/// Makes the clients of a store.
pub(crate) struct RedisConnector {
    origin: Origin,
    place: String,
    timeout: Duration,
    /// What the server has to know.
    scripts: Vec<Script>,
}

impl RedisConnector {
    /// For a store whose operations may take `timeout`, and run `scripts`.
    pub(crate) fn new(connection: Connection, timeout: Duration, scripts: &[&Script]) -> Self {
        let origin = match connection.0 {
            Origin::Client(client) => Origin::Client(Box::new(watched(*client, timeout))),
            other => other,
        };
        Self {
            place: origin.place(),
            origin,
            timeout,
            scripts: scripts.iter().map(|script| (*script).clone()).collect(),
        }
    }

    /// Connects within the time limit, for the first client.
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
            Origin::Given(manager) => DriverConnection::Single(manager.clone()),
            #[cfg(feature = "cluster")]
            Origin::ClusterClient(client) => {
                let config = cluster_config(self.timeout);
                DriverConnection::Cluster(client.get_async_connection_with_config(config).await?)
            }
            #[cfg(feature = "cluster")]
            Origin::GivenCluster(connection) => DriverConnection::Cluster(connection.clone()),
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
            Origin::Given(_) => return None,
            #[cfg(feature = "cluster")]
            Origin::GivenCluster(_) => return None,
        };
        Some(RedisClient(connection))
    }

    /// Teaches the server the scripts; in a cluster, every node.
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

    /// In a cluster each node has a connection of its own, and an answer of one proves nothing of
    /// another.
    fn is_one_connection(&self) -> bool {
        !self.origin.is_cluster()
    }
}

/// Answers have no time limit of their own here: operations have one.
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

impl ConnectionLike for RedisClient {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match &mut self.0 {
            DriverConnection::Single(connection) => connection.req_packed_command(cmd),
            #[cfg(feature = "cluster")]
            DriverConnection::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match &mut self.0 {
            DriverConnection::Single(connection) => {
                connection.req_packed_commands(pipeline, offset, count)
            }
            #[cfg(feature = "cluster")]
            DriverConnection::Cluster(connection) => {
                connection.req_packed_commands(pipeline, offset, count)
            }
        }
    }

    fn get_db(&self) -> i64 {
        match &self.0 {
            DriverConnection::Single(connection) => connection.get_db(),
            #[cfg(feature = "cluster")]
            DriverConnection::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Says which kind it is only: the driver's connection may know a password.
impl fmt::Debug for RedisClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            DriverConnection::Single(_) => "Single",
            #[cfg(feature = "cluster")]
            DriverConnection::Cluster(_) => "Cluster",
        })
    }
}

impl fmt::Debug for RedisConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnector")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
