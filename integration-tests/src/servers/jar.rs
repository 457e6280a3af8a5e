//! The cookies of a browser for one host.

use std::time::{Duration, SystemTime};

/// A cookie as a server has set it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    path: String,
    expires: Option<SystemTime>,
}

/// The cookies of one host. As in browsers, all ports of the host share them. `Secure` and `Domain`
/// are ignored.
#[derive(Debug, Default)]
pub(super) struct Jar {
    cookies: Vec<Cookie>,
}

impl Jar {
    /// Stores the cookie of a Set-Cookie line, or removes it if it has expired.
    pub(super) fn keep(&mut self, line: &str, request_path: &str) {
        let mut parts = line.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let mut cookie = Cookie {
            name: name.to_owned(),
            value: value.to_owned(),
            path: default_path(request_path).to_owned(),
            expires: None,
        };
        let mut max_age = None;
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.to_ascii_lowercase().as_str() {
                "path" if value.starts_with('/') => cookie.path = value.to_owned(),
                "expires" => cookie.expires = httpdate::parse_http_date(value).ok(),
                "max-age" => max_age = value.parse::<i64>().ok(),
                _ => {}
            }
        }
        if let Some(seconds) = max_age {
            let left = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            cookie.expires = Some(SystemTime::now() + left);
        }
        self.cookies
            .retain(|kept| (&kept.name, &kept.path) != (&cookie.name, &cookie.path));
        self.cookies.push(cookie);
    }

    /// The Cookie line for a request to `path`; longer paths first.
    pub(super) fn line(&self, path: &str) -> Option<String> {
        let mut cookies: Vec<&Cookie> = self.live().filter(|c| c.is_for(path)).collect();
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs = cookies.iter().map(|c| format!("{}={}", c.name, c.value));
        let pairs: Vec<String> = pairs.collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The value of the cookie of this name, as it was sent.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let mut live = self.live();
        live.find(|c| c.name == name).map(|c| c.value.as_str())
    }

    /// Drops the cookies of this name.
    pub(super) fn forget(&mut self, name: &str) {
        self.cookies.retain(|cookie| cookie.name != name);
    }

    fn live(&self) -> impl Iterator<Item = &Cookie> {
        let now = SystemTime::now();
        let is_live = move |cookie: &&Cookie| cookie.expires.is_none_or(|expires| expires > now);
        self.cookies.iter().filter(is_live)
    }
}

impl Cookie {
    fn is_for(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&self.path);
        rest.is_some_and(|rest| {
            rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/')
        })
    }
}

/// The folder of the page that set a cookie without a path.
fn default_path(request_path: &str) -> &str {
    match request_path.rfind('/') {
        Some(0) | None => "/",
        Some(end) => &request_path[..end],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_kept_replaced_and_dropped() {
        let mut jar = Jar::default();
        jar.keep("a=1; Path=/; HttpOnly", "/x/y");
        jar.keep("b=2=3", "/x/y");
        jar.keep("c=3; path=/x; expires=Fri, 31 Dec 9999 23:59:59 GMT", "/");
        assert_eq!(jar.line("/x/z").as_deref(), Some("b=2=3; c=3; a=1"));
        assert_eq!(jar.line("/xy").as_deref(), Some("a=1"));
        jar.keep(
            "a=4; Path=/; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "/",
        );
        assert_eq!(jar.value("a"), Some("4"), "Max-Age takes precedence");
        jar.keep("a=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "/");
        jar.keep("c=; Path=/x; Max-Age=0", "/");
        assert_eq!(jar.line("/x").as_deref(), Some("b=2=3"));
        jar.forget("b");
        assert_eq!(jar.line("/x"), None);
    }
}
