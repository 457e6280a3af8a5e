//! Whether all slots of a cluster stay where they are.

use std::sync::Arc;

use redis::RedisResult;

use super::Cluster;
use super::node::Node;
use super::own_slots::OwnSlots;
use super::slot::SLOTS;

/// Which nodes serve which slots, none of which is on its way to another.
pub(crate) struct Settled {
    pub(crate) nodes: Vec<Arc<Node>>,
    slots: Vec<OwnSlots>,
}

impl Cluster {
    /// What the nodes say of their own slots; `None` if some are on their way, or served by none.
    /// One round trip to each node.
    pub(crate) async fn settled(&self) -> RedisResult<Option<Settled>> {
        self.node(Some(0)).await?;
        let nodes = self.topology().primaries.clone();
        let mut slots = Vec::with_capacity(nodes.len());
        for node in &nodes {
            let server = node.server().await?;
            let mut ask = redis::cmd("CLUSTER");
            let said = ask.arg("NODES").query_async(&mut &*server).await?;
            slots.push(OwnSlots::read(said, &node.address)?);
        }
        let served: usize = slots.iter().map(OwnSlots::count).sum();
        let is_settled = served == usize::from(SLOTS) && slots.iter().all(OwnSlots::stay);
        Ok(is_settled.then_some(Settled { nodes, slots }))
    }
}

impl PartialEq for Settled {
    fn eq(&self, other: &Self) -> bool {
        let addresses = |settled: &Self| {
            let nodes = settled.nodes.iter();
            nodes.map(|node| node.address.clone()).collect::<Vec<_>>()
        };
        self.slots == other.slots && addresses(self) == addresses(other)
    }
}
