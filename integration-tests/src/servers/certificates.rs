//! Certificates made by `openssl`, and a Redis that has one.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::binary::free_port;
use super::{Kind, Private};

/// A private certificate authority. Dropping it deletes its files.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
}

/// The files of a certificate, in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key, in PKCS#8.
    pub key: PathBuf,
}

/// Whether a server asks its clients for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// It refuses clients without a certificate of its own authority.
    Required,
    /// It does not ask.
    Unasked,
}

const CURVE: [&str; 5] = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
];

impl Authority {
    /// Creates an authority.
    ///
    /// # Panics
    /// If `openssl` is missing.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes files")]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Self { folder };
        let (key, ca) = (authority.path("ca.key"), authority.path("ca.pem"));
        let words = ["req", "-x509", "-subj", "/CN=ca", "-days", "30"];
        let files = ["-keyout", &key, "-out", &ca];
        openssl(&[&words[..], &files, &CURVE].concat());
        authority
    }

    /// Returns the file of the authority's own certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Makes a certificate for `names`, such as `IP:127.0.0.1` or `DNS:localhost`, in files called
    /// `name`.
    ///
    /// # Panics
    /// If `openssl` fails.
    #[must_use]
    pub fn issue(&self, name: &str, names: &str) -> Certificate {
        let path = |end: &str| self.path(&format!("{name}.{end}"));
        let (key, request, extensions, own) = (path("key"), path("csr"), path("ext"), path("pem"));
        let subject = format!("/CN={name}");
        let words = ["req", "-subj", &subject, "-keyout", &key, "-out", &request];
        openssl(&[&words[..], &CURVE].concat());
        std::fs::write(&extensions, format!("subjectAltName={names}\n")).expect("written");
        let (ca, ca_key) = (self.path("ca.pem"), self.path("ca.key"));
        let words = ["x509", "-req", "-in", &request, "-days", "30"];
        let by = ["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"];
        let files = ["-extfile", &extensions, "-out", &own];
        openssl(&[&words[..], &by, &files].concat());
        Certificate {
            certificate: own.into(),
            key: key.into(),
        }
    }

    /// Starts a Redis that has a certificate of this authority for 127.0.0.1. It speaks TLS on the
    /// second port, and plain TCP on that of its URL.
    ///
    /// # Panics
    /// If the server does not start, for instance because it is built without TLS.
    #[must_use]
    pub fn redis(&self, clients: ClientCertificates) -> (Private, u16) {
        let own = self.issue("redis", "IP:127.0.0.1");
        let port = free_port();
        let settings = self.redis_settings(&own, port, clients);
        let words = settings
            .iter()
            .flat_map(|(name, value)| [format!("--{name}"), value.clone()]);
        let words: Vec<String> = words.collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        (Private::start(Kind::Redis, &words), port)
    }

    /// The settings of a Redis with the certificate `own`, which speaks TLS on `port`.
    pub(super) fn redis_settings(
        &self,
        own: &Certificate,
        port: u16,
        clients: ClientCertificates,
    ) -> [(&'static str, String); 5] {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let asks = match clients {
            ClientCertificates::Required => "yes",
            ClientCertificates::Unasked => "no",
        };
        [
            ("tls-port", port.to_string()),
            ("tls-cert-file", text(&own.certificate)),
            ("tls-key-file", text(&own.key)),
            ("tls-ca-cert-file", self.path("ca.pem")),
            ("tls-auth-clients", asks.to_owned()),
        ]
    }

    fn path(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }
}

fn openssl(words: &[&str]) {
    let run = Command::new("openssl").args(words).output();
    let run = run.expect("openssl is on PATH");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{words:?}: {said}");
}
