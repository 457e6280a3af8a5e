//! A session's id in memory: inline in its entry, unless it is unusually long.

use session_core::SessionId;

/// The longest id that is stored inline. Native ids have 16 bytes.
const MAX_INLINE: usize = 22;

/// The id that a session is stored under, in 24 bytes.
///
/// The variants are chosen so that their tag, and that of an empty slot, fit into the `bool`'s
/// niche.
pub(crate) enum Key {
    Short {
        is_secret: bool,
        length: u8,
        bytes: [u8; MAX_INLINE],
    },
    Long(Box<str>),
    LongSecret(Box<str>),
}

impl Key {
    /// The key of `id`. Allocates for a long id, so call it without a lock.
    pub(crate) fn of(id: &SessionId) -> Self {
        let (text, is_secret) = (id.as_str(), id.is_secret());
        let mut bytes = [0; MAX_INLINE];
        let Some(room) = bytes.get_mut(..text.len()) else {
            return match is_secret {
                true => Self::LongSecret(text.into()),
                false => Self::Long(text.into()),
            };
        };
        room.copy_from_slice(text.as_bytes());
        Self::Short {
            is_secret,
            length: text.len() as u8,
            bytes,
        }
    }

    pub(crate) fn is(&self, id: &SessionId) -> bool {
        self.bytes() == id.as_str().as_bytes()
    }

    pub(crate) fn id(&self) -> SessionId {
        let text = std::str::from_utf8(self.bytes()).unwrap_or_default();
        let id = if self.is_secret() {
            SessionId::plain(text)
        } else {
            SessionId::from_stored(text)
        };
        id.expect("it was an id before")
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes, .. } => &bytes[..usize::from(*length)],
            Self::Long(text) | Self::LongSecret(text) => text.as_bytes(),
        }
    }

    fn is_secret(&self) -> bool {
        match self {
            Self::Short { is_secret, .. } => *is_secret,
            Self::Long(_) => false,
            Self::LongSecret(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_comes_back_as_it_was() {
        for length in 1..=SessionId::MAX_BYTES {
            let text = "x".repeat(length);
            for id in [SessionId::from_stored(&text), SessionId::plain(&text)] {
                let id = id.expect("valid");
                let key = Key::of(&id);
                assert!(key.is(&id));
                assert_eq!(key.id(), id);
                assert_eq!(key.id().is_secret(), id.is_secret(), "{length} bytes");
            }
        }
    }

    #[test]
    fn an_id_equals_no_prefix_or_extension_of_it() {
        let id = |text: &str| SessionId::from_stored(text).expect("valid");
        let key = Key::of(&id("ab"));
        for other in ["a", "abc", "aB", "ab\0"] {
            assert!(!key.is(&id(other)), "{other:?}");
        }
    }

    #[test]
    fn a_key_takes_24_bytes() {
        assert_eq!(size_of::<Key>(), 24);
        assert_eq!(size_of::<Option<Key>>(), 24);
    }
}
