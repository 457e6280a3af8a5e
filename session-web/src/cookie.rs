//! What a cookie is set up with: its name and its attributes (RFC 6265bis).

use session_core::{Error, Result};

/// The most bytes of a name that is given to a cookie, so that there is room for its value.
const MAX_NAME_BYTES: usize = 256;
/// The most bytes of an attribute: browsers ignore longer ones (RFC 6265bis §5.6).
const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// When a browser sends the cookie along with requests that other sites cause.
///
/// These three are all that RFC 6265bis (§5.6.7) knows, so a `match` may name them all.
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
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// Which cookies a browser drops first when it has too many of a site (Chromium only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Priority {
    /// First.
    Low,
    /// As without this attribute.
    Medium,
    /// Last.
    High,
}

impl Priority {
    pub(crate) const fn text(self) -> &'static str {
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
#[non_exhaustive]
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

    /// The prefix of the name where the cookie is, or is not, `Secure`.
    pub(crate) fn name_prefix(&self, secure: bool) -> &'static str {
        let given = &self.name;
        let as_given = has_prefix(given, "__Host-") || has_prefix(given, "__Secure-");
        if !secure || as_given || self.prefix == NamePrefix::None {
            return "";
        }
        match self.domain.is_none() && self.path == "/" {
            true => "__Host-",
            false => "__Secure-",
        }
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
pub(crate) fn has_prefix(name: &str, prefix: &str) -> bool {
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
}
