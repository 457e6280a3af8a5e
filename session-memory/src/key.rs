//! A session's id as it is kept: beside the rest of its entry, unless it is unusually long.

use std::num::NonZeroU8;

use session_core::SessionId;

/// The longest id that needs no memory of its own: those made from tokens have 47 bytes.
const SHORT: usize = 47;
/// The bit of `tag` that says that the id is a secret.
const SECRET: u8 = 0x80;

/// The id that a session is filed under, in 48 bytes.
pub(crate) enum Key {
    /// The length, and whether it is a secret, in `tag`.
    Short {
        tag: NonZeroU8,
        bytes: [u8; SHORT],
    },
    Long {
        text: Box<str>,
        secret: bool,
    },
}

impl Key {
    pub(crate) fn of(id: &SessionId) -> Self {
        let text = id.as_str();
        let secret = if id.is_secret() { SECRET } else { 0 };
        let length = u8::try_from(text.len()).ok();
        let length = length.filter(|length| usize::from(*length) <= SHORT);
        match length.and_then(|length| NonZeroU8::new(length | secret)) {
            Some(tag) => {
                let mut bytes = [0; SHORT];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Self::Short { tag, bytes }
            }
            None => Self::Long {
                text: text.into(),
                secret: id.is_secret(),
            },
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
            Self::Short { tag, bytes } => &bytes[..usize::from(tag.get() & !SECRET)],
            Self::Long { text, .. } => text.as_bytes(),
        }
    }

    fn is_secret(&self) -> bool {
        match self {
            Self::Short { tag, .. } => tag.get() & SECRET != 0,
            Self::Long { secret, .. } => *secret,
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
    fn ids_are_compared_in_whole() {
        let id = |text: &str| SessionId::from_stored(text).expect("valid");
        let key = Key::of(&id("ab"));
        for other in ["a", "abc", "aB", "ab\0"] {
            assert!(!key.is(&id(other)), "{other:?}");
        }
    }

    #[test]
    fn a_key_is_as_small_as_it_was_meant_to_be() {
        assert_eq!(size_of::<Key>(), 48);
    }
}
