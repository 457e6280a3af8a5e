//! The files of TLS certificates, read when a connection is opened: a renewed certificate is used
//! from the next connection on.

use std::path::{Path, PathBuf};

use redis::{Client, ConnectionAddr, ErrorKind, RedisError, RedisResult};
use session_core::{Error, Result};

/// The files of TLS certificates.
#[derive(Clone, Debug, Default)]
pub(crate) struct CertificateFiles {
    /// The authority that signs the server's certificate.
    pub(crate) authority: Option<PathBuf>,
    /// The client's own certificate.
    pub(crate) own: Option<PathBuf>,
    /// The key of the client's own certificate.
    pub(crate) key: Option<PathBuf>,
}

impl CertificateFiles {
    pub(crate) const fn is_empty(&self) -> bool {
        self.authority.is_none() && self.own.is_none() && self.key.is_none()
    }

    /// Refuses files that could not be used. `has_tls` says whether the connections have TLS.
    pub(crate) fn check(&self, has_tls: bool) -> Result<()> {
        if !self.is_empty() && !has_tls {
            return Err(Error::misconfigured(
                "ca_file, cert_file and key_file need TLS: a rediss:// or valkeys:// URL",
            ));
        }
        if self.own.is_some() != self.key.is_some() {
            return Err(Error::misconfigured(
                "a client certificate needs both cert_file and key_file",
            ));
        }
        Ok(())
    }

    /// `client` with the certificates, if it has TLS.
    pub(crate) fn apply(&self, client: Client) -> RedisResult<Client> {
        if self.is_empty() || !has_tls(&client) {
            return Ok(client);
        }
        self.read(client)
    }

    #[cfg(any(feature = "tls", feature = "tls-native-roots"))]
    fn read(&self, client: Client) -> RedisResult<Client> {
        let client_tls = match (&self.own, &self.key) {
            (Some(own), Some(key)) => Some(redis::ClientTlsConfig {
                client_cert: read(own)?,
                client_key: read(key)?,
            }),
            _ => None,
        };
        let certificates = redis::TlsCertificates {
            client_tls,
            root_cert: self.authority.as_deref().map(read).transpose()?,
        };
        let info = client.get_connection_info().clone();
        Client::build_with_tls(info, certificates).map_err(|error| {
            let what = "invalid TLS certificate or key";
            (ErrorKind::InvalidClientConfig, what, error.to_string()).into()
        })
    }

    /// No client has TLS without these features.
    #[cfg(not(any(feature = "tls", feature = "tls-native-roots")))]
    fn read(&self, client: Client) -> RedisResult<Client> {
        Ok(client)
    }
}

/// Whether the connections of `client` have TLS.
pub(crate) fn has_tls(client: &Client) -> bool {
    let addr = client.get_connection_info().addr();
    matches!(addr, ConnectionAddr::TcpTls { .. })
}

/// The content of a file that a setting names.
pub(crate) fn read(path: &Path) -> RedisResult<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        let what = "cannot read a file";
        let detail = format!("{}: {error}", path.display());
        RedisError::from((ErrorKind::InvalidClientConfig, what, detail))
    })
}

/// Installs a rustls provider if the program has not: without one, rustls panics at its first use.
pub(crate) fn install_crypto_provider() {
    #[cfg(any(feature = "tls", feature = "tls-native-roots"))]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have installed one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
