//! Which store it is, in spans and metrics.

use std::sync::Arc;

/// The product and the server of a store, as OpenTelemetry's conventions for databases name them.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// `db.system.name`.
    pub(super) system: &'static str,
    /// `server.address`: a host, or all of the text where a place is several servers or a file.
    pub(super) address: Option<Arc<str>>,
    /// `server.port`.
    pub(super) port: Option<u16>,
}

impl Identity {
    /// Of a store at `place`, as a [`Connector`](super::Connector) tells it: `Redis at
    /// 127.0.0.1:6379`.
    pub(super) fn new(system: &'static str, place: &str) -> Self {
        let address = place.rsplit_once(" at ").map(|(_, address)| address);
        let address = address.map(|address| address.trim_end_matches(')'));
        let host_and_port = address.and_then(one_host);
        Self {
            system,
            address: host_and_port
                .map(|(host, _)| host)
                .or(address)
                .map(Arc::from),
            port: host_and_port.map(|(_, port)| port),
        }
    }
}

fn one_host(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let is_one = !host.contains([',', '/', ' ']);
    Some((host, port.parse().ok()?)).filter(|_| is_one)
}

#[cfg(test)]
mod tests {
    use super::Identity;

    #[test]
    fn the_address_is_read_from_the_place() {
        for (place, address, port) in [
            ("Redis at 127.0.0.1:6379", Some("127.0.0.1"), Some(6379)),
            ("PostgreSQL at [::1]:5432", Some("[::1]"), Some(5432)),
            ("MongoDB at a:1,b:2", Some("a:1,b:2"), None),
            ("Redis Cluster at a:1,b:2", Some("a:1,b:2"), None),
            (
                "Redis primary of \"main\" (Sentinels at a:1, b:2)",
                Some("a:1, b:2"),
                None,
            ),
            ("SQLite at /srv/a:1", Some("/srv/a:1"), None),
            ("SQLite in memory", None, None),
        ] {
            let identity = Identity::new("it", place);
            assert_eq!(identity.address.as_deref(), address, "{place}");
            assert_eq!(identity.port, port, "{place}");
        }
    }
}
