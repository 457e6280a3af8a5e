//! What a store keeps to tell the right token from any other, as stores see it: opaque bytes.

use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

/// What tells a session's token from any other: 1 to 192 bytes that a store keeps as they are.
///
/// The manager makes it, and verifies tokens with it; its layout is in
/// [docs/architecture.md][manual]. It holds hashes only: a reader can make no token of it.
///
#[doc = concat!("[manual]: ", env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/architecture.md")]
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(Arc<[u8]>);

impl Credential {
    /// The largest credential, in bytes: what a store must have room for.
    pub const MAX_BYTES: usize = 192;

    /// The credential stored as these bytes. No bytes stand for none.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for over 192 bytes.
    pub fn from_stored(stored: &[u8]) -> Result<Option<Self>> {
        let (size, most) = (stored.len(), Self::MAX_BYTES);
        if size > most {
            return Err(Error::corrupt(format!(
                "its credential has {size} bytes, over {most}"
            )));
        }
        Ok((size > 0).then(|| Self(stored.into())))
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes to store for a credential or none: none has none.
    #[must_use]
    pub fn stored(credential: Option<&Self>) -> &[u8] {
        credential.map_or(&[], Self::as_bytes)
    }
}

/// Shows the size only.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_its_bytes_and_no_bytes_are_none() {
        for size in [1, 57, 192] {
            let bytes: Vec<u8> = (0..size).collect();
            let credential = Credential::from_stored(&bytes).expect("it fits");
            let credential = credential.expect("it has bytes");
            assert_eq!(credential.as_bytes(), bytes);
            assert_eq!(
                format!("{credential:?}"),
                format!("Credential({size} bytes)")
            );
        }
        assert_eq!(Credential::from_stored(&[]).expect("it fits"), None);
        assert_eq!(Credential::stored(None), b"");
        for size in [193, 255, 256, 1_000] {
            Credential::from_stored(&vec![0; size]).expect_err("too long");
        }
    }
}
