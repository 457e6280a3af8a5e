//! Encrypted connections to a server whose certificate is right, wrong or another host's.

use integration_tests::servers::{self, Authority, Kind, Private};
use session_core::{ErrorKind, SessionStore};
use session_mysql::MysqlStore;
use session_mysql::express::{Express, ExpressStore};

use super::id;

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_refused_is_misconfigured_and_says_why() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let [ours, another] = [Authority::new(), Authority::new()];
    let own = ours.issue("own", "DNS:localhost");
    let certificate = format!("--ssl-cert={}", own.certificate.display());
    let key = format!("--ssl-key={}", own.key.display());
    let server = Private::start(Kind::Mysql, &[&certificate, &key]);
    let url = |host: &str, mode: &str, authority: Option<&Authority>| {
        let ca = authority.map(|authority| format!("&ssl-ca={}", authority.file().display()));
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
