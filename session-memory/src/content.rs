//! A session's credential, description and data in memory: one allocation, unless the data is
//! large.

use bytes::{Buf, Bytes};
use session_core::{Credential, Description, Draft};

/// Data up to this size, in bytes, is copied in and out. Larger data is shared.
///
/// Copying takes no longer than sharing, which allocates a reference count. glibc consolidates
/// small freed chunks all at once, and with a million of them a thread that allocates waits for
/// that.
const MAX_COPIED: usize = 512;

/// A session's credential, description and data.
pub(crate) enum Content {
    /// The lengths of the credential and the description in one byte each, the credential, the
    /// description, the data. Empty if there is none of them.
    Small(Box<[u8]>),
    Large(Box<Large>),
}

pub(crate) struct Large {
    data: Bytes,
    credential: Option<Credential>,
    description: Option<Description>,
}

/// A copy of a [`Content`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) data: Bytes,
    pub(crate) credential: Option<Credential>,
    pub(crate) description: Option<Description>,
}

impl Content {
    /// The content of `draft`. Allocates, so call it without a lock.
    pub(crate) fn of(draft: &Draft) -> Self {
        if draft.data.len() > MAX_COPIED {
            return Self::Large(Box::new(Large {
                data: draft.data.clone(),
                credential: draft.credential.clone(),
                description: draft.description.clone(),
            }));
        }
        let credential = Credential::stored(draft.credential.as_ref());
        let description = Description::stored(draft.description.as_ref());
        let size = LENGTHS + credential.len() + description.len() + draft.data.len();
        let mut bytes = Vec::with_capacity(size);
        // A credential has at most 192 bytes, a description 255.
        bytes.extend([credential.len() as u8, description.len() as u8]);
        for part in [credential, description, &draft.data] {
            bytes.extend_from_slice(part);
        }
        Self::Small(bytes.into_boxed_slice())
    }

    pub(crate) fn copy(&self) -> Copied {
        match self {
            Self::Small(bytes) => {
                // Copied whole: copying the parts would stall until the first bytes, which hold the
                // lengths, have come from memory.
                let mut copy = Bytes::copy_from_slice(bytes);
                let Parts {
                    credential,
                    description,
                    data,
                } = parts(&copy);
                let before = copy.len() - data.len();
                let (credential, description) =
                    (credential_of(credential), description_of(description));
                copy.advance(before);
                Copied {
                    data: copy,
                    credential,
                    description,
                }
            }
            Self::Large(large) => Copied {
                data: large.data.clone(),
                credential: large.credential.clone(),
                description: large.description.clone(),
            },
        }
    }

    pub(crate) fn description(&self) -> Option<Description> {
        match self {
            Self::Small(bytes) => description_of(parts(bytes).description),
            Self::Large(large) => large.description.clone(),
        }
    }

    /// The size of the data.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Small(bytes) => parts(bytes).data.len(),
            Self::Large(large) => large.data.len(),
        }
    }
}

/// No credential, description and data, as in an ended session. Allocates nothing.
impl Default for Content {
    fn default() -> Self {
        Self::Small(Box::default())
    }
}

fn credential_of(stored: &[u8]) -> Option<Credential> {
    Credential::from_stored(stored).expect("it was a credential before")
}

fn description_of(stored: &[u8]) -> Option<Description> {
    Description::from_stored(stored).expect("it was a description before")
}

/// The bytes of a small content before the credential.
const LENGTHS: usize = 2;

/// What a small content is made of.
#[derive(Default)]
struct Parts<'b> {
    credential: &'b [u8],
    description: &'b [u8],
    data: &'b [u8],
}

fn parts(bytes: &[u8]) -> Parts<'_> {
    let Some(([credential, description], rest)) = bytes.split_first_chunk::<LENGTHS>() else {
        return Parts::default();
    };
    let (credential, rest) = rest.split_at((*credential).into());
    let (description, data) = rest.split_at((*description).into());
    Parts {
        credential,
        description,
        data,
    }
}

#[cfg(test)]
mod tests {
    use session_core::Lifetime;

    use super::*;

    #[test]
    fn credential_description_and_data_come_back_as_they_were() {
        let bytes = |length: usize| -> Vec<u8> { (0..length).map(|n| n as u8).collect() };
        let sizes = [0, 1, MAX_COPIED, MAX_COPIED + 1, 10_000];
        for (length, other) in [(0, 0), (1, 0), (0, 1), (57, 60), (133, 192), (192, 255)] {
            let credential = Credential::from_stored(&bytes(length)).expect("it fits");
            let description = Description::from_stored(&bytes(other)).expect("it fits");
            for size in sizes {
                let draft = Draft::new(vec![7; size], Lifetime::default())
                    .with_credential(credential.clone())
                    .with_description(description.clone());
                let content = Content::of(&draft);
                let expected = Copied {
                    data: draft.data,
                    credential: credential.clone(),
                    description: description.clone(),
                };
                assert_eq!(content.copy(), expected, "{length}, {other}, {size}");
                assert_eq!(content.description(), description, "{other}, {size}");
                assert_eq!(content.size(), size);
            }
        }
        let nothing = Content::default();
        let is_empty = nothing.size() == 0 && nothing.description().is_none();
        assert!(is_empty && nothing.copy() == Copied::default());
    }

    #[test]
    fn small_data_is_copied_and_large_data_is_shared() {
        for (size, shared) in [(MAX_COPIED, false), (MAX_COPIED + 1, true)] {
            let draft = Draft::new(vec![7; size], Lifetime::default());
            let content = Content::of(&draft);
            let is_same = content.copy().data.as_ptr() == draft.data.as_ptr();
            assert_eq!(is_same, shared, "{size} bytes");
        }
    }

    #[test]
    fn content_takes_16_bytes() {
        assert_eq!(size_of::<Content>(), 16);
        assert_eq!(size_of::<Large>(), 64);
    }
}
