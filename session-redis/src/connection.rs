//! The client or connection that a caller gives to a store.

use std::fmt;

use redis::Client;
use redis::aio::ConnectionManager;
#[cfg(feature = "cluster")]
use redis::cluster::ClusterClient;
#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;

/// A client or connection of the `redis` crate, to one server or to a cluster.
///
/// Prefer a [`Client`] or `ClusterClient`: the store opens its own connection, and replaces it if
/// it is silent or leads to a server that no longer takes writes. A [`ConnectionManager`] or
/// `ClusterConnection` is shared with the caller, and the store can't replace it: it reconnects by
/// its own rules, which cover neither case.
#[derive(Clone)]
pub struct Connection(pub(crate) Origin);

/// What the caller gave.
#[derive(Clone)]
pub(crate) enum Origin {
    Client(Box<Client>),
    Manager(ConnectionManager),
    #[cfg(feature = "cluster")]
    ClusterClient(Box<ClusterClient>),
    #[cfg(feature = "cluster")]
    ClusterConnection(ClusterConnection),
}

impl From<Client> for Connection {
    fn from(client: Client) -> Self {
        Self(Origin::Client(Box::new(client)))
    }
}

impl From<ConnectionManager> for Connection {
    fn from(connection: ConnectionManager) -> Self {
        Self(Origin::Manager(connection))
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
        Self(Origin::ClusterConnection(connection))
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
            Self::Client(_) | Self::Manager(_) => false,
            #[cfg(feature = "cluster")]
            Self::ClusterClient(_) | Self::ClusterConnection(_) => true,
        }
    }

    /// The product and its address, without secrets, for errors.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Client(client) => format!("Redis at {}", client.get_connection_info().addr()),
            // A connection does not expose its address.
            Self::Manager(_) => "Redis".to_owned(),
            #[cfg(feature = "cluster")]
            Self::ClusterClient(_) | Self::ClusterConnection(_) => "Redis Cluster".to_owned(),
        }
    }
}

/// Shows only the kind: the driver's connection may contain a password.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_cluster() {
            "Cluster"
        } else {
            "Single"
        })
    }
}
