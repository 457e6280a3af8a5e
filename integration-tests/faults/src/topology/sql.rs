//! Servers of an SQL database: one, or a primary with a replica that is promoted.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use integration_tests::servers::{Disk, Launch, Private};
use tokio::sync::Mutex;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::server_clock::{self, ServerClock};
use super::sql_admin::{Admin, Administration};
use super::{Topology, local};
use crate::dice::Dice;
use crate::fault::{DISK_FULL, FaultKind, Injected};
use crate::proxy::{Network, Proxy};
use crate::{Result, clock::Micros, network, process};

/// The log of one server has room, and the data of a run.
const DISK: u32 = 512;

/// The primary is killed and the replica promoted; the proxy leads to it.
const KILL_PRIMARY: FaultKind = FaultKind::new("kill-primary");
/// The primary refuses writes, the replica catches up and is promoted; the proxy leads to it.
const SWITCHOVER: FaultKind = FaultKind::new("switchover");
/// The replica, which has to confirm each write, stands still.
const STOP_REPLICA: FaultKind = FaultKind::new("stop-replica");
/// The process of one connection is killed: the server restarts all of them.
const KILL_BACKEND: FaultKind = FaultKind::new("kill-backend");

macro_rules! faults {
    ($($more:expr),* $(,)?) => {
        &[
            network::DELAY,
            network::DRIP,
            network::CUT_ANSWERS,
            network::SILENCE,
            network::BLACK_HOLE,
            network::RESETS,
            network::CUT,
            Administration::CLIENT_KILL,
            Administration::PASSWORD,
            Administration::READ_ONLY,
            Administration::MAX_CONNECTIONS,
            $($more),*
        ]
    };
}

const WITH_REPLICA: &[FaultKind] = faults![KILL_PRIMARY, SWITCHOVER, STOP_REPLICA, process::STOP];
const ONE: &[FaultKind] = faults![process::KILL, process::RESTART, process::STOP];
const ON_DISK: &[FaultKind] = faults![process::KILL, process::RESTART, process::STOP, DISK_FULL];
const OF_PROCESSES: &[FaultKind] =
    faults![process::KILL, process::RESTART, process::STOP, KILL_BACKEND];
const OF_PROCESSES_ON_DISK: &[FaultKind] = faults![
    process::KILL,
    process::RESTART,
    process::STOP,
    KILL_BACKEND,
    DISK_FULL
];
const WITH_CLOCK: &[FaultKind] = &[server_clock::JUMP, process::KILL];

/// What is different between the databases.
#[async_trait]
pub(super) trait Database: Send + Sync {
    /// The settings that matter, for the report.
    fn settings(&self, arrangement: Arrangement) -> &'static str;
    /// A server with durable settings.
    fn launch(&self, arrangement: Arrangement) -> Launch;
    /// Product and version.
    async fn version(&self, admin: &mut Admin) -> Result<String>;
    /// Creates the user and the rights of workers, on a new primary.
    async fn prepare(&self, server: &Private) -> Result<()>;
    /// The URL of the user `app`, whom workers are, or `hog`.
    fn url(&self, user: &str, port: u16) -> String;
    /// Its statements.
    fn administration(&self) -> &'static Administration;
    /// Whether each connection has a process of its own.
    fn has_processes(&self) -> bool;
    /// Has the server use its disk, which is full.
    async fn use_disk(&self, server: &Private);
    /// Starts a replica of this primary, which from then on has it confirm each write.
    async fn attach(&self, primary: &Private) -> Result<Private>;
    /// Waits until the replica has all of the primary, which takes no writes.
    async fn catch_up(&self, primary: &Private, replica: &Private) -> Result<()>;
    /// Makes the replica a primary without replicas.
    async fn promote(&self, replica: &Private) -> Result<()>;
}

/// How many servers there are, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrangement {
    One,
    WithReplica,
    /// One, whose clock can jump.
    WithClock,
}

pub(super) struct Sql<D> {
    database: D,
    arrangement: Arrangement,
    description: String,
    servers: Mutex<Servers>,
    proxy: Proxy,
    clock: Option<ServerClock>,
    // After the servers: they end first.
    disk: Option<Disk>,
}

struct Servers {
    primary: Private,
    replica: Option<Private>,
}

impl<D: Database> Sql<D> {
    pub(super) async fn start(database: D, arrangement: Arrangement) -> Result<Self> {
        let mut launch = database.launch(arrangement);
        let mut about = database.settings(arrangement).to_owned();
        let (mut disk, mut clock) = (None, None);
        match arrangement {
            Arrangement::One => match block_in_place(|| Disk::mount(DISK)) {
                Ok(mounted) => {
                    launch = launch.inside(mounted.folder());
                    disk = Some(mounted);
                }
                Err(why) => write!(about, ", no fault {}: {why}", DISK_FULL.name)?,
            },
            Arrangement::WithReplica => {}
            Arrangement::WithClock => {
                let own = ServerClock::new()?;
                launch = launch.through(&own.words());
                clock = Some(own);
            }
        }
        let primary = block_in_place(|| launch.try_start())?;
        database.prepare(&primary).await?;
        let replica = match arrangement {
            Arrangement::WithReplica => Some(database.attach(&primary).await?),
            Arrangement::One | Arrangement::WithClock => None,
        };
        let mut admin = Admin::connect(&primary.url).await?;
        let version = database.version(&mut admin).await?;
        let proxy = Proxy::start(local(primary.port)).await?;
        Ok(Self {
            database,
            arrangement,
            description: format!("{version}, {about}"),
            servers: Mutex::new(Servers { primary, replica }),
            proxy,
            clock,
            disk,
        })
    }

    /// Promotes the replica after `before` has been done to the primary, and leads workers to it.
    async fn fail_over(
        &self,
        servers: &mut Servers,
        kill: bool,
        dice: &mut Dice,
    ) -> Result<Injected> {
        let began = Micros::now();
        let replica = servers.replica.take().ok_or("no replica")?;
        let pause = dice.duration(Duration::ZERO, Duration::from_secs(2));
        if kill {
            block_in_place(|| servers.primary.kill());
        } else {
            let mut admin = Admin::connect(&servers.primary.url).await?;
            admin.run(self.database.administration().read_only).await?;
            self.database.catch_up(&servers.primary, &replica).await?;
        }
        // Old answers would otherwise be read beside new ones.
        self.proxy.set(Network::Refuses);
        self.proxy.reset_all();
        sleep(pause).await;
        block_in_place(|| servers.primary.kill());
        self.database.promote(&replica).await?;
        self.proxy.lead_to(local(replica.port));
        self.proxy.set(Network::Whole);
        let injected = Injected::since(began, format!("none for {pause:?}"));
        servers.primary = replica;
        servers.replica = Some(self.database.attach(&servers.primary).await?);
        Ok(injected)
    }

    async fn disk_full(&self, server: &mut Private, dice: &mut Dice) -> Result<String> {
        let disk = self.disk.as_ref().ok_or("no disk of its own")?;
        let period = dice.duration(Duration::from_millis(500), Duration::from_secs(4));
        block_in_place(|| disk.fill())?;
        self.database.use_disk(server).await;
        sleep(period).await;
        block_in_place(|| disk.free())?;
        // It may be about to give up.
        sleep(Duration::from_millis(200)).await;
        if server.is_alive() {
            block_in_place(|| server.ready())?;
            return Ok(format!("for {period:?}, it ran on"));
        }
        block_in_place(|| server.wait_for_end())?;
        process::start(server)?;
        Ok(format!("for {period:?}, it ended and was started again"))
    }

    async fn kill_backend(&self, server: &Private) -> Result<String> {
        let mut admin = Admin::connect(&server.url).await?;
        let find = "SELECT pid::text FROM pg_stat_activity WHERE usename = 'app' LIMIT 1";
        let pid = admin.text(find).await?;
        let killed = std::process::Command::new("kill")
            .args(["-KILL", &pid])
            .status()?;
        if !killed.success() {
            return Err(format!("process {pid} can't be killed").into());
        }
        // All connections break, this one as well.
        let began = Instant::now();
        while admin.text("SELECT 'up'").await.is_ok() {
            if began.elapsed() > Duration::from_secs(10) {
                return Err("the server does not notice that a process was killed".into());
            }
            sleep(Duration::from_millis(5)).await;
        }
        block_in_place(|| server.ready())?;
        Ok("one of a connection".to_owned())
    }
}

#[async_trait]
impl<D: Database> Topology for Sql<D> {
    fn description(&self) -> String {
        self.description.clone()
    }

    fn url(&self) -> String {
        self.database.url("app", self.proxy.port())
    }

    fn faults(&self) -> &'static [FaultKind] {
        match (self.arrangement, self.database.has_processes(), &self.disk) {
            (Arrangement::WithReplica, ..) => WITH_REPLICA,
            (Arrangement::WithClock, ..) => WITH_CLOCK,
            (Arrangement::One, false, None) => ONE,
            (Arrangement::One, false, Some(_)) => ON_DISK,
            (Arrangement::One, true, None) => OF_PROCESSES,
            (Arrangement::One, true, Some(_)) => OF_PROCESSES_ON_DISK,
        }
    }

    async fn inject(&self, fault: &'static str, dice: &mut Dice) -> Result<Injected> {
        let mut servers = self.servers.lock().await;
        if network::is_one(fault) {
            return network::inject(&[&self.proxy], fault, dice).await;
        }
        if process::is_one(fault) {
            return process::inject(&mut servers.primary, fault, dice).await;
        }
        if fault == KILL_PRIMARY.name || fault == SWITCHOVER.name {
            let kill = fault == KILL_PRIMARY.name;
            return self.fail_over(&mut servers, kill, dice).await;
        }
        let began = Micros::now();
        let detail = if fault == STOP_REPLICA.name {
            let period = dice.duration(Duration::from_millis(500), Duration::from_secs(8));
            let replica = servers.replica.as_ref().ok_or("no replica")?;
            process::pause(replica, period).await?;
            format!("for {period:?}")
        } else if let (true, Some(clock)) = (fault == server_clock::JUMP.name, &self.clock) {
            clock.jump(dice).await?
        } else if fault == DISK_FULL.name {
            self.disk_full(&mut servers.primary, dice).await?
        } else if fault == KILL_BACKEND.name {
            self.kill_backend(&servers.primary).await?
        } else {
            let (statements, url) = (self.database.administration(), &servers.primary.url);
            let hogs = self.database.url("hog", servers.primary.port);
            statements.inject(url, &hogs, fault, dice).await?
        };
        Ok(Injected::since(began, detail))
    }
}
