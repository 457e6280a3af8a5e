//! What a request tells of its connection: http or https, and by whose word.

use std::net::IpAddr;
#[cfg(feature = "axum")]
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "axum")]
use axum::extract::ConnectInfo;
use http::HeaderName;
use http::header::{FORWARDED, HOST};
use http::request::Parts;
use http::uri::Scheme;
use ipnet::IpNet;

/// Whether the log has been told why a cookie was not `Secure`.
static TOLD: AtomicBool = AtomicBool::new(false);

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers by which a proxy shows itself.
const PROXY_HEADERS: [&str; 5] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// When the cookie has the `Secure` attribute, which keeps it off plain http. Express:
/// `cookie.secure`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secure {
    /// On every request: Express' `true`, but for Express not sending the cookie at all by http.
    Always,
    /// On every request but those that come by plain http to this machine itself (`localhost`,
    /// `127.0.0.1`, `[::1]`) through no proxy that shows itself: development. Says so in the log,
    /// once.
    ///
    /// If a proxy before the application does not pass the `Host` header on and adds none of its
    /// own, choose [`Always`](Self::Always).
    #[default]
    ExceptLocalhost,
    /// If the request came by https, which [`Proxy`] may have to tell: Express' `'auto'`.
    AsRequest,
    /// On no request: Express' `false`. Whoever can listen on the way can take the session over.
    Never,
}

/// Whose word is taken for the request having come by https: the `Forwarded` header (RFC 7239) or
/// `X-Forwarded-Proto`. Express: `proxy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// Nobody's: the default, and Express' `false`.
    #[default]
    None,
    /// Anybody's: Express' `true`. For an application that nobody can reach but its proxy.
    Any,
    /// That of peers in these networks. The server must put a `ConnectInfo<SocketAddr>` into the
    /// request, as axum's `into_make_service_with_connect_info` does, or a [`Peer`].
    From(Vec<IpNet>),
}

/// The address of the other end of the connection, for servers other than axum's: put it into the
/// request's extensions for [`Proxy::From`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Says that the request came by https: for servers that speak TLS themselves, which put it into
/// the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Https;

/// What is known of how a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// By https, as the connection or a trusted proxy says.
    Https,
    /// By plain http, to this machine, without a proxy that shows itself.
    LocalHttp,
    /// By plain http as far as can be seen from here.
    Http,
}

impl Channel {
    pub(crate) fn of(parts: &Parts, proxy: &Proxy) -> Self {
        let marked = parts.extensions.get::<Https>().is_some();
        if marked || parts.uri.scheme() == Some(&Scheme::HTTPS) {
            return Self::Https;
        }
        if is_trusted(parts, proxy) {
            match forwarded_proto(parts) {
                Some(proto) if proto.eq_ignore_ascii_case("https") => return Self::Https,
                Some(_) => return Self::Http,
                None => {}
            }
        }
        let proxied = PROXY_HEADERS
            .iter()
            .any(|name| parts.headers.contains_key(*name));
        if !proxied && is_local(parts) {
            Self::LocalHttp
        } else {
            Self::Http
        }
    }

    /// Whether a cookie for this request is `Secure`.
    pub(crate) fn is_secure(self, secure: Secure) -> bool {
        match secure {
            Secure::Always => true,
            Secure::ExceptLocalhost => {
                let local = self == Self::LocalHttp;
                if local && !TOLD.swap(true, Ordering::Relaxed) {
                    tracing::info!(
                        "the session cookie is not Secure on requests by plain http to localhost, so that \
                         development works; everywhere else it is"
                    );
                }
                !local
            }
            Secure::AsRequest => self == Self::Https,
            Secure::Never => false,
        }
    }
}

fn is_trusted(parts: &Parts, proxy: &Proxy) -> bool {
    match proxy {
        Proxy::None => false,
        Proxy::Any => true,
        Proxy::From(networks) => {
            peer(parts).is_some_and(|peer| networks.iter().any(|network| network.contains(&peer)))
        }
    }
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    if let Some(Peer(peer)) = parts.extensions.get() {
        return Some(peer.to_canonical());
    }
    #[cfg(feature = "axum")]
    if let Some(connected) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        return Some(connected.0.ip().to_canonical());
    }
    None
}

/// What the first proxy says the client used: the first element, as Express reads it.
fn forwarded_proto(parts: &Parts) -> Option<&str> {
    if let Some(forwarded) = parts.headers.get(FORWARDED) {
        let first = forwarded.to_str().ok()?.split(',').next()?;
        let proto = first.split(';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case("proto")
                .then(|| value.trim().trim_matches('"'))
        });
        if proto.is_some() {
            return proto;
        }
    }
    let proto = parts.headers.get(X_FORWARDED_PROTO)?.to_str().ok()?;
    Some(proto.split(',').next()?.trim())
}

/// Whether the request names this machine itself as its host.
fn is_local(parts: &Parts) -> bool {
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = header.or_else(|| parts.uri.authority().map(|host| host.as_str())) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
