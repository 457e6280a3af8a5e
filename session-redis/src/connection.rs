//! One server or a cluster.

use std::fmt;

use redis::aio::{ConnectionLike, ConnectionManager};
#[cfg(feature = "cluster")]
use redis::cluster::ClusterClient;
#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;
#[cfg(feature = "cluster")]
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Client, Cmd, Pipeline, RedisFuture, RedisResult, Value};

/// What a store talks to Redis by: one server, or a cluster.
///
/// A [`Client`] or `ClusterClient` is the better choice. The store opens a connection of its own, and
/// opens another where that one is silent or leads to a server that takes no writes any more. A
/// [`ConnectionManager`] or `ClusterConnection` is shared with the caller and can't be replaced: it is
/// replaced by its own rules, which do without both of these cases.
#[derive(Clone)]
pub struct Connection(pub(crate) Origin);

/// Where connections come from.
#[derive(Clone)]
pub(crate) enum Origin {
    Client(Box<Client>),
    Given(ConnectionManager),
    #[cfg(feature = "cluster")]
    ClusterClient(Box<ClusterClient>),
    #[cfg(feature = "cluster")]
    GivenCluster(ClusterConnection),
}

impl From<Client> for Connection {
    fn from(client: Client) -> Self {
        Self(Origin::Client(Box::new(client)))
    }
}

impl From<ConnectionManager> for Connection {
    fn from(connection: ConnectionManager) -> Self {
        Self(Origin::Given(connection))
    }
}

#[cfg(feature = "cluster")]
impl From<ClusterClient> for Connection {
    fn from(client: ClusterClient) -> Self {
        Self(Origin::ClusterClient(Box::new(client)))
    }
}

#[cfg(feature = "cluster")]
impl From<ClusterConnection> for Connection {
    fn from(connection: ClusterConnection) -> Self {
        Self(Origin::GivenCluster(connection))
    }
}

impl Origin {
    pub(crate) const fn is_cluster(&self) -> bool {
        match self {
            Self::Client(_) | Self::Given(_) => false,
            #[cfg(feature = "cluster")]
            Self::ClusterClient(_) | Self::GivenCluster(_) => true,
        }
    }

    /// What messages call the server, without anything that is secret.
    pub(crate) fn server(&self) -> String {
        match self {
            Self::Client(client) => format!("Redis at {}", client.get_connection_info().addr()),
            // Neither says where it leads.
            Self::Given(_) => "Redis".to_owned(),
            #[cfg(feature = "cluster")]
            Self::ClusterClient(_) | Self::GivenCluster(_) => "Redis Cluster".to_owned(),
        }
    }
}

/// Says which kind it is only: a driver's connection may know a password.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_cluster() {
            "Cluster"
        } else {
            "Single"
        })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A connection of the driver's. Clones share it.
#[derive(Clone)]
pub(crate) enum DriverConnection {
    Single(ConnectionManager),
    #[cfg(feature = "cluster")]
    Cluster(ClusterConnection),
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

impl DriverConnection {
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
    pub(crate) async fn send_to(&mut self, node: &Node, command: &Cmd) -> RedisResult<Value> {
        match (self, node) {
            (Self::Single(connection), _) => command.query_async(connection).await,
            #[cfg(feature = "cluster")]
            (Self::Cluster(connection), Node::At { host, port }) => {
                let (host, port) = (host.clone(), *port);
                let routing = SingleNodeRoutingInfo::ByAddress { host, port };
                connection
                    .route_command(command.clone(), RoutingInfo::SingleNode(routing))
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

impl ConnectionLike for DriverConnection {
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
