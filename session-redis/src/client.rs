//! The client of a store: what commands are sent over.

use std::fmt;

use redis::aio::{ConnectionLike, ConnectionManager};
#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, Pipeline, RedisFuture, Value};

/// The client of a [`RedisStore`](crate::RedisStore): a connection, or one for each node of a
/// cluster. Clones share the connections.
#[derive(Clone)]
pub struct RedisClient(pub(crate) DriverConnection);

#[derive(Clone)]
pub(crate) enum DriverConnection {
    Single(ConnectionManager),
    #[cfg(feature = "cluster")]
    Cluster(ClusterConnection),
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

/// Shows only the kind: the driver's connection may contain a password.
impl fmt::Debug for RedisClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            DriverConnection::Single(_) => "Single",
            #[cfg(feature = "cluster")]
            DriverConnection::Cluster(_) => "Cluster",
        })
    }
}
