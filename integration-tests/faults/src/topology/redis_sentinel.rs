//! A primary, a replica, and three sentinels that watch them.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use integration_tests::servers::{Private, SentinelGroup};
use tokio::sync::Mutex;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::redis_admin::{Admin, Admins};
use super::{Topology, local};
use crate::dice::Dice;
use crate::fault::{FaultKind, Injected};
use crate::proxy::Proxy;
use crate::{Result, clock::Micros, network, process};

/// How long the replica may take to follow.
const LIMIT: Duration = Duration::from_secs(60);
/// The replica has what the primary acknowledged this long ago.
const LAG: Duration = Duration::from_secs(1);

/// The primary is killed, the sentinels promote the replica, and the server comes back as a replica.
const KILL_PRIMARY: FaultKind = FaultKind::new("kill-primary").may_lose(LAG);
/// The sentinels promote the replica (`SENTINEL FAILOVER`); the old primary takes writes until they
/// make it a replica.
const FAILOVER: FaultKind = FaultKind::new("failover").may_lose(LAG);
/// The primary stands still for 0.5 to 8 s: the replica is promoted if it is long.
const STOP_PRIMARY: FaultKind = FaultKind::new("stop-primary").may_lose(LAG);
/// A sentinel is killed and started again.
const KILL_SENTINEL: FaultKind = FaultKind::new("kill-sentinel");

const FAULTS: &[FaultKind] = &[
    KILL_PRIMARY,
    FAILOVER,
    STOP_PRIMARY,
    KILL_SENTINEL,
    // The sentinels reach the primary over the same network, and promote the replica.
    network::DELAY.may_lose(LAG),
    network::DRIP.may_lose(LAG),
    network::CUT_ANSWERS.may_lose(LAG),
    network::SILENCE.may_lose(LAG),
    network::BLACK_HOLE.may_lose(LAG),
    network::RESETS.may_lose(LAG),
    network::CUT.may_lose(LAG),
    Admins::CLIENT_KILL,
    Admins::SCRIPT_FLUSH,
    Admins::OUT_OF_MEMORY,
    Admins::NO_REPLICAS,
];

pub(super) struct Sentinel {
    description: String,
    url: String,
    group: Mutex<SentinelGroup>,
    /// In front of the two servers. Workers, sentinels and replicas know only these.
    proxies: [Proxy; 2],
}

impl Sentinel {
    pub(super) async fn start() -> Result<Self> {
        let proxies = [Proxy::start(local(0)).await?, Proxy::start(local(0)).await?];
        let announce = |place: usize, port| {
            proxies[place].lead_to(local(port));
            proxies[place].port()
        };
        let group =
            block_in_place(|| SentinelGroup::start_announced("redis-server", None, announce));
        let version = Admin::connect(&group.servers[0].url)
            .await?
            .version()
            .await?;
        for server in &group.servers {
            let admin = Admin::connect(&server.url).await?;
            // Silent connections of replicas are noticed.
            admin.run("CONFIG SET repl-timeout 5").await?;
            admin.run("CONFIG SET repl-ping-replica-period 1").await?;
            admin.run("CONFIG REWRITE").await?;
        }
        settled(&group).await?;
        let sentinels = group.addresses().join(",");
        Ok(Self {
            description: format!(
                "{version}, a primary, a replica and 3 sentinels, no persistence, \
                 down-after-milliseconds 2000"
            ),
            url: format!("redis+sentinel://{sentinels}/{}", group.service()),
            group: Mutex::new(group),
            proxies,
        })
    }
}

#[async_trait]
impl Topology for Sentinel {
    fn description(&self) -> String {
        self.description.clone()
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    fn faults(&self) -> &'static [FaultKind] {
        FAULTS
    }

    async fn inject(&self, fault: &'static str, dice: &mut Dice) -> Result<Injected> {
        let mut group = self.group.lock().await;
        let began = Micros::now();
        if fault == KILL_PRIMARY.name {
            let port = block_in_place(|| group.kill_primary());
            let injected = Injected::since(began, format!("the new one is at port {port}"));
            let killed = group.servers.iter_mut().find(|one| !one.is_running());
            process::start(killed.ok_or("no server was killed")?)?;
            settled(&group).await?;
            return Ok(injected);
        }
        let detail = if fault == FAILOVER.name {
            let port = block_in_place(|| group.failover());
            format!("the new primary is at port {port}")
        } else if fault == STOP_PRIMARY.name {
            let period = dice.duration(Duration::from_millis(500), Duration::from_secs(8));
            process::pause(primary(&group)?, period).await?;
            format!("for {period:?}")
        } else if fault == KILL_SENTINEL.name {
            let one = usize::try_from(dice.number(0..3))?;
            let sentinel = &mut group.sentinels[one];
            process::inject(sentinel, process::KILL.name, dice)
                .await?
                .detail
        } else if network::is_one(fault) {
            let all = [&self.proxies[0], &self.proxies[1]];
            network::inject(&all, fault, dice).await?.detail
        } else {
            let primary = primary(&group)?;
            Admins::connect(&[primary])
                .await?
                .inject(fault, dice)
                .await?
        };
        // Until then the old primary may take writes, which are lost.
        settled(&group).await?;
        Ok(Injected::since(began, detail))
    }
}

/// Waits until the sentinels agree and the replica keeps up.
async fn settled(group: &SentinelGroup) -> Result<()> {
    let began = Instant::now();
    loop {
        block_in_place(|| group.settle());
        let admin = Admin::connect(&primary(group)?.url).await?;
        if admin.has_replica_at_hand().await? {
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            return Err("the replica does not keep up".into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn primary(group: &SentinelGroup) -> Result<&Private> {
    let primary = group.primary();
    Ok(primary.ok_or("the sentinels don't agree on a primary")?)
}
