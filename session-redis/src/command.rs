//! What the scripts are sent, and what they answer.

use redis::{Cmd, FromRedisValue, RedisWrite, Script, Value};
use session_core::batch::Save;
use session_core::{Anchor, Draft, Error, Lifetime, Result, Saved, SessionId, Stamp};

use crate::envelope::{Tail, millis};
use crate::script::Code;

/// A script's answer: how it ended, and the rest.
pub(crate) type Answer = (Code, Vec<Value>);

/// From so many bytes of data on, writing the times over costs less than putting the value together.
const LARGE: usize = 1024;

/// Saves that one call of the script can do, by their places: those of the same terms.
pub(crate) struct Group {
    terms: Terms,
    pub(crate) places: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Terms {
    lifetime: Lifetime,
    anchor: Anchor,
    large: bool,
}

/// How one save of a group ended, and whose the session was before.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) code: Code,
    pub(crate) owner: Option<Vec<u8>>,
}

impl Terms {
    fn of(draft: &Draft) -> Self {
        Self {
            lifetime: draft.lifetime,
            anchor: draft.anchor,
            large: draft.data.len() >= LARGE,
        }
    }
}

impl Group {
    pub(crate) fn of_one(save: &Save) -> Self {
        Self {
            terms: Terms::of(&save.draft),
            places: vec![0],
        }
    }

    /// All of `items`. There are few groups: most sessions of a site have the same limits.
    pub(crate) fn all(items: &[Save]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::with_capacity(1);
        for (place, save) in items.iter().enumerate() {
            let terms = Terms::of(&save.draft);
            match groups.iter_mut().find(|group| group.terms == terms) {
                Some(group) => group.places.push(place),
                None => groups.push(Self {
                    terms,
                    places: vec![place],
                }),
            }
        }
        groups
    }

    pub(crate) fn command(
        &self,
        script: &Script,
        items: &[Save],
        key: impl Fn(&SessionId) -> String,
    ) -> Cmd {
        let saves = || self.places.iter().filter_map(|place| items.get(*place));
        let keys: Vec<String> = saves().map(|save| key(&save.id)).collect();
        let mut command = eval(script, &keys);
        let Terms {
            lifetime,
            anchor,
            large: room,
        } = self.terms;
        add_limits(&mut command, lifetime);
        command
            .arg(u8::from(anchor == Anchor::Restart))
            .arg(u8::from(room));
        let tail = |draft| Tail { draft, room };
        let sizes =
            saves().flat_map(|save| [save.expected.as_bytes().len(), tail(&save.draft).len()]);
        command.reserve_space_for_args(sizes);
        for save in saves() {
            command.arg(save.expected.as_bytes()).arg(tail(&save.draft));
        }
        command
    }

    /// How each ended, by the script's answer.
    pub(crate) fn ends(&self, answer: Value) -> Result<Vec<End>> {
        let ends = match answer {
            Value::Array(each) => each.into_iter().map(End::read).collect::<Result<_>>()?,
            // Nothing but that all are done.
            all => vec![End::read(all)?; self.places.len()],
        };
        if ends.len() == self.places.len() {
            Ok(ends)
        } else {
            Err(unexpected())
        }
    }
}

impl End {
    fn read(answer: Value) -> Result<Self> {
        let (code, owner) = match answer {
            Value::BulkString(owner) => (Code::Done, Some(owner)),
            code => (self::code(Some(code))?, None),
        };
        Ok(Self { code, owner })
    }
}

/// A call of `script` on `keys`, still without its arguments.
pub(crate) fn eval(script: &Script, keys: &[impl AsRef<str>]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}

/// Adds to `command` what the scripts that write one session take.
pub(crate) fn add_draft(command: &mut Cmd, draft: &Draft) {
    add_limits(command, draft.lifetime);
    command.arg(Tail { draft, room: false });
}

pub(crate) fn add_expected(command: &mut Cmd, draft: &Draft, expected: Stamp) {
    add_draft(command, draft);
    command
        .arg(expected.as_bytes())
        .arg(u8::from(draft.anchor == Anchor::Restart));
}

fn add_limits(command: &mut Cmd, lifetime: Lifetime) {
    command
        .arg(millis(lifetime.idle))
        .arg(millis(lifetime.absolute));
}

pub(crate) fn saved(code: Code, draft: &Draft) -> Result<Saved> {
    match code {
        Code::Done => Ok(Saved::Done(draft.stamp)),
        Code::Conflict => Ok(Saved::Conflict),
        Code::Gone => Ok(Saved::Gone),
        Code::Exists => Err(Error::AlreadyExists),
        Code::Corrupt => Err(corrupt()),
    }
}

pub(crate) fn answer(value: Value) -> Result<Answer> {
    let mut parts: Vec<Value> = convert(Some(value))?;
    let first = (!parts.is_empty()).then(|| parts.remove(0));
    Ok((code(first)?, parts))
}

fn code(value: Option<Value>) -> Result<Code> {
    Code::from_number(convert(value)?).ok_or_else(unexpected)
}

/// The last two parts of an answer.
pub(crate) fn both<A: FromRedisValue, B: FromRedisValue>(mut parts: Vec<Value>) -> Result<(A, B)> {
    let second = convert(parts.pop())?;
    Ok((convert(parts.pop())?, second))
}

pub(crate) fn convert<T: FromRedisValue>(value: Option<Value>) -> Result<T> {
    let value = value.ok_or_else(unexpected)?;
    T::from_redis_value(value).map_err(|_| unexpected())
}

pub(crate) fn corrupt() -> Error {
    Error::corrupt("the Redis value is not a session's")
}

pub(crate) fn unexpected() -> Error {
    Error::store("answer", "Redis gave an answer that the script can't give")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use session_core::SessionToken;

    use super::*;

    fn save(bytes: usize, seconds: u64, anchor: Anchor) -> Save {
        let lifetime = Lifetime::idle(Duration::from_secs(seconds));
        let draft = Draft::new(vec![b'x'; bytes], lifetime).with_anchor(anchor);
        let (id, expected) = (SessionToken::generate().id(), Stamp::generate());
        Save {
            id,
            draft,
            expected,
        }
    }

    #[test]
    fn what_one_call_can_do_goes_together() {
        let items = [
            save(10, 1, Anchor::Keep),
            save(10, 2, Anchor::Keep),
            save(LARGE, 1, Anchor::Keep),
            save(10, 1, Anchor::Restart),
            save(LARGE - 1, 1, Anchor::Keep),
            save(10, 2, Anchor::Keep),
        ];
        let groups = Group::all(&items);
        let places: Vec<_> = groups.iter().map(|group| &group.places[..]).collect();
        assert_eq!(places, [&[0, 4][..], &[1, 5], &[2], &[3]]);
    }

    #[test]
    fn one_answer_is_for_all_and_several_are_for_each() {
        let items = [save(1, 1, Anchor::Keep), save(1, 1, Anchor::Keep)];
        let group = &Group::all(&items)[0];
        let ends = |answer| {
            let ends = group.ends(answer).ok()?;
            Some(ends.into_iter().map(|end| (end.code, end.owner)).collect())
        };
        let done = (Code::Done, None);
        assert_eq!(ends(Value::Int(1)), Some(vec![done.clone(), done.clone()]));
        let each = vec![Value::BulkString(b"u".to_vec()), Value::Int(2)];
        let owned = (Code::Done, Some(b"u".to_vec()));
        let expected = vec![owned, (Code::Conflict, None)];
        assert_eq!(ends(Value::Array(each)), Some(expected));
        assert_eq!(ends(Value::Array(vec![Value::Int(1)])), None, "too few");
        assert_eq!(ends(Value::Int(99)), None, "no code");
    }

    #[test]
    fn a_tail_is_what_is_read_back() {
        let owner = session_core::Owner::new("ü").expect("valid");
        let draft = save(3, 7, Anchor::Keep).draft.with_owner(owner);
        for room in [true, false] {
            let tail = Tail {
                draft: &draft,
                room,
            };
            let mut value = redis::ToRedisArgs::to_redis_args(&tail).remove(0);
            assert_eq!(value.len(), tail.len());
            let front: Vec<u8> = [&[2][..], &5_u64.to_be_bytes(), &9_u64.to_be_bytes()].concat();
            if room {
                value[..front.len()].copy_from_slice(&front);
            } else {
                value.splice(..0, front);
            }
            let envelope = crate::envelope::Envelope::decode(value.into()).expect("whole");
            assert_eq!((envelope.born, envelope.deadline), (5, Some(9)));
            assert_eq!(envelope.lifetime, draft.lifetime);
            let record = envelope.into_record(6);
            assert_eq!(
                (record.data, record.stamp),
                (draft.data.clone(), draft.stamp)
            );
            assert_eq!(record.owner, draft.owner);
        }
    }
}
