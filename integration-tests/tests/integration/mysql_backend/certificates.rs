//! Encrypted connections to a server whose certificate is right, wrong or another host's.

use std::process::Command;

use integration_tests::servers::{self, Kind, Private};
use session_core::{ErrorKind, SessionStore};
use session_mysql::MysqlStore;
use session_mysql::express::{Express, ExpressStore};
use tempfile::TempDir;

use super::id;

struct Authority {
    folder: TempDir,
}

impl Authority {
    /// An authority `ca`, and a certificate `own` of it for the host `localhost`.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Self { folder };
        let curve = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        let path = |name: &str| authority.path(name);
        let (ca, ca_key, own, own_key) = (path("ca"), path("ca.key"), path("own"), path("own.key"));
        let (request, extensions) = (path("request"), path("extensions"));
        std::fs::write(&extensions, "subjectAltName=DNS:localhost\n").expect("written");
        let run = |words: &[&str]| {
            let run = Command::new("openssl").args(words).output();
            let run = run.expect("openssl is on PATH");
            let said = String::from_utf8_lossy(&run.stderr);
            assert!(run.status.success(), "{words:?}: {said}");
        };
        let words = [
            "req", "-x509", "-subj", "/CN=ca", "-keyout", &ca_key, "-out", &ca,
        ];
        run(&[&words[..], &curve].concat());
        let words = [
            "req", "-subj", "/CN=own", "-keyout", &own_key, "-out", &request,
        ];
        run(&[&words[..], &curve].concat());
        run(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-extfile",
            &extensions,
            "-out",
            &own,
        ]);
        authority
    }

    fn path(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_refused_is_misconfigured_and_says_why() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let [ours, another] = [Authority::new(), Authority::new()];
    let certificate = format!("--ssl-cert={}", ours.path("own"));
    let key = format!("--ssl-key={}", ours.path("own.key"));
    let server = Private::start(Kind::Mysql, &[&certificate, &key]);
    let url = |host: &str, mode: &str, authority: Option<&Authority>| {
        let ca = authority.map(|authority| format!("&ssl-ca={}", authority.path("ca")));
        let port = server.port;
        let ca = ca.unwrap_or_default();
        format!("mysql://root@{host}:{port}/test?ssl-mode={mode}{ca}")
    };
    for (url, cause) in [
        (url("localhost", "VERIFY_CA", None), "UnknownIssuer"),
        (url("localhost", "VERIFY_CA", Some(&another)), "certificate"),
        (
            url("127.0.0.1", "VERIFY_IDENTITY", Some(&ours)),
            "not valid for name",
        ),
    ] {
        let error = MysqlStore::connect(&url).await.expect_err(&url);
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}: {error}");
        for part in ["MySQL at ", "TLS", cause] {
            assert!(error.to_string().contains(part), "{url}: {error}");
        }
        let express = ExpressStore::builder(Express::new("secret"));
        let error = express.connect(&url).await.expect_err(&url);
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}: {error}");
    }
    for url in [
        url("127.0.0.1", "REQUIRED", None),
        url("127.0.0.1", "VERIFY_CA", Some(&ours)),
        url("localhost", "VERIFY_IDENTITY", Some(&ours)),
    ] {
        let store = MysqlStore::connect(&url).await.expect(&url);
        assert_eq!(store.load(&id()).await.expect("up"), None);
    }
}
