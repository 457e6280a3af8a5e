//! The site that a test's client pretends to call.

use super::jar::Target;

/// A scheme, a host, and a path at which there is a session layer.
#[derive(Clone)]
pub(super) struct Origin {
    is_https: bool,
    host: String,
    path: String,
}

impl Default for Origin {
    fn default() -> Self {
        Self::parse("https://localhost/")
    }
}

impl Origin {
    /// # Panics
    /// If it is not `http://` or `https://`, a host, and maybe a path.
    pub(super) fn parse(url: &str) -> Self {
        let uri: http::Uri = url.parse().expect("a URL");
        let scheme = uri.scheme_str().unwrap_or_default();
        assert!(
            matches!(scheme, "http" | "https"),
            "the URL {url:?} begins with http:// or https://"
        );
        Self {
            is_https: scheme == "https",
            host: uri.authority().map_or("", |host| host.as_str()).to_owned(),
            path: uri.path().to_owned(),
        }
    }

    pub(super) fn is_https(&self) -> bool {
        self.is_https
    }

    /// With the port, if the URL has one.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// As the header `Origin` has it.
    pub(super) fn text(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }

    /// Where a request for this path goes.
    pub(super) fn target<'t>(&'t self, path: &'t str) -> Target<'t> {
        let host = self.host.as_str();
        // Cookies don't tell ports apart. An IPv6 address has colons within brackets.
        let port = host.rfind(':').filter(|at| !host[*at..].contains(']'));
        Target {
            host: port.map_or(host, |at| &host[..at]),
            path,
            is_https: self.is_https,
        }
    }
}
