//! What a handler changed: replayed on a fresh load when another request was faster.

use bytes::{BufMut, BytesMut};
use serde_json::value::RawValue;

use crate::manager::data::{Data, Raw};
use crate::manager::ordered_map::OrderedMap;
use crate::manager::reserved::is_kept_by_clear;
use crate::manager::value::is_null;
use crate::{Description, Lifetime};

/// Changes to a session, not a new whole.
#[derive(Clone, Default)]
pub(crate) struct Patch {
    cleared: bool,
    /// What is done to each key: one change after the other, as few as do the same as all.
    values: OrderedMap<Vec<Change>>,
    lifetime: Option<Lifetime>,
    /// What it is described by from then on, or that it is not.
    description: Option<Option<Description>>,
}

/// What is done to one key, whatever it has by then.
#[derive(Clone)]
pub(crate) enum Change {
    Set(Raw),
    Remove,
    /// Removed if this is its value, byte for byte.
    RemoveIf(Raw),
    /// Set if it has no value.
    Offer(Raw),
    /// These elements are added to its list: a JSON array that has some.
    Push(Raw),
    /// These elements, which its list begins with, are removed from it, and it with the last one.
    Drain(Raw),
}

/// What a change and the next one of the same key come to.
enum Folded {
    Nothing,
    One(Change),
    Two(Change, Change),
}

impl Patch {
    pub(crate) fn put(&mut self, key: &str, change: Change) {
        let Some(changes) = self.values.get_mut(key) else {
            self.values.insert(key, vec![change]);
            return;
        };
        add(changes, change);
        if changes.is_empty() {
            self.values.remove(key);
        }
    }

    /// What was changed before counts no more, but for the keys that a clear leaves as they are.
    pub(crate) fn clear(&mut self) {
        self.cleared = true;
        self.values.retain(is_kept_by_clear);
    }

    pub(crate) fn set_lifetime(&mut self, lifetime: Lifetime) {
        self.lifetime = Some(lifetime);
    }

    pub(crate) fn set_description(&mut self, description: Option<Description>) {
        self.description = Some(description);
    }

    pub(crate) fn is_empty(&self) -> bool {
        let is_unset = self.lifetime.is_none() && self.description.is_none();
        !self.cleared && self.values.is_empty() && is_unset
    }

    /// The keys that are changed, besides those that a clear removes.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys()
    }

    /// Whether the keys of the application are removed before that.
    pub(crate) const fn is_clearing(&self) -> bool {
        self.cleared
    }

    pub(crate) const fn has_lifetime(&self) -> bool {
        self.lifetime.is_some()
    }

    /// What the session is described by from these changes on, if they say so.
    pub(crate) const fn description(&self) -> Option<&Option<Description>> {
        self.description.as_ref()
    }

    /// Adds `later`'s changes to these.
    pub(crate) fn append(&mut self, later: Self) {
        if later.cleared {
            self.clear();
        }
        if self.values.is_empty() {
            self.values = later.values;
        } else {
            for (key, changes) in later.values.iter() {
                for change in changes {
                    self.put(key, change.clone());
                }
            }
        }
        self.lifetime = later.lifetime.or(self.lifetime);
        self.description = later.description.or(self.description.take());
    }

    /// Makes these changes to a session's data and limits.
    pub(crate) fn apply(&self, data: &mut Data, lifetime: &mut Lifetime) {
        if self.cleared {
            data.clear();
        }
        for (key, changes) in self.values.iter() {
            let there = data.get(key).cloned();
            match changes.iter().fold(there, |there, change| change.of(there)) {
                Some(value) => data.set(key, value),
                None => drop(data.remove(key)),
            }
        }
        if let Some(changed) = self.lifetime {
            *lifetime = changed;
        }
    }
}

/// Adds `change` to `earlier` ones of the same key. What a handler does again and again between
/// two saves must not make the list longer each time.
fn add(earlier: &mut Vec<Change>, mut change: Change) {
    while let Some(last) = earlier.pop() {
        match last.then(change) {
            Folded::Nothing => return,
            Folded::One(one) => change = one,
            Folded::Two(last, next) => {
                earlier.push(last);
                change = next;
                break;
            }
        }
    }
    earlier.push(change);
}

impl Change {
    /// What this change and then `next` do. What was put there by the one and taken by the other
    /// never was: others' elements that have come before it meanwhile stay.
    fn then(self, next: Self) -> Folded {
        match (self, next) {
            (_, change @ (Self::Set(_) | Self::Remove)) => Folded::One(change),
            (known @ (Self::Set(_) | Self::Remove), next) => {
                let value = next.of(known.of(None));
                Folded::One(value.map_or(Self::Remove, Self::Set))
            }
            (first @ (Self::Offer(_) | Self::Push(_)), Self::Offer(_)) => Folded::One(first),
            (Self::Push(first), Self::Push(more)) => Folded::One(Self::Push(joined(&first, &more))),
            (Self::Push(put) | Self::Offer(put), Self::RemoveIf(taken)) if put == taken => {
                Folded::Nothing
            }
            (Self::Offer(put), Self::Drain(taken)) if put == taken => Folded::Nothing,
            (Self::Push(put), Self::Drain(taken)) => match without_end(&taken, &put) {
                Some(rest) if is_empty_list(&rest) => Folded::Nothing,
                Some(rest) => Folded::One(Self::Drain(rest)),
                None => Folded::Two(Self::Push(put), Self::Drain(taken)),
            },
            (this, next) => Folded::Two(this, next),
        }
    }

    /// What it makes of a key's value.
    fn of(&self, there: Option<Raw>) -> Option<Raw> {
        match self {
            Self::Set(value) => Some(value.clone()),
            Self::Remove => None,
            Self::RemoveIf(value) => there.filter(|there| there != value),
            Self::Offer(value) => {
                let there = there.filter(|there| !is_null(there));
                Some(there.unwrap_or_else(|| value.clone()))
            }
            Self::Push(elements) => {
                let list = there.map(|there| joined(&there, elements));
                Some(list.unwrap_or_else(|| elements.clone()))
            }
            Self::Drain(elements) => {
                let there = there?;
                let rest = without(&there, elements).unwrap_or(there);
                (!is_empty_list(&rest)).then_some(rest)
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

/// The list `list` without the elements of the list `taken`, or without the last of them that it
/// begins with: others may have taken the first ones meanwhile.
fn without(list: &Raw, taken: &Raw) -> Option<Raw> {
    let (there, taken) = (split(list)?, split(taken)?);
    let left = |from: usize| {
        let (begin, rest) = there.split_at_checked(taken.len() - from)?;
        are_same(begin, &taken[from..]).then_some(rest)
    };
    list_from((0..=taken.len()).find_map(left)?)
}

/// The list `list` without the elements of the list `put`, if it ends with those.
fn without_end(list: &Raw, put: &Raw) -> Option<Raw> {
    let (there, put) = (split(list)?, split(put)?);
    let at = there.len().checked_sub(put.len())?;
    let (rest, end) = there.split_at_checked(at)?;
    are_same(end, &put).then(|| list_from(rest))?
}

/// The elements of a list.
fn split(list: &Raw) -> Option<Vec<&RawValue>> {
    serde_json::from_slice(list).ok()
}

fn are_same(some: &[&RawValue], others: &[&RawValue]) -> bool {
    let texts = some.iter().map(|element| element.get());
    texts.eq(others.iter().map(|element| element.get()))
}

fn list_from(elements: &[&RawValue]) -> Option<Raw> {
    serde_json::to_vec(elements).ok().map(Raw::from)
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
    use std::time::{Duration, Instant};

    use super::*;
    use Change::{Drain, Offer, Push, Remove, RemoveIf, Set};

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
                RemoveIf(raw("[1,2]")),
                RemoveIf(raw("null")),
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
    fn what_two_have_taken_at_the_same_time_does_not_come_back() {
        let mut patch = Patch::default();
        patch.put("a", Drain(raw("[1,2,3]")));
        for (theirs, left) in [
            (r#"{"a":[1,2,3,4]}"#, r#"{"a":[4]}"#),
            (r#"{"a":[2,3,4]}"#, r#"{"a":[4]}"#),
            (r#"{"a":[3]}"#, "{}"),
            (r#"{"a":[4]}"#, r#"{"a":[4]}"#),
            (r#"{"a":[4,2,3]}"#, r#"{"a":[4,2,3]}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(applied(&patch, theirs), left);
        }
    }

    #[test]
    fn what_did_not_fit_is_removed_and_what_others_have_put_there_is_not() {
        let mut patch = Patch::default();
        patch.put("a", RemoveIf(raw(r#"{"x":1}"#)));
        for (theirs, left) in [
            (r#"{"a":{"x":1},"b":1}"#, r#"{"b":1}"#),
            (r#"{"a":{"x":2}}"#, r#"{"a":{"x":2}}"#),
            (r#"{"a":{ "x":1}}"#, r#"{"a":{ "x":1}}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(applied(&patch, theirs), left);
        }
        patch.put("a", Set(raw("2")));
        assert_eq!(applied(&patch, r#"{"a":{"x":2}}"#), r#"{"a":2}"#);
        patch.put("a", RemoveIf(raw("2")));
        assert_eq!(applied(&patch, r#"{"a":{"x":2}}"#), "{}");
    }

    #[test]
    fn a_hundred_thousand_pairs_of_changes_are_no_more_than_one() {
        let (mut patch, began) = (Patch::default(), Instant::now());
        let mut put = |change| patch.put("a", change);
        put(Drain(raw("[0]")));
        for n in 0..100_000 {
            put(Push(raw(&format!("[{n}]"))));
            put(Drain(raw(&format!("[{n}]"))));
        }
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(patch.values.get("a").map(Vec::len), Some(1));
        assert_eq!(applied(&patch, r#"{"a":[0,1]}"#), r#"{"a":[1]}"#);
    }

    #[test]
    fn what_was_put_there_and_taken_never_was() {
        let after = |changes: &[Change]| {
            let mut patch = Patch::default();
            for change in changes {
                patch.put("a", change.clone());
            }
            patch
        };
        for nothing in [
            after(&[Push(raw("[1]")), Drain(raw("[1]"))]),
            after(&[Push(raw("[1]")), Push(raw("[2]")), Drain(raw("[1,2]"))]),
            after(&[Offer(raw("[1]")), Drain(raw("[1]"))]),
            after(&[Offer(raw("[1]")), Push(raw("[2]")), Drain(raw("[1,2]"))]),
            after(&[Offer(raw("1")), RemoveIf(raw("1"))]),
            after(&[Push(raw("[1]")), RemoveIf(raw("[1]"))]),
        ] {
            assert!(nothing.is_empty());
        }
        // What was there when it was taken goes, and what others have added since stays.
        let taken = after(&[Push(raw("[1]")), Drain(raw(r#"[ "x" ,1]"#))]);
        assert_eq!(applied(&taken, r#"{"a":["x","y"]}"#), r#"{"a":["y"]}"#);
        assert_eq!(applied(&taken, r#"{"a":["x"]}"#), "{}");
        assert_eq!(applied(&taken, r#"{"a":["y"]}"#), r#"{"a":["y"]}"#);
        // No end of it.
        for changes in [
            after(&[Push(raw("[1]")), Drain(raw("[2]"))]),
            after(&[Push(raw("[1]")), Drain(raw("[1,2]"))]),
            after(&[Push(raw("[1,2]")), Drain(raw("[2]"))]),
        ] {
            assert_eq!(changes.values.get("a").map(Vec::len), Some(2));
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
