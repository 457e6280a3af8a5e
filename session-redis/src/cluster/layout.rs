//! What a node says of its cluster: which node serves which slots.

use std::collections::HashMap;

use redis::{FromRedisValue, RedisResult, Value};

use super::slot::SLOTS;

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// What a node says of its cluster.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Whether the node is with the majority.
    pub(super) is_ok: bool,
    /// It grows with each failover and each slot that moves.
    pub(super) epoch: u64,
    pub(super) ranges: Vec<SlotRange>,
    /// The address of each node by its id.
    pub(super) ids: HashMap<String, Address>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct SlotRange {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) primary: Address,
    pub(super) replicas: Vec<Address>,
}

impl Layout {
    /// From the answers to `CLUSTER SLOTS` and `CLUSTER INFO` of the node at `asked`.
    pub(super) fn read(slots: &Value, info: Value, asked: &Address) -> RedisResult<Self> {
        let info = String::from_redis_value(info)?;
        let field = |name: &str| {
            let mut lines = info.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        let mut ranges: Vec<SlotRange> = items(slots)
            .iter()
            .filter_map(|range| SlotRange::read(range, asked))
            .collect();
        let nodes = items(slots)
            .iter()
            .flat_map(|range| items(range).iter().skip(2));
        let ids = nodes.filter_map(|node| {
            let id = redis::from_redis_value_ref(items(node).get(2)?).ok()?;
            Some((id, Address::read(node, asked)?))
        });
        ranges.sort_by_key(|range| range.first);
        Ok(Self {
            is_ok: field("cluster_state") == Some("ok"),
            epoch: field("cluster_current_epoch")
                .and_then(|epoch| epoch.parse().ok())
                .unwrap_or_default(),
            ranges,
            ids: ids.collect(),
        })
    }

    /// How much it is to be believed: a node of the majority before others, then the later one.
    pub(super) fn rank(&self) -> (bool, u64) {
        (self.is_ok, self.epoch)
    }
}

impl SlotRange {
    fn read(range: &Value, asked: &Address) -> Option<Self> {
        let [first, last, primary, replicas @ ..] = items(range) else {
            return None;
        };
        let slot = |value: &Value| match value {
            Value::Int(slot) => u16::try_from(*slot).ok().filter(|slot| *slot < SLOTS),
            _ => None,
        };
        let address = |node: &Value| Address::read(node, asked);
        Some(Self {
            first: slot(first)?,
            last: slot(last)?,
            primary: address(primary)?,
            replicas: replicas.iter().filter_map(address).collect(),
        })
    }
}

impl Address {
    /// A node without a host is where the one that was `asked` is.
    fn read(node: &Value, asked: &Self) -> Option<Self> {
        let [host, Value::Int(port), ..] = items(node) else {
            return None;
        };
        let host: Option<String> = redis::from_redis_value_ref(host).ok()?;
        Some(Self {
            host: host_or(host.as_deref().unwrap_or_default(), asked),
            port: u16::try_from(*port).ok()?,
        })
    }

    /// From the text in a redirection by the node at `asked`.
    pub(super) fn parse(text: &str, asked: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self {
            host: host_or(host, asked),
            port: port.parse().ok()?,
        })
    }
}

/// A node that does not know its own name says nothing or `?`.
fn host_or(host: &str, asked: &Address) -> String {
    match host {
        "" | "?" => asked.host.clone(),
        host => host.to_owned(),
    }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address { host, port }
    }

    #[test]
    fn a_layout_is_read_and_nodes_without_a_host_are_where_the_asked_one_is() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host, port| {
            let id = text(&format!("id{port}"));
            Value::Array(vec![host, Value::Int(port), id])
        };
        let range = |first, last, nodes: Vec<Value>| {
            let mut range = vec![Value::Int(first), Value::Int(last)];
            range.extend(nodes);
            Value::Array(range)
        };
        let slots = Value::Array(vec![
            range(9, 16_383, vec![node(Value::Nil, 2)]),
            range(0, 8, vec![node(text("h"), 1), node(text("?"), 3)]),
            range(0, 99_999, vec![node(text("h"), 1)]),
            Value::Nil,
        ]);
        let info = text("cluster_state:ok\r\ncluster_current_epoch:7\r\n");
        let layout = Layout::read(&slots, info, &at("asked", 9)).expect("readable");
        assert_eq!(layout.rank(), (true, 7));
        let ranges = [
            SlotRange {
                first: 0,
                last: 8,
                primary: at("h", 1),
                replicas: vec![at("asked", 3)],
            },
            SlotRange {
                first: 9,
                last: 16_383,
                primary: at("asked", 2),
                replicas: vec![],
            },
        ];
        assert_eq!(layout.ranges, ranges);
        let ids = [
            ("id1", at("h", 1)),
            ("id2", at("asked", 2)),
            ("id3", at("asked", 3)),
        ];
        assert_eq!(layout.ids, ids.map(|(id, at)| (id.to_owned(), at)).into());
    }

    #[test]
    fn the_address_of_a_redirection_is_read() {
        let asked = at("asked", 9);
        for (text, address) in [
            ("127.0.0.1:6381", Some(at("127.0.0.1", 6381))),
            ("::1:6381", Some(at("::1", 6381))),
            (":6381", Some(at("asked", 6381))),
            ("?:6381", Some(at("asked", 6381))),
            ("h", None),
            ("h:x", None),
        ] {
            assert_eq!(Address::parse(text, &asked), address, "{text}");
        }
    }
}
