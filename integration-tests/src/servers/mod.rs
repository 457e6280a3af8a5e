//! The database servers that tests run against: existing ones, or ones that are started and end
//! with the process.
//!
//! [`redis()`], [`redis_8()`], [`valkey()`], [`mongo()`], [`mysql()`] and [`postgres()`] search once
//! in a process: for a URL in the environment, a Docker engine, a server binary.
//! `integration-tests/servers/README.md` lists the variables that control this. [`Private`],
//! [`RedisCluster`] and [`SentinelGroup`] are servers of one test. [`ExpressApp`] is an Express app
//! for tests that share sessions with Express, and [`Client`] is a browser that visits both.

mod binary;
mod certificates;
mod client;
mod cluster;
mod command;
mod control;
mod disk;
mod docker;
mod express;
mod guard;
mod jar;
mod launch;
mod lookup;
mod networks;
mod postgres;
mod product;
mod prometheus;
mod sentinel;
mod user;
mod version;

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

pub use binary::Private;
pub use certificates::{Authority, Certificate, ClientCertificates};
pub use client::{Client, Response};
pub use cluster::{RedisCluster, redis_cluster, valkey_cluster};
pub use disk::Disk;
pub use express::{ExpressApp, express_script, is_express_skipped};
pub use launch::Launch;
pub use networks::Networks;
pub use prometheus::{Prometheus, promtool};
pub use sentinel::{Passwords, SentinelGroup};
pub use user::valkey_without_scripts;

use product::Product;

/// How long an operation may take in tests of something else: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A kind of database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Redis or Valkey.
    Redis,
    /// MongoDB, as a replica set of one node.
    Mongo,
    /// MySQL or MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

impl Kind {
    /// Returns the name of this kind in variables and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Mongo => "mongo",
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
        }
    }
}

/// A server that tests share. Namespaces separate their data.
pub struct Server {
    /// The URL to connect by.
    pub url: String,
    /// Product, version, and how it was found.
    pub description: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.description)
    }
}

/// Returns whether `SESSION_TEST_SKIP` names this kind, so that a test must return at once. Prints
/// that to standard error.
#[must_use]
pub fn is_skipped(kind: Kind) -> bool {
    lookup::is_test_skipped(kind.name())
}

/// The result of a search. A failure is remembered too, because a search takes long.
type Search = Result<Option<Server>, String>;

fn found(name: &str, search: &'static Search) -> Option<&'static Server> {
    match search {
        Ok(Some(server)) => Some(server),
        Ok(None) => {
            lookup::say_not_run(name);
            None
        }
        Err(why) => panic!("{why}"),
    }
}

/// The shared Redis server; `None` if `SESSION_TEST_SKIP` names it.
///
/// # Panics
/// If there is none; the message says what to do.
pub fn redis() -> Option<&'static Server> {
    static SERVER: OnceLock<Search> = OnceLock::new();
    found(
        "redis",
        SERVER.get_or_init(|| lookup::find(&product::REDIS)),
    )
}

/// The shared Valkey server, from its URL or a binary; `None` if `SESSION_TEST_SKIP` names it or
/// Redis.
///
/// # Panics
/// If there is none; the message says what to do.
pub fn valkey() -> Option<&'static Server> {
    static SERVER: OnceLock<Search> = OnceLock::new();
    found(
        "valkey",
        SERVER.get_or_init(|| lookup::find(&product::VALKEY)),
    )
}

/// The shared server of Redis 8; `None` if `SESSION_TEST_SKIP` names `redis8` or `redis`.
///
/// # Panics
/// If there is none; the message says what to do.
pub fn redis_8() -> Option<&'static Server> {
    static SERVER: OnceLock<Search> = OnceLock::new();
    let name = product::REDIS_8.name;
    found(name, SERVER.get_or_init(|| lookup::find(&product::REDIS_8)))
}

/// The Redis or Valkey server at `place`: a URL, or a binary (a path or a name on `PATH`), which is
/// started and ends with this process.
///
/// # Errors
/// If the binary does not start or the server does not answer.
pub fn redis_at(place: &str) -> Result<Server, String> {
    lookup::redis_at(place)
}

/// The shared MongoDB server; `None` if `SESSION_TEST_SKIP` names it.
///
/// # Panics
/// If there is none; the message says what to do.
pub fn mongo() -> Option<&'static Server> {
    static SERVER: OnceLock<Search> = OnceLock::new();
    found(
        "mongo",
        SERVER.get_or_init(|| lookup::find(&Product::of(Kind::Mongo))),
    )
}

/// The shared MySQL or MariaDB server; `None` if `SESSION_TEST_SKIP` names it.
///
/// # Panics
/// If there is none; the message says what to do.
pub fn mysql() -> Option<&'static Server> {
    static SERVER: OnceLock<Search> = OnceLock::new();
    found(
        "mysql",
        SERVER.get_or_init(|| lookup::find(&Product::of(Kind::Mysql))),
    )
}

/// The shared PostgreSQL server; `None` if `SESSION_TEST_SKIP` names it.
///
/// # Panics
/// If there is none; the message says what to do.
pub fn postgres() -> Option<&'static Server> {
    static SERVER: OnceLock<Search> = OnceLock::new();
    found(
        "postgres",
        SERVER.get_or_init(|| lookup::find(&Product::of(Kind::Postgres))),
    )
}

/// Runs `work` on its own thread and runtime, so that it can be called from any test's runtime and
/// its tasks do not depend on that runtime.
fn on_own_runtime<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime for starting servers")
                .block_on(work)
        };
        scope.spawn(run).join().expect("starting a server panicked")
    })
}
