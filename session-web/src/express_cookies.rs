//! Sessions in cookies as Express' packages keep them there.

use session_core::{Bytes, Draft, Error, Lifetime, Result, Stamp};
use session_express::{ConnectSess, CookieSession};
use sha2::{Digest, Sha256};

use crate::sealed::{Contents, SIGNATURE_SEPARATOR, now};

/// Which of Express' cookies hold the sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ExpressCookies {
    /// Those of the package cookie-session.
    CookieSession(CookieSession),
    /// That of Connect 2, `connect.sess`.
    ConnectSess(ConnectSess),
}

impl From<CookieSession> for ExpressCookies {
    fn from(cookies: CookieSession) -> Self {
        Self::CookieSession(cookies)
    }
}

impl From<ConnectSess> for ExpressCookies {
    fn from(cookie: ConnectSess) -> Self {
        Self::ConnectSess(cookie)
    }
}

impl ExpressCookies {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::CookieSession(cookies) => cookies.cookie_name(),
            Self::ConnectSess(cookie) => cookie.cookie_name(),
        }
    }

    /// The name of a second cookie, for the signature.
    pub(crate) fn signature_name(&self) -> Option<String> {
        match self {
            Self::CookieSession(cookies) => Some(cookies.signature_name()),
            Self::ConnectSess(_) => None,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::CookieSession(cookies) => cookies.check(),
            Self::ConnectSess(cookie) => cookie.check(),
        }
    }

    /// The value for a session, with its signature behind it if that has a cookie of its own. There
    /// is no room for its limits, its stamp, a credential and a description.
    pub(crate) fn encode(&self, session: &Contents) -> Result<String> {
        if session.owner.is_some() {
            let what = "an owner (so no `sign_in`) in a cookie of Express";
            return Err(Error::unsupported(what));
        }
        if session.description.is_some() {
            return Err(Error::unsupported("a description in a cookie of Express"));
        }
        Ok(match self {
            Self::CookieSession(cookies) => {
                let (value, signature) = cookies.write(&session.data);
                format!("{value}{SIGNATURE_SEPARATOR}{signature}")
            }
            Self::ConnectSess(cookie) => cookie.write(&session.data),
        })
    }

    /// The session in such a value. Nothing in there says when it began or how long it lives, so
    /// that is from now, for `lifetime`.
    pub(crate) fn open(&self, value: &str, lifetime: Lifetime) -> Option<Contents> {
        let json = match self {
            Self::CookieSession(cookies) => {
                let (value, signature) = value.split_once(SIGNATURE_SEPARATOR)?;
                cookies.read(value, signature)?
            }
            Self::ConnectSess(cookie) => cookie.read(value)?,
        };
        Some(contents(json, lifetime))
    }
}

fn contents(json: Bytes, lifetime: Lifetime) -> Contents {
    let hash = Sha256::digest(&json);
    let mut draft = Draft::new(json, lifetime);
    draft.stamp = Stamp::from_bytes(hash.first_chunk().copied().unwrap_or_default());
    Contents::new(&draft, now(), now())
}
