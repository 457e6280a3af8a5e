//! The cookie: its name and its attributes (RFC 6265bis).

use std::time::Duration;

use http::header::HeaderValue;
use session_core::{Error, Result};

/// The most bytes that name and value may have together: what every browser keeps
/// (RFC 6265bis §5.6; OWASP ASVS 5.0 §3.3.5).
pub const MAX_COOKIE_BYTES: usize = 4096;

/// The most bytes of a name that is given to a cookie, so that there is room for its value.
const MAX_NAME_BYTES: usize = 256;
/// The most bytes of an attribute: browsers ignore longer ones (RFC 6265bis §5.6).
const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// When a browser sends the cookie along with requests that other sites cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Never. A link from elsewhere finds the user signed out.
    Strict,
    /// With links that the user follows, and with nothing else.
    #[default]
    Lax,
    /// Always; browsers ask for `Secure` then.
    None,
}

impl SameSite {
    const fn text(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// Which cookies a browser drops first when it has too many of a site (Chromium only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// First.
    Low,
    /// As without this attribute.
    Medium,
    /// Last.
    High,
}

impl Priority {
    const fn text(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}

/// The prefix of the cookie's name, by which browsers enforce its attributes
/// (RFC 6265bis §4.1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamePrefix {
    /// `__Host-` if path and domain allow it, else `__Secure-`; none where the cookie is not
    /// `Secure`.
    #[default]
    Auto,
    /// None: the name is as it was given. A site that is taken over next door, at another
    /// subdomain or on plain http, can then plant a cookie of that name.
    None,
}

/// The cookie's name and attributes.
#[derive(Clone, Debug)]
pub(crate) struct CookieTemplate {
    pub(crate) name: String,
    pub(crate) prefix: NamePrefix,
    pub(crate) path: String,
    pub(crate) domain: Option<String>,
    pub(crate) http_only: bool,
    pub(crate) same_site: SameSite,
    pub(crate) partitioned: bool,
    pub(crate) priority: Option<Priority>,
}

impl Default for CookieTemplate {
    fn default() -> Self {
        Self {
            name: "id".to_owned(),
            prefix: NamePrefix::Auto,
            path: "/".to_owned(),
            domain: None,
            http_only: true,
            same_site: SameSite::Lax,
            partitioned: false,
            priority: None,
        }
    }
}

impl CookieTemplate {
    /// Checks what browsers would refuse, or misread. `always_secure` and `never_secure` say what
    /// is known of the `Secure` attribute.
    pub(crate) fn check(&self, always_secure: bool, never_secure: bool) -> Result<()> {
        self.check_texts("")?;
        let wrong = |message: String| Err(Error::misconfigured(message));
        let host = has_prefix(&self.name, "__Host-");
        if host && (self.domain.is_some() || self.path != "/") {
            return wrong(format!(
                "the cookie name {:?} allows no domain and only the path \"/\": remove them, or use another name",
                self.name
            ));
        }
        if (host || has_prefix(&self.name, "__Secure-")) && !always_secure {
            return wrong(format!(
                "browsers take the cookie name {:?} only with Secure: set Secure::Always, or leave the prefix to \
                 NamePrefix::Auto",
                self.name
            ));
        }
        if never_secure && self.same_site == SameSite::None {
            return wrong("SameSite=None is refused by browsers without Secure: set Secure::Always, or SameSite::Lax".to_owned());
        }
        if never_secure && self.partitioned {
            return wrong(
                "Partitioned is refused by browsers without Secure: set Secure::Always".to_owned(),
            );
        }
        Ok(())
    }

    /// Checks the texts that go into `Set-Cookie`. `whose` is in front of the names of options.
    pub(crate) fn check_texts(&self, whose: &str) -> Result<()> {
        let wrong = |message: String| Err(Error::misconfigured(message));
        let (name, path) = (&self.name, &self.path);
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_token) {
            return wrong(format!(
                "the {whose}cookie name {name:?} must be 1 to {MAX_NAME_BYTES} of the characters of an RFC 9110 \
                 token: letters, digits and !#$%&'*+-.^_`|~"
            ));
        }
        let is_path =
            path.starts_with('/') && !path.ends_with(' ') && path.bytes().all(is_attribute);
        if !is_path || path.len() > MAX_ATTRIBUTE_BYTES {
            return wrong(format!(
                "the {whose}cookie path {path:?} must begin with '/', hold ASCII without ';' and control \
                 characters, not end with a space, and have at most {MAX_ATTRIBUTE_BYTES} bytes: write \
                 others as percent-encoded in the URL"
            ));
        }
        if let Some(domain) = &self.domain
            && !is_domain(domain)
        {
            return wrong(format!(
                "the {whose}cookie domain {domain:?} is no host name: give it without a port or a leading dot, \
                 in ASCII (Punycode), with at most 253 bytes"
            ));
        }
        Ok(())
    }

    /// The cookie's name where it is, or is not, `Secure`.
    pub(crate) fn name(&self, secure: bool) -> String {
        let given = &self.name;
        let as_given = has_prefix(given, "__Host-") || has_prefix(given, "__Secure-");
        if !secure || as_given || self.prefix == NamePrefix::None {
            return given.clone();
        }
        if self.domain.is_none() && self.path == "/" {
            format!("__Host-{given}")
        } else {
            format!("__Secure-{given}")
        }
    }

    /// A `Set-Cookie` header. A `max_age` of zero makes browsers drop the cookie.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if name and value have over [`MAX_COOKIE_BYTES`].
    pub(crate) fn set(
        &self,
        value: &str,
        secure: bool,
        max_age: Option<Duration>,
    ) -> Result<HeaderValue> {
        self.set_named(&self.name(secure), value, secure, max_age)
    }

    /// The same, for a cookie of another name.
    pub(crate) fn set_named(
        &self,
        name: &str,
        value: &str,
        secure: bool,
        max_age: Option<Duration>,
    ) -> Result<HeaderValue> {
        Error::check_size("cookie", name.len() + 1 + value.len(), MAX_COOKIE_BYTES)?;
        let mut text = format!("{name}={value}; Path={}", self.path);
        if let Some(domain) = &self.domain {
            text.push_str("; Domain=");
            text.push_str(domain);
        }
        if let Some(max_age) = max_age {
            text.push_str(&format!("; Max-Age={}", max_age.as_secs()));
        }
        // Without Secure, browsers refuse the other two; a cookie for development does without.
        let same_site = match self.same_site {
            SameSite::None if !secure => SameSite::Lax,
            same_site => same_site,
        };
        for (attribute, there) in [("Secure", secure), ("HttpOnly", self.http_only)] {
            if there {
                text.push_str("; ");
                text.push_str(attribute);
            }
        }
        text.push_str("; SameSite=");
        text.push_str(same_site.text());
        if self.partitioned && secure {
            text.push_str("; Partitioned");
        }
        if let Some(priority) = self.priority {
            text.push_str("; Priority=");
            text.push_str(priority.text());
        }
        HeaderValue::try_from(text)
            .map_err(|_| Error::misconfigured("the cookie's value is no header text"))
    }
}

/// Whether `path` is `prefix` or below it (RFC 6265bis §5.1.4).
pub(crate) fn is_below(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

/// Browsers compare prefixes without regard to case (RFC 6265bis §5.7).
fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// A character of an RFC 9110 token.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_attribute(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && byte != b';'
}

fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    domain.len() <= 253
        && domain.split('.').all(label)
        && domain.parse::<std::net::IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(template: &CookieTemplate, secure: bool, max_age: Option<u64>) -> String {
        let max_age = max_age.map(Duration::from_secs);
        let header = template.set("VALUE", secure, max_age).expect("short");
        header.to_str().expect("ASCII").to_owned()
    }

    /// The attributes are a contract with browsers: each option's effect stands here.
    #[test]
    fn set_cookie_is_exactly_this() {
        let with = |change: fn(&mut CookieTemplate)| {
            let mut template = CookieTemplate::default();
            change(&mut template);
            template
        };
        let default = CookieTemplate::default();
        for (template, secure, max_age, expected) in [
            (
                &default,
                true,
                None,
                "__Host-id=VALUE; Path=/; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                &default,
                false,
                None,
                "id=VALUE; Path=/; HttpOnly; SameSite=Lax",
            ),
            (
                &default,
                true,
                Some(1800),
                "__Host-id=VALUE; Path=/; Max-Age=1800; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                &with(|t| t.path = "/app".into()),
                true,
                None,
                "__Secure-id=VALUE; Path=/app; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                &with(|t| t.domain = Some("example.org".into())),
                true,
                None,
                "__Secure-id=VALUE; Path=/; Domain=example.org; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                &with(|t| (t.name, t.prefix) = ("connect.sid".into(), NamePrefix::None)),
                true,
                None,
                "connect.sid=VALUE; Path=/; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                &with(|t| t.http_only = false),
                true,
                None,
                "__Host-id=VALUE; Path=/; Secure; SameSite=Lax",
            ),
            (
                &with(|t| t.same_site = SameSite::Strict),
                true,
                None,
                "__Host-id=VALUE; Path=/; Secure; HttpOnly; SameSite=Strict",
            ),
            (
                &with(|t| (t.same_site, t.partitioned) = (SameSite::None, true)),
                true,
                None,
                "__Host-id=VALUE; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
            ),
            (
                &with(|t| (t.same_site, t.partitioned) = (SameSite::None, true)),
                false,
                None,
                "id=VALUE; Path=/; HttpOnly; SameSite=Lax",
            ),
            (
                &with(|t| t.priority = Some(Priority::High)),
                true,
                None,
                "__Host-id=VALUE; Path=/; Secure; HttpOnly; SameSite=Lax; Priority=High",
            ),
        ] {
            assert_eq!(golden(template, secure, max_age), expected);
        }
        let expired = default.set("", true, Some(Duration::ZERO));
        assert_eq!(
            expired.expect("short"),
            "__Host-id=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn contradictions_say_what_to_change() {
        let with = |change: fn(&mut CookieTemplate)| {
            let mut template = CookieTemplate::default();
            change(&mut template);
            template
        };
        for (template, always, never, says) in [
            (with(|t| t.name.clear()), true, false, "cookie name"),
            (with(|t| t.name = "a b".into()), true, false, "cookie name"),
            (with(|t| t.name = "a=b".into()), true, false, "cookie name"),
            (
                with(|t| t.name = "a\r\nSet-Cookie: x".into()),
                true,
                false,
                "cookie name",
            ),
            (
                with(|t| t.name = "n".repeat(257)),
                true,
                false,
                "cookie name",
            ),
            (with(|t| t.name = "ä".into()), true, false, "cookie name"),
            (with(|t| t.path = "/ä".into()), true, false, "cookie path"),
            (with(|t| t.path = "/a ".into()), true, false, "cookie path"),
            (
                with(|t| t.path = format!("/{}", "p".repeat(1024))),
                true,
                false,
                "cookie path",
            ),
            (
                with(|t| t.domain = Some("bücher.example".into())),
                true,
                false,
                "Punycode",
            ),
            (
                with(|t| t.domain = Some(["label"; 60].join("."))),
                true,
                false,
                "cookie domain",
            ),
            (with(|t| t.path = "app".into()), true, false, "cookie path"),
            (with(|t| t.path = "/a;b".into()), true, false, "cookie path"),
            (
                with(|t| t.path = "/a\r\nx".into()),
                true,
                false,
                "cookie path",
            ),
            (
                with(|t| t.domain = Some(String::new())),
                true,
                false,
                "cookie domain",
            ),
            (
                with(|t| t.domain = Some(".a.org".into())),
                true,
                false,
                "leading dot",
            ),
            (
                with(|t| t.domain = Some("a.org; x".into())),
                true,
                false,
                "cookie domain",
            ),
            (
                with(|t| t.domain = Some("127.0.0.1".into())),
                true,
                false,
                "cookie domain",
            ),
            (
                with(|t| (t.name, t.domain) = ("__Host-x".into(), Some("a.org".into()))),
                true,
                false,
                "allows no domain",
            ),
            (
                with(|t| (t.name, t.path) = ("__host-x".into(), "/app".into())),
                true,
                false,
                "allows no domain",
            ),
            (
                with(|t| t.name = "__Host-x".into()),
                false,
                false,
                "Secure::Always",
            ),
            (
                with(|t| t.name = "__Secure-x".into()),
                false,
                false,
                "Secure::Always",
            ),
            (
                with(|t| t.same_site = SameSite::None),
                false,
                true,
                "SameSite=None",
            ),
            (with(|t| t.partitioned = true), false, true, "Partitioned"),
        ] {
            let error = template.check(always, never).expect_err("must be refused");
            assert!(error.to_string().contains(says), "{error} says {says}");
        }
        CookieTemplate::default().check(false, false).expect("good");
    }

    #[test]
    fn a_path_covers_what_is_below_it() {
        for (path, request, covers) in [
            ("/", "/", true),
            ("/", "/foo", true),
            ("/foo", "/foo", true),
            ("/foo", "/foo/", true),
            ("/foo", "/foo/bar", true),
            ("/foo", "/foobar", false),
            ("/foo", "/", false),
            ("/foo/", "/foo", false),
            ("/foo/", "/foo/bar", true),
            ("/foo", "/FOO", false),
        ] {
            assert_eq!(is_below(path, request), covers, "{path} and {request}");
        }
    }

    #[test]
    fn a_cookie_over_the_limit_is_refused() {
        let template = CookieTemplate::default();
        let room = MAX_COOKIE_BYTES - "__Host-id=".len();
        template
            .set(&"v".repeat(room), true, None)
            .expect("just fits");
        let error = template.set(&"v".repeat(room + 1), true, None);
        assert!(matches!(error, Err(Error::TooLarge { .. })), "{error:?}");
    }
}
