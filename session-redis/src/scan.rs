//! Scans the keys of a server, or of all nodes of a cluster.

use futures_util::stream::{self, Stream};
#[cfg(feature = "cluster")]
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, RedisResult, Value};
use session_core::backend::Call;
use session_core::{Cursor, Error, Result};

use crate::client::{DriverConnection, RedisClient};
use crate::command::{convert, send_by};

/// The `COUNT` of a `SCAN`: about how many keys it examines.
pub(crate) const SCAN_COUNT: usize = 1_000;

/// A node that holds keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Only,
    #[cfg(feature = "cluster")]
    At {
        host: String,
        port: u16,
    },
}

/// Some keys that match `pattern`, from `cursor` on, and the cursor of the next page. A key may
/// come twice, because Redis may resize its table meanwhile.
pub(crate) async fn page(
    call: &Call<RedisClient>,
    pattern: &str,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<(Vec<Vec<u8>>, Option<Cursor>)> {
    let position = cursor.map_or(Ok(ScanPosition::default()), ScanPosition::read)?;
    let nodes = nodes(call).await?;
    let limit = limit.clamp(1, SCAN_COUNT);
    let (keys, next) = step(call, pattern, &nodes, position, limit).await?;
    Ok((keys, next.map(ScanPosition::cursor)))
}

/// All keys that match `pattern`, a page at a time.
pub(crate) fn scan_all<'a>(
    call: &'a Call<RedisClient>,
    pattern: &'a str,
) -> impl Stream<Item = Result<Vec<Vec<u8>>>> + Send + 'a {
    // The next position, and the nodes once they are known.
    let start = (Some(ScanPosition::default()), None);
    stream::try_unfold(start, move |(position, known)| async move {
        let Some(position) = position else {
            return Ok(None);
        };
        let nodes = match known {
            Some(nodes) => nodes,
            None => nodes(call).await?,
        };
        let (keys, next) = step(call, pattern, &nodes, position, SCAN_COUNT).await?;
        Ok(Some((keys, (next, Some(nodes)))))
    })
}

/// The nodes that hold keys, in the order of their slots.
pub(crate) async fn nodes(call: &Call<RedisClient>) -> Result<Vec<Node>> {
    let ask = |mut client: RedisClient| async move { client.nodes().await };
    Ok(send_by(call, 1, ask).await?.answer)
}

async fn step(
    call: &Call<RedisClient>,
    pattern: &str,
    nodes: &[Node],
    position: ScanPosition,
    count: usize,
) -> Result<(Vec<Vec<u8>>, Option<ScanPosition>)> {
    let Some(node) = nodes.get(position.node) else {
        return Ok((Vec::new(), None));
    };
    let mut command = redis::cmd("SCAN");
    command.arg(position.at).arg("MATCH").arg(pattern);
    command.arg("COUNT").arg(count);
    let command = &command;
    let ask = |mut client: RedisClient| async move { client.send_to(node, command).await };
    let sent = send_by(call, 1, ask).await?;
    let (at, keys): (u64, Vec<Vec<u8>>) = convert(Some(sent.answer))?;
    let node = position.node + usize::from(at == 0);
    let next = (node < nodes.len()).then_some(ScanPosition { node, at });
    Ok((keys, next))
}

/// The position of a scan: the index of the node, and its cursor.
#[derive(Clone, Copy, Debug, Default)]
struct ScanPosition {
    node: usize,
    at: u64,
}

impl ScanPosition {
    fn cursor(self) -> Cursor {
        Cursor::new(format!("{}:{}", self.node, self.at))
    }

    fn read(cursor: &Cursor) -> Result<Self> {
        let position = cursor.as_str().split_once(':');
        position
            .and_then(|(node, at)| {
                let (node, at) = (node.parse().ok()?, at.parse().ok()?);
                Some(Self { node, at })
            })
            .ok_or_else(|| Error::misconfigured("this cursor is not of a Redis store"))
    }
}

impl RedisClient {
    async fn nodes(&mut self) -> RedisResult<Vec<Node>> {
        match &mut self.0 {
            DriverConnection::Single(_) => Ok(vec![Node::Only]),
            #[cfg(feature = "cluster")]
            DriverConnection::Cluster(connection) => {
                let slots: Value = redis::cmd("CLUSTER")
                    .arg("SLOTS")
                    .query_async(connection)
                    .await?;
                Ok(masters(&slots))
            }
        }
    }

    /// Sends a command without a key to one node.
    async fn send_to(&mut self, node: &Node, command: &Cmd) -> RedisResult<Value> {
        match (&mut self.0, node) {
            (DriverConnection::Single(connection), _) => command.query_async(connection).await,
            #[cfg(feature = "cluster")]
            (DriverConnection::Cluster(connection), Node::At { host, port }) => {
                let (host, port) = (host.clone(), *port);
                let routing = SingleNodeRoutingInfo::ByAddress { host, port };
                connection
                    .route_command(command.clone(), RoutingInfo::SingleNode(routing))
                    .await
            }
            #[cfg(feature = "cluster")]
            (DriverConnection::Cluster(connection), Node::Only) => {
                command.query_async(connection).await
            }
        }
    }
}

/// The masters in the answer of `CLUSTER SLOTS`.
#[cfg(feature = "cluster")]
fn masters(slots: &Value) -> Vec<Node> {
    let mut ranges: Vec<(i64, Node)> = Vec::new();
    let items = |value: &Value| match value {
        Value::Array(items) => items.clone(),
        _ => Vec::new(),
    };
    for range in items(slots) {
        let range = items(&range);
        let (Some(Value::Int(first)), Some(master)) = (range.first(), range.get(2)) else {
            continue;
        };
        let master = items(master);
        let host: Option<String> = master
            .first()
            .and_then(|v| redis::from_redis_value_ref(v).ok());
        let port: Option<u16> = master
            .get(1)
            .and_then(|v| redis::from_redis_value_ref(v).ok());
        if let (Some(host), Some(port)) = (host, port) {
            let node = Node::At { host, port };
            if !ranges.iter().any(|(_, known)| *known == node) {
                ranges.push((*first, node));
            }
        }
    }
    ranges.sort_by_key(|(first, _)| *first);
    ranges.into_iter().map(|(_, node)| node).collect()
}
