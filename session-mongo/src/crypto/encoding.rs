//! Text encodings of encrypted bytes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// How encrypted bytes are written as text: `encoding` in `createWebCryptoAdapter`, `encodeas` in
/// `crypto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `base64`, the default.
    #[default]
    Base64,
    /// `base64url`.
    Base64Url,
    /// `hex`.
    Hex,
}

impl Encoding {
    pub(super) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
            Self::Hex => hex::encode(bytes),
        }
    }

    pub(super) fn decode(self, text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Base64Url => URL_SAFE_NO_PAD.decode(text).ok(),
            Self::Hex => hex::decode(text).ok(),
        }
    }
}
