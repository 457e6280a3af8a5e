//! What the server is sent, and how its answers are read.

use std::time::Duration;

use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, RedisWrite, Script, Value};
use session_core::backend::{Attempt, Call, Save, Sent};
use session_core::{Anchor, Draft, Ended, Error, Lifetime, Result, Saved, SessionId, Stamp};

use crate::RedisClient;
use crate::envelope::{Tail, millis, read_owner};
use crate::error::failure;
use crate::keys::Keys;
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

/// What became of one session that was to be ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done(Ended),
    /// There was none.
    Absent,
    /// It has another owner or stamp, and goes on.
    Other,
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

    pub(crate) fn command(&self, script: &Script, items: &[Save], keys: &Keys) -> Cmd {
        let saves = || self.places.iter().filter_map(|place| items.get(*place));
        let mut command = call(script, self.places.len());
        let mut key = String::new();
        for save in saves() {
            keys.write_session(&save.id, &mut key);
            command.arg(&key);
        }
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
        let sizes = saves().flat_map(|save| [size_of::<Stamp>(), tail(&save.draft).len()]);
        command.reserve_space_for_args(sizes);
        for save in saves() {
            let stamp = save.expected.stamp();
            command.arg(stamp.as_bytes()).arg(tail(&save.draft));
        }
        command
    }

    /// How each ended, by the script's answer.
    pub(crate) fn ends(&self, answer: Value) -> Result<Vec<Code>> {
        let ends = match answer {
            Value::Array(each) => each.into_iter().map(|one| code(Some(one))).collect(),
            // Nothing but that all are done.
            all => Ok(vec![code(Some(all))?; self.places.len()]),
        };
        let ends: Vec<Code> = ends?;
        if ends.len() == self.places.len() {
            Ok(ends)
        } else {
            Err(unexpected())
        }
    }
}

impl End {
    /// The script's answer about the session `id`.
    fn read(answer: Value, id: &SessionId) -> Result<Self> {
        let Value::Array(ended) = answer else {
            return match code(Some(answer))? {
                Code::Gone => Ok(Self::Absent),
                Code::Conflict => Ok(Self::Other),
                _ => Err(unexpected()),
            };
        };
        let (owner, age): (Vec<u8>, i64) = both(ended)?;
        Ok(Self::Done(Ended::new(
            id.clone(),
            read_owner(&owner).unwrap_or_default(),
            u64::try_from(age).ok().map(Duration::from_millis),
        )))
    }

    /// The script's answers about the first of `ids`, or all.
    pub(crate) fn read_all(answer: Value, ids: &[SessionId]) -> Result<Vec<Self>> {
        let answers: Vec<Value> = convert(Some(answer))?;
        if answers.is_empty() || answers.len() > ids.len() {
            return Err(unexpected());
        }
        let answers = answers.into_iter().zip(ids);
        answers.map(|(answer, id)| Self::read(answer, id)).collect()
    }
}

/// Sends `command`.
pub(crate) async fn send(call: &Call<RedisClient>, command: &Cmd) -> Result<Sent<Value>> {
    send_by(call, 1, |mut client| async move {
        command.query_async(&mut client).await
    })
    .await
}

/// Sends `commands` in one go. One by itself is not sent as a pipeline, which costs the driver more.
pub(crate) async fn send_all(
    call: &Call<RedisClient>,
    commands: &Pipeline,
) -> Result<Sent<Vec<Value>>> {
    let mut each = commands.cmd_iter();
    if let (Some(only), None) = (each.next(), each.next()) {
        return Ok(send(call, only).await?.map(|answer| vec![answer]));
    }
    send_by(call, commands.len(), |mut client| async move {
        commands.query_async(&mut client).await
    })
    .await
}

/// Has `send` send so many `commands` in one go. All of them may be repeated.
pub(crate) async fn send_by<T, W>(
    call: &Call<RedisClient>,
    commands: usize,
    send: impl Fn(RedisClient) -> W,
) -> Result<Sent<T>>
where
    W: Future<Output = RedisResult<T>>,
{
    call.send(|Attempt { client, .. }| {
        let sent = send(client);
        async move {
            let failure = |error| failure(call.place(), call.name(), error, commands);
            sent.await.map_err(failure)
        }
    })
    .await
}

/// A call of `script` on `keys`, still without its arguments.
pub(crate) fn eval(script: &Script, keys: &[impl AsRef<str>]) -> Cmd {
    let mut command = call(script, keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}

/// A call of `script` on so many keys, still without them.
fn call(script: &Script, keys: usize) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys);
    command
}

/// Adds to `command` what the script that creates a session takes.
pub(crate) fn add_draft(command: &mut Cmd, draft: &Draft) {
    add_limits(command, draft.lifetime);
    command.arg(Tail { draft, room: false });
}

fn add_limits(command: &mut Cmd, lifetime: Lifetime) {
    command
        .arg(millis(lifetime.idle))
        .arg(millis(lifetime.absolute));
}

/// What a save or a create of `draft` that ended so has come to.
pub(crate) fn saved(code: Code, draft: &Draft) -> Result<Saved> {
    match code {
        Code::Done => Ok(Saved::done(draft)),
        Code::Conflict => Ok(Saved::Conflict),
        Code::Gone => Ok(Saved::Gone),
        Code::Corrupt => Err(corrupt()),
        Code::Owned => Err(unexpected()),
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
    Error::refused("answer", "Redis gave an answer that the script can't give")
}

#[cfg(test)]
mod tests {
    use session_core::{Owner, SessionToken};

    use super::*;

    fn save(bytes: usize, seconds: u64, anchor: Anchor) -> Save {
        let lifetime = Lifetime::idle(Duration::from_secs(seconds));
        let draft = Draft::new(vec![b'x'; bytes], lifetime).with_anchor(anchor);
        let id = SessionToken::generate().id();
        Save::new(id, draft, Stamp::generate().into())
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
        let ends = |answer| group.ends(answer).ok();
        let both = Some(vec![Code::Done, Code::Done]);
        assert_eq!(ends(Value::Int(1)), both);
        let each = Value::Array(vec![Value::Int(1), Value::Int(2)]);
        assert_eq!(ends(each), Some(vec![Code::Done, Code::Conflict]));
        assert_eq!(ends(Value::Array(vec![Value::Int(1)])), None, "too few");
        assert_eq!(ends(Value::Int(99)), None, "no code");
    }

    #[test]
    fn an_end_tells_owner_and_age_where_they_are_known() {
        let ids: Vec<_> = (0..4).map(|_| SessionToken::generate().id()).collect();
        let ended = |owner: &[u8], age| {
            let owner = Value::BulkString(owner.to_vec());
            Value::Array(vec![owner, Value::Int(age)])
        };
        let answers = vec![ended(b"u", 7), ended(b"", -1), Value::Int(0), Value::Int(2)];
        let ends = End::read_all(Value::Array(answers), &ids).expect("readable");
        let first = Ended::new(
            ids[0].clone(),
            Owner::new("u").ok(),
            Some(Duration::from_millis(7)),
        );
        let second = Ended::unknown(ids[1].clone());
        let expected = [End::Done(first), End::Done(second), End::Absent, End::Other];
        assert_eq!(ends, expected);
        let few = End::read_all(Value::Array(vec![Value::Int(0)]), &ids);
        assert_eq!(few.expect("it stopped early"), [End::Absent]);
        let many = Value::Array(vec![Value::Int(0); 5]);
        End::read_all(many, &ids).expect_err("more than were asked about");
        End::read_all(Value::Array(vec![]), &ids).expect_err("about none");
    }
}
