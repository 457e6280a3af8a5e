//! The cookies of a browser, by the rules of RFC 6265bis that concern one site.

use std::time::{Duration, SystemTime};

use crate::cookie::{has_prefix, is_below};

/// Where a request goes.
#[derive(Clone, Copy)]
pub(super) struct Target<'t> {
    pub(super) host: &'t str,
    /// Without the query.
    pub(super) path: &'t str,
    pub(super) is_https: bool,
}

/// The cookies that a browser keeps. Times are those of the browser, since it was made.
#[derive(Default)]
pub(super) struct Jar(Vec<Cookie>);

struct Cookie {
    name: String,
    value: String,
    host: String,
    /// Whether hosts below that one get it too.
    covers_subdomains: bool,
    path: String,
    is_secure: bool,
    end: Option<Duration>,
}

/// The attributes of a `Set-Cookie` header.
#[derive(Default)]
struct Attributes<'h> {
    path: Option<&'h str>,
    domain: Option<&'h str>,
    is_secure: bool,
    max_age: Option<i64>,
    expires: Option<SystemTime>,
}

/// Why a browser drops a cookie.
pub(super) type Refusal = &'static str;

impl Jar {
    /// Takes a `Set-Cookie` header of the response to `target` at the time `now`, where the
    /// calendar says `date`.
    ///
    /// # Errors
    /// What a browser does not like about it.
    pub(super) fn set(
        &mut self,
        header: &str,
        target: Target<'_>,
        now: Duration,
        date: SystemTime,
    ) -> Result<(), Refusal> {
        let (pair, attributes) = header.split_once(';').unwrap_or((header, ""));
        let (name, value) = pair.split_once('=').ok_or("it has no name")?;
        let attributes = Attributes::parse(attributes);
        let left = attributes.left(date);
        let cookie = Cookie {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
            host: attributes.host(target.host)?.to_ascii_lowercase(),
            covers_subdomains: attributes.domain.is_some(),
            path: attributes.path(target.path).to_owned(),
            is_secure: attributes.is_secure,
            end: left.map(|left| now.saturating_add(left)),
        };
        cookie.check(target, &attributes)?;
        self.put(cookie, left == Some(Duration::ZERO));
        Ok(())
    }

    /// Replaces the cookie of the same name, host and path, or removes it.
    fn put(&mut self, cookie: Cookie, is_over: bool) {
        let known = self.0.iter().position(|known| known.is_same(&cookie));
        match (known, is_over) {
            (Some(known), true) => drop(self.0.remove(known)),
            (Some(known), false) => self.0[known] = cookie,
            (None, true) => {}
            (None, false) => self.0.push(cookie),
        }
    }

    /// The `Cookie` header of a request to `target` at the time `now`: empty if there is none.
    pub(super) fn header(&mut self, target: Target<'_>, now: Duration) -> String {
        self.0
            .retain(|cookie| cookie.end.is_none_or(|end| now < end));
        let mut sent: Vec<&Cookie> = self.0.iter().filter(|c| c.goes_to(target)).collect();
        // Longer paths first (RFC 6265bis §5.8.3); the sort keeps the older of two in front.
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> = sent.into_iter().map(Cookie::pair).collect();
        pairs.join("; ")
    }

    /// The names of all cookies.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|cookie| cookie.name.as_str())
    }
}

impl Cookie {
    fn pair(&self) -> String {
        format!("{}={}", self.name, self.value)
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.host, &self.path) == (&other.name, &other.host, &other.path)
            && self.covers_subdomains == other.covers_subdomains
    }

    /// RFC 6265bis §5.7: what `Secure` and the prefixes of names ask for.
    fn check(&self, target: Target<'_>, attributes: &Attributes<'_>) -> Result<(), Refusal> {
        let is_host = has_prefix(&self.name, "__Host-");
        if self.is_secure && !target.is_trustworthy() {
            return Err("it is Secure, and the response came by plain http");
        }
        if (is_host || has_prefix(&self.name, "__Secure-")) && !self.is_secure {
            return Err("a name of this prefix needs Secure");
        }
        if is_host && (attributes.domain.is_some() || attributes.path != Some("/")) {
            return Err("a name of the prefix __Host- needs Path=/ and no Domain");
        }
        Ok(())
    }

    fn goes_to(&self, target: Target<'_>) -> bool {
        let is_host = self.host.eq_ignore_ascii_case(target.host);
        let is_below_host = self.covers_subdomains && is_subdomain(target.host, &self.host);
        (is_host || is_below_host)
            && is_below(&self.path, target.path)
            && (target.is_trustworthy() || !self.is_secure)
    }
}

impl Target<'_> {
    /// Whether `Secure` cookies are taken from there: Chrome and Firefox trust this computer.
    fn is_trustworthy(self) -> bool {
        let host = self.host;
        let is_local = host == "localhost" || host == "[::1]" || host.ends_with(".localhost");
        self.is_https || is_local || host.starts_with("127.")
    }
}

impl<'h> Attributes<'h> {
    fn parse(text: &'h str) -> Self {
        let mut all = Self::default();
        for attribute in text.split(';') {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "path" => all.path = Some(value),
                "domain" => all.domain = (!value.is_empty()).then_some(value),
                "secure" => all.is_secure = true,
                "max-age" => all.max_age = value.parse().ok().or(all.max_age),
                "expires" => all.expires = httpdate::parse_http_date(value).ok().or(all.expires),
                _ => {}
            }
        }
        all
    }

    /// How long it is to be kept: zero if it is to go, `None` until the browser closes.
    fn left(&self, date: SystemTime) -> Option<Duration> {
        if let Some(seconds) = self.max_age {
            return Some(Duration::from_secs(seconds.max(0).unsigned_abs()));
        }
        let expires = self.expires?;
        Some(expires.duration_since(date).unwrap_or_default())
    }

    fn host(&self, host: &'h str) -> Result<&'h str, Refusal> {
        let Some(domain) = self.domain else {
            return Ok(host);
        };
        let domain = domain.strip_prefix('.').unwrap_or(domain);
        match domain.eq_ignore_ascii_case(host) || is_subdomain(host, domain) {
            true => Ok(domain),
            false => Err("its Domain is another site's"),
        }
    }

    /// The path below which it is sent: without an attribute, the folder of the request's path.
    fn path(&self, requested: &'h str) -> &'h str {
        match self.path.filter(|path| path.starts_with('/')) {
            Some(path) => path,
            None => match requested.rfind('/') {
                None | Some(0) => "/",
                Some(end) => &requested[..end],
            },
        }
    }
}

fn is_subdomain(host: &str, domain: &str) -> bool {
    let Some(at) = host.len().checked_sub(domain.len() + 1) else {
        return false;
    };
    host.is_char_boundary(at)
        && host[at..].starts_with('.')
        && host[at + 1..].eq_ignore_ascii_case(domain)
}

#[cfg(test)]
mod tests;
