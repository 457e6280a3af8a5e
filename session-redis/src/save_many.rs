//! Many saves in one call of the script.

use redis::{Cmd, RedisWrite, Script, Value};
use session_core::backend::Save;
use session_core::{Anchor, Draft, Lifetime, Result, Stamp};

use crate::command::{add_limits, call, parse_code, unexpected};
use crate::keys::Keys;
use crate::record::Tail;
use crate::script::Code;

/// From this many bytes of data on, overwriting the padding costs less than concatenating the
/// value.
const LARGE: usize = 1024;

/// Saves that set the same limits, so that one call of the script can execute them.
pub(crate) struct SaveGroup {
    limits: SharedLimits,
    /// The indexes of the saves in their batch.
    pub(crate) indexes: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct SharedLimits {
    lifetime: Lifetime,
    anchor: Anchor,
    is_large: bool,
}

impl SharedLimits {
    fn of(draft: &Draft) -> Self {
        Self {
            lifetime: draft.lifetime,
            anchor: draft.anchor,
            is_large: draft.data.len() >= LARGE,
        }
    }
}

impl SaveGroup {
    /// A group for each of `items`: for a cluster, where no call has keys in several slots.
    pub(crate) fn each(items: &[Save]) -> Vec<Self> {
        let group = |(index, save): (usize, &Save)| Self {
            limits: SharedLimits::of(&save.draft),
            indexes: vec![index],
        };
        items.iter().enumerate().map(group).collect()
    }

    /// Groups `items`. There are few groups: most sessions of a site have the same limits.
    pub(crate) fn split(items: &[Save]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::with_capacity(1);
        for (index, save) in items.iter().enumerate() {
            let limits = SharedLimits::of(&save.draft);
            match groups.iter_mut().find(|group| group.limits == limits) {
                Some(group) => group.indexes.push(index),
                None => groups.push(Self {
                    limits,
                    indexes: vec![index],
                }),
            }
        }
        groups
    }

    pub(crate) fn command(&self, script: &Script, items: &[Save], keys: &Keys) -> Cmd {
        let saves = || self.indexes.iter().filter_map(|index| items.get(*index));
        let mut command = call(script, self.indexes.len());
        let mut key = String::new();
        for save in saves() {
            keys.write_session(&save.id, &mut key);
            command.arg(&key);
        }
        let SharedLimits {
            lifetime,
            anchor,
            is_large: is_padded,
        } = self.limits;
        add_limits(&mut command, lifetime);
        command
            .arg(u8::from(anchor == Anchor::Restart))
            .arg(u8::from(is_padded));
        let tail = |draft| Tail { draft, is_padded };
        let sizes = saves().flat_map(|save| [size_of::<Stamp>(), tail(&save.draft).len()]);
        command.reserve_space_for_args(sizes);
        for save in saves() {
            let stamp = save.expected.stamp();
            command.arg(stamp.as_bytes()).arg(tail(&save.draft));
        }
        command
    }

    /// The code for each save, from the script's answer.
    pub(crate) fn outcomes(&self, answer: Value) -> Result<Vec<Code>> {
        let outcomes = match answer {
            Value::Array(each) => each.into_iter().map(|one| parse_code(Some(one))).collect(),
            // One code for all.
            all => Ok(vec![parse_code(Some(all))?; self.indexes.len()]),
        };
        let outcomes: Vec<Code> = outcomes?;
        if outcomes.len() == self.indexes.len() {
            Ok(outcomes)
        } else {
            Err(unexpected())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use session_core::SessionToken;

    use super::*;

    fn save(bytes: usize, seconds: u64, anchor: Anchor) -> Save {
        let lifetime = Lifetime::idle(Duration::from_secs(seconds));
        let draft = Draft::new(vec![b'x'; bytes], lifetime).with_anchor(anchor);
        let id = SessionToken::generate().id();
        Save::new(id, draft, Stamp::generate().into())
    }

    #[test]
    fn saves_with_the_same_limits_share_a_call() {
        let items = [
            save(10, 1, Anchor::Keep),
            save(10, 2, Anchor::Keep),
            save(LARGE, 1, Anchor::Keep),
            save(10, 1, Anchor::Restart),
            save(LARGE - 1, 1, Anchor::Keep),
            save(10, 2, Anchor::Keep),
        ];
        let groups = SaveGroup::split(&items);
        let indexes: Vec<_> = groups.iter().map(|group| &group.indexes[..]).collect();
        assert_eq!(indexes, [&[0, 4][..], &[1, 5], &[2], &[3]]);
    }

    #[test]
    fn one_code_is_for_all_saves_and_a_list_has_one_for_each() {
        let items = [save(1, 1, Anchor::Keep), save(1, 1, Anchor::Keep)];
        let group = &SaveGroup::split(&items)[0];
        let outcomes = |answer| group.outcomes(answer).ok();
        let last_two = Some(vec![Code::Done, Code::Done]);
        assert_eq!(outcomes(Value::Int(1)), last_two);
        let each = Value::Array(vec![Value::Int(1), Value::Int(2)]);
        assert_eq!(outcomes(each), Some(vec![Code::Done, Code::Conflict]));
        assert_eq!(outcomes(Value::Array(vec![Value::Int(1)])), None, "too few");
        assert_eq!(outcomes(Value::Int(99)), None, "no code");
    }
}
