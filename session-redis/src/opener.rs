//! Opens the connections of a store.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use redis::aio::SendError;
use redis::{AsyncConnectionConfig, Client, ErrorKind, PushInfo, PushKind, RedisResult};
use tokio::time::{Instant, timeout, timeout_at};

use crate::cluster::Membership;
use crate::connection::Origin;
use crate::options::ConnectionOptions;
use crate::sentinel::{self, Watch};
use crate::server::{Driver, Server};

/// Opens the connections of a store.
#[derive(Clone)]
pub(crate) struct Opener {
    pub(crate) origin: Origin,
    pub(crate) options: ConnectionOptions,
    /// The time limit of an operation. Asking for credentials may take all of it.
    pub(crate) timeout: Duration,
    /// An unused key, on which commands are tried.
    pub(crate) scratch: String,
    /// If the server is a node of a cluster.
    pub(crate) membership: Option<Membership>,
}

impl Opener {
    /// Opens a connection, and asks what the server can do: one round trip more than the driver's
    /// own.
    pub(crate) async fn open(&self) -> RedisResult<Server> {
        match &self.origin {
            Origin::Client(client) => {
                let (client, limit) = (self.client(client).await?, self.limit());
                within(Instant::now() + limit, self.connect(&client, limit)).await
            }
            Origin::Sentinel(sentinel) => {
                let connect = |client, limit| async move {
                    let server = self.connect(&client, limit).await?;
                    sentinel::check_role(&server).await?;
                    Ok(server)
                };
                let (server, primary) = sentinel.connect(self.timeout, connect).await?;
                let (sentinel, limit) = (Arc::clone(sentinel), self.timeout);
                Ok(server.watched(|moved| Watch::start(sentinel, primary, limit, moved)))
            }
            Origin::Manager(manager) => {
                Ok(Server::that_reconnects(Driver::Manager(manager.clone())))
            }
            // Each of its nodes has an opener of its own.
            Origin::Cluster(_) => {
                Err((ErrorKind::InvalidClientConfig, "a cluster is no server").into())
            }
        }
    }

    /// Whether [`open`](Self::open) tries again by itself, until its time limit.
    pub(crate) const fn tries_again(&self) -> bool {
        matches!(self.origin, Origin::Sentinel(_))
    }

    /// The client with the certificates and credentials of now.
    pub(crate) async fn client(&self, client: &Client) -> RedisResult<Client> {
        let client = self.options.client(client.clone());
        within(Instant::now() + self.timeout, client).await
    }

    /// The time limit for connecting. For a node of a cluster it is a part, because another node may
    /// serve by then.
    fn limit(&self) -> Duration {
        match self.membership {
            Some(_) => self.timeout / 4,
            None => self.timeout,
        }
    }

    /// Connects, and asks how writes compare. `limit` is the time limit, which the caller enforces.
    async fn connect(&self, client: &Client, limit: Duration) -> RedisResult<Server> {
        let server = self.introduced(client, limit).await?;
        match timeout(limit / 4, server.lane(&self.scratch)).await {
            Ok(Err(error)) if error.code().is_none() => Err(error),
            // A server that answers with an error may serve loads; writes ask again.
            Ok(_) => Ok(server),
            // A server whose writes are paused answers loads, but not behind this question. The
            // first write asks again.
            Err(_) => self.introduced(client, limit).await,
        }
    }

    async fn introduced(&self, client: &Client, limit: Duration) -> RedisResult<Server> {
        let is_lost = Arc::new(AtomicBool::new(false));
        // The driver gets no time limit for answers, because operations have one.
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(None);
        let settings = client.get_connection_info().redis_settings();
        if settings.protocol().supports_resp3() {
            let is_lost = Arc::clone(&is_lost);
            // At once, so that the next command is not sent in vain, which would be doubtful.
            let note = move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    is_lost.store(true, Relaxed);
                }
                Ok::<_, SendError>(())
            };
            config = config.set_push_sender(note);
        }
        let connected = client.get_multiplexed_async_connection_with_config(&config);
        let connection = connected.await?;
        self.options.introduce(&connection).await?;
        Ok(Server::new(connection, is_lost, self.membership.clone()))
    }
}

/// `work`, which fails if it is not done by `until`.
pub(crate) async fn within<T>(
    until: Instant,
    work: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    let done = timeout_at(until, work).await;
    done.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use redis::IntoConnectionInfo;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    /// Opens a connection to a server that never answers; the driver needs no answer to connect.
    async fn open(client_name: Option<&str>) -> RedisResult<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("bound").port();
        let info = format!("redis://127.0.0.1:{at}").into_connection_info();
        let info = info.expect("a URL");
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let client = Client::open(info.set_redis_settings(settings)).expect("a client");
        let opener = Opener {
            origin: Origin::Client(Box::new(client)),
            options: ConnectionOptions {
                client_name: client_name.map(Into::into),
                ..ConnectionOptions::default()
            },
            timeout: LIMIT,
            scratch: "scratch".to_owned(),
            membership: None,
        };
        let opened = timeout(3 * LIMIT, opener.open()).await;
        opened.expect("there is a time limit")
    }

    #[tokio::test]
    async fn opening_a_connection_has_a_time_limit() {
        let error = open(Some("web-1")).await.map(drop).expect_err("silence");
        assert!(error.is_timeout(), "{error}");
    }

    #[tokio::test]
    async fn a_connection_opens_while_the_server_can_not_tell_how_writes_compare() {
        let server = open(None).await.expect("connected");
        assert_eq!(server.known_lane(), None);
    }
}
