//! The client of a store: what commands are sent over.

use std::fmt;
use std::sync::Arc;

use redis::RedisResult;

use crate::cluster::Cluster;
use crate::links::Links;
use crate::server::Server;

/// The client of a [`RedisStore`](crate::RedisStore): its connections to the server, or to each node
/// of a cluster. Clones share them.
#[derive(Clone)]
pub struct RedisClient(Kind);

#[derive(Clone)]
enum Kind {
    Single(Links),
    Cluster(Cluster),
}

impl RedisClient {
    pub(crate) const fn single(links: Links) -> Self {
        Self(Kind::Single(links))
    }

    pub(crate) const fn of_cluster(cluster: Cluster) -> Self {
        Self(Kind::Cluster(cluster))
    }

    /// The server, over an open connection or a new one: in a cluster, the node that serves
    /// `slot`, or any.
    pub(crate) async fn server(&self, slot: Option<u16>) -> RedisResult<Arc<Server>> {
        match &self.0 {
            Kind::Single(links) => links.server().await,
            Kind::Cluster(cluster) => match cluster.ready(slot) {
                Some(server) => Ok(server),
                // Boxed: the future of every operation would be several times as large.
                None => Box::pin(cluster.server(slot)).await,
            },
        }
    }

    pub(crate) const fn cluster(&self) -> Option<&Cluster> {
        match &self.0 {
            Kind::Single(_) => None,
            Kind::Cluster(cluster) => Some(cluster),
        }
    }
}

/// Shows only the kind: the driver's connection may contain a password.
impl fmt::Debug for RedisClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Single(_) => "Single",
            Kind::Cluster(_) => "Cluster",
        })
    }
}
