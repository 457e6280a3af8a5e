//! One server or a cluster.

use std::fmt;

use redis::aio::{ConnectionLike, ConnectionManager};
#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;
#[cfg(feature = "cluster")]
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value};

/// A connection to one Redis server, or to a cluster. Clones share it.
#[derive(Clone)]
#[non_exhaustive]
pub enum Connection {
    /// One server.
    Single(ConnectionManager),
    /// Redis Cluster.
    #[cfg(feature = "cluster")]
    Cluster(ClusterConnection),
}

impl From<ConnectionManager> for Connection {
    fn from(connection: ConnectionManager) -> Self {
        Self::Single(connection)
    }
}

#[cfg(feature = "cluster")]
impl From<ClusterConnection> for Connection {
    fn from(connection: ClusterConnection) -> Self {
        Self::Cluster(connection)
    }
}

/// A node that holds keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Only,
    #[cfg(feature = "cluster")]
    At {
        host: String,
        port: u16,
    },
}

impl Connection {
    pub(crate) const fn is_cluster(&self) -> bool {
        match self {
            Self::Single(_) => false,
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => true,
        }
    }

    /// The nodes that hold keys, in the order of their slots.
    pub(crate) async fn nodes(&mut self) -> RedisResult<Vec<Node>> {
        match self {
            Self::Single(_) => Ok(vec![Node::Only]),
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => {
                let slots: Value = redis::cmd("CLUSTER")
                    .arg("SLOTS")
                    .query_async(connection)
                    .await?;
                Ok(masters(&slots))
            }
        }
    }

    /// Sends a command without a key to one node.
    pub(crate) async fn send_to(&mut self, node: &Node, command: Cmd) -> RedisResult<Value> {
        match (self, node) {
            (Self::Single(connection), _) => command.query_async(connection).await,
            #[cfg(feature = "cluster")]
            (Self::Cluster(connection), Node::At { host, port }) => {
                let (host, port) = (host.clone(), *port);
                let routing = SingleNodeRoutingInfo::ByAddress { host, port };
                connection
                    .route_command(command, RoutingInfo::SingleNode(routing))
                    .await
            }
            #[cfg(feature = "cluster")]
            (Self::Cluster(connection), Node::Only) => command.query_async(connection).await,
        }
    }
}

/// The masters in the answer of `CLUSTER SLOTS`.
#[cfg(feature = "cluster")]
fn masters(slots: &Value) -> Vec<Node> {
    let mut ranges: Vec<(i64, Node)> = Vec::new();
    let items = |value: &Value| match value {
        Value::Array(items) => items.clone(),
        _ => Vec::new(),
    };
    for range in items(slots) {
        let range = items(&range);
        let (Some(Value::Int(first)), Some(master)) = (range.first(), range.get(2)) else {
            continue;
        };
        let master = items(master);
        let host: Option<String> = master
            .first()
            .and_then(|v| redis::from_redis_value_ref(v).ok());
        let port: Option<u16> = master
            .get(1)
            .and_then(|v| redis::from_redis_value_ref(v).ok());
        if let (Some(host), Some(port)) = (host, port) {
            let node = Node::At { host, port };
            if !ranges.iter().any(|(_, known)| *known == node) {
                ranges.push((*first, node));
            }
        }
    }
    ranges.sort_by_key(|(first, _)| *first);
    ranges.into_iter().map(|(_, node)| node).collect()
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Says which kind it is only: a driver's connection may know a password.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_cluster() {
            "Cluster"
        } else {
            "Single"
        })
    }
}
