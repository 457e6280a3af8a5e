//! What a handler changed: replayed on a fresh load when another request was faster.

use bytes::{BufMut, BytesMut};
use indexmap::IndexMap;
use serde_json::value::RawValue;

use crate::Lifetime;
use crate::data::{Data, Raw};
use crate::value::is_null;

/// Changes to a session, not a new whole. Of several changes to one key the last counts.
#[derive(Clone, Default)]
pub(crate) struct Patch {
    cleared: bool,
    values: IndexMap<Box<str>, Change>,
    lifetime: Option<Lifetime>,
}

/// What is done to one key, whatever it has by then.
#[derive(Clone)]
pub(crate) enum Change {
    Set(Raw),
    Remove,
    /// Set if it has no value.
    Offer(Raw),
    /// These elements are added to its list: a JSON array that has some.
    Push(Raw),
    /// These elements, which its list begins with, are removed from it, and it with the last one.
    Drain(Raw),
    /// One after the other.
    Both(Box<Self>, Box<Self>),
}

impl Patch {
    pub(crate) fn put(&mut self, key: &str, change: Change) {
        let change = match self.values.get(key) {
            Some(earlier) => change.after(earlier),
            None => change,
        };
        self.values.insert(key.into(), change);
    }

    pub(crate) fn clear(&mut self) {
        self.cleared = true;
        self.values.clear();
    }

    pub(crate) fn set_lifetime(&mut self, lifetime: Lifetime) {
        self.lifetime = Some(lifetime);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.cleared && self.values.is_empty() && self.lifetime.is_none()
    }

    /// The keys that are changed.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(|key| &**key)
    }

    /// Adds `later`'s changes to these.
    pub(crate) fn append(&mut self, later: Self) {
        if later.cleared {
            self.clear();
        }
        for (key, change) in later.values {
            self.put(&key, change);
        }
        self.lifetime = later.lifetime.or(self.lifetime);
    }

    /// Makes these changes to a session's parts.
    pub(crate) fn apply(&self, data: &mut Data, lifetime: &mut Lifetime) {
        if self.cleared {
            data.clear();
        }
        for (key, change) in &self.values {
            change.apply(key, data);
        }
        if let Some(changed) = self.lifetime {
            *lifetime = changed;
        }
    }
}

impl Change {
    /// One change that does what `earlier` and then this one do.
    fn after(self, earlier: &Self) -> Self {
        match (earlier, self) {
            (_, change @ (Self::Set(_) | Self::Remove)) => change,
            (Self::Remove, Self::Offer(value) | Self::Push(value)) => Self::Set(value),
            (Self::Set(value), Self::Offer(offered)) if is_null(value) => Self::Set(offered),
            (Self::Set(_) | Self::Offer(_) | Self::Push(_), Self::Offer(_)) => earlier.clone(),
            (Self::Set(value), Self::Push(more)) => Self::Set(joined(value, &more)),
            (Self::Push(first), Self::Push(more)) => Self::Push(joined(first, &more)),
            (Self::Both(first, second), change) => {
                Self::Both(first.clone(), Box::new(change.after(second)))
            }
            (_, change) => Self::Both(Box::new(earlier.clone()), Box::new(change)),
        }
    }

    fn apply(&self, key: &str, data: &mut Data) {
        match self {
            Self::Set(value) => data.set(key, value.clone()),
            Self::Remove => drop(data.remove(key)),
            Self::Offer(value) => {
                if !has_value(data, key) {
                    data.set(key, value.clone());
                }
            }
            Self::Push(elements) => {
                let there = data.get(key);
                let list = there.map_or_else(|| elements.clone(), |there| joined(there, elements));
                data.set(key, list);
            }
            Self::Drain(elements) => {
                let there = data.get(key).and_then(|there| without(there, elements));
                match there {
                    Some(rest) if is_empty_list(&rest) => drop(data.remove(key)),
                    Some(rest) => data.set(key, rest),
                    None => {}
                }
            }
            Self::Both(first, second) => {
                first.apply(key, data);
                second.apply(key, data);
            }
        }
    }
}

/// Whether `key` has a value: `null` is none.
pub(crate) fn has_value(data: &Data, key: &str) -> bool {
    data.get(key).is_some_and(|value| !is_null(value))
}

/// The list of one element.
pub(crate) fn list_of(element: &Raw) -> Raw {
    let mut list = BytesMut::with_capacity(element.len() + 2);
    list.put_u8(b'[');
    list.put_slice(element);
    list.put_u8(b']');
    list.freeze()
}

/// The list `list` without the elements of the list `taken`, if it begins with those.
fn without(list: &Raw, taken: &Raw) -> Option<Raw> {
    let split = |list| serde_json::from_slice::<Vec<&RawValue>>(list).ok();
    let (there, taken) = (split(list)?, split(taken)?);
    let (begin, rest) = there.split_at_checked(taken.len())?;
    let is_there = |(a, b): (&&RawValue, &&RawValue)| a.get() == b.get();
    if !begin.iter().zip(&taken).all(is_there) {
        return None;
    }
    serde_json::to_vec(rest).ok().map(Raw::from)
}

/// Whether it is a list of nothing.
pub(crate) fn is_empty_list(value: &Raw) -> bool {
    elements(value).is_some_and(<[u8]>::is_empty)
}

/// Whether it is a list, or none yet.
pub(crate) fn is_list(value: Option<&Raw>) -> bool {
    value.is_none_or(|value| is_null(value) || elements(value).is_some())
}

/// The text between the brackets of a list.
fn elements(list: &[u8]) -> Option<&[u8]> {
    let list = list.trim_ascii().strip_prefix(b"[")?;
    Some(list.strip_suffix(b"]")?.trim_ascii())
}

/// The list `first` with the elements of the list `more`; those alone if `first` is no list.
pub(crate) fn joined(first: &Raw, more: &Raw) -> Raw {
    let there = elements(first).filter(|there| !there.is_empty());
    let (Some(there), Some(added)) = (there, elements(more)) else {
        return more.clone();
    };
    let mut list = BytesMut::with_capacity(there.len() + added.len() + 3);
    list.put_u8(b'[');
    list.put_slice(there);
    list.put_u8(b',');
    list.put_slice(added);
    list.put_u8(b']');
    list.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Change::{Drain, Offer, Push, Remove, Set};

    fn raw(json: &str) -> Raw {
        json.to_owned().into()
    }

    fn applied(patch: &Patch, to: &str) -> String {
        let mut data = Data::decode(&to.to_owned().into()).expect("valid");
        patch.apply(&mut data, &mut Lifetime::default());
        String::from_utf8(data.encode().to_vec()).expect("JSON")
    }

    #[test]
    fn changes_replay_on_what_others_wrote() {
        let mut patch = Patch::default();
        patch.put("mine", Set(raw("1")));
        patch.put("old", Remove);
        assert_eq!(
            applied(&patch, r#"{"old":0,"theirs":2}"#),
            r#"{"theirs":2,"mine":1}"#
        );
    }

    #[test]
    fn a_clear_takes_what_others_wrote_and_what_was_set_before_it() {
        let mut patch = Patch::default();
        patch.put("before", Set(raw("1")));
        patch.clear();
        patch.put("after", Set(raw("2")));
        assert_eq!(applied(&patch, r#"{"theirs":3}"#), r#"{"after":2}"#);
    }

    #[test]
    fn what_is_offered_or_added_leaves_what_others_have_put_there() {
        let mut patch = Patch::default();
        patch.put("a", Offer(raw("1")));
        patch.put("b", Push(raw("[1]")));
        assert_eq!(applied(&patch, "{}"), r#"{"a":1,"b":[1]}"#);
        for (theirs, both) in [
            (r#"{"a":2,"b":[2,3]}"#, r#"{"a":2,"b":[2,3,1]}"#),
            (r#"{"a":null,"b":null}"#, r#"{"a":1,"b":[1]}"#),
            (r#"{"a":false,"b":[ ]}"#, r#"{"a":false,"b":[1]}"#),
            (r#"{"b":[ [ "]" ] ]}"#, r#"{"b":[[ "]" ],1],"a":1}"#),
            (r#"{"b":"no list"}"#, r#"{"b":[1],"a":1}"#),
        ] {
            assert_eq!(applied(&patch, theirs), both);
        }
    }

    /// Two changes of one key are one that does the same as both, on whatever is there.
    #[test]
    fn appended_changes_do_what_both_do() {
        let changes = || {
            [
                Set(raw("[7]")),
                Set(raw("null")),
                Remove,
                Offer(raw("[8]")),
                Push(raw("[9]")),
                Push(raw("[10,11]")),
                Drain(raw("[1]")),
                Drain(raw("[1,2]")),
            ]
        };
        for (at, first) in changes().into_iter().enumerate() {
            for (then, second) in changes().into_iter().enumerate() {
                let (mut one, mut other) = (Patch::default(), Patch::default());
                one.put("a", first.clone());
                other.put("a", second);
                for theirs in ["{}", r#"{"a":null}"#, r#"{"a":[1,2]}"#, r#"{"a":[]}"#] {
                    let apart = applied(&other, &applied(&one, theirs));
                    let mut both = one.clone();
                    both.append(other.clone());
                    assert_eq!(applied(&both, theirs), apart, "{at} {then} {theirs}");
                    for last in changes() {
                        let mut third = Patch::default();
                        third.put("a", last);
                        let mut three = both.clone();
                        three.append(third.clone());
                        assert_eq!(
                            applied(&three, theirs),
                            applied(&third, &apart),
                            "{at} {then}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn appended_changes_come_later() {
        let mut first = Patch::default();
        first.put("a", Set(raw("1")));
        first.put("b", Set(raw("1")));
        let mut second = Patch::default();
        second.put("a", Remove);
        first.append(second);
        assert_eq!(applied(&first, "{}"), r#"{"b":1}"#);

        let mut cleared = Patch::default();
        cleared.clear();
        first.append(cleared);
        assert_eq!(applied(&first, r#"{"c":1}"#), "{}");
        assert!(!first.is_empty());
    }
}
