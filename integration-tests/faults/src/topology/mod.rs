//! Servers in one arrangement, and the faults that they can have.

mod mariadb;
mod memory;
mod mongodb;
mod mongodb_partition;
mod postgres;
mod redis;
mod redis_admin;
mod redis_cluster;
mod redis_sentinel;
mod server_clock;
mod sql;
mod sql_admin;
mod sqlite;

use std::net::{Ipv4Addr, SocketAddr};

use async_trait::async_trait;

use crate::Result;
use crate::dice::Dice;
use crate::fault::{FaultKind, Injected};

/// Servers that run until it is dropped.
#[async_trait]
pub trait Topology: Send + Sync {
    /// Product, version, arrangement and the settings that matter, for the report.
    fn description(&self) -> String;

    /// The URL that workers connect to.
    fn url(&self) -> String;

    /// The faults that the servers can have. Those of workers (killed, callers that go away) are the
    /// engine's.
    fn faults(&self) -> &'static [FaultKind];

    /// Makes the fault of this name happen and ends it. Returns when the servers are meant to serve
    /// again.
    ///
    /// # Errors
    /// The fault could not be made or ended: the run is then worth nothing.
    async fn inject(&self, fault: &'static str, dice: &mut Dice) -> Result<Injected>;

    /// How many worker processes use it.
    fn processes(&self) -> usize {
        3
    }

    /// Variables of the environment of a worker, such as those of libfaketime.
    fn environment(&self, _worker: usize) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The names of all topologies.
pub const NAMES: &[&str] = &[
    "memory",
    "sqlite",
    "redis",
    "redis-memory",
    "redis-clock",
    "redis-apart",
    "redis-sentinel",
    "valkey",
    "redis-cluster",
    "mongodb",
    "mongodb-partition",
    "mariadb",
    "mariadb-replica",
    "mariadb-clock",
    "postgres",
    "postgres-standby",
    "postgres-clock",
];

/// Starts the servers of one of [`NAMES`].
///
/// # Errors
/// An unknown name, or the servers do not start.
pub async fn start(name: &str) -> Result<Box<dyn Topology>> {
    use self::redis::Settings;
    use self::sql::Arrangement::{One, WithClock, WithReplica};
    Ok(match name {
        "memory" => Box::new(memory::Memory),
        "sqlite" => Box::new(sqlite::Sqlite::new()?),
        "redis" => redis(Settings::of("redis-server")).await?,
        "redis-memory" => redis(Settings::in_memory()).await?,
        "redis-clock" => redis(Settings::with_clock()).await?,
        "redis-apart" => redis(Settings::apart()).await?,
        "valkey" => redis(Settings::of("valkey-server")).await?,
        "redis-sentinel" => Box::new(redis_sentinel::Sentinel::start().await?),
        "redis-cluster" => Box::new(redis_cluster::Cluster::start().await?),
        "mongodb" => Box::new(mongodb::ReplicaSet::start().await?),
        "mongodb-partition" => Box::new(mongodb_partition::Partitioned::start().await?),
        "mariadb" => sql(mariadb::Mariadb::new(), One).await?,
        "mariadb-replica" => sql(mariadb::Mariadb::new(), WithReplica).await?,
        "mariadb-clock" => sql(mariadb::Mariadb::new(), WithClock).await?,
        "postgres" => sql(postgres::Postgres, One).await?,
        "postgres-standby" => sql(postgres::Postgres, WithReplica).await?,
        "postgres-clock" => sql(postgres::Postgres, WithClock).await?,
        _ => return Err(format!("unknown topology {name}: one of {NAMES:?}").into()),
    })
}

async fn redis(settings: redis::Settings) -> Result<Box<dyn Topology>> {
    Ok(Box::new(redis::Redis::start(settings).await?))
}

async fn sql(
    database: impl sql::Database + 'static,
    arrangement: sql::Arrangement,
) -> Result<Box<dyn Topology>> {
    Ok(Box::new(sql::Sql::start(database, arrangement).await?))
}

/// A port of this machine.
fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
