//! The `Set-Cookie` header of a layer's cookie: all that is the same for each response is written
//! once, when the layer is built.

use std::time::Duration;

use http::header::HeaderValue;
use session_core::{Error, Result};

use crate::cookie::{CookieTemplate, SameSite};

/// The most bytes that name and value may have together: what every browser keeps
/// (RFC 6265bis §5.6; OWASP ASVS 5.0 §3.3.5).
pub const MAX_COOKIE_BYTES: usize = 4096;

/// The cookie of a layer, as it is `Secure` and as it is not.
#[derive(Clone, Debug)]
pub(crate) struct SetCookie {
    secure: Parts,
    plain: Parts,
}

#[derive(Clone, Debug)]
struct Parts {
    /// With its prefix.
    name: String,
    /// The attributes before `Max-Age`.
    before: String,
    /// The attributes after `Max-Age`.
    after: String,
}

impl SetCookie {
    /// The cookie that is set up so.
    pub(crate) fn new(template: &CookieTemplate) -> Self {
        Self {
            secure: Parts::new(template, true),
            plain: Parts::new(template, false),
        }
    }

    /// The cookie's name where it is, or is not, `Secure`.
    pub(crate) fn name(&self, secure: bool) -> &str {
        &self.parts(secure).name
    }

    /// A `Set-Cookie` header. A `max_age` of zero makes browsers drop the cookie.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`](session_core::ErrorKind::TooLarge) if name and value have over
    /// [`MAX_COOKIE_BYTES`].
    pub(crate) fn header(
        &self,
        value: &str,
        secure: bool,
        max_age: Option<Duration>,
    ) -> Result<HeaderValue> {
        self.header_named(self.name(secure), value, secure, max_age)
    }

    /// The same, for a cookie of another name.
    pub(crate) fn header_named(
        &self,
        name: &str,
        value: &str,
        secure: bool,
        max_age: Option<Duration>,
    ) -> Result<HeaderValue> {
        Error::check_size("cookie", name.len() + 1 + value.len(), MAX_COOKIE_BYTES)?;
        let Parts { before, after, .. } = self.parts(secure);
        let text = match max_age.map(|max_age| max_age.as_secs()) {
            Some(seconds) => format!("{name}={value}{before}; Max-Age={seconds}{after}"),
            None => [name, "=", value, before, after].concat(),
        };
        HeaderValue::try_from(text)
            .map_err(|_| Error::misconfigured("the cookie's value is no header text"))
    }

    const fn parts(&self, secure: bool) -> &Parts {
        match secure {
            true => &self.secure,
            false => &self.plain,
        }
    }
}

impl Parts {
    fn new(template: &CookieTemplate, secure: bool) -> Self {
        let name = format!("{}{}", template.name_prefix(secure), template.name);
        let mut before = format!("; Path={}", template.path);
        if let Some(domain) = &template.domain {
            before.push_str("; Domain=");
            before.push_str(domain);
        }
        let mut after = String::new();
        // Without Secure, browsers refuse the other two; a cookie for development does without.
        let same_site = match template.same_site {
            SameSite::None if !secure => SameSite::Lax,
            same_site => same_site,
        };
        for (attribute, there) in [("; Secure", secure), ("; HttpOnly", template.http_only)] {
            if there {
                after.push_str(attribute);
            }
        }
        after.push_str("; SameSite=");
        after.push_str(same_site.text());
        if template.partitioned && secure {
            after.push_str("; Partitioned");
        }
        if let Some(priority) = template.priority {
            after.push_str("; Priority=");
            after.push_str(priority.text());
        }
        Self {
            name,
            before,
            after,
        }
    }
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;
    use crate::cookie::{NamePrefix, Priority};

    fn golden(template: &CookieTemplate, secure: bool, max_age: Option<u64>) -> String {
        let max_age = max_age.map(Duration::from_secs);
        let header = SetCookie::new(template)
            .header("VALUE", secure, max_age)
            .expect("short");
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
        let expired = SetCookie::new(&default).header("", true, Some(Duration::ZERO));
        assert_eq!(
            expired.expect("short"),
            "__Host-id=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn a_cookie_over_the_limit_is_refused() {
        let cookie = SetCookie::new(&CookieTemplate::default());
        let room = MAX_COOKIE_BYTES - "__Host-id=".len();
        cookie
            .header(&"v".repeat(room), true, None)
            .expect("just fits");
        let error = cookie.header(&"v".repeat(room + 1), true, None);
        assert!(
            matches!(&error, Err(error) if error.kind() == ErrorKind::TooLarge),
            "{error:?}"
        );
    }
}
