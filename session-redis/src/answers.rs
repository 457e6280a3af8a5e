//! Errors among the answers to the commands of a pipeline: each costs only what it is about.

use redis::{Pipeline, RedisError, Value};
use session_core::backend::{Call, Sent};
use session_core::{Error, Result};

use crate::RedisClient;
use crate::command::{Refusal, send_with};
use crate::error::{from_redis, has_remedy};
use crate::route::Route;

/// Sends `commands` as one pipeline, again after a failure that passes. Answers may be errors that
/// concern their own command only.
pub(crate) async fn send_each(
    route: impl Into<Route<'_>>,
    commands: &Pipeline,
) -> Result<Sent<Vec<Value>>> {
    let mut route = route.into();
    let mut each = commands.cmd_iter();
    let first = each.next();
    if let Some(first) = first {
        route = route.for_command(first);
    }
    // The driver spends less on a single command.
    let only = first.filter(|_| each.next().is_none());
    send_with(route, |server| async move {
        let answers = match only {
            Some(only) => vec![server.send(only).await?],
            None => server.send_all(commands).await?,
        };
        shared_refusal(&answers).map_or(Ok(answers), Err)
    })
    .await
}

/// The first error for which there is a remedy: all commands are sent again.
pub(crate) fn shared_refusal(answers: &[Value]) -> Option<Refusal> {
    let errors = || {
        answers.iter().filter_map(|answer| match answer {
            Value::ServerError(error) => Some(RedisError::from(error.clone())),
            _ => None,
        })
    };
    let error = errors().find(has_remedy)?;
    // As if there was one command, if none was executed.
    let commands = match errors().count() == answers.len() {
        true => 1,
        false => 2,
    };
    Some(Refusal { error, commands })
}

/// The error in an answer, unless it is that the key holds a value of another type.
pub(crate) fn refusal(call: &Call<RedisClient>, answer: &Value) -> Option<Error> {
    match answer {
        Value::ServerError(error) if error.code() != "WRONGTYPE" => {
            let error = RedisError::from(error.clone());
            Some(from_redis(call.place(), call.name(), error))
        }
        _ => None,
    }
}

/// The error of a write beside which an entry of an index was refused, by this error.
pub(crate) fn unindexed(call: &Call<RedisClient>, refused: Error) -> Error {
    if refused.is_doubtful() {
        return refused;
    }
    // Any other error would say that nothing was written.
    let why = format!("the session may be written, and its index entry was refused: {refused}");
    Error::refused(call.name(), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> Value {
        let line = format!("-{code} no\r\n");
        redis::parse_redis_value(line.as_bytes()).expect("an answer")
    }

    #[test]
    fn only_an_error_with_a_remedy_concerns_all_commands() {
        let told = |answers: &[Value]| {
            shared_refusal(answers).map(|it| (it.error.code().map(str::to_owned), it.commands))
        };
        let readonly = Some("READONLY".to_owned());
        for (answers, expected) in [
            ([refused("NOPERM"), Value::Okay], None),
            ([refused("OOM"), refused("OOM")], None),
            ([refused("WRONGTYPE"), Value::Okay], None),
            (
                [refused("READONLY"), Value::Nil],
                Some((readonly.clone(), 2)),
            ),
            (
                [refused("NOPERM"), refused("READONLY")],
                Some((readonly, 1)),
            ),
        ] {
            assert_eq!(told(&answers), expected, "{answers:?}");
        }
    }
}
