//! The links to one server, over which operations are spread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use redis::RedisResult;

use crate::link::Link;
use crate::opener::Opener;
use crate::server::Server;

/// As many connections to a server as the options say. Clones share them.
#[derive(Clone)]
pub(crate) struct Links(Arc<Inner>);

struct Inner {
    links: Box<[Link]>,
    /// The number of the link for the next command.
    next: AtomicUsize,
}

impl Links {
    pub(crate) fn new(opener: &Opener) -> Self {
        let links = (0..opener.options.connections.max(1)).map(|_| Link::new(opener.clone()));
        Self(Arc::new(Inner {
            links: links.collect(),
            next: AtomicUsize::new(0),
        }))
    }

    /// The server, over each connection in turn. While one of them is open, none waits for another
    /// to open.
    pub(crate) async fn server(&self) -> RedisResult<Arc<Server>> {
        match self.ready() {
            Some(server) => Ok(server),
            None => self.turn().server().await,
        }
    }

    /// The same, if a connection is open.
    pub(crate) fn ready(&self) -> Option<Arc<Server>> {
        let links = &self.0.links;
        if let [only] = &links[..] {
            return only.ready();
        }
        let link = self.turn();
        link.ready().or_else(|| {
            let server = links.iter().find_map(Link::ready)?;
            link.prepare();
            Some(server)
        })
    }

    fn turn(&self) -> &Link {
        let Inner { links, next } = &*self.0;
        &links[next.fetch_add(1, Relaxed) % links.len()]
    }

    /// The server over each connection that was opened.
    pub(crate) fn opened(&self) -> impl Iterator<Item = Arc<Server>> {
        self.0.links.iter().filter_map(Link::opened)
    }
}
