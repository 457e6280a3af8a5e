//! A cluster of Valkey: three primaries, each with a replica.

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use integration_tests::servers::{Private, RedisCluster};
use tokio::sync::Mutex;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::redis_admin::{Admin, Admins};
use super::{Topology, local};
use crate::dice::Dice;
use crate::fault::{FaultKind, Injected};
use crate::proxy::Proxy;
use crate::{Result, clock::Micros, network, process};

const NODES: usize = 6;
/// A node that is silent for so many milliseconds is taken for dead.
const NODE_TIMEOUT: u64 = 2000;
/// How long the nodes may take to agree; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);
/// A replica has what its primary acknowledged this long ago.
const LAG: Duration = Duration::from_secs(1);

/// A primary is killed, its replica takes over, and the node comes back as a replica.
const KILL_PRIMARY: FaultKind = FaultKind::new("kill-primary").may_lose(LAG);
/// A primary stands still for 0.5 to 8 s: its replica takes over if it is long.
const STOP_PRIMARY: FaultKind = FaultKind::new("stop-primary").may_lose(LAG);
/// A replica takes over from a primary that helps (`CLUSTER FAILOVER`).
const FAILOVER: FaultKind = FaultKind::new("failover");
/// Some hundred slots move from one primary to another while they are used.
const MOVE_SLOTS: FaultKind = FaultKind::new("move-slots");

const FAULTS: &[FaultKind] = &[
    KILL_PRIMARY,
    STOP_PRIMARY,
    FAILOVER,
    MOVE_SLOTS,
    network::DELAY,
    network::DRIP,
    network::CUT_ANSWERS,
    network::SILENCE,
    network::BLACK_HOLE,
    network::RESETS,
    network::CUT,
    Admins::CLIENT_KILL,
    Admins::SCRIPT_FLUSH,
    Admins::OUT_OF_MEMORY,
    Admins::MAX_CLIENTS,
];

pub(super) struct Cluster {
    description: String,
    nodes: Mutex<Vec<Private>>,
    /// In front of each node. Workers and replicas know only these.
    proxies: Vec<Proxy>,
}

/// A primary and its replica, by their places among the nodes.
#[derive(Clone, Copy)]
struct Pair {
    primary: usize,
    replica: usize,
}

impl Cluster {
    pub(super) async fn start() -> Result<Self> {
        let mut proxies = Vec::new();
        for _ in 0..NODES {
            proxies.push(Proxy::start(local(0)).await?);
        }
        let arguments = proxies.iter().map(|proxy| arguments(proxy.port()));
        let arguments: Vec<_> = arguments.collect();
        let lead = |place: usize, port| proxies[place].lead_to(local(port));
        let start = || RedisCluster::start_with("valkey-server", 1, &arguments, lead);
        let nodes = block_in_place(start).nodes;
        let version = Admin::connect(&nodes[0].url).await?.version().await?;
        let cluster = Self {
            description: format!(
                "{version}, a cluster of 3 primaries with a replica each, appendonly yes, \
                 appendfsync everysec, cluster-node-timeout {NODE_TIMEOUT}"
            ),
            nodes: Mutex::new(nodes),
            proxies,
        };
        settled(&cluster.nodes.lock().await[..]).await?;
        Ok(cluster)
    }

    async fn fail(&self, nodes: &mut [Private], fault: &str, dice: &mut Dice) -> Result<Injected> {
        let pairs = pairs(nodes).await?;
        let pair = *dice.pick(&pairs);
        let began = Micros::now();
        let name = format!("the primary at port {}", nodes[pair.primary].port);
        if fault == KILL_PRIMARY.name {
            block_in_place(|| nodes[pair.primary].kill());
            taken_over(nodes, pair).await?;
            let injected = Injected::since(began, name);
            process::start(&mut nodes[pair.primary])?;
            return Ok(injected);
        }
        let detail = if fault == STOP_PRIMARY.name {
            let period = dice.duration(Duration::from_millis(500), Duration::from_secs(8));
            process::pause(&nodes[pair.primary], period).await?;
            format!("{name} for {period:?}")
        } else if fault == FAILOVER.name {
            let replica = Admin::connect(&nodes[pair.replica].url).await?;
            replica.run("CLUSTER FAILOVER").await?;
            taken_over(nodes, pair).await?;
            name
        } else {
            let to = pairs.iter().find(|other| other.primary != pair.primary);
            let to = to.ok_or("no other primary")?;
            let slots = dice.number(50..300);
            let ids = ids(nodes).await?;
            block_in_place(|| self.reshard(&ids[pair.primary], &ids[to.primary], slots))?;
            format!("{slots} slots of {name}")
        };
        Ok(Injected::since(began, detail))
    }

    fn reshard(&self, from: &str, to: &str, slots: u64) -> Result<()> {
        let mut reshard = Command::new("redis-cli");
        reshard.args(["--cluster", "reshard"]);
        reshard.arg(format!("127.0.0.1:{}", self.proxies[0].port()));
        reshard.args(["--cluster-from", from, "--cluster-to", to]);
        reshard.args(["--cluster-slots", &slots.to_string(), "--cluster-yes"]);
        let output = reshard.output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            let last = said.lines().last().unwrap_or_default();
            return Err(format!("the slots don't move: {last}").into());
        }
        Ok(())
    }
}

#[async_trait]
impl Topology for Cluster {
    fn description(&self) -> String {
        self.description.clone()
    }

    fn url(&self) -> String {
        let nodes = self.proxies.iter();
        let nodes: Vec<_> = nodes
            .map(|proxy| format!("127.0.0.1:{}", proxy.port()))
            .collect();
        format!("redis+cluster://{}/", nodes.join(","))
    }

    fn faults(&self) -> &'static [FaultKind] {
        FAULTS
    }

    async fn inject(&self, fault: &'static str, dice: &mut Dice) -> Result<Injected> {
        let mut nodes = self.nodes.lock().await;
        let injected = if network::is_one(fault) {
            let all: Vec<&Proxy> = self.proxies.iter().collect();
            let one = [*dice.pick(&all)];
            let struck = if dice.one_in(2) { &all[..] } else { &one[..] };
            network::inject(struck, fault, dice).await?
        } else if [KILL_PRIMARY, STOP_PRIMARY, FAILOVER, MOVE_SLOTS]
            .iter()
            .any(|one| one.name == fault)
        {
            self.fail(&mut nodes, fault, dice).await?
        } else {
            let began = Micros::now();
            let all: Vec<&Private> = nodes.iter().collect();
            let detail = Admins::connect(&all).await?.inject(fault, dice).await?;
            Injected::since(began, detail)
        };
        // The next fault would otherwise meet a primary without a replica.
        settled(&nodes).await?;
        Ok(injected)
    }
}

fn arguments(announced: u16) -> Vec<String> {
    let (port, timeout) = (announced.to_string(), NODE_TIMEOUT.to_string());
    [
        "--cluster-announce-port",
        &port,
        "--cluster-node-timeout",
        &timeout,
        "--cluster-replica-validity-factor",
        "0",
        // Silent connections of replicas are noticed.
        "--repl-timeout",
        "5",
        "--repl-ping-replica-period",
        "1",
        "--appendonly",
        "yes",
        "--appendfsync",
        "everysec",
    ]
    .map(str::to_owned)
    .into()
}

/// The ids of all nodes.
async fn ids(nodes: &[Private]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for node in nodes {
        ids.push(Admin::connect(&node.url).await?.ask("CLUSTER MYID").await?);
    }
    Ok(ids)
}

/// The primaries and their replicas.
async fn pairs(nodes: &[Private]) -> Result<Vec<Pair>> {
    let ids = ids(nodes).await?;
    let places: HashMap<&str, usize> = ids.iter().map(String::as_str).zip(0..).collect();
    let known: String = Admin::connect(&nodes[0].url)
        .await?
        .ask("CLUSTER NODES")
        .await?;
    let pairs = known.lines().filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let (replica, primary) = (words.first()?, words.get(3)?);
        Some(Pair {
            primary: *places.get(primary)?,
            replica: *places.get(replica)?,
        })
    });
    let pairs: Vec<Pair> = pairs.collect();
    match pairs.len() {
        3 => Ok(pairs),
        other => Err(format!("{other} primaries with a replica").into()),
    }
}

/// Waits until the replica is a primary, and all nodes that run know owners of all slots.
async fn taken_over(nodes: &[Private], pair: Pair) -> Result<()> {
    let replica = Admin::connect(&nodes[pair.replica].url).await?;
    replica.wait_for("role:master").await?;
    for node in nodes.iter().filter(|node| node.is_running()) {
        let admin = Admin::connect(&node.url).await?;
        until(|| async { is_whole(&admin).await }).await?;
    }
    Ok(())
}

async fn is_whole(admin: &Admin) -> Result<bool> {
    let info: String = admin.ask("CLUSTER INFO").await?;
    Ok(info.contains("cluster_state:ok"))
}

/// Waits until all slots have owners, and each of three primaries a replica that follows it.
async fn settled(nodes: &[Private]) -> Result<()> {
    until(|| async {
        for node in nodes {
            let admin = Admin::connect(&node.url).await?;
            let follows = match admin.has("role:master").await? {
                true => admin.has_replica_at_hand().await?,
                false => admin.has("master_link_status:up").await?,
            };
            if !follows || !is_whole(&admin).await? {
                return Ok(false);
            }
        }
        Ok(pairs(nodes).await.is_ok())
    })
    .await
}

async fn until<F: Future<Output = Result<bool>>>(mut look: impl FnMut() -> F) -> Result<()> {
    let began = Instant::now();
    while !look().await? {
        if began.elapsed() > LIMIT {
            return Err("the nodes of the cluster don't agree".into());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
