//! The options that an Express app gives to `session({…})`.

use std::time::Duration;

use session_core::{Error, Result, SessionToken};

use crate::cookie_text;
use crate::secret::Secrets;
use crate::signature;

/// Whether a browser sends the cookie with requests that other sites cause. Express:
/// `cookie.sameSite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// `'strict'` or `true`.
    Strict,
    /// `'lax'`.
    Lax,
    /// `'none'`.
    None,
}

impl SameSite {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lax => "lax",
            Self::None => "none",
        }
    }
}

/// Which cookies Chromium drops first. Express: `cookie.priority`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// `'low'`.
    Low,
    /// `'medium'`.
    Medium,
    /// `'high'`.
    High,
}

impl Priority {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// The options of the cookie. Express: `cookie`. Each record contains them, and Express sends the
/// cookie with the options in the record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CookieOptions {
    /// `maxAge`: how long a session lives unused; `None` for a cookie that ends with the browser.
    pub max_age: Option<Duration>,
    /// `path`.
    pub path: String,
    /// `domain`.
    pub domain: Option<String>,
    /// `httpOnly`.
    pub http_only: bool,
    /// `secure`.
    pub secure: bool,
    /// `sameSite`.
    pub same_site: Option<SameSite>,
    /// `partitioned`.
    pub partitioned: bool,
    /// `priority`.
    pub priority: Option<Priority>,
}

/// The options that an Express app gives to `session({…})`, under the same names and with the same
/// defaults, except `resave` and `saveUninitialized`, which have no meaning here.
///
/// ```
/// # use std::time::Duration;
/// use session_express::{Express, SameSite};
///
/// let express = Express::new("keyboard cat")               // secret: ['keyboard cat', 'older']
///     .with_previous("older")
///     .name("sid")                                         // name: 'sid'
///     .max_age(Duration::from_secs(3_600))                 // cookie: { maxAge: 3600000,
///     .secure(true)                                        //           secure: true,
///     .same_site(SameSite::Lax);                           //           sameSite: 'lax' }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Express {
    secrets: Secrets,
    name: String,
    cookie: CookieOptions,
    ttl: Option<Duration>,
    rolling: bool,
}

impl Express {
    /// Creates the options of an app with this secret. Express: `secret`.
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Self {
            secrets: Secrets::new(secret),
            name: "connect.sid".to_owned(),
            cookie: CookieOptions {
                max_age: None,
                path: "/".to_owned(),
                domain: None,
                http_only: true,
                secure: false,
                same_site: None,
                partitioned: false,
                priority: None,
            },
            ttl: None,
            rolling: false,
        }
    }

    /// Adds an older secret, which only verifies. Express: a further element of `secret`.
    pub fn with_previous(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Sets the cookie's name. Express: `name` or `key`; default `connect.sid`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets how long a session lives unused. Express: `cookie.maxAge`; default none: the cookie
    /// ends with the browser, and the record after [`ttl`](Self::ttl).
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.cookie.max_age = Some(max_age);
        self
    }

    /// Sets the cookie's path. Express: `cookie.path`; default `/`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.cookie.path = path.into();
        self
    }

    /// Sets the cookie's domain. Express: `cookie.domain`; default none.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.cookie.domain = Some(domain.into());
        self
    }

    /// Sets whether the cookie is hidden from scripts. Express: `cookie.httpOnly`; default `true`.
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.cookie.http_only = http_only;
        self
    }

    /// Sets whether the browser sends the cookie over https only. Express: `cookie.secure`; default
    /// `false`. For `'auto'`, pass `true` if the site is served over https.
    pub fn secure(mut self, secure: bool) -> Self {
        self.cookie.secure = secure;
        self
    }

    /// Sets which requests of other sites carry the cookie. Express: `cookie.sameSite`; default
    /// none.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.cookie.same_site = Some(same_site);
        self
    }

    /// Sets whether the browser partitions the cookie by the top-level site. Express:
    /// `cookie.partitioned`; default `false`.
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.cookie.partitioned = partitioned;
        self
    }

    /// Sets which cookies Chromium drops first. Express: `cookie.priority`; default none.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.cookie.priority = Some(priority);
        self
    }

    /// Sets how long a record lives if its cookie ends with the browser. connect-redis: `ttl`,
    /// default one day; connect-mongo: `ttl`, default 14 days; express-mysql-session: `expiration`,
    /// default one day; connect-pg-simple: `ttl`, default one day.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets whether every response sends the cookie again. Express: `rolling`; default `false`.
    pub fn rolling(mut self, rolling: bool) -> Self {
        self.rolling = rolling;
        self
    }

    pub(crate) const fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Returns the options of the cookie.
    #[must_use]
    pub fn cookie(&self) -> &CookieOptions {
        &self.cookie
    }

    /// Returns the cookie's name.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        &self.name
    }

    /// Returns the value of [`ttl`](Self::ttl), if it was set.
    #[must_use]
    pub const fn given_ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// Returns whether every response sends the cookie again.
    #[must_use]
    pub const fn is_rolling(&self) -> bool {
        self.rolling
    }

    /// Returns the cookie's value for this token: `s:`, the token, `.` and its HMAC-SHA256,
    /// percent-encoded.
    #[must_use]
    pub fn write_cookie(&self, token: &SessionToken) -> String {
        signature::write(&self.secrets, token.expose())
    }

    /// Returns the text of the token in a cookie's value, if one of the secrets has signed it. The
    /// text is the client's secret.
    ///
    /// The store decides the kind of token: with
    /// [plain ids](session_core::Capabilities::plain_ids) it is [`SessionToken::plain`]; otherwise
    /// [`SessionToken::parse`] reads it, or [`SessionToken::foreign`] if it is not a native token.
    #[must_use]
    pub fn read_cookie(&self, value: &str) -> Option<String> {
        signature::read(&self.secrets, value)
    }

    /// Checks the options: refuses an empty secret, a name, path or domain that is invalid in a
    /// cookie, and times under a second. Stores and layers call this when they are built.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured), which says what to
    /// change.
    pub fn check(&self) -> Result<()> {
        if self.secrets.any_empty() {
            return Err(Error::misconfigured(
                "an Express secret is empty, so every client could sign: remove it",
            ));
        }
        cookie_text::check_name(&self.name)?;
        cookie_text::check_path(&self.cookie.path)?;
        if let Some(domain) = &self.cookie.domain {
            cookie_text::check_domain(domain)?;
        }
        for (name, limit) in [("max_age", self.cookie.max_age), ("ttl", self.ttl)] {
            if limit.is_some_and(|limit| limit < Duration::from_secs(1)) {
                return Err(Error::misconfigured(format!(
                    "Express' {name} must be at least 1 s: its stores count in seconds"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    #[test]
    fn a_cookie_returns_any_token_text_unchanged() {
        let express = Express::new("keyboard cat");
        let long = "x".repeat(255);
        for sid in ["x8_4i3md4GT-YSO5u41ROgZDabcdefgh", "%", "päpple.x", &long] {
            for token in [SessionToken::plain(sid), SessionToken::foreign(sid)] {
                let cookie = express.write_cookie(&token.expect("any text"));
                assert_eq!(express.read_cookie(&cookie).as_deref(), Some(sid));
            }
        }
        let native = SessionToken::generate();
        let read = express.read_cookie(&express.write_cookie(&native));
        assert_eq!(SessionToken::parse(&read.expect("signed")), Some(native));

        let token = SessionToken::plain(&long).expect("just fits");
        let cookie = express.write_cookie(&token).replace("xx", "x%78");
        let read = express.read_cookie(&cookie);
        assert_eq!(read.as_deref(), Some(&*long), "another spelling");
        let forged = cookie.replacen("x%78", "y%78", 1);
        assert_eq!(express.read_cookie(&forged), None);
    }

    #[test]
    fn invalid_options_are_refused_and_debug_shows_no_secret() {
        let second = Duration::from_secs(1);
        Express::new("s")
            .max_age(second)
            .ttl(second)
            .name("sid")
            .path("/app")
            .domain(".a.example")
            .check()
            .expect("good");
        for wrong in [
            Express::new(""),
            Express::new("s").with_previous(""),
            Express::new("s").max_age(second / 2),
            Express::new("s").ttl(Duration::ZERO),
            Express::new("s").name(""),
            Express::new("s").name("connect sid"),
            Express::new("s").name("sid=x; Domain"),
            Express::new("s").name("sid\r\nSet-Cookie: a"),
            Express::new("s").name("síd"),
            Express::new("s").name("s".repeat(257)),
            Express::new("s").path(""),
            Express::new("s").path("app"),
            Express::new("s").path("/; Domain=evil.example"),
            Express::new("s").path("/\r\nSet-Cookie: a=b"),
            Express::new("s").path("/ä"),
            Express::new("s").path("/".repeat(1_025)),
            Express::new("s").domain(""),
            Express::new("s").domain("; Domain=evil.example"),
            Express::new("s").domain("a.example\r\nSet-Cookie: a=b"),
            Express::new("s").domain("..a.example"),
            Express::new("s").domain("bücher.example"),
            Express::new("s").domain("127.0.0.1"),
            Express::new("s").domain("a.example:80"),
            Express::new("s").domain("a.".repeat(127) + "example"),
        ] {
            let error = wrong.check().expect_err("must be refused");
            assert_eq!(error.kind(), ErrorKind::Misconfigured);
        }
        let shown = format!("{:?}", Express::new("hunter2"));
        assert!(!shown.contains("hunter2") && shown.contains("connect.sid"));
    }
}
