//! A session's credential and data in memory: one allocation, unless the data is large.

use bytes::{Buf, Bytes};
use session_core::{Credential, Draft};

/// Data up to this size, in bytes, is copied in and out. Larger data is shared.
///
/// Copying takes no longer than sharing, which allocates a reference count. glibc consolidates
/// small freed chunks all at once, and with a million of them a thread that allocates waits for
/// that.
const MAX_COPIED: usize = 512;

/// A session's credential and data.
pub(crate) enum Content {
    /// The length of the credential in one byte, the credential, the data. Empty if there is
    /// neither.
    Small(Box<[u8]>),
    Large(Box<Large>),
}

pub(crate) struct Large {
    data: Bytes,
    credential: Option<Credential>,
}

impl Content {
    /// The content of `draft`. Allocates, so call it without a lock.
    pub(crate) fn of(draft: &Draft) -> Self {
        if draft.data.len() > MAX_COPIED {
            return Self::Large(Box::new(Large {
                data: draft.data.clone(),
                credential: draft.credential.clone(),
            }));
        }
        let credential = Credential::stored(draft.credential.as_ref());
        let mut bytes = Vec::with_capacity(1 + credential.len() + draft.data.len());
        // A credential has at most 192 bytes.
        bytes.push(credential.len() as u8);
        bytes.extend_from_slice(credential);
        bytes.extend_from_slice(&draft.data);
        Self::Small(bytes.into_boxed_slice())
    }

    /// The data and the credential, as an owned copy.
    pub(crate) fn copy(&self) -> (Bytes, Option<Credential>) {
        match self {
            Self::Small(bytes) => {
                // Copied whole: copying the parts would stall until the first byte, which holds the
                // length, has come from memory.
                let mut copy = Bytes::copy_from_slice(bytes);
                let (credential, data) = parts(&copy);
                let (credential, before) = (credential_of(credential), copy.len() - data.len());
                copy.advance(before);
                (copy, credential)
            }
            Self::Large(large) => (large.data.clone(), large.credential.clone()),
        }
    }

    /// The size of the data.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Small(bytes) => parts(bytes).1.len(),
            Self::Large(large) => large.data.len(),
        }
    }
}

/// Neither credential nor data, as in an ended session. Allocates nothing.
impl Default for Content {
    fn default() -> Self {
        Self::Small(Box::default())
    }
}

fn credential_of(stored: &[u8]) -> Option<Credential> {
    Credential::from_stored(stored).expect("it was a credential before")
}

/// The credential and the data.
fn parts(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.split_first() {
        Some((length, rest)) => rest.split_at(usize::from(*length)),
        None => (&[], &[]),
    }
}

#[cfg(test)]
mod tests {
    use session_core::Lifetime;

    use super::*;

    #[test]
    fn credential_and_data_come_back_as_they_were() {
        for length in [0, 1, 57, 133, Credential::MAX_BYTES] {
            let bytes: Vec<u8> = (0..length as u8).collect();
            let credential = Credential::from_stored(&bytes).expect("it fits");
            for size in [0, 1, MAX_COPIED, MAX_COPIED + 1, 10_000] {
                let draft = Draft::new(vec![7; size], Lifetime::default())
                    .with_credential(credential.clone());
                let content = Content::of(&draft);
                let expected = (draft.data, credential.clone());
                assert_eq!(content.copy(), expected, "{length}, {size}");
                assert_eq!(content.size(), size);
            }
        }
        let nothing = Content::default();
        assert_eq!((nothing.size(), nothing.copy()), (0, (Bytes::new(), None)));
    }

    #[test]
    fn small_data_is_copied_and_large_data_is_shared() {
        for (size, shared) in [(MAX_COPIED, false), (MAX_COPIED + 1, true)] {
            let draft = Draft::new(vec![7; size], Lifetime::default());
            let content = Content::of(&draft);
            let is_same = content.copy().0.as_ptr() == draft.data.as_ptr();
            assert_eq!(is_same, shared, "{size} bytes");
        }
    }

    #[test]
    fn content_takes_16_bytes() {
        assert_eq!(size_of::<Content>(), 16);
        assert_eq!(size_of::<Large>(), 48);
    }
}
