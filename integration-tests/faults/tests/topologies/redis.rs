//! Redis and Valkey.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue};

use super::probe::{
    Expected, OTHER_CLOCK, Probe, SLOW, TIMED_OUT, all_happen_and_end, is_other_clock,
};

/// What a connection that breaks says.
const BROKEN: &[&str] = &[
    "roken pipe",
    "reset by peer",
    "refused",
    "end of file",
    "closed",
    "dropped",
    "terminated",
    "Unexpected end of input",
];

const ONE: Expected = &[
    ("kill", BROKEN),
    ("restart", BROKEN),
    ("stop", &[TIMED_OUT]),
    ("loading", &["LOADING"]),
    (
        "disk-full",
        &[
            "refused",
            "end of file",
            "reset",
            "roken pipe",
            "MISCONF",
            "closed",
            "terminated",
        ],
    ),
    ("client-kill", BROKEN),
    ("script-flush", &[NO_SCRIPT]),
    ("password", &["NOAUTH"]),
    ("read-only", &["READONLY"]),
    ("no-replicas", &["NOREPLICAS"]),
    ("out-of-memory", &["OOM"]),
    ("max-clients", &["max number of clients", "reset by peer"]),
    ("busy-script", &["BUSY"]),
    ("network-delay", &[SLOW, TIMED_OUT]),
    ("network-drip", &[SLOW, TIMED_OUT]),
    ("network-cut-answers", BROKEN),
    ("network-silence", &[TIMED_OUT]),
    ("network-black-hole", &[TIMED_OUT]),
    ("network-resets", BROKEN),
    ("network-cut", BROKEN),
];

/// Those of `ONE` without a disk.
const IN_MEMORY: Expected = &[
    ONE[0], ONE[1], ONE[2], ONE[5], ONE[6], ONE[7], ONE[8], ONE[9], ONE[10], ONE[11], ONE[12],
    ONE[13], ONE[14], ONE[15], ONE[16], ONE[17], ONE[18], ONE[19],
];

const CLUSTER: Expected = &[
    ("kill-primary", &[CHANGED]),
    ("stop-primary", &[TIMED_OUT]),
    ("failover", &[CHANGED]),
    ("move-slots", &[CHANGED]),
    ("client-kill", BROKEN),
    ("script-flush", &[NO_SCRIPT]),
    ("out-of-memory", &["OOM"]),
    ("max-clients", &["max number of clients", "reset by peer"]),
    ("network-delay", &[SLOW, TIMED_OUT]),
    ("network-drip", &[SLOW, TIMED_OUT]),
    ("network-cut-answers", BROKEN),
    ("network-silence", &[TIMED_OUT]),
    ("network-black-hole", &[TIMED_OUT]),
    ("network-resets", BROKEN),
    ("network-cut", BROKEN),
];

const SENTINEL: Expected = &[
    ("kill-primary", &[CHANGED]),
    ("failover", &[CHANGED]),
    ("stop-primary", &[TIMED_OUT]),
    ("kill-sentinel", BROKEN),
    ("network-delay", &[SLOW, TIMED_OUT]),
    ("network-drip", &[SLOW, TIMED_OUT]),
    ("network-cut-answers", BROKEN),
    ("network-silence", &[TIMED_OUT]),
    ("network-black-hole", &[TIMED_OUT]),
    ("network-resets", BROKEN),
    ("network-cut", BROKEN),
    ("client-kill", BROKEN),
    ("script-flush", &[NO_SCRIPT]),
    ("out-of-memory", &["OOM"]),
    ("no-replicas", &["NOREPLICAS"]),
];

const NO_SCRIPT: &str = "the script is gone";
/// Slots, or the role of primary, are elsewhere.
const CHANGED: &str = "changed";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 60 s: `./faults.sh smoke` runs it"]
async fn faults_of_redis_on_disk() {
    all_happen_and_end("redis", Servers::of, ONE).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 60 s: `./faults.sh smoke` runs it"]
async fn faults_of_redis_in_memory() {
    all_happen_and_end("redis-memory", Servers::of, IN_MEMORY).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 60 s: `./faults.sh smoke` runs it"]
async fn faults_of_valkey() {
    all_happen_and_end("valkey", Servers::of, ONE).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 15 s: `./faults.sh smoke` runs it"]
async fn the_clock_of_redis_jumps_and_is_right_again() {
    let expected: Expected = &[("clock-jump", &[OTHER_CLOCK]), ("kill", BROKEN)];
    all_happen_and_end("redis-clock", Servers::of, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 60 s: `./faults.sh smoke` runs it"]
async fn faults_of_a_cluster() {
    all_happen_and_end("redis-cluster", Servers::of, CLUSTER).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 60 s: `./faults.sh smoke` runs it"]
async fn faults_of_servers_with_sentinels() {
    all_happen_and_end("redis-sentinel", Servers::of, SENTINEL).await;
}

/// All servers that a URL names, and the primary that they name if they are sentinels.
struct Servers {
    scheme: Scheme,
    addresses: Vec<String>,
    connections: BTreeMap<String, MultiplexedConnection>,
    /// What each said first about who serves.
    first: BTreeMap<String, String>,
    /// Those that have been given a script.
    loaded: BTreeSet<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    One,
    Cluster,
    Sentinel,
}

impl Servers {
    fn of(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let scheme = match scheme {
            "redis+cluster" => Scheme::Cluster,
            "redis+sentinel" => Scheme::Sentinel,
            _ => Scheme::One,
        };
        let hosts = rest.split('/').next().expect("hosts");
        Self {
            scheme,
            addresses: hosts.split(',').map(str::to_owned).collect(),
            connections: BTreeMap::new(),
            first: BTreeMap::new(),
            loaded: BTreeSet::new(),
        }
    }

    async fn ask<T: FromRedisValue>(
        &mut self,
        address: &str,
        words: &[&str],
    ) -> redis::RedisResult<T> {
        if !self.connections.contains_key(address) {
            let client = redis::Client::open(format!("redis://{address}/"))?;
            // The probe has a limit of its own.
            let config = AsyncConnectionConfig::new()
                .set_response_timeout(None)
                .set_connection_timeout(None);
            let connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            self.connections.insert(address.to_owned(), connection);
        }
        let connection = self.connections.get_mut(address).expect("just made");
        let mut command = redis::Cmd::new();
        command.arg(words).query_async(connection).await
    }

    /// Writes and reads at one server.
    async fn use_one(&mut self, address: &str) -> Result<Option<&'static str>, String> {
        let value = "x".repeat(2000);
        let written = self.ask::<()>(address, &["SET", "probe", &value]).await;
        match written {
            Ok(()) => {
                let read: String = self.ask(address, &["GET", "probe"]).await.map_err(text)?;
                assert_eq!(read.len(), value.len());
            }
            // A node of a cluster that has other slots, or follows another.
            Err(error) if self.scheme == Scheme::Cluster && error.to_string().contains("oved") => {}
            Err(error) => return Err(text(error)),
        }
        let seconds: (f64, f64) = self.ask(address, &["TIME"]).await.map_err(text)?;
        if is_other_clock(seconds.0 + seconds.1 / 1e6) {
            return Ok(Some(OTHER_CLOCK));
        }
        let sha: String = redis::Script::new("return 1").get_hash().to_owned();
        let has: (bool,) = self
            .ask(address, &["SCRIPT", "EXISTS", &sha])
            .await
            .map_err(text)?;
        if !has.0 {
            let loaded = self
                .ask::<String>(address, &["SCRIPT", "LOAD", "return 1"])
                .await;
            loaded.map_err(text)?;
            let is_new = self.loaded.insert(address.to_owned());
            return Ok((!is_new).then_some(NO_SCRIPT));
        }
        Ok(None)
    }

    /// Whether a server says the same about who serves as at first.
    async fn is_same(&mut self, address: &str) -> Result<bool, String> {
        let said = match self.scheme {
            Scheme::One => String::new(),
            Scheme::Cluster => {
                let nodes: String = self
                    .ask(address, &["CLUSTER", "NODES"])
                    .await
                    .map_err(text)?;
                let masters = nodes.lines().filter(|line| line.contains("master"));
                let slots = masters.map(|line| {
                    let words: Vec<&str> = line.split(' ').collect();
                    format!("{} {}", words[0], words[8..].join(" "))
                });
                let mut slots: Vec<String> = slots.collect();
                slots.sort();
                slots.join("\n")
            }
            Scheme::Sentinel => self.primary(address).await?,
        };
        let first = self
            .first
            .entry(address.to_owned())
            .or_insert_with(|| said.clone());
        let is_same = *first == said;
        *first = said;
        Ok(is_same)
    }

    async fn primary(&mut self, sentinel: &str) -> Result<String, String> {
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "sessions"];
        let named: (String, u16) = self.ask(sentinel, &ask).await.map_err(text)?;
        Ok(format!("{}:{}", named.0, named.1))
    }
}

#[async_trait]
impl Probe for Servers {
    async fn look(&mut self) -> Result<Option<&'static str>, String> {
        let mut noticed = None;
        let mut failed = None;
        for address in self.addresses.clone() {
            let server = match self.scheme {
                Scheme::One | Scheme::Cluster => Ok(address.clone()),
                Scheme::Sentinel => self.primary(&address).await,
            };
            let used = match server {
                Ok(server) => self.use_one(&server).await,
                Err(why) => Err(why),
            };
            match used {
                Ok(what) => noticed = noticed.or(what),
                // Another node may have more to say.
                Err(why) => failed = Some(why),
            }
            if let Ok(false) = self.is_same(&address).await {
                noticed = Some(CHANGED);
            }
        }
        match (noticed, failed) {
            (Some(CHANGED), _) | (_, None) => Ok(noticed),
            (_, Some(why)) => Err(why),
        }
    }

    fn forget(&mut self) {
        self.connections.clear();
    }
}

fn text(error: redis::RedisError) -> String {
    format!("{} {error}", error.code().unwrap_or_default())
}
