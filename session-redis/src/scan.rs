//! Scans the keys of a server, or of all nodes of a cluster.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::stream::{self, Stream};
use redis::{Cmd, RedisResult};
use session_core::backend::Call;
use session_core::{Cursor, Error, Result};

use crate::RedisClient;
use crate::cluster::{Settled, SlotPosition};
use crate::command::send_over;
use crate::keys::Keys;
use crate::server::is_another;

/// The `COUNT` of a `SCAN`: about how many keys it examines.
pub(crate) const SCAN_COUNT: usize = 1_000;

/// Some keys of the store of `keys`, and perhaps others, from `cursor` on, and the cursor of the
/// next page. A key may come twice, because Redis may resize its table meanwhile.
pub(crate) async fn page(
    call: &Call<RedisClient>,
    keys: &Keys,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<(Vec<Vec<u8>>, Option<Cursor>)> {
    let position = cursor.map_or(Ok(ScanPosition::default()), ScanPosition::read)?;
    let limit = limit.clamp(1, SCAN_COUNT);
    let (found, next) = step(call, keys, &position, limit).await?;
    Ok((found, next.as_ref().map(ScanPosition::cursor)))
}

/// All keys of the store of `keys`, and perhaps others, a page at a time.
pub(crate) fn scan_all<'a>(
    call: &'a Call<RedisClient>,
    keys: &'a Keys,
) -> impl Stream<Item = Result<Vec<Vec<u8>>>> + Send + 'a {
    stream::try_unfold(Some(Scan::Start), move |scan| async move {
        match scan {
            Some(scan) => scan.step(call, keys).await.map(Some),
            None => Ok(None),
        }
    })
}

/// A scan of all keys.
///
/// A walk over the slots of a cluster misses none that move meanwhile, and asks for each of 16,384.
/// So the nodes are scanned first, and the slots only if they do not stay where they are.
enum Scan {
    Start,
    Nodes {
        settled: Settled,
        node: usize,
        at: u64,
    },
    From(ScanPosition),
}

impl Scan {
    /// Some keys, and the rest of the scan.
    async fn step(
        self,
        call: &Call<RedisClient>,
        keys: &Keys,
    ) -> Result<(Vec<Vec<u8>>, Option<Self>)> {
        match self {
            Self::Start => {
                let first = settled(call).await?.map(|settled| Self::Nodes {
                    settled,
                    node: 0,
                    at: 0,
                });
                let from = || Self::From(ScanPosition::default());
                Ok((Vec::new(), first.or_else(|| Some(from()))))
            }
            Self::Nodes { settled, node, at } => Self::next_of(settled, node, at, call, keys).await,
            Self::From(position) => {
                let (found, next) = step(call, keys, &position, SCAN_COUNT).await?;
                Ok((found, next.map(Self::From)))
            }
        }
    }

    async fn next_of(
        before: Settled,
        node: usize,
        at: u64,
        call: &Call<RedisClient>,
        keys: &Keys,
    ) -> Result<(Vec<Vec<u8>>, Option<Self>)> {
        let Some(server) = before.nodes.get(node) else {
            let stayed = settled(call).await?.is_some_and(|after| after == before);
            let again = (!stayed).then(|| Self::From(ScanPosition::default()));
            return Ok((Vec::new(), again));
        };
        let pattern = keys.pattern();
        let (scan, server) = (&scan(at, &pattern, SCAN_COUNT), &server);
        let ask = |_| async move { scan.query_async(&mut &*server.server().await?).await };
        let (at, found): (u64, _) = send_over(call, ask).await?.answer;
        let next = Self::Nodes {
            settled: before,
            node: node + usize::from(at == 0),
            at,
        };
        Ok((found, Some(next)))
    }
}

/// Which nodes of a cluster serve which slots, if these stay where they are.
async fn settled(call: &Call<RedisClient>) -> Result<Option<Settled>> {
    let ask = |client: RedisClient| async move {
        match client.cluster() {
            Some(cluster) => cluster.settled().await,
            None => Ok(None),
        }
    };
    Ok(send_over(call, ask).await?.answer)
}

/// Tries what a scan of a cluster needs.
pub(crate) async fn check(call: &Call<RedisClient>) -> Result<()> {
    let tried = |client: RedisClient| async move {
        match client.cluster() {
            Some(cluster) => cluster.check_walk().await,
            None => Ok(()),
        }
    };
    send_over(call, tried).await.map(drop)
}

async fn step(
    call: &Call<RedisClient>,
    keys: &Keys,
    position: &ScanPosition,
    count: usize,
) -> Result<(Vec<Vec<u8>>, Option<ScanPosition>)> {
    let found = |client: RedisClient| async move { position.found(&client, keys, count).await };
    Ok(send_over(call, found).await?.answer)
}

/// The position of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ScanPosition {
    /// The cursor of `SCAN`, or the slot of a cluster.
    at: u64,
    /// The last key that was found in the slot.
    after: Option<Vec<u8>>,
    /// The server whose cursor it is, if that is known.
    process: Option<u32>,
}

impl ScanPosition {
    fn cursor(&self) -> Cursor {
        let after = self.after.as_ref();
        let after = after.map_or_else(String::new, |key| URL_SAFE_NO_PAD.encode(key));
        let process = self.process.map(|process| format!(":{process:08x}"));
        let process = process.unwrap_or_default();
        Cursor::new(format!("{}:{after}{process}", self.at))
    }

    fn read(cursor: &Cursor) -> Result<Self> {
        let position = cursor.as_str().split_once(':');
        position
            .and_then(|(at, after)| {
                let at = at.parse().ok()?;
                let (after, process) = match after.split_once(':') {
                    Some((after, id)) => (after, Some(u32::from_str_radix(id, 16).ok()?)),
                    None => (after, None),
                };
                let after = match after {
                    "" => None,
                    after => Some(URL_SAFE_NO_PAD.decode(after).ok()?),
                };
                Some(Self { at, after, process })
            })
            .ok_or_else(|| Error::misconfigured("this cursor is not of a Redis store"))
    }

    /// What is found from here on, and the next position. If another server has taken over, it is
    /// scanned from its start.
    async fn found(
        &self,
        client: &RedisClient,
        keys: &Keys,
        count: usize,
    ) -> RedisResult<(Vec<Vec<u8>>, Option<Self>)> {
        let Some(cluster) = client.cluster() else {
            let server = client.server(None).await?;
            let mut at = self.at;
            if at != 0 && is_another(self.process, server.process().await?) {
                at = 0;
            }
            let scan = scan(at, &keys.pattern(), count);
            let (at, found): (u64, _) = scan.query_async(&mut &*server).await?;
            if at == 0 {
                return Ok((found, None));
            }
            let (after, process) = (None, server.process().await?);
            return Ok((found, Some(Self { at, after, process })));
        };
        let from = SlotPosition {
            // A slot that does not exist has no keys.
            slot: u16::try_from(self.at).unwrap_or(u16::MAX),
            after: self.after.clone(),
        };
        let (found, next) = cluster.keys(keys.prefix(), from, count).await?;
        let next = next.map(|next| Self {
            at: next.slot.into(),
            after: next.after,
            process: None,
        });
        Ok((found, next))
    }
}

fn scan(at: u64, pattern: &str, count: usize) -> Cmd {
    let mut scan = redis::cmd("SCAN");
    scan.arg(at).arg("MATCH").arg(pattern);
    scan.arg("COUNT").arg(count);
    scan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_others_are_refused() {
        for (at, after, process) in [
            (0, None, None),
            (u64::MAX, None, Some(7)),
            (7, Some(b"a:\xff".to_vec()), None),
        ] {
            let position = ScanPosition { at, after, process };
            assert_eq!(ScanPosition::read(&position.cursor()).ok(), Some(position));
        }
        for text in ["", ":", "x:", "-1:", "7", "7:!", "7::x"] {
            ScanPosition::read(&Cursor::new(text)).expect_err(text);
        }
    }
}
