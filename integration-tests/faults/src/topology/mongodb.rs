//! A replica set of three members of MongoDB.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use integration_tests::servers::{Kind, Launch, Private};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use tokio::sync::Mutex;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::{Topology, local};
use crate::dice::Dice;
use crate::fault::{FaultKind, Injected};
use crate::proxy::Proxy;
use crate::{Result, clock::Micros, network, process};

const MEMBERS: usize = 3;
/// A primary that is silent for so many milliseconds is replaced.
pub(super) const ELECTION_TIMEOUT: i32 = 2000;
/// How long the members may take to agree; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);
/// A member that ends in order serves others this long before, 15 s by default.
pub(super) const ARGUMENTS: &[&str] = &[
    "--replSet",
    "rs0",
    "--setParameter",
    "shutdownTimeoutMillisForSignaledShutdown=1000",
];
/// A driver looks for the new primary.
pub(super) const BACK: Duration = Duration::from_secs(2);

/// The primary is killed, another is elected, and the member comes back.
const KILL_PRIMARY: FaultKind = FaultKind::new("kill-primary").recovers_within(BACK);
/// The primary ends in order, another is elected, and the member comes back.
const RESTART_PRIMARY: FaultKind = FaultKind::new("restart-primary").recovers_within(BACK);
/// The primary stands still for 0.5 to 8 s: another is elected if it is long.
const STOP_PRIMARY: FaultKind = FaultKind::new("stop-primary").recovers_within(BACK);
/// A secondary is killed and comes back.
const KILL_SECONDARY: FaultKind = FaultKind::new("kill-secondary").recovers_within(BACK);
/// The primary steps down (`replSetStepDown`), and another is elected.
const STEP_DOWN: FaultKind = FaultKind::new("step-down").recovers_within(BACK);
/// The operations of all clients are killed, 3 to 20 times (`killAllSessions`).
const KILL_OPERATIONS: FaultKind = FaultKind::new("kill-operations").recovers_within(BACK);

const FAULTS: &[FaultKind] = &[
    KILL_PRIMARY,
    RESTART_PRIMARY,
    STOP_PRIMARY,
    KILL_SECONDARY,
    STEP_DOWN,
    KILL_OPERATIONS,
    // Members reach each other over the same network, and elect another primary.
    network::DELAY.recovers_within(BACK),
    network::DRIP.recovers_within(BACK),
    network::CUT_ANSWERS.recovers_within(BACK),
    network::SILENCE,
    network::BLACK_HOLE,
    network::RESETS.recovers_within(BACK),
    network::CUT.recovers_within(BACK),
];

pub(super) struct ReplicaSet {
    description: String,
    members: Mutex<Vec<Private>>,
    /// In front of each member. Workers and members know only these.
    proxies: Vec<Proxy>,
}

impl ReplicaSet {
    pub(super) async fn start() -> Result<Self> {
        let (mut members, mut proxies) = (Vec::new(), Vec::new());
        for _ in 0..MEMBERS {
            let launch = Launch::of(Kind::Mongo, &["mongod"]).arguments(ARGUMENTS);
            let member = block_in_place(|| launch.try_start())?;
            proxies.push(Proxy::start(local(member.port)).await?);
            members.push(member);
        }
        let hosts = proxies
            .iter()
            .map(|proxy| format!("127.0.0.1:{}", proxy.port()));
        let version = initiate(&members, hosts).await?;
        Ok(Self {
            description: format!(
                "MongoDB {version}, a replica set of 3, electionTimeoutMillis {ELECTION_TIMEOUT}"
            ),
            members: Mutex::new(members),
            proxies,
        })
    }

    async fn network(&self, primary: usize, fault: &str, dice: &mut Dice) -> Result<Injected> {
        let all: Vec<&Proxy> = self.proxies.iter().collect();
        let one = [all[primary]];
        let struck = if dice.one_in(2) { &all[..] } else { &one[..] };
        network::inject(struck, fault, dice).await
    }
}

#[async_trait]
impl Topology for ReplicaSet {
    fn description(&self) -> String {
        self.description.clone()
    }

    fn url(&self) -> String {
        let hosts = self.proxies.iter();
        let hosts: Vec<_> = hosts
            .map(|proxy| format!("127.0.0.1:{}", proxy.port()))
            .collect();
        format!("mongodb://{}/app?replicaSet=rs0", hosts.join(","))
    }

    fn faults(&self) -> &'static [FaultKind] {
        FAULTS
    }

    async fn inject(&self, fault: &'static str, dice: &mut Dice) -> Result<Injected> {
        let mut members = self.members.lock().await;
        let primary = settled(&members).await?;
        let mut injected = if network::is_one(fault) {
            self.network(primary, fault, dice).await?
        } else {
            strike(&mut members, primary, fault, dice).await?
        };
        let elected = serving(&members).await?;
        if elected != primary {
            injected.detail += ", another primary";
        }
        if fault != network::SILENCE.name {
            injected.ended = Micros::now();
        }
        for member in members.iter_mut().filter(|member| !member.is_running()) {
            process::start(member)?;
        }
        Ok(injected)
    }
}

/// Makes a set of these members, and returns their version.
pub(super) async fn initiate(
    members: &[Private],
    hosts: impl Iterator<Item = String>,
) -> Result<String> {
    let hosts = (0..).zip(hosts);
    let hosts: Vec<Document> = hosts
        .map(|(id, host): (i32, _)| doc! { "_id": id, "host": host })
        .collect();
    let settings =
        doc! { "electionTimeoutMillis": ELECTION_TIMEOUT, "heartbeatIntervalMillis": 500 };
    let set = doc! { "_id": "rs0", "members": hosts, "settings": settings };
    run(&members[0], doc! { "replSetInitiate": set }).await?;
    settled(members).await?;
    let info = run(&members[0], doc! { "buildInfo": 1 }).await?;
    Ok(info.get_str("version")?.to_owned())
}

/// Makes a fault of one member. It may not run afterwards.
async fn strike(
    members: &mut [Private],
    primary: usize,
    fault: &str,
    dice: &mut Dice,
) -> Result<Injected> {
    let began = Micros::now();
    let detail = if fault == KILL_PRIMARY.name {
        block_in_place(|| members[primary].kill());
        primary_of(members, Some(primary)).await?;
        "killed".to_owned()
    } else if fault == RESTART_PRIMARY.name {
        block_in_place(|| members[primary].stop())?;
        primary_of(members, Some(primary)).await?;
        "ended in order".to_owned()
    } else if fault == STOP_PRIMARY.name {
        let period = dice.duration(Duration::from_millis(500), Duration::from_secs(8));
        process::pause(&members[primary], period).await?;
        format!("for {period:?}")
    } else if fault == KILL_SECONDARY.name {
        let other = (primary + 1) % MEMBERS;
        process::inject(&mut members[other], process::KILL.name, dice)
            .await?
            .detail
    } else if fault == STEP_DOWN.name {
        let step = doc! { "replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 5 };
        run(&members[primary], step).await?;
        primary_of(members, Some(primary)).await?;
        "replSetStepDown".to_owned()
    } else if fault == KILL_OPERATIONS.name {
        let times = dice.number(3..21);
        for _ in 0..times {
            run(&members[primary], doc! { "killAllSessions": [] }).await?;
            let pause = dice.duration(Duration::from_millis(10), Duration::from_millis(200));
            sleep(pause).await;
        }
        format!("{times} times")
    } else {
        return Err(format!("MongoDB can't have the fault {fault}").into());
    };
    Ok(Injected::since(began, detail))
}

/// Runs a command of an administrator on one member.
pub(super) async fn run(member: &Private, command: Document) -> Result<Document> {
    let mut options = ClientOptions::parse(&member.url).await?;
    options.server_selection_timeout = Some(Duration::from_secs(1));
    let client = Client::with_options(options)?;
    let answer = client.database("admin").run_command(command).await;
    client.shutdown().immediate(true).await;
    Ok(answer?)
}

/// Waits until a member is primary, other than `old`, and returns its place.
pub(super) async fn primary_of(members: &[Private], old: Option<usize>) -> Result<usize> {
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        for (place, member) in members.iter().enumerate() {
            let asked = member.is_running() && Some(place) != old;
            if asked && says(member, "isWritablePrimary").await {
                return Ok(place);
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err("no primary is elected".into())
}

/// Waits until one member is primary and the others follow, and returns its place.
pub(super) async fn settled(members: &[Private]) -> Result<usize> {
    let primary = primary_of(members, None).await?;
    let began = Instant::now();
    for (place, member) in members.iter().enumerate() {
        while place != primary && !says(member, "secondary").await {
            if began.elapsed() > LIMIT {
                return Err(format!("the member at port {} does not follow", member.port).into());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(primary)
}

/// Waits until a primary takes a write that a majority has, and returns its place.
pub(super) async fn serving(members: &[Private]) -> Result<usize> {
    let began = Instant::now();
    loop {
        let primary = primary_of(members, None).await?;
        let concern = doc! { "w": "majority", "wtimeout": 500 };
        let note =
            doc! { "appendOplogNote": 1, "data": { "is": "served" }, "writeConcern": concern };
        let answer = run(&members[primary], note).await;
        if answer.is_ok_and(|answer| !answer.contains_key("writeConcernError")) {
            return Ok(primary);
        }
        if began.elapsed() > LIMIT {
            return Err("no primary takes writes".into());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn says(member: &Private, field: &str) -> bool {
    let hello = run(member, doc! { "hello": 1 }).await;
    hello.is_ok_and(|hello| hello.get_bool(field).unwrap_or(false))
}
