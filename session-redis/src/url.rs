//! The URL of a server.

use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use session_core::{Error, Result};

/// The options of a URL, by whether it names the path of a Unix socket.
const OPTIONS: [(bool, &[&str]); 2] = [
    (false, &["protocol"]),
    (true, &["protocol", "db", "user", "pass"]),
];

/// A client for the server at `url`, with RESP3 unless the URL names a protocol. `ca` is the PEM
/// certificate of the server's certificate authority.
pub(crate) fn client(url: &str, ca: Option<Vec<u8>>) -> Result<Client> {
    let scheme = url.split(':').next().unwrap_or_default();
    check_question_mark(url)?;
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (_, query) = rest.split_once('?').unwrap_or((rest, ""));
    check_options(scheme, query)?;
    check_fragment(scheme, fragment)?;
    if is_tls(scheme) && !cfg!(any(feature = "tls", feature = "tls-native-roots")) {
        return Err(needs_tls(scheme));
    }
    let info = url.into_connection_info().map_err(invalid_url)?;
    let mut settings = info.redis_settings().clone();
    if !options(query).any(|name| name == "protocol") {
        settings = settings.set_protocol(ProtocolVersion::RESP3);
    }
    open(info.set_redis_settings(settings), scheme, ca)
}

fn open(info: ConnectionInfo, scheme: &str, ca: Option<Vec<u8>>) -> Result<Client> {
    let Some(ca) = ca else {
        return Client::open(info).map_err(invalid_url);
    };
    if !is_tls(scheme) {
        return Err(Error::misconfigured(
            "a certificate authority needs a rediss:// or valkeys:// URL",
        ));
    }
    #[cfg(any(feature = "tls", feature = "tls-native-roots"))]
    {
        let certificates = redis::TlsCertificates {
            client_tls: None,
            root_cert: Some(ca),
        };
        Client::build_with_tls(info, certificates).map_err(invalid_url)
    }
    #[cfg(not(any(feature = "tls", feature = "tls-native-roots")))]
    {
        let _ = ca;
        Err(needs_tls(scheme))
    }
}

/// The driver's message names the features of another crate.
fn needs_tls(scheme: &str) -> Error {
    Error::misconfigured(format!(
        "{scheme}:// URLs need the Cargo feature \"tls\" or \"tls-native-roots\", and both are off"
    ))
}

fn is_tls(scheme: &str) -> bool {
    matches!(scheme, "rediss" | "valkeys")
}

fn options(query: &str) -> impl Iterator<Item = &str> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split('=').next().unwrap_or_default())
}

/// If an `@` follows the `?`, an apparent option may be part of a password.
fn check_question_mark(url: &str) -> Result<()> {
    match url.split_once('?') {
        Some((_, rest)) if rest.contains('@') => Err(Error::misconfigured(
            "the Redis URL has an @ after the first ?, and its rest is not shown because it may be part of \
             a password: write a ? in a password as %3F, and an @ in an option as %40",
        )),
        _ => Ok(()),
    }
}

fn check_options(scheme: &str, query: &str) -> Result<()> {
    let is_socket = scheme.ends_with("unix");
    let known = OPTIONS.iter().find(|(of, _)| *of == is_socket);
    let known = known.map_or(&[][..], |(_, known)| known);
    match options(query).find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(Error::misconfigured(format!(
            "invalid option {name:?} in the URL: {scheme} URLs take {}",
            known.join(", ")
        ))),
    }
}

/// The driver uses only `#insecure`, and only with TLS.
fn check_fragment(scheme: &str, fragment: &str) -> Result<()> {
    if fragment.is_empty() || (fragment == "insecure" && is_tls(scheme)) {
        return Ok(());
    }
    Err(Error::misconfigured(format!(
        "invalid URL: {scheme} URLs take no #fragment; write a \"#\" in a name or password as %23"
    )))
}

/// The driver's message, which never quotes the URL.
fn invalid_url(error: redis::RedisError) -> Error {
    let text = error.to_string();
    let why = text.replace(&format!(" - {:?}", error.kind()), "");
    Error::misconfigured(format!("invalid Redis URL: {why}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use session_core::ErrorKind;

    use super::*;
    use crate::keepalive::with_keepalive;

    const LIMIT: Duration = Duration::from_secs(5);

    fn refused(url: &str) -> String {
        let error = client(url, None).expect_err(url);
        assert!(error.kind() == ErrorKind::Misconfigured, "{url}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hunter2"), "{text}");
        error.to_string()
    }

    #[test]
    fn the_protocol_is_resp3_unless_the_url_says_another() {
        for (url, protocol) in [
            ("redis://h", ProtocolVersion::RESP3),
            ("valkey://u:secret@h:1/2", ProtocolVersion::RESP3),
            ("redis://h/?protocol=resp2", ProtocolVersion::RESP2),
            ("redis://h/?protocol=2", ProtocolVersion::RESP2),
            (
                "unix:/run/redis.sock?protocol=resp3&db=1",
                ProtocolVersion::RESP3,
            ),
            ("redis+unix:///run/redis.sock", ProtocolVersion::RESP3),
        ] {
            let client = client(url, None).expect(url);
            let info = client.get_connection_info();
            assert_eq!(info.redis_settings().protocol(), protocol, "{url}");
        }
        let client = client("redis://u:secret@h:1/2", None).expect("a URL");
        let info = client.get_connection_info().redis_settings().clone();
        assert_eq!((info.username(), info.db()), (Some("u"), 2));
    }

    #[test]
    fn a_silent_peer_is_detected() {
        let client = with_keepalive(client("redis://h", None).expect("a URL"), LIMIT);
        let settings = client.get_connection_info().tcp_settings().clone();
        assert!(settings.keepalive().is_some());
        #[cfg(target_os = "linux")]
        assert_eq!(settings.user_timeout(), Some(LIMIT));
    }

    #[test]
    fn an_invalid_part_of_a_url_is_named() {
        for (url, named) in [
            ("redis://:hunter2@h/?tabel=x", "\"tabel\""),
            (
                "redis://:hunter2@h/?protocl=resp2&protocol=3",
                "\"protocl\"",
            ),
            ("redis://:hunter2@h/?db=1", "\"db\""),
            ("unix:/s?passs=hunter2", "\"passs\""),
            ("redis://:hunter2@h/?protocol=resp4", "resp4"),
            ("redis://:hunter2@h/#insecure", "#fragment"),
            ("rediss://:hunter2@h/?protocol=resp3#x", "#fragment"),
            ("redis://:hunter2@h/x", "database number"),
            ("nonsense://u:hunter2@h", "did not parse"),
            ("redis://:ab?hunter2=x@h/", "part of a password"),
            ("redis://:ab?protocol=hunter2@h/", "part of a password"),
            ("redis://:a#b?c&hunter2@h/", "part of a password"),
            ("redis://:a?b#hunter2@h/", "part of a password"),
            ("unix:/s?user=u&pass=hunter2@x", "%40"),
        ] {
            let text = refused(url);
            assert!(text.contains(named), "{url}: {text}");
        }
    }

    #[test]
    fn tls_is_there_or_the_error_names_its_feature() {
        for url in ["rediss://:hunter2@h/", "valkeys://:hunter2@h/"] {
            if cfg!(any(feature = "tls", feature = "tls-native-roots")) {
                client(url, None).expect(url);
            } else {
                assert!(refused(url).contains("\"tls-native-roots\""), "{url}");
            }
        }
    }

    #[test]
    fn a_certificate_authority_needs_tls() {
        let error = client("redis://h", Some(b"x".to_vec())).expect_err("no TLS");
        assert!(error.to_string().contains("rediss://"), "{error}");
    }
}
