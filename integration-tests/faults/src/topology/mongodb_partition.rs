//! A replica set of MongoDB whose members have networks of their own.

use std::time::Duration;

use async_trait::async_trait;
use integration_tests::servers::{Kind, Launch, Networks, Private};
use tokio::sync::Mutex;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::Topology;
use super::mongodb::{ARGUMENTS, BACK, ELECTION_TIMEOUT, initiate, serving, settled};
use crate::dice::Dice;
use crate::fault::{FaultKind, Injected};
use crate::{Result, clock::Micros};

const MEMBERS: u8 = 3;
/// A client gives up a silent connection after time-outs.
const SILENCE_IS_NOTICED: Duration = Duration::from_secs(5);

/// Neither workers nor members reach the primary; the others elect one.
const PARTITION: FaultKind =
    FaultKind::new("partition").recovers_within(SILENCE_IS_NOTICED.saturating_add(BACK));
/// Workers reach all members, and the primary no other member: it is primary until it notices.
const STALE_PRIMARY: FaultKind = FaultKind::new("stale-primary").recovers_within(BACK);

const FAULTS: &[FaultKind] = &[PARTITION, STALE_PRIMARY];

pub(super) struct Partitioned {
    description: String,
    url: String,
    members: Mutex<Vec<Private>>,
    // After the members: they end first.
    networks: Networks,
}

impl Partitioned {
    pub(super) async fn start() -> Result<Self> {
        let networks = block_in_place(|| Networks::new(MEMBERS))?;
        let mut members = Vec::new();
        for one in 0..MEMBERS {
            let launch = Launch::of(Kind::Mongo, &["mongod"])
                .arguments(ARGUMENTS)
                .through(&networks.words(one))
                .at(networks.address(one));
            members.push(block_in_place(|| launch.try_start())?);
        }
        let host =
            |(one, member): (u8, &Private)| format!("{}:{}", networks.address(one), member.port);
        let hosts: Vec<String> = (0..).zip(&members).map(host).collect();
        let url = format!("mongodb://{}/app?replicaSet=rs0", hosts.join(","));
        let version = initiate(&members, hosts.into_iter()).await?;
        Ok(Self {
            description: format!(
                "MongoDB {version}, a replica set of 3 in networks of their own, \
                 electionTimeoutMillis {ELECTION_TIMEOUT}"
            ),
            url,
            members: Mutex::new(members),
            networks,
        })
    }
}

#[async_trait]
impl Topology for Partitioned {
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
        let members = self.members.lock().await;
        let primary = settled(&members).await?;
        let number = u8::try_from(primary)?;
        let period = dice.duration(Duration::from_millis(500), Duration::from_secs(10));
        let began = Micros::now();
        if fault == PARTITION.name {
            self.networks.unplug(number)?;
            sleep(period).await;
            self.networks.plug(number)?;
        } else if fault == STALE_PRIMARY.name {
            self.networks.isolate(number)?;
            sleep(period).await;
            self.networks.join(number)?;
        } else {
            return Err(format!("no fault {fault} here").into());
        }
        let elected = serving(&members).await?;
        let which = if elected == primary {
            "the same"
        } else {
            "another"
        };
        Ok(Injected::since(
            began,
            format!("for {period:?}, {which} primary"),
        ))
    }
}
