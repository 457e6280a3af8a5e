//! The user's rights to commands that no script runs.

use std::sync::Arc;

use redis::{Cmd, Pipeline, RedisResult, Value};
use session_core::backend::Call;
use session_core::{Error, Result};

use crate::RedisClient;
use crate::command::send_by;
use crate::error::is_forbidden;
use crate::server::Server;

/// Tries `commands` outside scripts. `$` stands for the unused key `scratch`, which they must not
/// leave behind.
pub(crate) async fn check(
    call: &Call<RedisClient>,
    scratch: &str,
    commands: &[&str],
) -> Result<()> {
    let ask = |server: Arc<Server>| async move { answers(&server, scratch, commands).await };
    let answers = send_by(call, commands.len(), ask).await?.answer;
    let tried = commands.iter().zip(&answers);
    let refused = tried.filter(|(_, answer)| is_refused(answer));
    let refused: Vec<&str> = refused
        .filter_map(|(command, _)| command.split(' ').next())
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(self::refused(call, &refused))
}

/// The error of a user that may not run `commands`.
pub(crate) fn refused(call: &Call<RedisClient>, commands: &[impl AsRef<str>]) -> Error {
    let commands: Vec<&str> = commands.iter().map(AsRef::as_ref).collect();
    Error::misconfigured(format!(
        "{} does not let the user run {}, which sessions need (docs/operations.md lists the commands)",
        call.place(),
        commands.join(", ")
    ))
}

async fn answers(server: &Server, scratch: &str, commands: &[&str]) -> RedisResult<Vec<Value>> {
    let mut pipeline = Pipeline::with_capacity(commands.len());
    for command in commands {
        let mut words = command.split(' ');
        let mut command = Cmd::new();
        for word in words.by_ref() {
            command.arg(if word == "$" { scratch } else { word });
        }
        pipeline.add_command(command);
    }
    server.send_all(&pipeline).await
}

/// Other errors (no memory, no replica) may pass, or the operations report them.
fn is_refused(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if is_forbidden(error.code()))
}
