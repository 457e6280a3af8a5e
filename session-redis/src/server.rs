//! An open connection to a server, and what is known of the server: it ends with the connection,
//! because the next one may lead to another.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use redis::aio::{ConnectionLike, ConnectionManager, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};

use crate::clock::Clock;
use crate::cluster::{Member, Membership};
use crate::lane::Lane;
use crate::sentinel::Watch;

/// An open connection to a server.
pub(crate) struct Server {
    pub(crate) driver: Driver,
    pub(crate) clock: Clock,
    /// Set when it is known.
    lane: OnceLock<Lane>,
    /// Set when it was asked for.
    process: OnceLock<Option<u32>>,
    is_lost: Arc<AtomicBool>,
    /// If the server is a node of a cluster.
    member: Option<Member>,
    /// Sees to it that the connection counts as lost when another server becomes the primary.
    watch: Option<Watch>,
}

/// The driver's connection. Clones share it.
#[derive(Clone)]
pub(crate) enum Driver {
    Connection(MultiplexedConnection),
    /// The caller's, which reconnects by its own rules and does not tell.
    Manager(ConnectionManager),
}

impl Server {
    /// `is_lost` tells when the connection has broken; `membership` is that of a node of a cluster.
    pub(crate) fn new(
        connection: MultiplexedConnection,
        is_lost: Arc<AtomicBool>,
        membership: Option<Membership>,
    ) -> Self {
        Self {
            driver: Driver::Connection(connection),
            clock: Clock::default(),
            lane: OnceLock::new(),
            process: OnceLock::new(),
            is_lost,
            member: membership.map(Member::new),
            watch: None,
        }
    }

    /// With a watch that `start` begins, and that calls what it is given once the server is no
    /// longer the primary.
    pub(crate) fn watched(mut self, start: impl FnOnce(Box<dyn FnOnce() + Send>) -> Watch) -> Self {
        let is_lost = Arc::clone(&self.is_lost);
        self.watch = Some(start(Box::new(move || is_lost.store(true, Relaxed))));
        self
    }

    /// One whose connection, if it breaks, the driver makes again: perhaps to another server, and
    /// scripts run on any.
    pub(crate) fn that_reconnects(driver: Driver) -> Self {
        Self {
            driver,
            clock: Clock::default(),
            lane: Lane::Scripts.into(),
            process: OnceLock::new(),
            is_lost: Arc::default(),
            member: None,
            watch: None,
        }
    }

    /// How writes compare here, by scripts if the server can't tell for want of memory for example.
    /// One round trip, on the unused key `scratch`, until the server has told. Fails if the server
    /// serves nothing now.
    pub(crate) async fn lane(&self, scratch: &str) -> RedisResult<Lane> {
        if let (None, Driver::Connection(connection)) = (self.lane.get(), &self.driver) {
            let own = self.scratch(scratch);
            let scratch = own.as_deref().unwrap_or(scratch);
            if let Some(lane) = Box::pin(Lane::of(connection, scratch)).await? {
                let _ = self.lane.set(lane);
            }
        }
        Ok(self.lane.get().copied().unwrap_or(Lane::Scripts))
    }

    /// The same, if the server has told.
    pub(crate) fn known_lane(&self) -> Option<Lane> {
        self.lane.get().copied()
    }

    /// An unused key that the server serves: `scratch`, or in a cluster one in its slots, if it has
    /// any.
    pub(crate) fn scratch(&self, scratch: &str) -> Option<String> {
        match &self.member {
            Some(member) => member.scratch(),
            None => Some(scratch.to_owned()),
        }
    }

    /// Which process the server is, by a part of its run id; `None` if the user may not ask. A cursor
    /// of `SCAN` or `ZSCAN` means something else to any other. One round trip for each connection.
    pub(crate) async fn process(&self) -> RedisResult<Option<u32>> {
        if let Some(known) = self.process.get() {
            return Ok(*known);
        }
        let mut info = redis::cmd("INFO");
        info.arg("server");
        let process = match self.send_one(&info).await?.extract_error() {
            Ok(answer) => run_id(&redis::from_redis_value::<String>(answer)?),
            Err(error) if error.code() == Some("NOPERM") => None,
            Err(error) => return Err(error),
        };
        if matches!(self.driver, Driver::Connection(_)) {
            let _ = self.process.set(process);
        }
        Ok(process)
    }

    /// Whether the connection has broken.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Relaxed)
    }

    /// The connection is of no use: another takes its place. In a cluster, the calls in flight end.
    pub(crate) fn give_up(&self) {
        self.is_lost.store(true, Relaxed);
        if let Some(member) = &self.member {
            member.end_calls();
        }
    }

    /// Sends a command. Its answer may be an error of the server's. In a cluster, the node that
    /// executes it may be another.
    pub(crate) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        match &self.member {
            None => self.send_one(command).await,
            // Boxed: the future of every operation would be several times as large, and is moved.
            Some(member) => Box::pin(self.send_as_member(member, command)).await,
        }
    }

    async fn send_as_member(&self, member: &Member, command: &Cmd) -> RedisResult<Value> {
        let mut answer = [member.watch(self, self.send_one(command)).await?];
        member.settle(self, &[command], &mut answer).await?;
        let [answer] = answer;
        Ok(answer)
    }

    /// Sends commands at once, without a transaction. Answers may be errors of the server's. In a
    /// cluster, the nodes that execute them may be others.
    pub(crate) async fn send_all(&self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let mut answers = self.send_as_they_are(commands).await?;
        if let Some(member) = &self.member {
            let commands: Vec<&Cmd> = commands.cmd_iter().collect();
            Box::pin(member.settle(self, &commands, &mut answers)).await?;
        }
        Ok(answers)
    }

    /// The same, but answers may be redirections to another node of the cluster.
    pub(crate) async fn send_as_they_are(&self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        match &self.member {
            None => self.send_pipeline(commands).await,
            Some(member) => Box::pin(member.watch(self, self.send_pipeline(commands))).await,
        }
    }

    async fn send_one(&self, command: &Cmd) -> RedisResult<Value> {
        let answer = match self.driver.clone() {
            Driver::Connection(mut connection) => connection.send_packed_command(command).await,
            Driver::Manager(mut manager) => manager.req_packed_command(command).await,
        };
        answer.inspect_err(|error| self.note(error))
    }

    async fn send_pipeline(&self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let count = commands.len();
        let answers = match self.driver.clone() {
            Driver::Connection(mut connection) => {
                connection.send_packed_commands(commands, 0, count).await
            }
            Driver::Manager(mut manager) => manager.req_packed_commands(commands, 0, count).await,
        };
        answers.inspect_err(|error| self.note(error))
    }

    fn note(&self, error: &RedisError) {
        let reconnects = !matches!(self.driver, Driver::Connection(_));
        if !reconnects && (error.is_unrecoverable_error() || error.is_connection_dropped()) {
            self.is_lost.store(true, Relaxed);
        }
    }
}

/// The start of the run id in the answer to `INFO server`.
fn run_id(info: &str) -> Option<u32> {
    let id = info.lines().find_map(|line| line.strip_prefix("run_id:"))?;
    u32::from_str_radix(id.get(..8)?, 16).ok()
}

/// Whether a cursor of one process was given to another one. Unknown processes pass for the same.
pub(crate) fn is_another(of: Option<u32>, now: Option<u32>) -> bool {
    matches!((of, now), (Some(of), Some(now)) if of != now)
}

/// So that the driver's own functions send by it: they turn answers that are errors into `Err`.
impl ConnectionLike for &Server {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.send(cmd))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        _offset: usize,
        _count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.send_all(pipeline))
    }

    fn get_db(&self) -> i64 {
        match &self.driver {
            Driver::Connection(connection) => connection.get_db(),
            Driver::Manager(manager) => manager.get_db(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_run_id() {
        let info = "# Server\r\nprocess_id:7\r\nrun_id:0123abcd4567\r\ntcp_port:1\r\n";
        assert_eq!(run_id(info), Some(0x0123_abcd));
        assert_eq!(run_id("run_id:x"), None);
        assert!(is_another(Some(1), Some(2)));
        for (of, now) in [(Some(1), Some(1)), (None, Some(1)), (Some(1), None)] {
            assert!(!is_another(of, now));
        }
    }
}
