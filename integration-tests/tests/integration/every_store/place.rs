//! Where stores are opened: a server, or several, with the layouts that they can have.

use std::any::Any;
use std::sync::Arc;

use integration_tests::servers::{self, Kind, RedisCluster, SentinelGroup};
use session_cached::CachedStore;
use session_core::{SessionStore, Stamp};
use session_mongo::MongoStore;
use session_mysql::MysqlStore;
use session_postgres::PostgresStore;
use session_redis::RedisStore;
use session_sqlite::SqliteStore;
use tempfile::TempDir;

const IN_MEMORY: &str = "sqlite::memory:";

/// What is opened at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Redis,
    RedisExpress,
    RedisCached,
    Mongo,
    MongoExpress,
    Mysql,
    MysqlExpress,
    Postgres,
    PostgresExpress,
    Sqlite,
}

/// Where stores are opened.
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) url: String,
    pub(super) stores: &'static [What],
    /// Whether other tests use the server too.
    pub(super) is_shared: bool,
    /// The ports of servers that only this place uses.
    pub(super) ports: Vec<u16>,
    /// The servers, or the directory of the file.
    pub(super) guard: Option<Box<dyn Any>>,
}

impl Place {
    fn shared(name: &'static str, url: Option<String>, stores: &'static [What]) -> Option<Self> {
        Some(Self {
            name,
            url: url?,
            stores,
            is_shared: true,
            ports: Vec::new(),
            guard: None,
        })
    }

    /// Whether the sessions are in this process' memory.
    pub(super) fn is_in_memory(&self) -> bool {
        self.url == IN_MEMORY
    }

    /// The directory of the file, if it is one.
    pub(super) fn directory(&self) -> Option<&TempDir> {
        self.guard.as_ref()?.downcast_ref()
    }

    pub(super) async fn open(&self, what: What) -> Arc<dyn SessionStore> {
        let name = format!("e{:x}", u128::from_be_bytes(*Stamp::generate().as_bytes()));
        let opened = open(what, &self.url, &name).await;
        opened.unwrap_or_else(|error| panic!("{}, {what:?}: {error}", self.name))
    }
}

async fn open(what: What, url: &str, name: &str) -> session_core::Result<Arc<dyn SessionStore>> {
    Ok(match what {
        What::Redis => Arc::new(RedisStore::builder().prefix(name).connect(url).await?),
        What::RedisCached => {
            let store = RedisStore::builder().prefix(name).connect(url).await?;
            Arc::new(CachedStore::builder(store).build()?)
        }
        What::RedisExpress => {
            use session_redis::express::{Express, ExpressStore};
            let builder = ExpressStore::builder(Express::new("secret")).prefix(name);
            Arc::new(builder.connect(url).await?)
        }
        What::Mongo => Arc::new(MongoStore::builder().collection(name).connect(url).await?),
        What::MongoExpress => {
            use session_mongo::express::{Express, ExpressStore};
            let builder = ExpressStore::builder(Express::new("secret")).collection(name);
            Arc::new(builder.connect(url).await?)
        }
        What::Mysql => Arc::new(MysqlStore::builder().table(name).connect(url).await?),
        What::MysqlExpress => {
            use session_mysql::express::{Express, ExpressStore};
            let builder = ExpressStore::builder(Express::new("secret")).table(name);
            Arc::new(builder.connect(url).await?)
        }
        What::Postgres => Arc::new(PostgresStore::builder().table(name).connect(url).await?),
        What::PostgresExpress => {
            use session_postgres::express::{Express, ExpressStore};
            let builder = ExpressStore::builder(Express::new("secret")).table(name);
            Arc::new(builder.connect(url).await?)
        }
        What::Sqlite => Arc::new(SqliteStore::builder().table(name).connect(url).await?),
    })
}

/// Every kind of server, as far as it is not skipped. Blocks.
pub(super) fn all() -> Vec<Place> {
    let url = |server: Option<&'static servers::Server>| server.map(|server| server.url.clone());
    let shared = [
        Place::shared(
            "Redis",
            url(servers::redis()),
            &[What::Redis, What::RedisExpress, What::RedisCached],
        ),
        Place::shared(
            "Valkey",
            url(servers::valkey()),
            &[What::Redis, What::RedisExpress],
        ),
        Place::shared(
            "MongoDB",
            url(servers::mongo()),
            &[What::Mongo, What::MongoExpress],
        ),
        Place::shared(
            "MySQL",
            url(servers::mysql()),
            &[What::Mysql, What::MysqlExpress],
        ),
        Place::shared(
            "PostgreSQL",
            url(servers::postgres()),
            &[What::Postgres, What::PostgresExpress],
        ),
    ];
    let mut places: Vec<Place> = shared.into_iter().flatten().collect();
    places.extend([file(), in_memory()]);
    if !servers::is_skipped(Kind::Redis) {
        places.extend([cluster(), sentinels()]);
    }
    places
}

fn file() -> Place {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("sessions.db");
    Place {
        name: "SQLite",
        url: format!("sqlite:{}", path.display()),
        stores: &[What::Sqlite],
        is_shared: false,
        ports: Vec::new(),
        guard: Some(Box::new(directory)),
    }
}

fn in_memory() -> Place {
    Place {
        name: "SQLite in memory",
        url: IN_MEMORY.to_owned(),
        stores: &[What::Sqlite],
        is_shared: false,
        ports: Vec::new(),
        guard: None,
    }
}

fn cluster() -> Place {
    let cluster = RedisCluster::start("valkey-server", 3, 0);
    Place {
        name: "a cluster",
        url: cluster.url(),
        stores: &[What::Redis, What::RedisExpress],
        is_shared: false,
        ports: cluster.nodes.iter().map(|node| node.port).collect(),
        guard: Some(Box::new(cluster)),
    }
}

fn sentinels() -> Place {
    let group = SentinelGroup::start("valkey-server", None);
    let (hosts, service) = (group.addresses().join(","), group.service());
    let all = group.servers.iter().chain(&group.sentinels);
    Place {
        name: "Sentinels",
        url: format!("redis+sentinel://{hosts}/{service}"),
        stores: &[What::Redis, What::RedisExpress],
        is_shared: false,
        ports: all.map(|server| server.port).collect(),
        guard: Some(Box::new(group)),
    }
}
