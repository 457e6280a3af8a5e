//! A connection to a node of a cluster: what is done about its answers and its silence.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{Either, select};
use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::sync::Notify;

use super::Cluster;
use super::activity::Activity;
use super::node::Node;
use crate::server::Server;

/// After so long without an answer the cluster is asked whether another node serves by now; sooner
/// if an operation may take less than four times as long.
const PATIENCE: Duration = Duration::from_millis(500);

/// Codes of a node that does not serve its slots, or not yet.
const DOES_NOT_SERVE: [&str; 5] = [
    "READONLY",
    "MASTERDOWN",
    "LOADING",
    "CLUSTERDOWN",
    "UNBLOCKED",
];
/// Codes of a connection whose login is no longer valid.
const REFUSED: [&str; 2] = ["NOAUTH", "WRONGPASS"];

/// Which node a connection leads to.
#[derive(Clone, Debug)]
pub(crate) struct Membership(pub(super) Weak<Node>);

/// A connection's part in its cluster.
#[derive(Debug)]
pub(crate) struct Member {
    membership: Membership,
    activity: Activity,
    given_up: Notify,
    patience: Duration,
}

impl Member {
    pub(crate) fn new(membership: Membership) -> Self {
        let node = membership.0.upgrade();
        let timeout = node.and_then(|node| Some(node.cluster()?.timeout()));
        Self {
            patience: timeout.map_or(PATIENCE, patience),
            membership,
            activity: Activity::default(),
            given_up: Notify::new(),
        }
    }

    fn node(&self) -> Option<Arc<Node>> {
        self.membership.0.upgrade()
    }

    /// An unused key in a slot of the node, if it serves any.
    pub(crate) fn scratch(&self) -> Option<String> {
        let node = self.node()?;
        node.cluster()?.scratch(&node)
    }

    /// Ends the calls in flight.
    pub(crate) fn end_calls(&self) {
        self.given_up.notify_waiters();
    }

    /// Waits for the answer to what is being sent over `server`. A connection that is silent for
    /// half of the time limit is given up; before that the cluster is asked, now and then, whether
    /// another node serves.
    pub(crate) async fn watch<T>(
        &self,
        server: &Server,
        sending: impl Future<Output = RedisResult<T>>,
    ) -> RedisResult<T> {
        let in_flight = self.activity.begin();
        let (mut sending, mut given_up) = (pin!(sending), pin!(self.given_up.notified()));
        given_up.as_mut().enable();
        if server.is_lost() {
            return Err(given_up_error());
        }
        let answer = loop {
            let patience = pin!(tokio::time::sleep(self.patience));
            let ends = select(given_up.as_mut(), patience);
            match select(sending.as_mut(), ends).await {
                Either::Left((answer, _)) => break answer,
                Either::Right((Either::Left(_), _)) => break Err(given_up_error()),
                Either::Right((Either::Right(_), _)) => self.check(server),
            }
        };
        match &answer {
            Ok(_) => in_flight.answered(),
            Err(_) => {
                if let Some(node) = self.node() {
                    node.suspect();
                }
            }
        }
        answer
    }

    fn check(&self, server: &Server) {
        let silence = self.activity.silence();
        let Some((node, cluster)) = self.node().and_then(|node| {
            let cluster = node.cluster()?;
            Some((node, cluster))
        }) else {
            return;
        };
        if silence >= cluster.timeout() / 2 {
            tracing::debug!(node = ?node.address, "a silent connection is given up");
            node.suspect();
            server.give_up();
        } else if silence >= self.patience {
            cluster.refresh_soon();
        }
    }

    /// Takes note of `answers`, and sends those of `commands` again that another node executes.
    pub(crate) async fn settle(
        &self,
        server: &Server,
        commands: &[&Cmd],
        answers: &mut [Value],
    ) -> RedisResult<()> {
        let Some(node) = self.node() else {
            return Ok(());
        };
        if !answers.iter().any(is_error) {
            node.trust();
            return Ok(());
        }
        for answer in &*answers {
            self.note(&node, server, answer);
        }
        match node.cluster() {
            Some(cluster) => cluster.follow(&node, commands, answers).await,
            None => Ok(()),
        }
    }

    fn note(&self, node: &Node, server: &Server, answer: &Value) {
        let Value::ServerError(error) = answer else {
            return;
        };
        let is = |codes: &[&str]| {
            let details = error.details().unwrap_or_default();
            let within = |code: &&str| details.contains(&format!("-{code} "));
            codes.contains(&error.code()) || codes.iter().any(within)
        };
        if is(&DOES_NOT_SERVE) {
            node.suspect();
        } else if is(&REFUSED) {
            node.suspect();
            server.give_up();
        }
    }
}

fn is_error(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(_))
}

/// At least two looks at the silence before it lasts for half of the time limit.
fn patience(timeout: Duration) -> Duration {
    PATIENCE.min(timeout / 4)
}

fn given_up_error() -> RedisError {
    let why = "the connection to a node of the cluster was given up";
    io::Error::new(io::ErrorKind::ConnectionReset, why).into()
}

impl Cluster {
    /// Sends `commands` to `node`, and takes note of the answers, which may be redirections. With
    /// `asking`, the node executes them although another owns their slots still.
    pub(super) async fn send_to(
        node: &Node,
        commands: &[&Cmd],
        asking: bool,
    ) -> RedisResult<Vec<Value>> {
        let server = node.server().await?;
        let mut pipeline = redis::Pipeline::with_capacity(commands.len() * 2);
        for command in commands {
            if asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command((*command).clone());
        }
        let mut answers = server.send_as_they_are(&pipeline).await?;
        if asking {
            let mut at = 0;
            answers.retain(|_| {
                at += 1;
                at % 2 == 0
            });
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_looked_at_before_half_of_a_short_time_limit() {
        for millis in [40, 400, 1_000, 30_000] {
            let timeout = Duration::from_millis(millis);
            assert!(patience(timeout) * 2 <= timeout / 2, "{timeout:?}");
            assert!(patience(timeout) <= PATIENCE, "{timeout:?}");
        }
    }
}
