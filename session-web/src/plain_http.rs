//! Warnings of what would else go unseen: browsers that drop the cookie, because it is `Secure` and
//! they use plain http, and a trusted proxy that can't be told from others.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{HOST, HeaderName, HeaderValue, ORIGIN, REFERER};
use http::request::Parts;

use crate::request::{ProxyHeader, says_https};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What has been logged of one layer.
#[derive(Debug, Default)]
pub(crate) struct PlainHttp {
    hosts: Mutex<Hosts>,
    missing_peer: AtomicBool,
}

/// The hosts that were logged.
#[derive(Debug, Default)]
struct Hosts {
    /// Clients name them, so there are few, and short ones.
    logged: BTreeSet<String>,
    /// When another one was logged after those.
    last_further: Option<Instant>,
    /// How many requests of further ones were not logged since.
    suppressed: u64,
}

impl Hosts {
    /// The most hosts that are each logged once.
    const MOST: usize = 16;
    /// How often another one is logged when there are more: clients that make up hosts must not
    /// keep the site's own from the log for ever.
    const PAUSE: Duration = Duration::from_secs(60);

    /// Whether to log this host now: how many requests of others were not logged before it.
    fn admit(&mut self, host: &str, now: Instant) -> Option<u64> {
        if self.logged.contains(host) {
            return None;
        }
        if self.logged.len() < Self::MOST {
            self.logged.insert(host.to_owned());
            return Some(0);
        }
        let is_soon = |last| now.duration_since(last) < Self::PAUSE;
        if self.last_further.is_some_and(is_soon) {
            self.suppressed += 1;
            return None;
        }
        self.last_further = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

impl PlainHttp {
    /// The most bytes of a host's name that are logged and kept.
    const NAME: usize = 255;

    /// Warns that no proxy is trusted, because the server does not say who is connected, once.
    pub(crate) fn warn_of_missing_peer(&self) {
        if !self.missing_peer.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "proxy(Proxy::From(…)) trusts no proxy, because requests don't have the peer's address: serve with \
                 into_make_service_with_connect_info::<SocketAddr>(), or put a Peer into their extensions"
            );
        }
    }

    /// Warns that browsers drop the cookie that this host sets: once for each of the first 16, and
    /// then of one more a minute.
    pub(crate) fn warn(&self, host: &HeaderValue) {
        let host = host.as_bytes();
        let host = String::from_utf8_lossy(&host[..host.len().min(Self::NAME)]).into_owned();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = hosts.admit(&host, Instant::now());
        drop(hosts);
        let Some(suppressed) = admitted else {
            return;
        };
        if is_loopback(&host) {
            tracing::info!(
                ?host,
                suppressed,
                "the session cookie is Secure, and the request came by plain http: Chrome, Firefox and curl \
                 keep it for this host, Safari does not; for development set secure(Secure::Development)"
            );
            return;
        }
        tracing::warn!(
            ?host,
            suppressed,
            "the session cookie is Secure, and the request came by plain http: browsers drop the cookie, so \
             every visit begins another session. Serve this host by https; if a proxy does, name it with \
             proxy(Proxy::From(…)); for development by plain http set secure(Secure::Development)"
        );
    }
}

/// The host of a request that seems to come from a browser that uses plain http; `None` if
/// anything speaks against that, though no trusted proxy says so.
pub(crate) fn host(parts: &Parts) -> Option<HeaderValue> {
    let headers = &parts.headers;
    let from_https = |name| {
        let value = headers.get(name).map(HeaderValue::as_bytes);
        value.is_some_and(|value| value.starts_with(b"https:"))
    };
    let is_https = says_https(headers, ProxyHeader::XForwarded)
        || says_https(headers, ProxyHeader::Forwarded)
        || from_https(ORIGIN)
        || from_https(REFERER);
    if is_https {
        return None;
    }
    let host = match headers.get(HOST) {
        Some(host) => host.clone(),
        None => HeaderValue::try_from(parts.uri.authority()?.as_str()).ok()?,
    };
    // Browsers send it by https, and to loopback hosts.
    let is_https = headers.contains_key(SEC_FETCH_SITE) && !host.to_str().is_ok_and(is_loopback);
    (!is_https).then_some(host)
}

/// Whether this host, with or without a port, is the browser's own machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_hosts_do_not_hide_the_real_one_for_ever() {
        let (mut hosts, start) = (Hosts::default(), Instant::now());
        for n in 0..16 {
            assert_eq!(hosts.admit(&format!("h{n}"), start), Some(0));
        }
        assert_eq!(hosts.admit("h0", start), None, "it was logged");
        assert_eq!(hosts.admit("h16", start), Some(0));
        assert_eq!(hosts.admit("h17", start), None);
        assert_eq!(hosts.admit("shop.example", start), None);
        let later = start + Hosts::PAUSE;
        assert_eq!(hosts.admit("h0", later), None);
        assert_eq!(hosts.admit("shop.example", later), Some(2));
        assert_eq!(hosts.admit("h18", later), None);
        assert_eq!(hosts.logged.len(), Hosts::MOST, "no more are kept");
    }
}
