//! A node of a cluster.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::{Client, ConnectionAddr, RedisResult};

use super::layout::Address;
use super::member::Membership;
use super::{Cluster, Shared};
use crate::connection::{Origin, client_at};
use crate::links::Links;
use crate::opener::Opener;
use crate::options::ConnectionOptions;
use crate::server::Server;

/// A node of a cluster, with connections of its own.
pub(crate) struct Node {
    pub(super) address: Address,
    pub(crate) client: Client,
    pub(crate) opener: Opener,
    links: Links,
    cluster: Weak<Shared>,
    /// Whether it has failed, and not answered since: it may not serve its slots any more.
    is_suspect: AtomicBool,
    /// The last epoch that was known when a redirection said that it serves a slot.
    named_in: AtomicU64,
}

impl Node {
    /// The node at `address`, with the login and TLS of `like`. `timeout` is the time limit of an
    /// operation.
    pub(super) fn new(
        shared: &Weak<Shared>,
        like: &Client,
        options: &ConnectionOptions,
        address: Address,
        timeout: Duration,
    ) -> Arc<Self> {
        // Opening succeeds: the other client was made from the same information.
        let client = client_at(like, &address.host, address.port);
        let client = client.unwrap_or_else(|_| like.clone());
        Arc::new_cyclic(|node: &Weak<Self>| {
            let opener = Opener {
                origin: Origin::Client(Box::new(client.clone())),
                options: options.clone(),
                timeout,
                scratch: String::new(),
                membership: Some(Membership(Weak::clone(node))),
            };
            Self {
                address,
                client,
                links: Links::new(&opener),
                opener,
                cluster: Weak::clone(shared),
                is_suspect: AtomicBool::new(false),
                named_in: AtomicU64::new(0),
            }
        })
    }

    /// The node, over an open connection or a new one.
    pub(crate) async fn server(&self) -> RedisResult<Arc<Server>> {
        self.links.server().await.inspect_err(|_| self.suspect())
    }

    pub(super) fn cluster(&self) -> Option<Cluster> {
        self.cluster.upgrade().map(Cluster)
    }

    /// It has failed: before the next call, the cluster is asked which node serves.
    pub(crate) fn suspect(&self) {
        self.is_suspect.store(true, Relaxed);
    }

    /// It serves.
    pub(super) fn trust(&self) {
        if self.is_suspect.load(Relaxed) {
            self.is_suspect.store(false, Relaxed);
        }
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.is_suspect.load(Relaxed)
    }

    /// A redirection says that it serves a slot, when `epoch` is known.
    pub(super) fn named_in(&self, epoch: u64) {
        self.named_in.fetch_max(epoch, Relaxed);
    }

    /// Whether a layout of `epoch` is from later than the last redirection to it.
    pub(super) fn is_named_before(&self, epoch: u64) -> bool {
        self.named_in.load(Relaxed) < epoch
    }

    /// Whether it has been connected to, and a connection has not broken.
    pub(super) fn is_open(&self) -> bool {
        self.links.opened().any(|server| !server.is_lost())
    }

    /// The node, over one of its open connections, if there is one.
    pub(super) fn ready(&self) -> Option<Arc<Server>> {
        self.links.ready()
    }

    /// Gives its connections up, with the calls in flight.
    pub(super) fn disconnect(&self) {
        for server in self.links.opened() {
            server.give_up();
        }
    }
}

/// Where a seed leads; `None` for a socket, which no other node has.
pub(super) fn address_of(client: &Client) -> Option<Address> {
    match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Some(Address {
                host: host.clone(),
                port: *port,
            })
        }
        _ => None,
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.address).finish()
    }
}
