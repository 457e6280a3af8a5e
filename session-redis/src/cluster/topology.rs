//! Which node serves which slot, as far as is known.

use std::collections::HashMap;
use std::sync::Arc;

use super::layout::{Address, Layout};
use super::node::Node;
use super::slot::SLOTS;

/// No node serves the slot.
const NONE: u16 = u16::MAX;

/// Which node serves which slot, as far as is known.
pub(super) struct Topology {
    pub(super) epoch: u64,
    /// The nodes that serve slots.
    pub(super) primaries: Vec<Arc<Node>>,
    pub(super) replicas: Vec<Arc<Node>>,
    /// The index of the primary of each slot.
    owners: Vec<u16>,
    ids: HashMap<String, Address>,
}

impl Topology {
    pub(super) fn empty() -> Self {
        Self {
            epoch: 0,
            primaries: Vec::new(),
            replicas: Vec::new(),
            owners: vec![NONE; usize::from(SLOTS)],
            ids: HashMap::new(),
        }
    }

    /// What `layout` says of the nodes that `node` gives for their addresses.
    pub(super) fn new(layout: &Layout, node: impl Fn(&Address) -> Arc<Node>) -> Self {
        let mut topology = Self::empty();
        topology.epoch = layout.epoch;
        topology.ids.clone_from(&layout.ids);
        for range in &layout.ranges {
            let index = match topology.index_at(&range.primary) {
                Some(index) => index,
                None => topology.push(node(&range.primary)),
            };
            topology.owners[usize::from(range.first)..=usize::from(range.last)].fill(index);
            for replica in &range.replicas {
                if topology.find(replica).is_none() {
                    topology.replicas.push(node(replica));
                }
            }
        }
        topology
    }

    /// The index of the primary that serves `slot`.
    pub(super) fn index(&self, slot: u16) -> Option<usize> {
        let index = *self.owners.get(usize::from(slot))?;
        (index != NONE).then_some(usize::from(index))
    }

    pub(super) fn owner(&self, slot: u16) -> Option<&Arc<Node>> {
        self.primaries.get(self.index(slot)?)
    }

    /// The address of the node with this `id`, if it is known.
    pub(super) fn address(&self, id: &str) -> Option<&Address> {
        self.ids.get(id)
    }

    /// The node at `address`, if it is known.
    pub(super) fn find(&self, address: &Address) -> Option<&Arc<Node>> {
        let mut all = self.primaries.iter().chain(&self.replicas);
        all.find(|node| node.address == *address)
    }

    /// The primaries that serve no slot by `next`, which knows it better than the redirections to
    /// them.
    pub(super) fn retired_by(&self, next: &Self) -> Vec<Arc<Node>> {
        let serves = |node: &Arc<Node>| next.primaries.iter().any(|next| Arc::ptr_eq(node, next));
        let former = self.primaries.iter();
        let retired = former.filter(|node| !serves(node) && node.is_named_before(next.epoch));
        retired.cloned().collect()
    }

    /// A redirection has said that `node` serves `slot`.
    pub(super) fn set_owner(&mut self, slot: u16, node: &Arc<Node>) {
        node.named_in(self.epoch);
        let index = match self.index_at(&node.address) {
            Some(index) => index,
            None => self.push(Arc::clone(node)),
        };
        if let Some(owner) = self.owners.get_mut(usize::from(slot)) {
            *owner = index;
        }
    }

    fn index_at(&self, address: &Address) -> Option<u16> {
        let mut primaries = self.primaries.iter();
        let index = primaries.position(|node| node.address == *address)?;
        u16::try_from(index).ok()
    }

    fn push(&mut self, node: Arc<Node>) -> u16 {
        self.primaries.push(node);
        // A cluster has at most a thousand nodes.
        u16::try_from(self.primaries.len() - 1).unwrap_or(NONE)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::Duration;

    use super::*;
    use crate::cluster::layout::SlotRange;
    use crate::options::ConnectionOptions;

    fn node(port: u16) -> Arc<Node> {
        let client = redis::Client::open("redis://h").expect("a URL");
        let (options, limit) = (ConnectionOptions::default(), Duration::from_secs(1));
        Node::new(&Weak::new(), &client, &options, at(port), limit)
    }

    fn at(port: u16) -> Address {
        let host = "h".to_owned();
        Address { host, port }
    }

    fn served_by(port: u16, epoch: u64) -> Layout {
        let range = SlotRange {
            first: 0,
            last: SLOTS - 1,
            primary: at(port),
            replicas: Vec::new(),
        };
        Layout {
            is_ok: true,
            epoch,
            ranges: vec![range],
            ids: HashMap::new(),
        }
    }

    #[test]
    fn a_node_is_retired_only_by_what_is_later_than_the_redirection_to_it() {
        let (first, second) = (node(1), node(2));
        let of_first = |epoch| Topology::new(&served_by(1, epoch), |_| Arc::clone(&first));
        let mut topology = of_first(6);
        topology.set_owner(7, &second);
        assert_eq!(topology.owner(7).map(|owner| owner.address.port), Some(2));
        assert!(topology.retired_by(&of_first(6)).is_empty());
        let retired = topology.retired_by(&of_first(7));
        assert!(matches!(&retired[..], [node] if Arc::ptr_eq(node, &second)));
        // No redirection has named the first one.
        let next = Topology::new(&served_by(2, 6), |_| Arc::clone(&second));
        assert_eq!(topology.retired_by(&next).len(), 1);
    }
}
