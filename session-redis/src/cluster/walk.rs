//! A walk over the slots of a cluster, for its keys.
//!
//! Slots, not nodes, are the unit, so that no key is missed while slots move: a node that gives
//! a slot away is asked first, and then the one that gets it.

use std::sync::Arc;

use redis::{FromRedisValue, Pipeline, RedisResult, Value};

use super::layout::Address;
use super::own_slots::{OwnSlots, Peer};
use super::slot::SLOTS;
use super::{Cluster, Node, not_served};
use crate::server::Server;

/// The most slots that are examined at once.
const RUN: u16 = 1_024;

/// How often the node that serves a slot may be another than the one before has said.
const HOPS: usize = 5;

/// The next slot of a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotPosition {
    pub(crate) slot: u16,
    /// The last key that was found, if there are more in the slot.
    pub(crate) after: Option<Vec<u8>>,
}

/// Keys, and the position of the next ones.
type Found = (Vec<Vec<u8>>, Option<SlotPosition>);

/// Slots of one node that follow each other.
struct Run {
    server: Arc<Server>,
    node: Arc<Node>,
    /// The slots, with the number of their keys.
    slots: Vec<(u16, usize)>,
    /// What the node served before its slots were counted.
    before: OwnSlots,
}

impl Cluster {
    /// About `limit` keys with this `prefix`, and the position of the next ones. Each key that is
    /// there throughout a walk is found, whatever slots move meanwhile. A slot with more keys than
    /// `limit` is read as a whole for each part of it.
    pub(crate) async fn keys(
        &self,
        prefix: &str,
        from: SlotPosition,
        limit: usize,
    ) -> RedisResult<Found> {
        let mut run = self.run(from.slot, limit).await?;
        for _ in 0..HOPS {
            match run.before.other(from.slot) {
                Some(other) if run.slots.is_empty() => self.note_owner(from.slot, other).await?,
                _ => break,
            }
            run = self.run(from.slot, limit).await?;
        }
        let Some((last, _)) = run.slots.last().copied() else {
            return Err(not_served());
        };
        let mut keys = self.keys_of(&run).await?;
        keys.retain(|key| key.starts_with(prefix.as_bytes()));
        let mut next = (last + 1 < SLOTS).then_some(SlotPosition {
            slot: last + 1,
            after: None,
        });
        if last == from.slot {
            keys.sort();
            keys.dedup();
            keys.retain(|key| Some(key) > from.after.as_ref());
            if keys.len() > limit {
                keys.truncate(limit);
                let (slot, after) = (last, keys.last().cloned());
                next = Some(SlotPosition { slot, after });
            }
        }
        Ok((live(&run.server, keys).await?, next))
    }

    /// Tries the commands of a walk.
    pub(crate) async fn check_walk(&self) -> RedisResult<()> {
        let mut run = self.run(0, 0).await?;
        run.slots.truncate(1);
        // A slot's keys are asked for only if it has any.
        run.slots.iter_mut().for_each(|(_, count)| *count = 1);
        self.keys_of(&run).await.map(drop)
    }

    /// Slots from `first` on of one node, with at most `limit` keys, or one slot.
    async fn run(&self, first: u16, limit: usize) -> RedisResult<Run> {
        let node = self.node(Some(first)).await?;
        let server = node.server().await?;
        let last = first.saturating_add(RUN).min(SLOTS);
        let slots: Vec<u16> = (first..last)
            .take_while(|slot| self.is_owner(&node, *slot))
            .collect();
        let mut commands = Pipeline::with_capacity(1 + slots.len());
        commands.cmd("CLUSTER").arg("NODES");
        for slot in &slots {
            commands.cmd("CLUSTER").arg("COUNTKEYSINSLOT").arg(slot);
        }
        let mut answers = commands.query_async::<Vec<Value>>(&mut &*server).await?;
        let counts = answers.split_off(1);
        let before = OwnSlots::read(answers.pop().unwrap_or(Value::Nil), &node.address)?;
        let counts: Vec<usize> = FromRedisValue::from_redis_value(Value::Array(counts))?;
        let mut total = 0;
        let slots = slots.into_iter().zip(counts).take_while(|(slot, count)| {
            let is_first = *slot == first;
            total += count;
            before.serves(*slot) && (is_first || total <= limit)
        });
        let slots = slots.collect();
        Ok(Run {
            server,
            node,
            slots,
            before,
        })
    }

    fn is_owner(&self, node: &Arc<Node>, slot: u16) -> bool {
        let topology = self.topology();
        topology
            .owner(slot)
            .is_some_and(|owner| Arc::ptr_eq(owner, node))
    }

    async fn keys_of(&self, run: &Run) -> RedisResult<Vec<Vec<u8>>> {
        let is_wanted = |(slot, count): &&(u16, usize)| *count > 0 || !run.before.is_settled(*slot);
        let wanted: Vec<u16> = run
            .slots
            .iter()
            .filter(is_wanted)
            .map(|(slot, _)| *slot)
            .collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = keys_in(&wanted);
        commands.cmd("CLUSTER").arg("NODES");
        let mut answers = commands
            .query_async::<Vec<Value>>(&mut &*run.server)
            .await?;
        let after = OwnSlots::read(answers.pop().unwrap_or(Value::Nil), &run.node.address)?;
        let mut keys = flatten(answers)?;
        for slot in wanted {
            if !(run.before.is_settled(slot) && after.is_settled(slot)) {
                keys.extend(self.keys_beyond(slot, [&after, &run.before]).await?);
            }
        }
        Ok(keys)
    }

    /// Takes note that `other` serves the slot.
    async fn note_owner(&self, slot: u16, other: &Peer) -> RedisResult<()> {
        if self.known_address(other).is_none() {
            self.refresh().await?;
        }
        self.moved(slot, self.address_of(other));
        Ok(())
    }

    fn known_address(&self, peer: &Peer) -> Option<Address> {
        self.topology().address(&peer.id).cloned()
    }

    /// A node without slots is in no layout, and has only the address that its peers use.
    fn address_of(&self, peer: &Peer) -> Address {
        let known = self.known_address(peer);
        known.unwrap_or_else(|| peer.address.clone())
    }

    /// The keys of a slot at the node that it goes to, or has gone to.
    async fn keys_beyond(&self, slot: u16, said: [&OwnSlots; 2]) -> RedisResult<Vec<Vec<u8>>> {
        let receiver = said.iter().find_map(|own| own.receiver(slot));
        let other = said.iter().find_map(|own| own.other(slot));
        let Some(peer) = receiver.or(other) else {
            return Err(not_served());
        };
        let node = self.node_at(self.address_of(peer));
        let server = node.server().await?;
        flatten(keys_in(&[slot]).query_async(&mut &*server).await?)
    }
}

fn keys_in(slots: &[u16]) -> Pipeline {
    let mut commands = Pipeline::with_capacity(1 + slots.len());
    for slot in slots {
        let command = commands.cmd("CLUSTER").arg("GETKEYSINSLOT");
        // All of them: the next call would begin with the first one again.
        command.arg(slot).arg(i32::MAX);
    }
    commands
}

fn flatten(answers: Vec<Value>) -> RedisResult<Vec<Vec<u8>>> {
    let slots: Vec<Vec<Vec<u8>>> = FromRedisValue::from_redis_value(Value::Array(answers))?;
    Ok(slots.into_iter().flatten().collect())
}

/// Those of `keys` that have not expired: a slot's list names them until they are removed.
async fn live(server: &Server, mut keys: Vec<Vec<u8>>) -> RedisResult<Vec<Vec<u8>>> {
    if keys.is_empty() {
        return Ok(keys);
    }
    let mut commands = Pipeline::with_capacity(keys.len());
    for key in &keys {
        commands.exists(key);
    }
    let answers = server.send_all(&commands).await?;
    let mut answers = answers.into_iter();
    keys.retain(|_| answers.next() != Some(Value::Int(0)));
    Ok(keys)
}
