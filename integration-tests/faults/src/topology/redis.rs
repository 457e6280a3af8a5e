//! One server of Redis or Valkey: on disk with every write, or in memory only.

use std::fmt::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use integration_tests::servers::{Disk, Kind, Launch, Private};
use tokio::sync::Mutex;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::redis_admin::{Admin, Admins};
use super::server_clock::{self, ServerClock};
use super::{Topology, local};
use crate::dice::Dice;
use crate::fault::{DISK_FULL, FaultKind, Injected};
use crate::proxy::Proxy;
use crate::{Result, clock::Micros, network, process};

/// The data of one run has room, with the file that replaces an append-only file.
const DISK: u32 = 256;

/// All keys are read anew from disk, meanwhile commands are refused with `LOADING`.
const LOADING: FaultKind = FaultKind::new("loading");

/// What each server can have, in memory or on disk.
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
            process::STOP,
            Admins::CLIENT_KILL,
            Admins::SCRIPT_FLUSH,
            Admins::PASSWORD,
            Admins::READ_ONLY,
            Admins::NO_REPLICAS,
            Admins::OUT_OF_MEMORY,
            Admins::MAX_CLIENTS,
            Admins::BUSY,
            $($more),*
        ]
    };
}

const IN_MEMORY: &[FaultKind] = faults![
    process::KILL.may_lose(Duration::MAX),
    process::RESTART.may_lose(Duration::MAX),
];
const ON_DISK: &[FaultKind] = faults![process::KILL, process::RESTART, LOADING];
const ON_SMALL_DISK: &[FaultKind] = faults![process::KILL, process::RESTART, LOADING, DISK_FULL];
const WITH_CLOCK: &[FaultKind] = &[server_clock::JUMP, process::KILL];

/// How a server is set up.
pub(super) struct Settings {
    binary: &'static str,
    is_durable: bool,
    /// Its clock can jump.
    has_clock: bool,
    /// The clocks of workers are so many seconds apart.
    apart: i64,
}

impl Settings {
    /// A server of this binary, which writes to disk before it answers.
    pub(super) const fn of(binary: &'static str) -> Self {
        Self {
            binary,
            is_durable: true,
            has_clock: false,
            apart: 0,
        }
    }

    /// A server that keeps nothing on disk.
    pub(super) const fn in_memory() -> Self {
        Self {
            is_durable: false,
            ..Self::of("redis-server")
        }
    }

    /// A durable server whose clock can jump. Debian's build of Redis 7.0 does not start with
    /// libfaketime.
    pub(super) const fn with_clock() -> Self {
        Self {
            has_clock: true,
            ..Self::of("redis-server-8")
        }
    }

    /// A durable server for workers whose clocks are an hour apart.
    pub(super) const fn apart() -> Self {
        Self {
            apart: 3600,
            ..Self::of("redis-server")
        }
    }
}

pub(super) struct Redis {
    settings: Settings,
    description: String,
    server: Mutex<Private>,
    proxy: Proxy,
    clock: Option<ServerClock>,
    // After the server: it ends first.
    disk: Option<Disk>,
}

impl Redis {
    pub(super) async fn start(settings: Settings) -> Result<Self> {
        let mut launch = Launch::of(Kind::Redis, &[settings.binary]);
        let (mut disk, mut clock) = (None, None);
        let mut about = String::new();
        if settings.is_durable {
            launch = launch.arguments(&["--appendonly", "yes", "--appendfsync", "always"]);
            launch = launch.arguments(&["--enable-debug-command", "yes"]);
            about += "appendonly yes, appendfsync always";
            match block_in_place(|| Disk::mount(DISK)) {
                Ok(mounted) => disk = Some(mounted),
                Err(why) => write!(about, ", no fault {}: {why}", DISK_FULL.name)?,
            }
        } else {
            about += "no persistence";
        }
        if let Some(disk) = &disk {
            launch = launch.inside(disk.folder());
        }
        if settings.has_clock {
            let own = ServerClock::new()?;
            launch = launch.through(&own.words());
            clock = Some(own);
        }
        if settings.apart != 0 {
            write!(about, ", clocks of workers {} s apart", settings.apart)?;
        }
        let server = block_in_place(|| launch.try_start())?;
        let proxy = Proxy::start(local(server.port)).await?;
        let version = Admin::connect(&server.url).await?.version().await?;
        Ok(Self {
            settings,
            description: format!("{version}, one server, {about}"),
            server: Mutex::new(server),
            proxy,
            clock,
            disk,
        })
    }

    /// The server ends, for it can't keep what it would have to acknowledge, or refuses writes.
    async fn disk_full(&self, server: &mut Private, dice: &mut Dice) -> Result<String> {
        let disk = self.disk.as_ref().ok_or("no disk of its own")?;
        let period = dice.duration(Duration::from_millis(500), Duration::from_secs(4));
        block_in_place(|| disk.fill())?;
        sleep(period).await;
        block_in_place(|| disk.free())?;
        if server.is_alive() {
            return Ok(format!("for {period:?}, it refused writes"));
        }
        block_in_place(|| server.wait_for_end())?;
        process::start(server)?;
        Ok(format!("for {period:?}, it ended and was started again"))
    }

    async fn loading(&self, server: &Private, dice: &mut Dice) -> Result<String> {
        let admin = Admin::connect(&server.url).await?;
        let period = dice.duration(Duration::from_millis(500), Duration::from_secs(4));
        admin.reload_for(period).await
    }
}

#[async_trait]
impl Topology for Redis {
    fn description(&self) -> String {
        self.description.clone()
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.proxy.port())
    }

    fn faults(&self) -> &'static [FaultKind] {
        match (&self.clock, &self.disk) {
            (Some(_), _) => WITH_CLOCK,
            (None, Some(_)) => ON_SMALL_DISK,
            (None, None) if self.settings.is_durable => ON_DISK,
            (None, None) => IN_MEMORY,
        }
    }

    async fn inject(&self, fault: &'static str, dice: &mut Dice) -> Result<Injected> {
        let mut server = self.server.lock().await;
        if network::is_one(fault) {
            return network::inject(&[&self.proxy], fault, dice).await;
        }
        if process::is_one(fault) {
            return process::inject(&mut server, fault, dice).await;
        }
        let began = Micros::now();
        let detail = if let (true, Some(clock)) = (fault == server_clock::JUMP.name, &self.clock) {
            clock.jump(dice).await?
        } else if fault == DISK_FULL.name {
            self.disk_full(&mut server, dice).await?
        } else if fault == LOADING.name {
            self.loading(&server, dice).await?
        } else {
            Admins::connect(&[&server])
                .await?
                .inject(fault, dice)
                .await?
        };
        Ok(Injected::since(began, detail))
    }

    fn environment(&self, worker: usize) -> Vec<(String, String)> {
        server_clock::of_worker(worker, self.settings.apart)
    }
}
