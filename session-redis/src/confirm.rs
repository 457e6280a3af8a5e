//! Confirmation that what was written is on a replica, or on disk: `WAIT` and `WAITAOF`.
//!
//! Either holds up the connection that it is sent on, and speaks of what that connection wrote. So a
//! confirmation has a connection of its own, and writes a marker on it first: what the server executed
//! earlier comes before the marker on every replica and in every file.

use std::time::Duration;

use futures_util::future::try_join_all;
use redis::{Pipeline, RedisError, RedisResult, Value};
use session_core::backend::Call;
use session_core::{Confirmation, Error, Result};

use crate::RedisClient;
use crate::cluster::Cluster;
use crate::command::{convert, send_over, unexpected};
use crate::connection::Origin;
use crate::opener::Opener;
use crate::server::Server;

/// How many replicas must have a write that is replicated.
const REPLICAS: u32 = 1;

/// What confirms the writes of one store.
pub(crate) struct Confirmations(Opener);

impl Confirmations {
    pub(crate) const fn new(opener: Opener) -> Self {
        Self(opener)
    }

    /// Waits until what was written is `confirmation`, in a cluster on each primary.
    pub(crate) async fn confirm(
        &self,
        call: &Call<RedisClient>,
        confirmation: Confirmation,
    ) -> Result<()> {
        let wait = match confirmation {
            Confirmation::Replicated => Wait::ForReplicas,
            Confirmation::Durable => Wait::ForDisk,
            other => return other.by_answer(),
        };
        if let Origin::Manager(_) = &self.0.origin {
            return confirmation.by_answer();
        }
        let patience = call.timeout() * 3 / 4;
        let ask = |client: RedisClient| async move {
            match client.cluster() {
                Some(cluster) => wait.in_cluster(cluster, patience).await,
                None => Ok(vec![
                    wait.on(&self.0.open().await?, &self.0.scratch, patience)
                        .await?,
                ]),
            }
        };
        let answers = send_over(call, ask).await?.answer;
        let check = |answer| wait.check(call, answer, patience);
        answers.into_iter().try_for_each(check)
    }
}

/// What is waited for.
#[derive(Clone, Copy)]
enum Wait {
    ForReplicas,
    ForDisk,
}

impl Wait {
    async fn in_cluster(self, cluster: &Cluster, patience: Duration) -> RedisResult<Vec<Answer>> {
        let primaries = cluster.primaries().await?;
        let waits = primaries.iter().map(|node| async move {
            let server = node.opener.open().await;
            let server = server.inspect_err(|_| node.suspect())?;
            self.on(&server, "", patience).await
        });
        try_join_all(waits).await
    }

    /// Sends the marker and the question; `scratch` names the marker where there is no cluster.
    async fn on(self, server: &Server, scratch: &str, patience: Duration) -> RedisResult<Answer> {
        let Some(marker) = server.scratch(scratch) else {
            // A node without slots has no sessions.
            return Ok(Ok(Value::Int(REPLICAS.into())));
        };
        let mut commands = Pipeline::with_capacity(2);
        commands.cmd("SET").arg(marker).arg("").arg("PX").arg(1);
        let patience = patience.as_millis() as u64;
        match self {
            Self::ForReplicas => commands.cmd("WAIT").arg(REPLICAS).arg(patience),
            Self::ForDisk => commands.cmd("WAITAOF").arg(1).arg(0).arg(patience),
        };
        let mut answers = server.send_as_they_are(&commands).await?.into_iter();
        let (Some(marked), Some(waited)) = (answers.next(), answers.next()) else {
            return Ok(Ok(Value::Nil));
        };
        marked.extract_error()?;
        Ok(waited.extract_error())
    }

    /// # Errors
    /// If it is not confirmed.
    fn check(self, call: &Call<RedisClient>, answer: Answer, patience: Duration) -> Result<()> {
        let place = call.place();
        let value = answer.map_err(|error| self.refused(place, &error))?;
        let (found, what) = match self {
            Self::ForReplicas => (convert::<u32>(Some(value))?, "replica has"),
            Self::ForDisk => {
                let found: Vec<u32> = convert(Some(value))?;
                (
                    *found.first().ok_or_else(unexpected)?,
                    "file of the server has",
                )
            }
        };
        match found {
            0 => Err(Error::timeout(
                call.name(),
                format!("{place}: no {what} what was written within {patience:?}"),
            )),
            _ => Ok(()),
        }
    }

    fn refused(self, place: &str, error: &RedisError) -> Error {
        let text = error.detail().unwrap_or_default();
        let is_off = text.contains("appendonly");
        let is_unknown = text.contains("unknown command");
        match self {
            Self::ForDisk if is_off => Error::misconfigured(format!(
                "{place}: nothing is durable, because the server writes no append-only file: set \
                 appendonly to yes"
            )),
            Self::ForDisk if is_unknown => Error::misconfigured(format!(
                "{place}: the server can't tell what is durable: WAITAOF needs Redis 7.2 or Valkey"
            )),
            _ => Error::misconfigured(format!("{place}: {error}")),
        }
    }
}

/// What the server says, or its refusal.
type Answer = Result<Value, RedisError>;
