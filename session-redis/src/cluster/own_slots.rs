//! What a node says of its own slots, which it knows better than others do.

use std::collections::HashMap;

use redis::{FromRedisValue, RedisResult, Value};

use super::layout::Address;

/// Another node, as the one that was asked names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) id: String,
    /// Its address in `CLUSTER NODES`, which may be another than the one in `CLUSTER SLOTS`.
    pub(super) address: Address,
}

/// The slots that a node serves, and those that it gives away.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OwnSlots {
    ranges: Vec<(u16, u16)>,
    /// To which node each slot goes that is on its way.
    leaving: HashMap<u16, Peer>,
    /// Which slots it says that others serve.
    others: Vec<((u16, u16), Peer)>,
}

impl OwnSlots {
    /// From the answer to `CLUSTER NODES` of the node at `asked`.
    pub(super) fn read(nodes: Value, asked: &Address) -> RedisResult<Self> {
        let nodes = String::from_redis_value(nodes)?;
        let lines = nodes
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let lines: Vec<_> = lines.filter(|words| words.len() >= 8).collect();
        let is_own = |words: &&Vec<&str>| words[2].split(',').any(|flag| flag == "myself");
        let own_name = lines.iter().find(is_own).and_then(|words| name(words[1]));
        let has_names = own_name == Some(&*asked.host);
        let peer = |id: &str| {
            let line = lines.iter().find(|words| words[0] == id)?;
            let mut address = Address::parse(line[1].split('@').next()?, asked)?;
            if let (true, Some(name)) = (has_names, name(line[1])) {
                name.clone_into(&mut address.host);
            }
            let id = id.to_owned();
            Some(Peer { id, address })
        };
        let own = lines
            .iter()
            .find(is_own)
            .map_or(&[][..], |words| &words[8..]);
        let leaving = own.iter().filter_map(|slot| {
            let (slot, to) = slot
                .strip_prefix('[')?
                .strip_suffix(']')?
                .split_once("->-")?;
            Some((slot.parse().ok()?, peer(to)?))
        });
        let others = lines
            .iter()
            .filter(|words| !is_own(words))
            .flat_map(|words| {
                let ranges = words[8..].iter().filter_map(|slots| range(slots));
                ranges.filter_map(|range| Some((range, peer(words[0])?)))
            });
        Ok(Self {
            others: others.collect(),
            ranges: own.iter().filter_map(|slots| range(slots)).collect(),
            leaving: leaving.collect(),
        })
    }

    pub(super) fn serves(&self, slot: u16) -> bool {
        let has = |(first, last): &(u16, u16)| (*first..=*last).contains(&slot);
        self.ranges.iter().any(has)
    }

    /// The node that serves the slot in its place.
    pub(super) fn other(&self, slot: u16) -> Option<&Peer> {
        let has = |(first, last): &(u16, u16)| (*first..=*last).contains(&slot);
        let mut others = self.others.iter();
        others.find(|(range, _)| has(range)).map(|(_, peer)| peer)
    }

    /// How many slots the node serves.
    pub(super) fn count(&self) -> usize {
        let counts = self.ranges.iter();
        counts
            .map(|(first, last)| usize::from(last.saturating_sub(*first)) + 1)
            .sum()
    }

    /// Whether no slot is on its way to another node.
    pub(super) fn stay(&self) -> bool {
        self.leaving.is_empty()
    }

    /// Where the slot goes that is on its way.
    pub(super) fn receiver(&self, slot: u16) -> Option<&Peer> {
        self.leaving.get(&slot)
    }

    /// Whether all keys of the slot are here.
    pub(super) fn is_settled(&self, slot: u16) -> bool {
        self.serves(slot) && self.receiver(slot).is_none()
    }
}

/// The name in `host:port@bus,name,…`, if the node has one.
fn name(address: &str) -> Option<&str> {
    let name = address.split(',').nth(1)?;
    (!name.is_empty()).then_some(name)
}

fn range(slots: &str) -> Option<(u16, u16)> {
    let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_of_the_node_itself_are_read() {
        let text = "\
            aaa 127.0.0.1:30004@31004,host4 slave bbb 0 1426238317239 4 connected\n\
            bbb 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5 7 [7->-ccc] [9-<-ccc]\n\
            ccc 127.0.0.1:30002@31002 master - 0 1426238316232 2 connected 8-16383\n";
        let asked = Address {
            host: "h".to_owned(),
            port: 1,
        };
        let own = OwnSlots::read(Value::BulkString(text.into()), &asked).expect("a text");
        let served: Vec<u16> = (0..20).filter(|slot| own.serves(*slot)).collect();
        assert_eq!(served, [0, 1, 2, 3, 4, 5, 7]);
        let settled: Vec<u16> = (0..20).filter(|slot| own.is_settled(*slot)).collect();
        assert_eq!(settled, [0, 1, 2, 3, 4, 5]);
        let receiver = own.receiver(7).expect("it is on its way");
        assert_eq!((&*receiver.id, receiver.address.port), ("ccc", 30_002));
        assert_eq!(own.receiver(9), None);
        assert_eq!(own.other(9), Some(receiver));
        assert_eq!(own.other(5), None);
    }

    #[test]
    fn a_node_is_named_as_the_one_that_was_asked() {
        let text = "\
            bbb 10.0.0.1:7@8,one myself,master - 0 0 1 connected [7->-ccc]\n\
            ccc 10.0.0.2:7@8,two,shard-id=x master - 0 1 2 connected 0-16383\n";
        for (asked, other) in [("one", "two"), ("10.0.0.1", "10.0.0.2")] {
            let host = asked.to_owned();
            let asked = Address { host, port: 7 };
            let own = OwnSlots::read(Value::BulkString(text.into()), &asked).expect("a text");
            let peer = own.receiver(7).expect("it is on its way");
            assert_eq!(peer.address.host, other);
            assert_eq!(own.other(0), Some(peer));
        }
    }
}
