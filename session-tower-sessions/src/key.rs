//! How a session id of tower-sessions is filed: hashed, because its id alone opens a session.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use session_core::{Credential, Result, SessionId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Set apart from other hashes of the same bytes.
const LABEL: &[u8] = b"tower-sessions id v1\0";
/// The first byte of the credential: no version that the manager of native sessions knows.
const VERSION: u8 = 0xF1;
/// Bytes of the hash that become the id, of as many characters as a native one.
const ID_BYTES: usize = 12;

/// Where the session of an id of tower-sessions is, and what tells it from all others.
pub(crate) struct Key {
    pub(crate) id: SessionId,
    hash: [u8; 32],
}

impl Key {
    pub(crate) fn of(tower_id: i128) -> Result<Self> {
        let hash = Sha256::new()
            .chain_update(LABEL)
            .chain_update(tower_id.to_le_bytes())
            .finalize();
        let id = URL_SAFE_NO_PAD.encode(&hash[..ID_BYTES]);
        Ok(Self {
            id: SessionId::from_stored(&id)?,
            hash: hash.into(),
        })
    }

    /// The whole hash, as a record keeps it.
    pub(crate) fn credential(&self) -> Result<Option<Credential>> {
        Credential::from_stored(&[&[VERSION], &self.hash[..]].concat())
    }

    /// Whether a record of this id is of this very session.
    pub(crate) fn opens(&self, credential: Option<&Credential>) -> bool {
        let stored = Credential::stored(credential);
        let Some((version, hash)) = stored.split_first() else {
            return false;
        };
        *version == VERSION && bool::from(hash.ct_eq(&self.hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records outlive a deployment: another hash would log all users out.
    #[test]
    fn an_id_is_filed_under_exactly_this() {
        let key = Key::of(-1).expect("fits");
        let mut whole = Sha256::new();
        whole.update(b"tower-sessions id v1\0");
        whole.update([0xFF; 16]);
        let whole = whole.finalize();
        assert_eq!(key.id.as_str(), URL_SAFE_NO_PAD.encode(&whole[..12]));
        assert_eq!(key.id.as_str(), GOLDEN);
        let credential = key.credential().expect("fits");
        let stored = Credential::stored(credential.as_ref());
        assert_eq!(stored, [&[0xF1], &whole[..]].concat());
    }

    /// Made by another program (Python).
    const GOLDEN: &str = "S4D8ilVD6jh7eK_x";

    #[test]
    fn a_record_is_opened_by_its_own_id_alone() {
        let (key, other) = (Key::of(1).expect("fits"), Key::of(2).expect("fits"));
        let credential = key.credential().expect("fits");
        assert!(key.opens(credential.as_ref()));
        assert!(!other.opens(credential.as_ref()));
        assert!(!key.opens(None));
        let native = Credential::from_stored(&[0x10; 57]).expect("fits");
        assert!(!key.opens(native.as_ref()));
    }
}
