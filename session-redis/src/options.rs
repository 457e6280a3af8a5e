//! How a store connects: what the builders of both layouts can set.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Client, RedisResult};
use session_core::{Error, Result};

use crate::certificates::{CertificateFiles, has_tls};
use crate::connection::Origin;
use crate::credentials::Credentials;

/// How a store connects.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionOptions {
    pub(crate) certificates: CertificateFiles,
    pub(crate) credentials: Credentials,
    pub(crate) client_name: Option<Arc<str>>,
    /// How many connections there are, in a cluster to each node.
    pub(crate) connections: usize,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            certificates: CertificateFiles::default(),
            credentials: Credentials::default(),
            client_name: None,
            connections: 1,
        }
    }
}

/// The most connections of a store to one server.
const MAX_CONNECTIONS: usize = 64;

impl ConnectionOptions {
    /// Refuses what can't be right, or can't be set for connections of this origin.
    pub(crate) fn check(&self, origin: &Origin) -> Result<()> {
        let is_name =
            |name: &Arc<str>| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        if let Some(name) = self.client_name.as_ref().filter(|name| !is_name(name)) {
            return Err(Error::misconfigured(format!(
                "invalid client name {name:?}: it must be printable ASCII without spaces"
            )));
        }
        if !(1..=MAX_CONNECTIONS).contains(&self.connections) {
            return Err(Error::misconfigured(format!(
                "connections must be between 1 and {MAX_CONNECTIONS}, not {}",
                self.connections
            )));
        }
        match origin {
            Origin::Client(client) => self.certificates.check(has_tls(client)),
            Origin::Sentinel(sentinel) if sentinel.has_no_sentinel() => {
                Err(Error::misconfigured("there is no Sentinel to ask"))
            }
            Origin::Sentinel(sentinel) => self.certificates.check(sentinel.has_tls()),
            Origin::Cluster(cluster) => self.certificates.check(cluster.has_tls()),
            _ if self.is_set() => Err(Error::misconfigured(
                "certificates, credentials, the client name and the number of connections can't be \
                 set for a connection or client that opens its connections itself",
            )),
            _ => Ok(()),
        }
    }

    fn is_set(&self) -> bool {
        let has_credentials = !matches!(self.credentials, Credentials::Client);
        has_credentials
            || self.client_name.is_some()
            || self.connections != 1
            || !self.certificates.is_empty()
    }

    /// `client` with the certificates and credentials of now.
    pub(crate) async fn client(&self, client: Client) -> RedisResult<Client> {
        let client = self.certificates.apply(client)?;
        let info = client.get_connection_info();
        let mut settings = self
            .credentials
            .apply(info.redis_settings().clone())
            .await?;
        if settings.lib_name().is_none() && !settings.skip_set_lib_name() {
            settings = settings.set_lib_name("session-redis", env!("CARGO_PKG_VERSION"));
        }
        Client::open(info.clone().set_redis_settings(settings))
    }

    /// Tells the server the client's name: one round trip, if there is one.
    pub(crate) async fn introduce(&self, connection: &MultiplexedConnection) -> RedisResult<()> {
        let Some(name) = &self.client_name else {
            return Ok(());
        };
        let mut command = redis::cmd("CLIENT");
        command.arg("SETNAME").arg(&**name);
        command.exec_async(&mut connection.clone()).await
    }
}

/// The setters of a builder whose field `options` holds [`ConnectionOptions`].
macro_rules! connection_setters {
    () => {
        /// Sets a PEM file with the certificate authority that has signed the certificates of the
        /// servers and Sentinels; it replaces the public authorities. Needs TLS. It is read when a
        /// connection is opened. URL option: `ca_file`.
        pub fn ca_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
            self.options.certificates.authority = Some(path.into());
            self
        }

        /// Sets two PEM files: the client's certificate (with its chain), and its key, for servers
        /// that require one (`tls-auth-clients yes`). Needs TLS. They are read when a connection
        /// is opened, so a renewed certificate needs no restart. URL options: `cert_file` and
        /// `key_file`.
        pub fn client_certificate(
            mut self,
            cert_file: impl Into<std::path::PathBuf>,
            key_file: impl Into<std::path::PathBuf>,
        ) -> Self {
            self.options.certificates.own = Some(cert_file.into());
            self.options.certificates.key = Some(key_file.into());
            self
        }

        /// Sets a function that returns the user name and the password, which may expire; an empty
        /// user name leaves that of the URL. It is called before each connection is opened, and
        /// its time is a part of the [time limit](Self::timeout). A server closes connections whose
        /// token has expired: the store opens the next one with a new token, and repeats the
        /// operations that were under way.
        ///
        /// Replaces the password of the URL and of [`password_file`](Self::password_file). The
        /// Sentinels have a login of their own. If the function fails, so does the operation, as
        /// [`ErrorKind::Unavailable`](session_core::ErrorKind::Unavailable).
        pub fn credentials<W>(mut self, ask: impl Fn() -> W + Send + Sync + 'static) -> Self
        where
            W: Future<
                    Output = std::result::Result<
                        (String, String),
                        Box<dyn std::error::Error + Send + Sync>,
                    >,
                > + Send
                + 'static,
        {
            self.options.credentials = $crate::credentials::Credentials::callback(ask);
            self
        }

        /// Sets a file with the password (UTF-8; a line end at its end is left out). It is read
        /// when a connection is opened, so a rotated secret needs no restart. It replaces the
        /// password of the URL. URL option: `password_file`.
        pub fn password_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
            self.options.credentials = $crate::credentials::Credentials::File(path.into());
            self
        }

        /// Sets the name that `CLIENT LIST` shows: printable ASCII without spaces; by default
        /// none. (`lib-name` is `session-redis` in any case.) One round trip more when a connection
        /// is opened. A connection for [notices](crate#notices) has no name, because the driver's
        /// connections for pub/sub send no other commands. URL option: `client_name`.
        pub fn client_name(mut self, name: impl Into<String>) -> Self {
            self.options.client_name = Some(name.into().into());
            self
        }

        /// Sets how many connections to the server the store uses, in a cluster to each node: 1 to
        /// 64, by default 1. Commands are pipelined over each.
        ///
        /// The first one is opened at once, the others when operations need them. Each batch of
        /// operations goes over the next connection. Each connection asks for the server's time
        /// by itself, and each that Sentinels have named watches them. URL option: `connections`.
        pub fn connections(mut self, count: usize) -> Self {
            self.options.connections = count;
            self
        }
    };
}

pub(crate) use connection_setters;
