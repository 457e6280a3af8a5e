//! A map that keeps the order of its insertions, for the keys of a session.
//!
//! A session has few keys, and comparing those one by one takes a fraction of the instructions that
//! hashing them takes. Visitors may choose keys, and many of them, so more are hashed with a seed.
//! Keys of up to 23 bytes need no allocation of their own.

use std::mem;

use indexmap::IndexMap;
use smol_str::SmolStr;

/// The most keys that are compared one by one.
const MOST_COMPARED: usize = 16;

#[derive(Clone)]
pub(crate) enum OrderedMap<V> {
    Compared(Vec<(SmolStr, V)>),
    Hashed(IndexMap<SmolStr, V>),
}

impl<V> OrderedMap<V> {
    /// An empty map with room for so many keys.
    pub(crate) fn with_capacity(keys: usize) -> Self {
        Self::Compared(Vec::with_capacity(keys))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        match self {
            Self::Compared(entries) => {
                let found = entries.iter().find(|(known, _)| *known == key);
                found.map(|(_, value)| value)
            }
            Self::Hashed(entries) => entries.get(key),
        }
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        match self {
            Self::Compared(entries) => {
                let found = entries.iter_mut().find(|(known, _)| *known == key);
                found.map(|(_, value)| value)
            }
            Self::Hashed(entries) => entries.get_mut(key),
        }
    }

    /// Sets `key` to `value`, in its place or at the end, and gives what its value was.
    pub(crate) fn insert(&mut self, key: &str, value: V) -> Option<V> {
        if let Some(there) = self.get_mut(key) {
            return Some(mem::replace(there, value));
        }
        match self {
            Self::Compared(entries) if entries.len() < MOST_COMPARED => {
                entries.push((key.into(), value));
            }
            Self::Compared(entries) => {
                let entries = mem::take(entries).into_iter();
                *self = Self::Hashed(entries.chain([(key.into(), value)]).collect());
            }
            Self::Hashed(entries) => drop(entries.insert(key.into(), value)),
        }
        None
    }

    /// Sets `key` to `value`, before all others.
    pub(crate) fn insert_first(&mut self, key: &str, value: V) {
        self.remove(key);
        match self {
            Self::Compared(entries) => entries.insert(0, (key.into(), value)),
            Self::Hashed(entries) => drop(entries.shift_insert(0, key.into(), value)),
        }
    }

    /// Removes `key`, and gives what its value was. The others keep their order.
    pub(crate) fn remove(&mut self, key: &str) -> Option<V> {
        match self {
            Self::Compared(entries) => {
                let at = entries.iter().position(|(known, _)| *known == key)?;
                Some(entries.remove(at).1)
            }
            Self::Hashed(entries) => entries.shift_remove(key),
        }
    }

    /// Keeps the keys that are to stay, in their order.
    pub(crate) fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        match self {
            Self::Compared(entries) => entries.retain(|(key, _)| stays(key)),
            Self::Hashed(entries) => entries.retain(|key, _| stays(key)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        let (compared, hashed) = match self {
            Self::Compared(entries) => (&entries[..], None),
            Self::Hashed(entries) => (&[][..], Some(entries)),
        };
        let compared = compared.iter().map(|(key, value)| (key.as_str(), value));
        let hashed = hashed.into_iter().flatten();
        compared.chain(hashed.map(|(key, value)| (key.as_str(), value)))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Compared(entries) => entries.len(),
            Self::Hashed(entries) => entries.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<V> Default for OrderedMap<V> {
    fn default() -> Self {
        Self::Compared(Vec::new())
    }
}

/// In whatever order.
impl<V: PartialEq> PartialEq for OrderedMap<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<V: Eq> Eq for OrderedMap<V> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(keys: impl IntoIterator<Item = usize>) -> OrderedMap<usize> {
        let mut map = OrderedMap::default();
        for key in keys {
            assert_eq!(map.insert(&key.to_string(), key), None);
        }
        map
    }

    #[test]
    fn few_keys_and_many_behave_alike() {
        for count in [1, MOST_COMPARED, MOST_COMPARED + 1, 100] {
            let mut map = map(0..count);
            assert_eq!(matches!(map, OrderedMap::Hashed(_)), count > MOST_COMPARED);
            assert_eq!(map.len(), count);
            assert_eq!(map.insert("0", 7), Some(0), "in its place");
            assert_eq!(map.get("0"), Some(&7));
            assert_eq!(map.get("none"), None);
            let all = map.iter().map(|(_, value)| *value);
            assert!(all.eq([7].into_iter().chain(1..count)));
            map.insert_first("first", 8);
            assert_eq!(map.remove("0"), Some(7));
            assert_eq!(map.remove("0"), None);
            let all = map.iter().map(|(_, value)| *value);
            assert!(all.eq([8].into_iter().chain(1..count)), "the order stays");
            map.retain(|key| key == "first" || key.len() > 1);
            let all = map.iter().map(|(_, value)| *value);
            assert!(all.eq([8].into_iter().chain(10..count)), "what stays");
        }
    }

    #[test]
    fn maps_are_equal_in_whatever_order() {
        for count in [3, 40] {
            assert!(map(0..count) == map((0..count).rev()));
            assert!(map(0..count) != map(1..=count));
            assert!(map(0..count) != map(0..=count));
        }
    }
}
