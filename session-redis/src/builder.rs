//! How a store is set up.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ProtocolVersion, RedisResult};
use session_core::{Error, Result, within};

use crate::keys::Keys;
use crate::link::Link;
use crate::{Connection, RedisStore, error};

/// Sets up a [`RedisStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisStoreBuilder {
    prefix: String,
    timeout: Duration,
    max_data: usize,
    migrate: bool,
}

impl Default for RedisStoreBuilder {
    fn default() -> Self {
        Self {
            prefix: "session:".to_owned(),
            timeout: Duration::from_secs(5),
            max_data: 8 * 1024 * 1024,
            migrate: true,
        }
    }
}

impl RedisStoreBuilder {
    /// What the store's keys begin with; default `session:`. At most 255 bytes of any text. Stores
    /// with different prefixes share nothing. In a cluster a prefix with a part in braces keeps all
    /// sessions on the node of that hash tag.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The longest that one store operation may take; default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most bytes of one session's data; default 8 MiB.
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// Whether to check the server when the store is made; default true. There is no schema to
    /// set up in Redis.
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Connects to the Redis server at `url`: `redis://`, or with TLS `rediss://`, with the
    /// options of the [`redis`] crate. The connection is one, multiplexed, and comes back by itself
    /// when it breaks. It speaks RESP3, in which it sees at once that it is broken; for a proxy that
    /// does not, add `?protocol=resp2`.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] for a URL or setting that can't be right or a password that is
    /// refused, [`Error::Unavailable`] or [`Error::Timeout`] if the server can't be reached.
    pub async fn connect(self, url: &str) -> Result<RedisStore> {
        self.check()?;
        let connection = connect(url, self.timeout).await?;
        self.build(connection).await
    }

    /// Uses a connection of the caller's: a [`ConnectionManager`], or a `ClusterConnection` for
    /// Redis Cluster. It is never closed here.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn build(self, connection: impl Into<Connection>) -> Result<RedisStore> {
        self.check()?;
        let connection = connection.into();
        let keys = Keys::new(&self.prefix);
        let timeout = self.timeout;
        let link = Link {
            connection,
            timeout,
        };
        let store = RedisStore::new(link, keys, self.max_data);
        if self.migrate {
            store.migrate().await?;
        }
        Ok(store)
    }

    fn check(&self) -> Result<()> {
        check(&self.prefix, self.timeout, self.max_data)?;
        if self.max_data > 256 * 1024 * 1024 {
            return Err(Error::misconfigured(
                "max_data must be at most 256 MiB: a Redis value has at most 512 MiB",
            ));
        }
        Ok(())
    }
}

/// Refuses prefixes and limits that can't be.
pub(crate) fn check(prefix: &str, timeout: Duration, max_data: usize) -> Result<()> {
    Error::check_size("prefix", prefix.len(), 255)?;
    if timeout.is_zero() || max_data == 0 {
        return Err(Error::misconfigured(
            "timeout and max_data must be over zero",
        ));
    }
    Ok(())
}

/// A connection to the server at `url`, which comes back by itself when it breaks.
pub(crate) async fn connect(url: &str, timeout: Duration) -> Result<ConnectionManager> {
    install_crypto_provider();
    let client = client(url).map_err(|error| error::from_redis("connect", error))?;
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout))
        .set_min_delay(Duration::from_millis(50))
        .set_number_of_retries(1);
    let connect = async {
        ConnectionManager::new_with_config(client, config)
            .await
            .map_err(|error| error::from_redis("connect", error))
    };
    within("connect", timeout, connect).await
}

/// Of RESP3, unless the URL names a protocol.
fn client(url: &str) -> RedisResult<Client> {
    let client = Client::open(url)?;
    let query = url.split_once('?').map_or("", |(_, query)| query);
    if query.split('&').any(|pair| pair.starts_with("protocol=")) {
        return Ok(client);
    }
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone();
    Client::open(info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3)))
}

/// Chooses rustls' provider where nobody has: without one its first use would panic.
fn install_crypto_provider() {
    #[cfg(feature = "tls")]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may be first, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_is_resp3_unless_the_url_says_another() {
        for (url, protocol) in [
            ("redis://h", ProtocolVersion::RESP3),
            ("redis://u:secret@h:1/2", ProtocolVersion::RESP3),
            ("redis://h/?protocol=resp2", ProtocolVersion::RESP2),
            ("redis://h/?other=1&protocol=2", ProtocolVersion::RESP2),
            ("redis://h/?protocol=resp3", ProtocolVersion::RESP3),
        ] {
            let client = client(url).expect("a URL");
            let info = client.get_connection_info();
            assert_eq!(info.redis_settings().protocol(), protocol, "{url}");
        }
        let info = client("redis://u:secret@h:1/2").expect("a URL");
        let info = info.get_connection_info().redis_settings().clone();
        assert_eq!((info.username(), info.db()), (Some("u"), 2));
    }
}
