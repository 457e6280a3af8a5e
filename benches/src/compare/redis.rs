//! The contenders on Redis, Valkey and clusters of them.

use std::sync::OnceLock;
use std::time::Duration;

use benches::results::Role;
use integration_tests::servers::{self, RedisCluster, Server};
use session_core::Error;
use session_redis::redis::aio::ConnectionLike;
use session_redis::redis::cluster::ClusterClient;
use session_redis::redis::{self, AsyncConnectionConfig};
use session_redis::{Connection, RedisBackend, RedisStore};
use tower_sessions_redis_store::fred;
use tower_sessions_redis_store::fred::interfaces::ClientLike;

use super::actix::Actix;
use super::ours::Ours;
use super::peers::Tower14;
use super::report::Report;
use super::run::Entry;
use super::{Entrants, Options, raw};

type Peer = Tower14<tower_sessions_redis_store::RedisStore<fred::clients::Pool>>;

/// How long the driver alone waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server of `--redis-server`, or the one that tests find.
pub(super) fn server(options: &Options) -> Option<&'static Server> {
    static CHOSEN: OnceLock<Server> = OnceLock::new();
    let Some(place) = &options.redis_server else {
        return servers::redis();
    };
    let start = || servers::redis_at(place).unwrap_or_else(|why| panic!("{place}: {why}"));
    Some(CHOSEN.get_or_init(start))
}

/// One server.
pub(super) async fn single(
    url: &str,
    size: (usize, usize),
    report: &mut Report,
) -> Result<Entrants, Error> {
    let sessions = size.0;
    let store = RedisStore::builder().prefix("bench").connect(url).await?;
    report.contender("session-redis", &lane(&store).await?);
    let client = redis::Client::open(url).expect("a URL");
    // Half a second, the default, is too little on a busy machine; without a limit it would be another
    // driver than that of most programs.
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let raw = client.get_multiplexed_async_connection_with_config(&config);
    let raw = raw.await.expect("it is up");
    let actix = Actix::new(url, sessions).await;
    let mut entrants = both(store, raw, size);
    entrants.push(Entry::boxed("actix-session", Role::Peer, actix, size, 1));
    let tower = tower(url, sessions).await;
    entrants.push(Entry::boxed("tower-sessions", Role::Peer, tower, size, 1));
    Ok(entrants)
}

/// Three nodes on this machine, of the binary that `--redis-server` names; or the cluster of the node
/// at its URL.
pub(super) async fn cluster(
    options: &Options,
    size: (usize, usize),
    report: &mut Report,
) -> Result<Entrants, Error> {
    static STARTED: OnceLock<RedisCluster> = OnceLock::new();
    let place = options.redis_server.as_deref().unwrap_or("redis-server");
    let nodes = if place.contains("://") {
        let server = server(options).expect("it is named");
        report.server(&format!("a cluster of {}", server.description));
        vec![server.url.clone()]
    } else {
        let start = || STARTED.get_or_init(|| RedisCluster::start(place, 3, 0));
        let cluster = tokio::task::block_in_place(start);
        report.server(&cluster.description());
        cluster.urls()
    };
    let tower = tower(&nodes[0].replacen("://", "-cluster://", 1), size.0).await;
    let client = ClusterClient::builder(nodes.clone()).response_timeout(PATIENCE);
    let client = client.build().expect("URLs");
    let raw = client.get_async_connection().await.expect("it is up");
    let clients = nodes.into_iter().map(redis::Client::open);
    let clients: Result<Vec<_>, _> = clients.collect();
    let cluster = Connection::cluster(clients.expect("URLs"));
    let store = RedisStore::builder().prefix("bench").build(cluster).await?;
    report.contender("session-redis", &lane(&store).await?);
    let mut entrants = both(store, raw, size);
    entrants.push(Entry::boxed("tower-sessions", Role::Peer, tower, size, 1));
    Ok(entrants)
}

/// This project's store, and the driver alone.
fn both<C>(store: RedisStore, connection: C, size: (usize, usize)) -> Entrants
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    let ours = Ours::new(store, size.0);
    let raw = raw::Redis::new(connection, size.0);
    vec![
        Entry::boxed("session-redis", Role::Ours, ours, size, 1),
        Entry::boxed("redis", Role::Raw, raw, size, 1),
    ]
}

async fn tower(url: &str, sessions: usize) -> Peer {
    let config = fred::types::config::Config::from_url(url).expect("a URL");
    let pool = fred::clients::Pool::new(config, None, None, None, 6).expect("a pool");
    pool.connect();
    pool.wait_for_connect().await.expect("up");
    Tower14::new(tower_sessions_redis_store::RedisStore::new(pool), sessions)
}

/// How writes of the store compare on this server.
async fn lane(store: &RedisStore) -> Result<String, Error> {
    Ok(format!("writes by {}", RedisBackend::lane(store).await?))
}
