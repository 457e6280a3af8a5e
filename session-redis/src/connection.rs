//! What a store is built over: one server or a cluster.

use std::fmt;

use redis::Client;
use redis::aio::ConnectionManager;
#[cfg(feature = "cluster")]
use redis::cluster::ClusterClient;
#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;

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

impl Connection {
    pub(crate) const fn is_cluster(&self) -> bool {
        self.0.is_cluster()
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

    /// The product and its address, without anything that is secret.
    pub(crate) fn place(&self) -> String {
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
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_cluster() {
            "Cluster"
        } else {
            "Single"
        })
    }
}
