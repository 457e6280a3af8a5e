//! How commands are sent, and how their answers are read.

use std::time::Duration;

use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, Script, Value};
use session_core::backend::{Attempt, Call, Sent};
use session_core::{Draft, Ended, Error, Lifetime, Result, Saved, SessionId};

use crate::RedisClient;
use crate::error::failure;
use crate::record::{Tail, millis, read_owner};
use crate::script::Code;

/// A script's answer: its code, and the other values.
pub(crate) type Answer = (Code, Vec<Value>);

/// What the destroy script has done with one session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DestroyOutcome {
    Done(Ended),
    /// There is no such session.
    Absent,
    /// The session has another owner or stamp and was not destroyed.
    Mismatch,
}

impl DestroyOutcome {
    /// Reads the script's answer about the session `id`.
    fn read(answer: Value, id: &SessionId) -> Result<Self> {
        let Value::Array(ended) = answer else {
            return match parse_code(Some(answer))? {
                Code::Gone => Ok(Self::Absent),
                Code::Conflict => Ok(Self::Mismatch),
                _ => Err(unexpected()),
            };
        };
        let (owner, age): (Vec<u8>, i64) = last_two(ended)?;
        Ok(Self::Done(Ended::new(
            id.clone(),
            read_owner(&owner).unwrap_or_default(),
            u64::try_from(age).ok().map(Duration::from_millis),
        )))
    }

    /// Reads the script's answers, which are about the first of `ids` or all of them.
    pub(crate) fn read_all(answer: Value, ids: &[SessionId]) -> Result<Vec<Self>> {
        let answers: Vec<Value> = convert(Some(answer))?;
        if answers.is_empty() || answers.len() > ids.len() {
            return Err(unexpected());
        }
        let answers = answers.into_iter().zip(ids);
        answers.map(|(answer, id)| Self::read(answer, id)).collect()
    }
}

/// Sends `command`, again after a failure that passes.
pub(crate) async fn send(call: &Call<RedisClient>, command: &Cmd) -> Result<Sent<Value>> {
    send_by(call, 1, |mut client| async move {
        command.query_async(&mut client).await
    })
    .await
}

/// Sends `commands` as one pipeline. A single command is sent as such, which costs the driver less.
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

/// Sends what `send` does: `commands` commands in one pipeline, all of which may be repeated.
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

/// A call of `script` on `keys`, without arguments.
pub(crate) fn eval(script: &Script, keys: &[impl AsRef<str>]) -> Cmd {
    let mut command = call(script, keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}

/// A call of `script` on `keys` keys, which are not added yet.
pub(crate) fn call(script: &Script, keys: usize) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys);
    command
}

/// Adds the arguments of the script that creates a session.
pub(crate) fn add_draft(command: &mut Cmd, draft: &Draft) {
    add_limits(command, draft.lifetime);
    command.arg(Tail {
        draft,
        is_padded: false,
    });
}

pub(crate) fn add_limits(command: &mut Cmd, lifetime: Lifetime) {
    command
        .arg(millis(lifetime.idle))
        .arg(millis(lifetime.absolute));
}

/// The outcome of a save or create of `draft`.
pub(crate) fn saved(code: Code, draft: &Draft) -> Result<Saved> {
    match code {
        Code::Done => Ok(Saved::done(draft)),
        Code::Conflict => Ok(Saved::Conflict),
        Code::Gone => Ok(Saved::Gone),
        Code::Corrupt => Err(corrupt()),
        Code::OtherOwner => Err(unexpected()),
    }
}

pub(crate) fn parse_answer(value: Value) -> Result<Answer> {
    let mut parts: Vec<Value> = convert(Some(value))?;
    let first = (!parts.is_empty()).then(|| parts.remove(0));
    Ok((parse_code(first)?, parts))
}

pub(crate) fn parse_code(value: Option<Value>) -> Result<Code> {
    Code::from_number(convert(value)?).ok_or_else(unexpected)
}

/// The last two values of an answer.
pub(crate) fn last_two<A: FromRedisValue, B: FromRedisValue>(
    mut parts: Vec<Value>,
) -> Result<(A, B)> {
    let second = convert(parts.pop())?;
    Ok((convert(parts.pop())?, second))
}

pub(crate) fn convert<T: FromRedisValue>(value: Option<Value>) -> Result<T> {
    let value = value.ok_or_else(unexpected)?;
    T::from_redis_value(value).map_err(|_| unexpected())
}

pub(crate) fn corrupt() -> Error {
    Error::corrupt("the Redis value is not a session")
}

pub(crate) fn unexpected() -> Error {
    Error::refused("answer", "Redis gave an answer that the script can't give")
}

#[cfg(test)]
mod tests {
    use session_core::{Owner, SessionToken};

    use super::*;

    #[test]
    fn a_destroy_outcome_has_owner_and_age_where_they_are_known() {
        let ids: Vec<_> = (0..4).map(|_| SessionToken::generate().id()).collect();
        let ended = |owner: &[u8], age| {
            let owner = Value::BulkString(owner.to_vec());
            Value::Array(vec![owner, Value::Int(age)])
        };
        let answers = vec![ended(b"u", 7), ended(b"", -1), Value::Int(0), Value::Int(2)];
        let outcomes = DestroyOutcome::read_all(Value::Array(answers), &ids).expect("readable");
        let first = Ended::new(
            ids[0].clone(),
            Owner::new("u").ok(),
            Some(Duration::from_millis(7)),
        );
        let second = Ended::unknown(ids[1].clone());
        let expected = [
            DestroyOutcome::Done(first),
            DestroyOutcome::Done(second),
            DestroyOutcome::Absent,
            DestroyOutcome::Mismatch,
        ];
        assert_eq!(outcomes, expected);
        let few = DestroyOutcome::read_all(Value::Array(vec![Value::Int(0)]), &ids);
        assert_eq!(few.expect("it stopped early"), [DestroyOutcome::Absent]);
        let many = Value::Array(vec![Value::Int(0); 5]);
        DestroyOutcome::read_all(many, &ids).expect_err("more answers than ids");
        DestroyOutcome::read_all(Value::Array(vec![]), &ids).expect_err("no answers");
    }
}
