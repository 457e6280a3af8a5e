//! A connection, how long an operation over it may take, and walks over the keys behind it.

use std::time::Duration;

use futures_util::stream::{self, Stream};
use redis::{RedisResult, Value};
use session_core::{Cursor, Error, Result, within};

use crate::Connection;
use crate::command::convert;
use crate::connection::Node;
use crate::error::from_redis;

/// How many keys a step of a walk looks at.
pub(crate) const STEP: usize = 1_000;

#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) timeout: Duration,
}

impl Link {
    pub(crate) async fn limited<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = RedisResult<T>>,
    ) -> Result<T> {
        let work = async { work.await.map_err(|error| from_redis(operation, error)) };
        within(operation, self.timeout, work).await
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

    async fn nodes(&self, operation: &'static str) -> Result<Vec<Node>> {
        let mut connection = self.connection.clone();
        self.limited(operation, async { connection.nodes().await })
            .await
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
        let mut connection = self.connection.clone();
        let answer: Value = self
            .limited(operation, async { connection.send_to(node, command).await })
            .await?;
        let (at, keys): (u64, Vec<Vec<u8>>) = convert(Some(answer))?;
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
