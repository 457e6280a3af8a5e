//! Notices that the Sentinels name another primary while a connection is open.
//!
//! After a failover the old primary may go on answering: for about ten seconds after
//! `SENTINEL FAILOVER`, or when it was only stopped or cut off. What it takes then is lost.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::SendError;
use redis::{ErrorKind, PushInfo, RedisResult};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{Primary, Sentinel};
use crate::opener::within;

/// How often a Sentinel is asked if it tells nothing by itself, and how long after a failure.
const INTERVAL: Duration = Duration::from_secs(1);
/// The channel on which Sentinels tell failovers.
const CHANNEL: &str = "+switch-master";

/// What a Sentinel's connection calls when something arrives.
pub(super) type Pushed = Box<dyn Fn(PushInfo) -> Result<(), SendError> + Send + Sync>;

/// A task that watches a primary. It ends when this is dropped.
pub(crate) struct Watch(JoinHandle<()>);

impl Watch {
    /// Calls `moved` once the Sentinels name another primary than `primary`. `limit` is that of one
    /// step.
    pub(crate) fn start(
        sentinel: Arc<Sentinel>,
        primary: Primary,
        limit: Duration,
        moved: impl FnOnce() + Send + 'static,
    ) -> Self {
        Self(tokio::spawn(async move {
            sentinel.moved_from(&primary, limit).await;
            moved();
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sentinel {
    /// Waits until one of the Sentinels names another primary. Each is watched, because one may be
    /// cut off from the others, together with the old primary.
    pub(crate) async fn moved_from(&self, primary: &Primary, limit: Duration) {
        let watch = |at| self.watch(at, primary, limit);
        let mut watches: FuturesUnordered<_> = (0..self.sentinels.len()).map(watch).collect();
        watches.next().await;
        tracing::info!(
            group = self.group,
            primary = primary.address(),
            "the Sentinels name another Redis primary"
        );
    }

    /// Waits until the Sentinel with the index `at` names another primary.
    async fn watch(&self, at: usize, primary: &Primary, limit: Duration) {
        let mut has_agreed = at == primary.by;
        while let Err(error) = self.ask_again(at, primary, limit, &mut has_agreed).await {
            tracing::debug!(sentinel = self.address(at), %error, "cannot watch the primary");
            sleep(INTERVAL).await;
        }
    }

    /// Asks a Sentinel until it names another primary. `has_agreed` says whether it has named this
    /// one.
    async fn ask_again(
        &self,
        at: usize,
        primary: &Primary,
        limit: Duration,
        has_agreed: &mut bool,
    ) -> RedisResult<()> {
        let told = Arc::new(Notify::new());
        let note = Arc::clone(&told);
        let pushed: Pushed = Box::new(move |_| {
            note.notify_one();
            Ok(())
        });
        let mut connection = self.open(at, limit, Some(pushed)).await?;
        // Without the right to subscribe, or with RESP2, it is asked all the same.
        let _ = connection.subscribe(CHANNEL).await;
        loop {
            let asked = Primary::ask(&self.group, at, &mut connection);
            let named = within(Instant::now() + limit, asked).await?;
            let named = named.ok_or((
                ErrorKind::InvalidClientConfig,
                "the Sentinel does not know the group",
            ))?;
            if named.replaces(primary, *has_agreed) {
                return Ok(());
            }
            *has_agreed |= named.address() == primary.address();
            let _ = timeout(INTERVAL, told.notified()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::Client;

    use super::*;
    use crate::sentinel::fake::fake;

    const LIMIT: Duration = Duration::from_secs(5);
    /// Each Sentinel is asked three times.
    const A_WHILE: Duration = Duration::from_millis(2_500);

    /// Whether one of these tells within `time`. The first of them has named the primary at port 1
    /// with this epoch.
    async fn tells<const N: usize>(
        epoch: u64,
        sentinels: [&'static [Option<(u16, u8)>]; N],
        time: Duration,
    ) -> bool {
        let sentinels = sentinels.map(|named| fake(named, Duration::ZERO));
        let server = Client::open("redis://primary").expect("a URL");
        let sentinel = Sentinel::new(sentinels, "g", server);
        let primary = Primary {
            host: "h".to_owned(),
            port: 1,
            epoch,
            by: 0,
        };
        let told = sentinel.moved_from(&primary, LIMIT);
        timeout(time, told).await.is_ok()
    }

    #[tokio::test]
    async fn any_sentinel_tells_of_a_later_primary() {
        assert!(tells(7, [&[Some((1, 7))], &[Some((1, 7)), Some((2, 8))]], LIMIT).await);
        assert!(tells(7, [&[None], &[Some((2, 8))]], LIMIT).await);
    }

    #[tokio::test]
    async fn a_sentinel_without_a_later_epoch_tells_once_it_has_named_the_primary() {
        assert!(tells(0, [&[Some((1, 0))], &[Some((1, 0)), Some((2, 0))]], LIMIT).await);
        assert!(tells(7, [&[Some((2, 0))]], LIMIT).await, "the group is new");
    }

    #[tokio::test]
    async fn a_sentinel_that_lags_behind_does_not_tell() {
        let lag: [&[_]; 4] = [
            &[Some((1, 7))],
            &[Some((2, 6))],
            &[Some((2, 7))],
            &[Some((2, 0))],
        ];
        assert!(!tells(7, lag, A_WHILE).await);
        assert!(!tells(0, [&[Some((1, 0))], &[Some((2, 0))]], A_WHILE).await);
    }

    #[tokio::test]
    async fn a_sentinel_that_does_not_know_the_group_does_not_tell() {
        assert!(!tells(7, [&[None]], A_WHILE).await);
    }
}
