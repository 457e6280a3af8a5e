//! The client or connection that a caller gives to a store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::{Client, ConnectionAddr, RedisResult};

use crate::cluster::Cluster;
use crate::options::ConnectionOptions;
use crate::sentinel::Sentinel;

/// A client or connection of the `redis` crate to one server, or clients of a cluster's nodes or of
/// Sentinels.
///
/// Prefer a [`Client`], or a [`cluster`](Self::cluster): the store opens its own connections, and
/// replaces one that is silent or leads to a server that no longer takes writes. A
/// [`ConnectionManager`] is shared with the caller, and the store can't replace it: it reconnects
/// by its own rules, which cover neither case.
#[derive(Clone)]
pub struct Connection(pub(crate) Origin);

/// What the caller gave.
#[derive(Clone)]
pub(crate) enum Origin {
    Client(Box<Client>),
    Manager(ConnectionManager),
    Cluster(Cluster),
    Sentinel(Arc<Sentinel>),
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

impl Connection {
    /// A Redis Cluster. `clients` lead to some of its nodes, which tell the store of the others;
    /// one that can be reached is enough. All nodes are connected to with the login and TLS of the first
    /// client.
    ///
    /// Without clients, connecting fails with
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured).
    pub fn cluster(clients: impl IntoIterator<Item = Client>) -> Self {
        let clients = clients.into_iter().collect();
        // The store's own settings take the place of these.
        Self(Origin::Cluster(Cluster::new(
            clients,
            ConnectionOptions::default(),
            Duration::ZERO,
            "",
        )))
    }

    /// The primary of a `group` (`mymaster`, for example), which the Sentinels name. They are asked
    /// each time a connection is opened. `server` says how to connect to the primary: user name,
    /// password, database and TLS; its address is not used.
    ///
    /// ```
    /// # use session_redis::redis::Client;
    /// # fn example() -> session_redis::redis::RedisResult<session_redis::Connection> {
    /// let sentinels = [Client::open("redis://:one@s1:26379")?, Client::open("redis://:one@s2:26379")?];
    /// let server = Client::open("redis://user:two@primary/")?;
    /// # Ok(
    /// session_redis::Connection::sentinel(sentinels, "mymaster", server)
    /// # )
    /// # }
    /// ```
    #[must_use]
    pub fn sentinel(
        sentinels: impl IntoIterator<Item = Client>,
        group: impl Into<String>,
        server: Client,
    ) -> Self {
        Self(Origin::Sentinel(
            Sentinel::new(sentinels, group, server).into(),
        ))
    }

    pub(crate) const fn is_cluster(&self) -> bool {
        self.0.is_cluster()
    }
}

impl Origin {
    pub(crate) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// The product and its address, without secrets, for errors.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Client(client) => format!("Redis at {}", client.get_connection_info().addr()),
            // A connection does not expose its address.
            Self::Manager(_) => "Redis".to_owned(),
            Self::Cluster(cluster) => cluster.place(),
            Self::Sentinel(sentinel) => sentinel.place(),
        }
    }
}

/// A client of the server at `host` and `port`, with the login and TLS of `like`.
pub(crate) fn client_at(like: &Client, host: &str, port: u16) -> RedisResult<Client> {
    let info = like.get_connection_info();
    let host = host.to_owned();
    let addr = match info.addr().clone() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure,
            tls_params,
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    Client::open(info.clone().set_addr(addr))
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
