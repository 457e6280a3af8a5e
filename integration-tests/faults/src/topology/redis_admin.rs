//! What an administrator does to Redis and Valkey servers.

use std::time::{Duration, Instant};

use integration_tests::servers::Private;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue};
use tokio::time::sleep;

use crate::Result;
use crate::dice::Dice;
use crate::fault::FaultKind;

/// A command may be answered late by a server that loads, and a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);
/// How long one key is read while a server loads.
const LOAD_DELAY: Duration = Duration::from_millis(5);

/// A connection of an administrator to one server.
#[derive(Clone)]
pub(super) struct Admin {
    url: String,
    connection: MultiplexedConnection,
}

impl Admin {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let client = redis::Client::open(url)?;
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(LIMIT))
            .set_connection_timeout(Some(LIMIT));
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let url = url.to_owned();
        Ok(Self { url, connection })
    }

    /// Sends a command, whose words are separated by spaces.
    pub(super) async fn ask<T: FromRedisValue>(&self, words: &str) -> Result<T> {
        let mut command = redis::Cmd::new();
        // An empty word stands for an empty argument.
        command.arg(words.split(' ').collect::<Vec<_>>());
        let mut connection = self.connection.clone();
        Ok(command.query_async(&mut connection).await?)
    }

    /// Sends a command whose answer says nothing.
    pub(super) async fn run(&self, words: &str) -> Result<()> {
        self.ask(words).await
    }

    /// Product and version.
    pub(super) async fn version(&self) -> Result<String> {
        let info: String = self.ask("INFO server").await?;
        let line = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
        Ok(match line("valkey_version:") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", line("redis_version:").unwrap_or("?")),
        })
    }

    /// Whether the server's `INFO` has this line.
    pub(super) async fn has(&self, line: &str) -> Result<bool> {
        let info: String = self.ask("INFO").await?;
        Ok(info.lines().any(|one| one == line))
    }

    /// Waits until the server's `INFO` has this line.
    pub(super) async fn wait_for(&self, line: &str) -> Result<()> {
        let began = Instant::now();
        while !self.has(line).await? {
            if began.elapsed() > LIMIT {
                return Err(format!("{}: no {line}", self.url).into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Whether this primary has a replica that has confirmed within the last second or so what it has
    /// received. A replica says of a connection that has fallen silent for long that it is up.
    pub(super) async fn has_replica_at_hand(&self) -> Result<bool> {
        let info: String = self.ask("INFO replication").await?;
        let mut replicas = info.lines().filter(|line| line.starts_with("slave"));
        let is_at_hand = |line: &str| {
            let fields: Vec<&str> = line.split(',').collect();
            let has = |field| fields.contains(&field);
            has("state=online") && (has("lag=0") || has("lag=1"))
        };
        Ok(replicas.any(is_at_hand))
    }

    /// Has the server read all of its keys anew, which takes about this long.
    pub(super) async fn reload_for(&self, period: Duration) -> Result<String> {
        let has: u64 = self.ask("DBSIZE").await?;
        let wanted = period.as_micros() / LOAD_DELAY.as_micros();
        let missing = wanted.saturating_sub(has.into());
        // Keys that no session has. Each has its own time to be read.
        self.run(&format!("DEBUG POPULATE {missing} loaded 1"))
            .await?;
        let delay = LOAD_DELAY.as_micros();
        self.run(&format!("CONFIG SET key-load-delay {delay}"))
            .await?;
        // Between two keys it answers others.
        self.run("CONFIG SET loading-process-events-interval-bytes 1024")
            .await?;
        let began = Instant::now();
        self.run("DEBUG RELOAD").await?;
        let took = began.elapsed();
        self.run("CONFIG SET key-load-delay 0").await?;
        Ok(format!("for {took:?}"))
    }
}

/// Connections of an administrator to all servers that serve the same sessions.
pub(super) struct Admins(Vec<Admin>);

impl Admins {
    /// All connections of clients are closed by the server, 3 to 20 times.
    pub(super) const CLIENT_KILL: FaultKind = FaultKind::new("client-kill");
    /// The server forgets all scripts, 3 to 20 times.
    pub(super) const SCRIPT_FLUSH: FaultKind = FaultKind::new("script-flush");
    /// The server wants a password that clients don't have.
    pub(super) const PASSWORD: FaultKind =
        FaultKind::new("password").explains(&["Misconfigured", "Refused"]);
    /// The server is a replica, of a primary that it does not reach.
    pub(super) const READ_ONLY: FaultKind = FaultKind::new("read-only");
    /// The server refuses writes: too few replicas follow it.
    pub(super) const NO_REPLICAS: FaultKind = FaultKind::new("no-replicas");
    /// The server refuses writes: its memory is full.
    pub(super) const OUT_OF_MEMORY: FaultKind = FaultKind::new("out-of-memory");
    /// The server closes all connections and refuses others.
    pub(super) const MAX_CLIENTS: FaultKind = FaultKind::new("max-clients");
    /// A script that does not end keeps the server busy.
    pub(super) const BUSY: FaultKind = FaultKind::new("busy-script");

    pub(super) async fn connect(servers: &[&Private]) -> Result<Self> {
        let mut all = Vec::new();
        for server in servers {
            all.push(Admin::connect(&server.url).await?);
        }
        Ok(Self(all))
    }

    pub(super) async fn inject(&self, fault: &str, dice: &mut Dice) -> Result<String> {
        if fault == Self::CLIENT_KILL.name {
            self.again("CLIENT KILL TYPE normal SKIPME yes", dice).await
        } else if fault == Self::SCRIPT_FLUSH.name {
            self.again("SCRIPT FLUSH", dice).await
        } else if fault == Self::PASSWORD.name {
            let (on, off) = ("CONFIG SET requirepass another", "CONFIG SET requirepass ");
            let kill = "CLIENT KILL TYPE normal SKIPME yes";
            self.meanwhile(&[on, kill], &[off], dice).await
        } else if fault == Self::READ_ONLY.name {
            let follow = ["REPLICAOF 127.0.0.1 1"];
            self.meanwhile(&follow, &["REPLICAOF NO ONE"], dice).await
        } else if fault == Self::NO_REPLICAS.name {
            let (on, off) = (
                "CONFIG SET min-replicas-to-write 3",
                "CONFIG SET min-replicas-to-write 0",
            );
            self.meanwhile(&[on], &[off], dice).await
        } else if fault == Self::OUT_OF_MEMORY.name {
            let policy = "CONFIG SET maxmemory-policy noeviction";
            let (on, off) = ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0");
            self.meanwhile(&[policy, on], &[off], dice).await
        } else if fault == Self::MAX_CLIENTS.name {
            let (on, off) = ("CONFIG SET maxclients 1", "CONFIG SET maxclients 10000");
            let kill = "CLIENT KILL TYPE normal SKIPME yes";
            self.meanwhile(&[on, kill], &[off], dice).await
        } else if fault == Self::BUSY.name {
            self.busy(dice).await
        } else {
            Err(format!("Redis can't have the fault {fault}").into())
        }
    }

    async fn all(&self, words: &str) -> Result<()> {
        for admin in &self.0 {
            // A number, or a status.
            admin.ask::<redis::Value>(words).await?;
        }
        Ok(())
    }

    async fn again(&self, words: &str, dice: &mut Dice) -> Result<String> {
        let times = dice.number(3..21);
        for _ in 0..times {
            self.all(words).await?;
            let pause = dice.duration(Duration::from_millis(10), Duration::from_millis(200));
            sleep(pause).await;
        }
        Ok(format!("{times} times"))
    }

    async fn meanwhile(&self, on: &[&str], off: &[&str], dice: &mut Dice) -> Result<String> {
        let period = dice.duration(Duration::from_millis(500), Duration::from_secs(4));
        for words in on {
            self.all(words).await?;
        }
        sleep(period).await;
        for words in off {
            self.all(words).await?;
        }
        Ok(format!("for {period:?}"))
    }

    async fn busy(&self, dice: &mut Dice) -> Result<String> {
        let period = dice.duration(Duration::from_millis(500), Duration::from_secs(3));
        self.all("CONFIG SET lua-time-limit 100").await?;
        let mut scripts = Vec::new();
        for admin in &self.0 {
            let other = Admin::connect(&admin.url).await?;
            let script = async move {
                let mut eval = redis::cmd("EVAL");
                eval.arg("while true do end").arg(0);
                let mut connection = other.connection.clone();
                // It is killed.
                let _ = eval.query_async::<()>(&mut connection).await;
            };
            scripts.push(tokio::spawn(script));
        }
        sleep(period).await;
        for (admin, script) in self.0.iter().zip(scripts) {
            // Refused until it has run for its limit.
            while !script.is_finished() {
                let _ = admin.run("SCRIPT KILL").await;
                sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(format!("for {period:?}"))
    }
}
