//! How a token is written for the client.

use session_core::SessionToken;

use crate::signature::Signer;

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

    /// The token in the first of `values` that has one: browsers send the cookie of the longest
    /// path first. Express looks at no other than the first, and so does who shares a cookie with
    /// it.
    pub(crate) fn find<'v>(
        &self,
        name: &str,
        mut values: impl Iterator<Item = &'v str>,
    ) -> Option<SessionToken> {
        match self {
            #[cfg(feature = "express")]
            Self::Express(_) => self.read(name, values.next()?),
            _ => values.find_map(|value| self.read(name, value)),
        }
    }
}
