//! What a request tells of its connection: http or https, and by whose word.

use std::borrow::Cow;
use std::net::IpAddr;
#[cfg(feature = "axum")]
use std::net::SocketAddr;

#[cfg(feature = "axum")]
use axum::extract::ConnectInfo;
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::list;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// When the cookie has the `Secure` attribute, which keeps it off plain http. Express:
/// `cookie.secure`.
///
/// Whether a cookie that is `Secure` survives plain http is up to the browser: Chrome, Firefox and
/// curl keep it for `localhost` and loopback addresses, Safari does not, and for other hosts none
/// does. The layer then logs a warning, once for each host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Secure {
    /// On every request: Express' `true`, but for Express not sending the cookie at all by http.
    /// No proxy and no header can take it off.
    #[default]
    Always,
    /// If the request came by https, which [`Proxy`] may have to tell: Express' `'auto'`. Behind a
    /// proxy that ends TLS and is not named by [`Proxy`], cookies are not `Secure`.
    AsRequest,
    /// As [`AsRequest`](Self::AsRequest), for development by plain http, on any host name. The
    /// layer logs a warning when it is built, so that it does not go into production unnoticed: `if
    /// cfg!(debug_assertions) { Secure::Development } else { Secure::Always }`.
    Development,
    /// On no request: Express' `false`. An attacker on the network path can take the session over.
    Never,
}

impl Secure {
    /// Whether a cookie is `Secure` for a request that came by https, or did not as far as can be
    /// seen.
    pub(crate) const fn applies(self, is_https: bool) -> bool {
        match self {
            Self::Always => true,
            Self::AsRequest | Self::Development => is_https,
            Self::Never => false,
        }
    }
}

/// Whose word is taken for the request having come by https. Which header that is in, says
/// [`ProxyHeader`]. Express: `proxy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proxy {
    /// No proxy: the default, and Express' `false`.
    #[default]
    None,
    /// Any client: Express' `true`. Only for an application that no client can reach but through
    /// its proxy.
    Any,
    /// That of peers in these networks. The server must put a `ConnectInfo<SocketAddr>` into the
    /// request, as axum's `into_make_service_with_connect_info` does, or a [`Peer`]; without, no
    /// proxy is trusted, and the log says so once.
    From(Vec<IpNet>),
}

/// The one header that a trusted [`Proxy`] says it in. The proxy must replace what clients send in
/// that header; all others are ignored, so it does not matter what clients send in those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyHeader {
    /// `X-Forwarded-Proto`: nginx' `proxy_set_header X-Forwarded-Proto $scheme`, and what most
    /// others send.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239), its parameter `proto`.
    Forwarded,
}

/// The address of the other end of the connection, for servers other than axum's: put it into the
/// request's extensions for [`Proxy::From`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Says that the request came by https: for servers that speak TLS themselves, which put it into
/// the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Https;

/// Whether the request came by https, as the connection or a trusted proxy says.
pub(crate) fn is_https(parts: &Parts, proxy: &Proxy, header: ProxyHeader) -> bool {
    parts.extensions.get::<Https>().is_some()
        || parts.uri.scheme() == Some(&Scheme::HTTPS)
        || (is_trusted(parts, proxy) && says_https(&parts.headers, header))
}

/// Whether a trusted proxy can't be told from others, because the server does not say who is
/// connected.
pub(crate) fn lacks_peer(parts: &Parts, proxy: &Proxy) -> bool {
    matches!(proxy, Proxy::From(_)) && peer(parts).is_none()
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

/// Whether this header says that the client used https: its first element, as Express reads it.
pub(crate) fn says_https(headers: &HeaderMap, header: ProxyHeader) -> bool {
    let first = |name| {
        let line = headers.get(name)?;
        list::split(line.as_bytes(), b',').next()
    };
    let proto = match header {
        ProxyHeader::XForwarded => first(X_FORWARDED_PROTO).map(Cow::Borrowed),
        ProxyHeader::Forwarded => first(http::header::FORWARDED).and_then(proto),
    };
    proto.is_some_and(|proto| proto.eq_ignore_ascii_case(b"https"))
}

/// The parameter `proto` of an element of `Forwarded` (RFC 7239 §4).
fn proto(element: &[u8]) -> Option<Cow<'_, [u8]>> {
    list::split(element, b';').find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        name.eq_ignore_ascii_case(b"proto")
            .then(|| list::unquoted(value).into())
    })
}
