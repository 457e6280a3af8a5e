//! How a token is written for the client.

use http::HeaderMap;
use session_core::{SessionToken, Unreadable};

use crate::cookie_header;
use crate::signature::Signer;

/// The most tokens of one request that are tried.
pub(crate) const MOST_TOKENS: usize = 4;

/// How a token is written for the client.
#[derive(Clone, Debug)]
pub(crate) enum TokenFormat {
    /// As it is: it says nothing but the session's id, which is no secret.
    Plain,
    /// With a signature, so that made-up ones are refused without asking the store.
    Signed(Signer),
    /// As express-session writes it.
    #[cfg(feature = "express")]
    Express(Box<crate::express::ExpressTokens>),
}

impl TokenFormat {
    pub(crate) const fn is_express(&self) -> bool {
        match self {
            Self::Plain | Self::Signed(_) => false,
            #[cfg(feature = "express")]
            Self::Express(_) => true,
        }
    }

    /// The text for a cookie, or another carrier, of this name.
    pub(crate) fn write(&self, name: &str, token: &SessionToken) -> String {
        match self {
            Self::Plain => token.expose().to_owned(),
            Self::Signed(signer) => signer.sign(name, token.expose()),
            #[cfg(feature = "express")]
            Self::Express(tokens) => tokens.write(token),
        }
    }

    /// The token in such a text: one of this library's, but in an Express app's cookie.
    pub(crate) fn read(&self, name: &str, text: &str) -> Option<SessionToken> {
        match self {
            Self::Plain => SessionToken::parse(text),
            Self::Signed(signer) => SessionToken::parse(signer.verify(name, text)?),
            #[cfg(feature = "express")]
            Self::Express(tokens) => tokens.read(text),
        }
    }

    /// The tokens in a request's cookies of this name, at most [`MOST_TOKENS`], in their order:
    /// browsers send the cookie of the longest path first. Express looks at the first cookie only,
    /// and so does who shares a cookie with it.
    ///
    /// # Errors
    /// Why there is none, if there are such cookies.
    pub(crate) fn find(
        &self,
        headers: &HeaderMap,
        name: &str,
    ) -> Result<Vec<SessionToken>, Unreadable> {
        let read = |text| self.read(name, text);
        let mut tokens: Vec<SessionToken> = Vec::new();
        if self.is_express() {
            tokens.extend(cookie_header::first(headers, name).and_then(read));
        } else {
            for token in cookie_header::texts(headers, name).filter_map(read) {
                if tokens.len() == MOST_TOKENS {
                    break;
                }
                if !tokens.contains(&token) {
                    tokens.push(token);
                }
            }
        }
        if tokens.is_empty() && cookie_header::values(headers, name).any(|value| !value.is_empty())
        {
            return Err(self.unreadable());
        }
        Ok(tokens)
    }

    /// Why a text can't be read.
    pub(crate) const fn unreadable(&self) -> Unreadable {
        match self {
            Self::Plain => Unreadable::Malformed,
            _ => Unreadable::UnknownSecret,
        }
    }
}
