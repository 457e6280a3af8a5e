//! Sends commands, and sends them again where that can help.

use redis::{Cmd, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, Value};
use session_core::Result;

use crate::RedisStore;
use crate::command::unexpected;
use crate::connection::DriverConnection;
use crate::link::Link;

/// How often a command is sent again for each cause, within the time that its operation has. Causes
/// come together: a server that restarts loses the connection, refuses it, loads its data, and then
/// lacks the scripts.
const RESENDINGS: u32 = 3;

/// How often a command was sent again, by why.
#[derive(Default)]
struct Resendings {
    /// The connection was lost.
    dropped: u32,
    /// It led to the wrong server, and another has taken its place.
    elsewhere: u32,
    /// The server lacked a script.
    untaught: u32,
}

/// What the server has answered, and whether it may have done the same before: the command was sent,
/// its answer was lost with the connection, and it was sent again.
pub(crate) struct Sent<T> {
    pub(crate) answer: T,
    pub(crate) before: bool,
}

impl RedisStore {
    /// Sends `command`.
    pub(crate) async fn send(&self, operation: &'static str, command: &Cmd) -> Result<Sent<Value>> {
        let work = self.repeat(
            1,
            |mut open| async move { command.query_async(&mut open).await },
        );
        self.link.limited(operation, work).await
    }

    /// Sends `commands` in one go.
    pub(crate) async fn send_all(
        &self,
        operation: &'static str,
        commands: &Pipeline,
    ) -> Result<Sent<Vec<Value>>> {
        let work = self.repeat(commands.len(), |mut open| async move {
            commands.query_async(&mut open).await
        });
        self.link.limited(operation, work).await
    }

    /// Sends `commands` for a batch, which has a limit of its time already. One command by itself is
    /// not sent as a pipeline, which costs the driver more.
    pub(crate) async fn send_batch(
        &self,
        operation: &'static str,
        commands: &Pipeline,
    ) -> Result<Sent<Vec<Value>>> {
        let mut each = commands.cmd_iter();
        if let (Some(only), None) = (each.next(), each.next()) {
            let Sent { answer, before } = self.send_one(operation, only).await?;
            let answer = vec![answer];
            return Ok(Sent { answer, before });
        }
        let sent = self.repeat(commands.len(), |mut open| async move {
            commands.query_async(&mut open).await
        });
        sent.await
            .map_err(|error| self.link.error(operation, error))
    }

    /// Sends `command` for a batch.
    pub(crate) async fn send_one(
        &self,
        operation: &'static str,
        command: &Cmd,
    ) -> Result<Sent<Value>> {
        let sent = self.repeat(
            1,
            |mut open| async move { command.query_async(&mut open).await },
        );
        sent.await
            .map_err(|error| self.link.error(operation, error))
    }

    /// Sends `command`, which makes a session live for some time, after `index`, which has the
    /// owner's index name it for as long.
    ///
    /// On one server that is one round trip. In a cluster the index is on another node, so its
    /// answer is waited for: an index that lacks a session would hide it from "log out everywhere".
    pub(crate) async fn send_indexed(
        &self,
        operation: &'static str,
        index: Option<Cmd>,
        command: Cmd,
    ) -> Result<Sent<Value>> {
        let Some(index) = index else {
            return self.send(operation, &command).await;
        };
        if self.link.is_cluster() {
            self.send(operation, &index).await?;
            return self.send(operation, &command).await;
        }
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(index).add_command(command);
        let Sent { mut answer, before } = self.send_all(operation, &commands).await?;
        let answer = answer.pop().ok_or_else(unexpected)?;
        Ok(Sent { answer, before })
    }
}

impl RedisStore {
    /// As [`Link::repeat`], with all scripts of this store.
    async fn repeat<T, W>(
        &self,
        commands: usize,
        send: impl Fn(DriverConnection) -> W,
    ) -> RedisResult<Sent<T>>
    where
        W: Future<Output = RedisResult<T>>,
    {
        let scripts = self.inner.scripts.all();
        self.link.repeat(commands, &scripts, send).await
    }
}

impl Link {
    /// Sends so many `commands`, again after a connection was lost, which comes back by itself, over
    /// another connection where this one led to the wrong server, and after the server was taught
    /// those of `scripts` that it lacks. All of them may be repeated.
    pub(crate) async fn repeat<T, W>(
        &self,
        commands: usize,
        scripts: &[&Script],
        send: impl Fn(DriverConnection) -> W,
    ) -> RedisResult<Sent<T>>
    where
        W: Future<Output = RedisResult<T>>,
    {
        let (mut before, mut again) = (false, Resendings::default());
        loop {
            let (call, open) = self.connection.call();
            let error = match send(open).await {
                Ok(answer) => {
                    call.answered();
                    return Ok(Sent { answer, before });
                }
                Err(error) => error,
            };
            let is_replaced = call.failed(&error);
            let is_untaught = lacks_script(&error);
            let (times, is_done) = if is_untaught {
                (&mut again.untaught, !is_none_done(&error, commands))
            } else if is_replaced {
                (&mut again.elsewhere, !is_none_done(&error, commands))
            } else if error.is_connection_dropped() {
                // Without a connection nothing was sent.
                (&mut again.dropped, !error.is_connection_refusal())
            } else {
                return Err(error);
            };
            if *times == RESENDINGS {
                return Err(error);
            }
            *times += 1;
            before |= is_done;
            if is_untaught {
                self.teach(scripts).await?;
            }
        }
    }

    /// Teaches the server the scripts; in a cluster, every node. Where the connection was lost or
    /// replaced meanwhile they are missing still, which the next answer tells.
    async fn teach(&self, scripts: &[&Script]) -> RedisResult<()> {
        for script in scripts {
            let (call, mut open) = self.connection.call();
            match script.load_async(&mut open).await {
                Ok(_) => call.answered(),
                Err(error) if call.failed(&error) || error.is_connection_dropped() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether a script is missing at the server that was asked.
fn lacks_script(error: &RedisError) -> bool {
    let errors = error.clone().into_server_errors();
    let is_no_script = |error: &redis::ServerError| error.kind() == Some(ServerErrorKind::NoScript);
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| is_no_script(error)))
}

/// Whether none of so many `commands` was done, for each was refused.
fn is_none_done(error: &RedisError, commands: usize) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_none_or(|errors| errors.len() == commands)
}
