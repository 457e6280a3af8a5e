//! Sentinel: who the primary of a group is, asked each time a connection is opened.
//!
//! The driver has a client for Sentinel too. It asks one Sentinel after the other, each for as long
//! as a connection may take, believes the first that names a primary, and does not notice a failover
//! while a connection is open.

mod error;
#[cfg(test)]
mod fake;
mod primary;
mod role;
mod url;
mod watch;

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};
use tokio::time::{Instant, sleep, timeout_at};

use crate::certificates::has_tls;
use crate::connection::client_at;
use crate::error::may_pass;
use crate::keepalive::with_keepalive;
use crate::opener::within;
use crate::options::ConnectionOptions;

use error::Failures;
use primary::Primary;

pub(crate) use role::check_role;
pub(crate) use url::SentinelLogin;
pub(crate) use watch::Watch;

/// How long the other Sentinels may take once one has answered.
const PATIENCE: Duration = Duration::from_millis(100);
/// The pause before the Sentinels are asked again because the server that they name can't be
/// connected to or is not the primary.
const PAUSE: Duration = Duration::from_millis(200);
/// The part of the time limit that one step may take: asking the Sentinels, connecting. Asking for
/// credentials is none.
const STEPS: u32 = 5;

/// The Sentinels of a group, and how to connect to its primary.
pub(crate) struct Sentinel {
    sentinels: Vec<Client>,
    group: String,
    /// A client whose address is replaced by the primary's.
    server: Client,
    options: ConnectionOptions,
}

impl Sentinel {
    pub(crate) fn new(
        sentinels: impl IntoIterator<Item = Client>,
        group: impl Into<String>,
        server: Client,
    ) -> Self {
        Self {
            sentinels: sentinels.into_iter().collect(),
            group: group.into(),
            server,
            options: ConnectionOptions::default(),
        }
    }

    /// With keep-alive, and connecting by `options`.
    pub(crate) fn with_options(&self, options: &ConnectionOptions, limit: Duration) -> Self {
        let sentinels = self.sentinels.iter().cloned();
        Self {
            sentinels: sentinels.map(|one| with_keepalive(one, limit)).collect(),
            group: self.group.clone(),
            server: with_keepalive(self.server.clone(), limit),
            options: options.clone(),
        }
    }

    pub(crate) const fn has_no_sentinel(&self) -> bool {
        self.sentinels.is_empty()
    }

    /// Whether any of the connections has TLS.
    pub(crate) fn has_tls(&self) -> bool {
        has_tls(&self.server) || self.sentinels.iter().any(has_tls)
    }

    /// The group and the addresses of the Sentinels.
    pub(crate) fn place(&self) -> String {
        let addresses = (0..self.sentinels.len()).map(|at| self.address(at));
        let addresses = addresses.collect::<Vec<_>>().join(", ");
        format!(
            "Redis primary of {:?} (Sentinels at {addresses})",
            self.group
        )
    }

    fn address(&self, at: usize) -> String {
        self.sentinels[at].get_connection_info().addr().to_string()
    }

    /// Connects to the primary by `connect`, which gets a client of it and a time limit. Where that
    /// fails in a way that may pass, the Sentinels are asked again, until `limit` has passed.
    pub(crate) async fn connect<T, W>(
        &self,
        limit: Duration,
        connect: impl Fn(Client, Duration) -> W,
    ) -> RedisResult<(T, Primary)>
    where
        W: Future<Output = RedisResult<T>>,
    {
        let (began, step) = (Instant::now(), limit / STEPS);
        loop {
            let attempt = async {
                let primary = self.primary(step).await?;
                let client =
                    self.options
                        .client(client_at(&self.server, &primary.host, primary.port)?);
                let connected = async {
                    // A function that returns a login may need longer than a step.
                    let client = within(began + limit, client).await?;
                    within(Instant::now() + step, connect(client, step)).await
                };
                match connected.await {
                    Ok(connected) => Ok((connected, primary)),
                    Err(error) => Err(error::at(&primary, error)),
                }
            };
            match attempt.await {
                Err(error) if may_pass(&error) && began.elapsed() + PAUSE + 2 * step < limit => {
                    sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    /// The primary that the Sentinels name. All are asked at once: of different answers that with
    /// the most failovers holds, and a Sentinel that is down costs no time. The first answer waits
    /// a moment for the others.
    async fn primary(&self, limit: Duration) -> RedisResult<Primary> {
        let ask = |at| async move {
            let asked = async {
                let mut connection = self.open(at, limit, None).await?;
                Primary::ask(&self.group, at, &mut connection).await
            };
            (at, within(Instant::now() + limit, asked).await)
        };
        let mut answers: FuturesUnordered<_> = (0..self.sentinels.len()).map(ask).collect();
        // A little longer, so that those that don't answer are named.
        let mut until = Instant::now() + limit + PATIENCE;
        let mut newest: Option<Primary> = None;
        let mut failures = Failures::default();
        while let Ok(Some((at, answer))) = timeout_at(until, answers.next()).await {
            match answer {
                Ok(Some(primary)) => {
                    if newest.is_none() {
                        until = until.min(Instant::now() + PATIENCE);
                    }
                    if newest
                        .as_ref()
                        .is_none_or(|newest| newest.epoch < primary.epoch)
                    {
                        newest = Some(primary);
                    }
                }
                Ok(None) => failures.add_unknown(self.address(at)),
                Err(error) => failures.add(self.address(at), error),
            }
        }
        newest.ok_or_else(|| failures.into_error(&self.group))
    }

    /// Opens a connection to a Sentinel. `pushed` is told of messages and of the connection's end.
    async fn open(
        &self,
        at: usize,
        limit: Duration,
        pushed: Option<watch::Pushed>,
    ) -> RedisResult<MultiplexedConnection> {
        let client = self
            .options
            .certificates
            .apply(self.sentinels[at].clone())?;
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(Some(limit));
        let settings = client.get_connection_info().redis_settings();
        if let (Some(pushed), true) = (pushed, settings.protocol().supports_resp3()) {
            config = config.set_push_sender(pushed);
        }
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::fake::fake;
    use super::*;
    use crate::credentials::Credentials;

    const MILLI: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn a_slow_function_may_return_the_login() {
        let sentinels = [fake(&[Some((1, 7))], Duration::ZERO)];
        let server = Client::open("redis://primary/").expect("a URL");
        let options = ConnectionOptions {
            credentials: Credentials::callback(|| async {
                sleep(1_500 * MILLI).await;
                Ok(("u".to_owned(), "p".to_owned()))
            }),
            ..ConnectionOptions::default()
        };
        let limit = 5_000 * MILLI;
        let sentinel = Sentinel::new(sentinels, "g", server).with_options(&options, limit);
        let connect = |client: Client, _| async move { Ok(client) };
        let connected = sentinel.connect(limit, connect).await;
        let (client, primary) = connected.expect("longer than a step, and within the limit");
        let info = client.get_connection_info();
        assert_eq!(info.redis_settings().username(), Some("u"));
        assert_eq!(info.addr().to_string(), primary.address());
    }

    #[tokio::test]
    async fn the_latest_epoch_counts_and_a_late_or_dead_sentinel_costs_little_time() {
        let dead = Client::open("redis://127.0.0.1:1").expect("a URL");
        let sentinels = [
            dead.clone(),
            fake(&[Some((1, 7))], Duration::ZERO),
            fake(&[Some((2, 8))], 20 * MILLI),
            fake(&[Some((3, 9))], 5_000 * MILLI),
        ];
        let sentinel = Sentinel::new(sentinels, "g", dead);
        let mut named = Vec::new();
        // On a busy machine the second one may be late too.
        while named.len() < 5 && !named.contains(&(2, 8, 2)) {
            let began = Instant::now();
            let primary = sentinel.primary(4_000 * MILLI).await.expect("a primary");
            let took = began.elapsed();
            assert!(took < 3_000 * MILLI, "{took:?}");
            named.push((primary.port, primary.epoch, primary.by));
        }
        assert!(named.contains(&(2, 8, 2)), "{named:?}");
    }
}
