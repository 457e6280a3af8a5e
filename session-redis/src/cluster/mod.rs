//! A Redis Cluster: a connection to each node, and which node serves which slot.
//!
//! The driver's client of clusters is not used: it hangs when a primary dies under load, and
//! sends each command of a batch by itself.

mod activity;
mod layout;
mod member;
mod node;
mod own_slots;
mod part;
mod redirection;
mod refresh;
mod settled;
pub(crate) mod slot;
mod topology;
mod walk;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use redis::{Client, ErrorKind, RedisError, RedisResult};

use crate::certificates::has_tls;
use crate::keepalive::with_keepalive;
use crate::options::ConnectionOptions;
use crate::server::Server;
use layout::{Address, Layout};
pub(crate) use member::{Member, Membership};
pub(crate) use node::Node;
pub(crate) use part::Part;
use refresh::Refreshing;
pub(crate) use settled::Settled;
use topology::Topology;
pub(crate) use walk::SlotPosition;

/// How many keys are tried until one is in a node's slots: more than enough for a cluster of 100,
/// and few enough for a prefix that puts all keys into one slot.
const SCRATCH_KEYS: u32 = 1_000;

/// A Redis Cluster. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<Shared>);

struct Shared {
    clients: Vec<Client>,
    /// The nodes that the caller has named.
    seeds: Vec<Arc<Node>>,
    options: ConnectionOptions,
    /// The time limit of an operation.
    timeout: Duration,
    scratch: String,
    topology: RwLock<Topology>,
    refreshing: Refreshing,
}

impl Cluster {
    /// The cluster of the nodes of `clients`, and of all others that these know. `timeout` is the
    /// time limit of an operation, `scratch` a key that nothing else uses.
    pub(crate) fn new(
        clients: Vec<Client>,
        options: ConnectionOptions,
        timeout: Duration,
        scratch: &str,
    ) -> Self {
        let shared = Arc::new_cyclic(|shared| {
            let seeds = clients.iter().filter_map(|client| {
                let address = node::address_of(client)?;
                Some(Node::new(shared, client, &options, address, timeout))
            });
            Shared {
                seeds: seeds.collect(),
                clients,
                options,
                timeout,
                scratch: scratch.to_owned(),
                topology: RwLock::new(Topology::empty()),
                refreshing: Refreshing::default(),
            }
        });
        Self(shared)
    }

    /// The same cluster for a store of its own.
    pub(crate) fn for_store(
        &self,
        options: ConnectionOptions,
        timeout: Duration,
        scratch: &str,
    ) -> Self {
        let clients = self.0.clients.iter().cloned();
        let clients = clients.map(|client| with_keepalive(client, timeout));
        Self::new(clients.collect(), options, timeout, scratch)
    }

    /// The node that serves `slot`, or any, if a connection to it is open.
    pub(crate) fn ready(&self, slot: Option<u16>) -> Option<Arc<Server>> {
        self.known(slot).filter(|node| !node.is_suspect())?.ready()
    }

    /// The node that serves `slot`, or any, over its open connection or a new one.
    pub(crate) async fn server(&self, slot: Option<u16>) -> RedisResult<Arc<Server>> {
        self.node(slot).await?.server().await
    }

    /// The node that serves `slot`, or any. If it has failed, the cluster is asked first.
    pub(crate) async fn node(&self, slot: Option<u16>) -> RedisResult<Arc<Node>> {
        match self.known(slot) {
            Some(node) if !node.is_suspect() => Ok(node),
            known => {
                let refreshed = self.refresh().await;
                // Where no node knows better, the one that failed may be back.
                match self.known(slot).or(known) {
                    Some(node) => Ok(node),
                    None => refreshed.and(Err(not_served())),
                }
            }
        }
    }

    fn known(&self, slot: Option<u16>) -> Option<Arc<Node>> {
        let topology = self.topology();
        let known = match slot {
            Some(slot) => topology.owner(slot),
            None => {
                let mut primaries = topology.primaries.iter();
                let well = primaries.find(|node| !node.is_suspect());
                well.or_else(|| topology.primaries.first())
            }
        };
        known.cloned()
    }

    /// The nodes that serve slots. If one has failed, the cluster is asked first.
    pub(crate) async fn primaries(&self) -> RedisResult<Vec<Arc<Node>>> {
        let known = self.topology().primaries.clone();
        if known.is_empty() || known.iter().any(|node| node.is_suspect()) {
            self.refresh().await?;
        }
        Ok(self.topology().primaries.clone())
    }

    /// The nodes that serve slots, and those that a command was sent to because a slot is on its
    /// way to them.
    pub(crate) fn reached(&self) -> Vec<Arc<Node>> {
        let topology = self.topology();
        let others = topology.replicas.iter().filter(|node| node.is_open());
        topology.primaries.iter().chain(others).cloned().collect()
    }

    /// The number of the node that serves `slot`; 0 if it is not known. Numbers change with the
    /// nodes.
    pub(crate) fn number_of(&self, slot: u16) -> usize {
        self.topology().index(slot).unwrap_or_default()
    }

    /// What the caller gave.
    #[cfg(test)]
    pub(crate) fn clients(&self) -> Vec<Client> {
        self.0.clients.clone()
    }

    /// Where the caller said that the cluster is.
    pub(crate) fn place(&self) -> String {
        let addresses = self.0.clients.iter();
        let addresses = addresses.map(|client| client.get_connection_info().addr().to_string());
        format!(
            "Redis Cluster at {}",
            addresses.collect::<Vec<_>>().join(",")
        )
    }

    /// Whether the nodes are connected to by TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.0.clients.first().is_some_and(has_tls)
    }

    fn timeout(&self) -> Duration {
        self.0.timeout
    }

    fn epoch(&self) -> u64 {
        self.topology().epoch
    }

    /// Whether a node that serves slots is known, and has not failed.
    fn is_served(&self) -> bool {
        let topology = self.topology();
        topology.primaries.iter().any(|node| !node.is_suspect())
    }

    /// The nodes to ask, the likeliest to answer first.
    fn candidates(&self) -> Vec<Arc<Node>> {
        let topology = self.topology();
        let known = topology.primaries.iter().chain(&topology.replicas);
        let mut all: Vec<Arc<Node>> = known.cloned().collect();
        for seed in &self.0.seeds {
            if !all.iter().any(|node| node.address == seed.address) {
                all.push(Arc::clone(seed));
            }
        }
        all.sort_by_key(|node| node.is_suspect());
        all
    }

    /// Takes over what a node said. Nodes that are known keep their connections; calls to a node
    /// that no longer serves end.
    fn adopt(&self, layout: &Layout) {
        let next = Topology::new(layout, |address| {
            let known = self.known_at(address);
            known.unwrap_or_else(|| self.make_node(address.clone()))
        });
        let retired = {
            let mut topology = self.change_topology();
            let retired = topology.retired_by(&next);
            *topology = next;
            retired
        };
        for node in retired {
            node.disconnect();
        }
    }

    /// The node at `address` serves `slot` now.
    fn moved(&self, slot: u16, address: Address) -> Arc<Node> {
        let node = self.node_at(address);
        self.change_topology().set_owner(slot, &node);
        self.refresh_soon();
        node
    }

    fn node_at(&self, address: Address) -> Arc<Node> {
        let known = self.known_at(&address);
        known.unwrap_or_else(|| {
            let node = self.make_node(address);
            self.change_topology().replicas.push(Arc::clone(&node));
            node
        })
    }

    fn known_at(&self, address: &Address) -> Option<Arc<Node>> {
        let known = self.topology().find(address).cloned();
        let is_it = |node: &&Arc<Node>| node.address == *address;
        known.or_else(|| self.0.seeds.iter().find(is_it).cloned())
    }

    fn make_node(&self, address: Address) -> Arc<Node> {
        let Shared {
            clients,
            options,
            timeout,
            ..
        } = &*self.0;
        Node::new(
            &Arc::downgrade(&self.0),
            &clients[0],
            options,
            address,
            *timeout,
        )
    }

    /// An unused key in a slot of `node`, if it serves any.
    fn scratch(&self, node: &Node) -> Option<String> {
        let topology = self.topology();
        let key = |number| format!("{}:{number}", self.0.scratch);
        let is_its = |key: &String| {
            let owner = topology.owner(slot::of_key(key.as_bytes()));
            owner.is_some_and(|owner| owner.address == node.address)
        };
        (0..SCRATCH_KEYS).map(key).find(is_its)
    }

    fn topology(&self) -> RwLockReadGuard<'_, Topology> {
        let topology = &self.0.topology;
        topology.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_topology(&self) -> RwLockWriteGuard<'_, Topology> {
        let topology = &self.0.topology;
        topology.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_served() -> RedisError {
    let why = "no node of the cluster serves the slot";
    (ErrorKind::ClusterConnectionNotFound, why).into()
}

/// Shows where it is: clients contain passwords.
impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cluster").field(&self.place()).finish()
    }
}
