//! How commands are sent, and how their answers are read.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, Script, Value};
use session_core::backend::{Attempt, Call, Failure, Sent};
use session_core::{Draft, Ended, Error, Lifetime, Result, Saved, SessionId};

use crate::RedisClient;
use crate::error::failure;
use crate::lane::Lane;
use crate::record::{Tail, age_at_create, millis, read_owner};
use crate::route::Route;
use crate::script::Code;
use crate::server::Server;

/// A script's answer: its code, and the other values.
pub(crate) type Answer = (Code, Vec<Value>);

/// What a destroy has done with one session.
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
pub(crate) async fn send(route: impl Into<Route<'_>>, command: &Cmd) -> Result<Sent<Value>> {
    let route = route.into().for_command(command);
    send_by(route, 1, |server| async move {
        server.send(command).await?.extract_error()
    })
    .await
}

/// Sends `commands` as one pipeline. A single command is sent as such, which costs the driver less.
/// In a cluster, one node executes all of them.
pub(crate) async fn send_all(
    route: impl Into<Route<'_>>,
    commands: &Pipeline,
) -> Result<Sent<Vec<Value>>> {
    let mut route = route.into();
    let mut each = commands.cmd_iter();
    let first = each.next();
    if let Some(first) = first {
        route = route.for_command(first);
    }
    if let (Some(only), None) = (first, each.next()) {
        return Ok(send(route, only).await?.map(|answer| vec![answer]));
    }
    send_by(route, commands.len(), |server| async move {
        commands.query_async(&mut &*server).await
    })
    .await
}

/// An error, and how many commands of the pipeline it concerns.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: RedisError,
    /// How many commands were sent with those that failed.
    pub(crate) commands: usize,
}

impl From<RedisError> for Refusal {
    fn from(error: RedisError) -> Self {
        Self { error, commands: 1 }
    }
}

impl Refusal {
    fn failure(self, call: &Call<RedisClient>) -> Failure {
        failure(call.place(), call.name(), self.error, self.commands)
    }
}

/// Sends what `send` does: `commands` commands in one pipeline, all of which may be repeated.
pub(crate) async fn send_by<T, W>(
    route: impl Into<Route<'_>>,
    commands: usize,
    send: impl Fn(Arc<Server>) -> W,
) -> Result<Sent<T>>
where
    W: Future<Output = RedisResult<T>>,
{
    let send = &send;
    send_with(route, |server| async move {
        let refusal = |error| Refusal { error, commands };
        send(server).await.map_err(refusal)
    })
    .await
}

/// The same for commands that depend on the server.
pub(crate) async fn send_with<T, W>(
    route: impl Into<Route<'_>>,
    send: impl Fn(Arc<Server>) -> W,
) -> Result<Sent<T>>
where
    W: Future<Output = Result<T, Refusal>>,
{
    let (Route { call, slot }, send) = (route.into(), &send);
    call.send(|Attempt { client, .. }| async move {
        let failure = |refusal: Refusal| refusal.failure(call);
        // Without a connection nothing is sent.
        let server = client.server(slot).await;
        let server = server.map_err(|error| passing(&client, failure(error.into())).not_done())?;
        send(server).await.map_err(failure)
    })
    .await
}

/// Sends what `send` does, which changes nothing, by the client.
pub(crate) async fn send_over<T, W>(
    call: &Call<RedisClient>,
    send: impl Fn(RedisClient) -> W,
) -> Result<Sent<T>>
where
    W: Future<Output = RedisResult<T>>,
{
    let send = &send;
    call.send(|Attempt { client, .. }| async move {
        let sent = send(client.clone()).await;
        sent.map_err(|error| {
            let failure = failure(call.place(), call.name(), error, 1);
            passing(&client, failure)
        })
    })
    .await
}

/// In a cluster another node may serve soon.
fn passing(client: &RedisClient, failure: Failure) -> Failure {
    let passes = failure.remedy().is_none() && failure.error().is_temporary();
    if passes && client.cluster().is_some() {
        failure.repeat()
    } else {
        failure
    }
}

/// Does `work` without making the caller wait for it. What it sends at once goes before all later
/// commands of this connection.
pub(crate) fn unawaited(work: impl Future<Output = ()> + Send + 'static) {
    let mut work = Box::pin(work);
    // If the first poll does not finish, a task does.
    if (&mut work).now_or_never().is_none() {
        tokio::spawn(work);
    }
}

/// How writes compare at the server, tried on the unused key `scratch` if it has not told yet.
pub(crate) async fn lane(call: &Call<RedisClient>, scratch: &str) -> Result<Lane> {
    Ok(known_lane(call, scratch).await?.unwrap_or(Lane::Scripts))
}

/// The same; `None` if the server can't tell.
pub(crate) async fn known_lane(call: &Call<RedisClient>, scratch: &str) -> Result<Option<Lane>> {
    let ask = |server: Arc<Server>| async move {
        server.lane(scratch).await?;
        Ok(server.known_lane())
    };
    Ok(send_by(call, 1, ask).await?.answer)
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
    add_limits(
        command,
        Lifetime::new(draft.left_at_create(), draft.lifetime.absolute),
    );
    let tail = Tail {
        draft,
        is_padded: false,
    };
    command.arg(tail).arg(age_at_create(draft));
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
    Error::refused("answer", "Redis gave an answer that the command can't give")
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
