//! Makes the clients of a store.
//!
//! A [`Link`](crate::link::Link) opens its connection again when that breaks. It does not notice a connection that
//! stays open without answers or leads to a server that is no longer the primary. In these cases
//! the store replaces its client.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::ConnectionLike;
use redis::{Pipeline, RedisError, RedisResult, Script};
use session_core::backend::{Connector, Failure, Operation};
use session_core::{Error, Result, async_trait};

use crate::client::RedisClient;
use crate::cluster::Cluster;
use crate::connection::{Connection, Origin};
use crate::error::{failure, from_redis};
use crate::keepalive::with_keepalive;
use crate::links::Links;
use crate::opener::Opener;
use crate::options::ConnectionOptions;
use crate::server::Server;

/// How long other nodes have to load the scripts too, once one has.
const GRACE: Duration = Duration::from_millis(50);

/// Makes the clients of a store.
pub(crate) struct RedisConnector {
    opener: Opener,
    place: String,
    /// The scripts that the server must have.
    scripts: Vec<Script>,
}

impl RedisConnector {
    /// `timeout` is the time limit of an operation; the operations run `scripts`. `scratch` is a key
    /// that nothing else uses.
    pub(crate) fn new(
        connection: Connection,
        options: ConnectionOptions,
        timeout: Duration,
        scratch: String,
        scripts: &[&Script],
    ) -> Result<Self> {
        options.check(&connection.0)?;
        let origin = match connection.0 {
            Origin::Client(client) => Origin::Client(Box::new(with_keepalive(*client, timeout))),
            Origin::Cluster(cluster) => {
                Origin::Cluster(cluster.for_store(options.clone(), timeout, &scratch))
            }
            Origin::Sentinel(sentinel) => {
                Origin::Sentinel(sentinel.with_options(&options, timeout).into())
            }
            other => other,
        };
        Ok(Self {
            place: origin.place(),
            opener: Opener {
                origin,
                options,
                timeout,
                scratch,
                membership: None,
            },
            scripts: scripts.iter().map(|script| (*script).clone()).collect(),
        })
    }

    /// What opens the store's connections.
    pub(crate) const fn opener(&self) -> &Opener {
        &self.opener
    }

    pub(crate) const fn cluster(&self) -> Option<&Cluster> {
        match &self.opener.origin {
            Origin::Cluster(cluster) => Some(cluster),
            _ => None,
        }
    }

    /// Connects the first client, within the time limit. Returns it with the number of its database.
    pub(crate) async fn open(&self) -> Result<(RedisClient, i64)> {
        let operation = Operation::Connect.as_str();
        let (client, timeout) = (self.client(), self.opener.timeout);
        match tokio::time::timeout(timeout, client.server(None)).await {
            Ok(Ok(server)) => Ok((client, (&*server).get_db())),
            Ok(Err(error)) => Err(from_redis(&self.place, operation, error)),
            Err(_) => Err(Error::no_answer(operation, &self.place, timeout)),
        }
    }

    fn client(&self) -> RedisClient {
        match &self.opener.origin {
            Origin::Cluster(cluster) => RedisClient::of_cluster(cluster.clone()),
            _ => RedisClient::single(Links::new(&self.opener)),
        }
    }
}

#[async_trait]
impl Connector for RedisConnector {
    type Client = RedisClient;

    fn place(&self) -> &str {
        &self.place
    }

    /// None for a cluster, which replaces the connection of a node by itself.
    fn connect(&self) -> Option<RedisClient> {
        matches!(self.opener.origin, Origin::Client(_) | Origin::Sentinel(_)).then(|| self.client())
    }

    /// Loads the scripts; in a cluster, on the nodes that may have been asked to run them. It waits
    /// for one of these, and a moment for the others.
    async fn prepare(&self, client: RedisClient, operation: &'static str) -> Result<(), Failure> {
        let loaded = match client.cluster() {
            None => self.load_scripts(client.server(None)).await,
            Some(cluster) => {
                let nodes = cluster.reached();
                let loads = nodes.iter().map(|node| self.load_scripts(node.server()));
                first_of(loads.collect(), GRACE).await
            }
        };
        loaded.map_err(|error| failure(&self.place, operation, error, 1))
    }

    /// Calls over a client are given up. A cluster knows which of its nodes is silent.
    fn replaces_silent(&self, _client: &RedisClient, _since: Instant) -> bool {
        !self.opener.origin.is_cluster()
    }

    /// One of several connections may be silent while others answer.
    fn is_one_connection(&self) -> bool {
        self.opener.options.connections == 1
    }
}

impl RedisConnector {
    async fn load_scripts(
        &self,
        server: impl Future<Output = RedisResult<Arc<Server>>>,
    ) -> RedisResult<()> {
        let server = server.await?;
        let mut loads = Pipeline::with_capacity(self.scripts.len());
        for script in &self.scripts {
            loads.load_script(script).ignore();
        }
        // At once: over this connection, a later call finds the scripts even if no one has waited.
        loads.query_async(&mut &*server).await
    }
}

/// Waits until one of `loads` succeeds, and then for the others until `grace` has passed.
///
/// # Errors
/// The first error, if none succeeds.
async fn first_of(
    mut loads: FuturesUnordered<impl Future<Output = RedisResult<()>>>,
    grace: Duration,
) -> RedisResult<()> {
    let mut error: Option<RedisError> = None;
    while let Some(loaded) = loads.next().await {
        match loaded {
            Ok(()) => {
                let others = async { while loads.next().await.is_some() {} };
                let _ = tokio::time::timeout(grace, others).await;
                return Ok(());
            }
            Err(why) => error = error.or(Some(why)),
        }
    }
    error.map_or(Ok(()), Err)
}

impl fmt::Debug for RedisConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnector")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::FutureExt;
    use futures_util::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_silent_node_holds_no_script_up() {
        let broken = || ready(Err(io::Error::from(io::ErrorKind::ConnectionReset).into()));
        let loads = [broken().boxed(), pending().boxed(), ready(Ok(())).boxed()];
        let loaded = first_of(loads.into_iter().collect(), Duration::ZERO);
        let loaded = tokio::time::timeout(Duration::from_secs(10), loaded).await;
        assert!(matches!(loaded, Ok(Ok(()))));
        let loaded = first_of([broken().boxed()].into_iter().collect(), GRACE).await;
        assert!(loaded.is_err());
    }
}
