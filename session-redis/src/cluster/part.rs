//! The items of a batch that go to one node.

use session_core::Result;
use session_core::backend::Call;

use super::{Cluster, slot};
use crate::RedisClient;
use crate::route::Route;

/// The items of a batch that go to one node.
pub(crate) struct Part<T> {
    pub(crate) items: Vec<T>,
    /// Their places in the batch.
    places: Vec<usize>,
    /// The slot of the first one.
    slot: u16,
    node: usize,
}

impl<T: Clone> Part<T> {
    /// Splits `items` by the nodes that serve their keys.
    pub(crate) fn split(cluster: &Cluster, items: &[T], key: impl Fn(&T) -> String) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::with_capacity(1);
        for (place, item) in items.iter().enumerate() {
            let slot = slot::of_key(key(item).as_bytes());
            let node = cluster.number_of(slot);
            match parts.iter_mut().find(|part| part.node == node) {
                Some(part) => {
                    part.items.push(item.clone());
                    part.places.push(place);
                }
                None => parts.push(Self {
                    items: vec![item.clone()],
                    places: vec![place],
                    slot,
                    node,
                }),
            }
        }
        parts
    }

    pub(crate) fn route<'a>(&self, call: &'a Call<RedisClient>) -> Route<'a> {
        let slot = Some(self.slot);
        Route { call, slot }
    }

    /// The answers to the items of the batch, from those to each part, which may have failed.
    pub(crate) fn answers<A>(
        parts: &[Self],
        mut answers: Vec<Result<Vec<Result<A>>>>,
    ) -> Result<Vec<Result<A>>> {
        if answers.len() == 1 {
            return answers.remove(0);
        }
        let mut all = Vec::new();
        for (part, answers) in parts.iter().zip(answers) {
            match answers {
                Ok(answers) => all.extend(part.places.iter().zip(answers)),
                Err(error) => {
                    all.extend(part.places.iter().map(|place| (place, Err(error.clone()))));
                }
            }
        }
        all.sort_by_key(|(place, _)| **place);
        Ok(all.into_iter().map(|(_, answer)| answer).collect())
    }
}
