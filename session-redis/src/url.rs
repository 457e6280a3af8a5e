//! The URL of a server, or of the Sentinels that know it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use session_core::{Error, Result};

use crate::Connection;
use crate::certificates::install_crypto_provider;
use crate::connection::Origin;
use crate::credentials::Credentials;
use crate::options::ConnectionOptions;
use crate::sentinel::{Sentinel, SentinelLogin};

/// What a URL leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Server,
    Socket,
    Sentinel,
    Cluster,
}

impl Target {
    fn of(scheme: &str) -> Self {
        match scheme {
            _ if scheme.ends_with("unix") => Self::Socket,
            _ if scheme.ends_with("sentinel") => Self::Sentinel,
            _ if scheme.ends_with("+cluster") => Self::Cluster,
            _ => Self::Server,
        }
    }

    /// The options of its URLs.
    const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Server | Self::Cluster => &[
                "protocol",
                "ca_file",
                "cert_file",
                "key_file",
                "password_file",
                "client_name",
                "connections",
            ],
            Self::Socket => &[
                "protocol",
                "db",
                "user",
                "pass",
                "password_file",
                "client_name",
                "connections",
            ],
            Self::Sentinel => &[
                "protocol",
                "ca_file",
                "cert_file",
                "key_file",
                "password_file",
                "client_name",
                "connections",
                "sentinel_user",
                "sentinel_password",
            ],
        }
    }
}

/// The options that the builders take from a URL of this scheme. For programs that take options of
/// their own out of a URL.
#[must_use]
pub fn url_options(scheme: &str) -> &'static [&'static str] {
    Target::of(scheme).options()
}

/// The server, or the Sentinels, at `url`. What its options set is set in `options`.
pub(crate) fn connection(url: &str, options: &mut ConnectionOptions) -> Result<Connection> {
    let scheme = url.split(':').next().unwrap_or_default();
    check_question_mark(url)?;
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut login = SentinelLogin::default();
    let query = take_options(scheme, query, options, &mut login)?;
    check_fragment(scheme, fragment)?;
    if is_tls(scheme) && !cfg!(any(feature = "tls", feature = "tls-native-roots")) {
        return Err(needs_tls(scheme));
    }
    install_crypto_provider();
    if Target::of(scheme) == Target::Cluster {
        return Ok(Connection::cluster(cluster(base, &query)?));
    }
    if Target::of(scheme) == Target::Sentinel {
        let scheme = if is_tls(scheme) { "rediss" } else { "redis" };
        let rest = sentinel_path(base, fragment);
        let sentinel = Sentinel::from_url(scheme, &rest, &query, &login)?;
        return Ok(Connection(Origin::Sentinel(sentinel.into())));
    }
    let hash = if fragment.is_empty() { "" } else { "#" };
    let info = parse(&format!("{base}?{query}{hash}{fragment}"))?;
    Ok(open(info)?.into())
}

/// Clients for the nodes that the URL of a cluster names: `redis+cluster://user:password@h:1,h:2/`.
fn cluster(base: &str, query: &str) -> Result<Vec<Client>> {
    let no_host = || Error::misconfigured("invalid Redis URL: a cluster needs a host");
    let (scheme, rest) = base.split_once("+cluster://").ok_or_else(no_host)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.contains('@') {
        return Err(Error::misconfigured(
            "the Redis URL has an @ after its first /, and is not shown because that may be part of a \
             password: write a / in a password as %2F",
        ));
    }
    if !matches!(path, "" | "0") {
        return Err(Error::misconfigured(
            "invalid Redis URL: a cluster has only the database 0",
        ));
    }
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (format!("{login}@"), hosts),
        None => (String::new(), authority),
    };
    if hosts.split(',').any(str::is_empty) {
        return Err(no_host());
    }
    let clients = hosts.split(',').map(|host| {
        let url = format!("{scheme}://{login}{host}/?{query}");
        open(parse(&url)?)
    });
    clients.collect()
}

/// The hosts, the group and the database, of `redis+sentinel://hosts/group/db` or of Lettuce's
/// `redis-sentinel://hosts/db#group`.
fn sentinel_path(base: &str, fragment: &str) -> String {
    let (scheme, rest) = base.split_once("://").unwrap_or_default();
    if !is_lettuce(scheme) {
        return rest.to_owned();
    }
    let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
    format!("{hosts}/{fragment}/{database}")
}

fn is_lettuce(scheme: &str) -> bool {
    scheme.ends_with("-sentinel")
}

/// Parses what the driver knows, with RESP3 unless the URL names a protocol.
pub(crate) fn parse(url: &str) -> Result<ConnectionInfo> {
    let info = url.into_connection_info().map_err(invalid_url)?;
    let settings = info.redis_settings().clone();
    Ok(match names_protocol(url) {
        true => info,
        false => info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3)),
    })
}

/// Whether the query has this option. A password may contain its name.
fn names_protocol(url: &str) -> bool {
    let (_, query) = url.split_once('?').unwrap_or_default();
    query.split('&').any(|pair| pair.starts_with("protocol="))
}

pub(crate) fn open(info: ConnectionInfo) -> Result<Client> {
    Client::open(info).map_err(invalid_url)
}

/// Sets what the options in `query` say, and returns those of the driver.
fn take_options(
    scheme: &str,
    query: &str,
    options: &mut ConnectionOptions,
    login: &mut SentinelLogin,
) -> Result<String> {
    let known = Target::of(scheme).options();
    let (mut drivers, mut taken) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !known.contains(&name) || taken.contains(&name) {
            return Err(Error::misconfigured(format!(
                "invalid option {name:?} in the URL: {scheme} URLs take {}, each once",
                known.join(", ")
            )));
        }
        taken.push(name);
        let value = || decode(value).into_owned();
        match name {
            "ca_file" => options.certificates.authority = Some(value().into()),
            "cert_file" => options.certificates.own = Some(value().into()),
            "key_file" => options.certificates.key = Some(value().into()),
            "password_file" => options.credentials = Credentials::File(value().into()),
            "client_name" => options.client_name = Some(value().into()),
            "connections" => options.connections = number(name, &value())?,
            "sentinel_user" => login.user = Some(value()),
            "sentinel_password" => login.password = Some(value()),
            _ => drivers.push(pair),
        }
    }
    Ok(drivers.join("&"))
}

fn number(name: &str, value: &str) -> Result<usize> {
    value.parse().map_err(|_| {
        Error::misconfigured(format!(
            "invalid option {name:?} in the URL: {value:?} is not a number"
        ))
    })
}

/// Without the URL's encoding.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// The driver's message names the features of another crate.
fn needs_tls(scheme: &str) -> Error {
    Error::misconfigured(format!(
        "{scheme}:// URLs need the Cargo feature \"tls\" or \"tls-native-roots\", and both are off"
    ))
}

fn is_tls(scheme: &str) -> bool {
    scheme.starts_with("rediss") || scheme.starts_with("valkeys")
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

/// The driver uses only `#insecure`, and only with TLS.
fn check_fragment(scheme: &str, fragment: &str) -> Result<()> {
    // A password that contains a # has the @ behind it.
    let is_group = is_lettuce(scheme) && !fragment.contains('@');
    if fragment.is_empty()
        || is_group
        || (fragment == "insecure" && matches!(scheme, "rediss" | "valkeys"))
    {
        return Ok(());
    }
    Err(Error::misconfigured(format!(
        "invalid URL: {scheme} URLs take no #fragment; write a \"#\" in a name or password as %23"
    )))
}

/// The driver's message, which never quotes the URL.
pub(crate) fn invalid_url(error: redis::RedisError) -> Error {
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

    fn client(url: &str) -> Result<Client> {
        match connection(url, &mut ConnectionOptions::default())?.0 {
            Origin::Client(client) => Ok(*client),
            _ => panic!("{url} leads to no server"),
        }
    }

    fn refused(url: &str) -> String {
        let error = connection(url, &mut ConnectionOptions::default()).expect_err(url);
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
            let client = client(url).expect(url);
            let info = client.get_connection_info();
            assert_eq!(info.redis_settings().protocol(), protocol, "{url}");
        }
        let client = client("redis://u:secret@h:1/2").expect("a URL");
        let info = client.get_connection_info().redis_settings().clone();
        assert_eq!((info.username(), info.db()), (Some("u"), 2));
    }

    #[test]
    fn the_nodes_of_a_cluster_have_the_same_login_and_options() {
        let nodes = |url: &str| {
            let connection = connection(url, &mut ConnectionOptions::default());
            match connection.expect("a URL").0 {
                Origin::Cluster(cluster) => cluster.clients(),
                _ => panic!("not a cluster"),
            }
        };
        let url = "redis+cluster://u:hunter2@h,[::1]:2,c:3/?protocol=resp2";
        let clients = nodes(url);
        let infos = clients.iter().map(Client::get_connection_info);
        let said = infos.map(|info| {
            let redis = info.redis_settings();
            assert_eq!(redis.username(), Some("u"));
            assert_eq!(redis.password(), Some("hunter2"));
            assert_eq!(redis.protocol(), ProtocolVersion::RESP2);
            info.addr().to_string()
        });
        let said: Vec<_> = said.collect();
        assert_eq!(said, ["h:6379", "::1:2", "c:3"]);
        assert_eq!(nodes("valkey+cluster://h").len(), 1);
    }

    #[test]
    fn an_invalid_url_of_a_cluster_says_why() {
        for (url, why) in [
            ("redis+cluster://u:hunter2@h/1", "database"),
            ("redis+cluster://u:hunter2@h,,i", "host"),
            ("redis+cluster://", "host"),
            ("redis+cluster:u:hunter2@h", "host"),
            ("redis+cluster://u:a/hunter2@h", "%2F"),
            ("redis+cluster://u:a?hunter2@h", "%3F"),
            ("redis+cluster://u:hunter2@h/?tabel=x", "\"tabel\""),
        ] {
            let connection = connection(url, &mut ConnectionOptions::default());
            let error = connection.expect_err(url);
            let text = format!("{error} {error:?}");
            assert!(text.contains(why) && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn only_the_option_of_that_name_sets_the_protocol() {
        use ProtocolVersion::{RESP2, RESP3};
        for (url, protocol) in [
            ("redis://u:protocol=resp2@h", RESP3),
            ("redis://u:protocol=resp2@h/0?protocol=resp2", RESP2),
            ("redis://u:a&protocol=resp2@h/", RESP3),
            ("unix:/s?user=u&pass=protocol=resp2", RESP3),
            ("unix:/s?pass=p&protocol=resp2", RESP2),
        ] {
            let client = client(url).expect(url);
            let settings = client.get_connection_info().redis_settings();
            assert_eq!(settings.protocol(), protocol, "{url}");
        }
    }

    #[test]
    fn both_spellings_lead_to_the_same_sentinels() {
        let place = |url: &str| {
            let connection = connection(url, &mut ConnectionOptions::default());
            connection.map(|connection| connection.0.place())
        };
        let ours = place("redis+sentinel://:hunter2@a,b:7/my-group/3?sentinel_user=u");
        let lettuces = place("redis-sentinel://:hunter2@a,b:7/3?sentinel_user=u#my-group");
        let expected = "Redis primary of \"my-group\" (Sentinels at a:26379, b:7)";
        for place in [ours, lettuces] {
            assert_eq!(place.expect("a URL"), expected);
        }
        for url in [
            "redis-sentinel://:hunter2@a/3",
            "redis-sentinel://:p#hunter2@a/3#g",
        ] {
            refused(url);
        }
    }

    #[test]
    fn a_silent_peer_is_detected() {
        let client = with_keepalive(client("redis://h").expect("a URL"), LIMIT);
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
            ("unix:/s?ca_file=/x", "\"ca_file\""),
            (
                "redis://h/?sentinel_password=hunter2",
                "password_file, client_name",
            ),
            ("redis://h/?client_name=a&client_name=b", "each once"),
            (
                "redis://:hunter2@h/?connections=few",
                "\"few\" is not a number",
            ),
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
                client(url).expect(url);
            } else {
                assert!(refused(url).contains("\"tls-native-roots\""), "{url}");
            }
        }
    }

    #[test]
    fn options_are_taken_out_of_the_url() {
        let mut options = ConnectionOptions::default();
        let url = "rediss://u:hunter2@h/3?ca_file=/a%20b&cert_file=/c&key_file=/k&password_file=/p\
                   &client_name=web%2D1&connections=4&protocol=2";
        let url = if cfg!(any(feature = "tls", feature = "tls-native-roots")) {
            url.to_owned()
        } else {
            url.replace("rediss", "redis")
        };
        let connection = connection(&url, &mut options).expect("a URL");
        let Origin::Client(client) = connection.0 else {
            panic!("a server");
        };
        let settings = client.get_connection_info().redis_settings();
        assert_eq!((settings.username(), settings.db()), (Some("u"), 3));
        assert_eq!(settings.protocol(), ProtocolVersion::RESP2);
        let shown = format!("{options:?}");
        for part in [
            "\"/a b\"",
            "\"/c\"",
            "\"/k\"",
            "\"/p\"",
            "\"web-1\"",
            "connections: 4",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}
