//! The database servers that tests run against: existing ones, or ones that are started and end
//! with the process.
//!
//! [`redis()`], [`valkey()`], [`mongo()`] and [`mysql()`] search once in a process: for a URL in
//! the environment, a Docker engine, a server binary on `PATH`.
//! `integration-tests/servers/README.md` lists the variables that control this. [`ExpressApp`] is
//! an Express app for tests that share sessions with Express, and [`Client`] is a browser that
//! visits both.

mod binary;
mod client;
mod cluster;
mod docker;
mod express;
mod guard;
mod jar;
mod lookup;
mod version;

use std::fmt;
use std::sync::OnceLock;

pub use binary::Private;
pub use client::{Client, Response};
pub use cluster::{RedisCluster, redis_cluster};
pub use express::{ExpressApp, express_script, is_express_skipped};

/// A kind of database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Redis or Valkey.
    Redis,
    /// MongoDB, as a replica set of one node.
    Mongo,
    /// MySQL or MariaDB.
    Mysql,
}

impl Kind {
    /// Returns the name of this kind in variables and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Mongo => "mongo",
            Self::Mysql => "mysql",
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
    found("redis", SERVER.get_or_init(|| lookup::find(Kind::Redis)))
}

/// The shared Valkey server, from its URL or a binary; `None` if `SESSION_TEST_SKIP` names it or
/// Redis.
///
/// # Panics
/// If there is none; the message says what to do.
pub fn valkey() -> Option<&'static Server> {
    static SERVER: OnceLock<Search> = OnceLock::new();
    found("valkey", SERVER.get_or_init(lookup::find_valkey))
}

/// The shared MongoDB server; `None` if `SESSION_TEST_SKIP` names it.
///
/// # Panics
/// If there is none; the message says what to do.
pub fn mongo() -> Option<&'static Server> {
    static SERVER: OnceLock<Search> = OnceLock::new();
    found("mongo", SERVER.get_or_init(|| lookup::find(Kind::Mongo)))
}

/// The shared MySQL or MariaDB server; `None` if `SESSION_TEST_SKIP` names it.
///
/// # Panics
/// If there is none; the message says what to do.
pub fn mysql() -> Option<&'static Server> {
    static SERVER: OnceLock<Search> = OnceLock::new();
    found("mysql", SERVER.get_or_init(|| lookup::find(Kind::Mysql)))
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
