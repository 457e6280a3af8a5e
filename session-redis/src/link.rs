//! The connection, how long an operation over it may take, and walks over the keys behind it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use redis::RedisResult;
use session_core::{Cursor, Error, Result, within};

use crate::Connection;
use crate::command::convert;
use crate::connection::{DriverConnection, Node};
use crate::error::{at, from_redis};
use crate::reconnect::Reconnecting;

/// How many keys a step of a walk looks at.
pub(crate) const STEP: usize = 1_000;

/// Clones share the connection.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) connection: Arc<Reconnecting>,
    /// What messages call the server.
    server: Arc<str>,
    pub(crate) timeout: Duration,
}

impl Link {
    /// Connects, within `timeout`, which is each operation's too.
    pub(crate) async fn connect(connection: Connection, timeout: Duration) -> Result<Self> {
        let server = Arc::from(connection.0.server());
        let connect = async {
            let opened = Reconnecting::connect(connection.0, timeout).await;
            opened.map_err(|error| from_redis(&server, "connect", error))
        };
        let opened = within("connect", timeout, connect).await;
        Ok(Self {
            connection: Arc::new(opened.map_err(|error| at(&server, error))?),
            server,
            timeout,
        })
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.connection.origin.is_cluster()
    }

    /// The driver's error during `operation`, as ours.
    pub(crate) fn error(&self, operation: &'static str, error: redis::RedisError) -> Error {
        from_redis(&self.server, operation, error)
    }

    /// An error of core's, with the server's name.
    pub(crate) fn named(&self, error: Error) -> Error {
        at(&self.server, error)
    }

    /// The error of a caller whose batch was given up, or goes on without it.
    pub(crate) fn of_batch(&self, error: Error) -> Error {
        if matches!(error, Error::Timeout { .. }) {
            self.connection.gave_up();
        }
        self.named(error)
    }

    /// What messages call the server.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) async fn limited<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = RedisResult<T>>,
    ) -> Result<T> {
        let work = async { work.await.map_err(|error| self.error(operation, error)) };
        let done = within(operation, self.timeout, work).await;
        done.map_err(|error| self.named(error))
    }

    /// Some keys that match `pattern`, from `cursor` on, and where more are. A key may come twice,
    /// for Redis resizes its table meanwhile.
    pub(crate) async fn page(
        &self,
        operation: &'static str,
        pattern: &str,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<Cursor>)> {
        let place = cursor.map_or(Ok(Place::default()), Place::read)?;
        let nodes = self.nodes(operation).await?;
        let limit = limit.clamp(1, STEP);
        let (keys, next) = self.step(operation, pattern, &nodes, place, limit).await?;
        Ok((keys, next.map(Place::cursor)))
    }

    /// All keys that match `pattern`, some at a time.
    pub(crate) fn walk(
        &self,
        operation: &'static str,
        pattern: String,
    ) -> impl Stream<Item = Result<Vec<Vec<u8>>>> {
        // Where to go on, and the nodes, once they are known.
        let start = (Some(Place::default()), None);
        stream::try_unfold(start, move |(place, nodes)| {
            let pattern = pattern.clone();
            async move {
                let Some(place) = place else { return Ok(None) };
                let nodes = match nodes {
                    Some(nodes) => nodes,
                    None => self.nodes(operation).await?,
                };
                let (keys, next) = self.step(operation, &pattern, &nodes, place, STEP).await?;
                Ok(Some((keys, (next, Some(nodes)))))
            }
        })
    }

    pub(crate) async fn nodes(&self, operation: &'static str) -> Result<Vec<Node>> {
        let ask = |mut open: DriverConnection| async move { open.nodes().await };
        let sent = self.limited(operation, self.repeat(1, &[], ask)).await?;
        Ok(sent.answer)
    }

    async fn step(
        &self,
        operation: &'static str,
        pattern: &str,
        nodes: &[Node],
        place: Place,
        count: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<Place>)> {
        let Some(node) = nodes.get(place.node) else {
            return Ok((Vec::new(), None));
        };
        let mut command = redis::cmd("SCAN");
        command.arg(place.at).arg("MATCH").arg(pattern);
        command.arg("COUNT").arg(count);
        let command = &command;
        let ask = |mut open: DriverConnection| async move { open.send_to(node, command).await };
        let sent = self.limited(operation, self.repeat(1, &[], ask)).await?;
        let (at, keys): (u64, Vec<Vec<u8>>) = convert(Some(sent.answer))?;
        let node = place.node + usize::from(at == 0);
        let next = (node < nodes.len()).then_some(Place { node, at });
        Ok((keys, next))
    }
}

/// Where a walk is: at which node, and what that calls it.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    node: usize,
    at: u64,
}

impl Place {
    fn cursor(self) -> Cursor {
        Cursor::new(format!("{}:{}", self.node, self.at))
    }

    fn read(cursor: &Cursor) -> Result<Self> {
        let place = cursor.as_str().split_once(':');
        place
            .and_then(|(node, at)| {
                let (node, at) = (node.parse().ok()?, at.parse().ok()?);
                Some(Self { node, at })
            })
            .ok_or_else(|| Error::misconfigured("this cursor is not of a Redis store"))
    }
}
