//! What a user recognises a session by, as stores see it: opaque bytes.

use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

/// What a user recognises a session by on a page of "my devices": a label of the site's own, the
/// browser, the operating system, the network address. At most 255 bytes, which a store keeps as
/// they are, beside the data, and which a listing gives without loading the data.
///
/// ```
/// use session_core::Description;
///
/// let laptop = Description::new()
///     .with_label("Work laptop")
///     .with_browser("Firefox")
///     .with_system("Linux")
///     .with_shortened_address([203, 0, 113, 7]);
/// assert_eq!(laptop.browser(), Some("Firefox"));
/// assert_eq!(laptop.address(), Some("203.0.113.0/24"));
/// ```
///
/// [`Session::describe`](crate::Session::describe) sets it. All of it is text that a client may
/// have chosen, so a page escapes it.
///
/// A store uses [`as_bytes`](Self::as_bytes), [`stored`](Self::stored) and
/// [`from_stored`](Self::from_stored) only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Description(Arc<[u8]>);

impl Description {
    /// The largest description, in bytes: what a store must have room for.
    pub const MAX_BYTES: usize = 255;

    /// The description stored as these bytes. No bytes stand for none.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for over 255 bytes.
    pub fn from_stored(stored: &[u8]) -> Result<Option<Self>> {
        let (size, most) = (stored.len(), Self::MAX_BYTES);
        if size > most {
            return Err(Error::corrupt(format!(
                "its description has {size} bytes, over {most}"
            )));
        }
        Ok((size > 0).then(|| Self(stored.into())))
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes to store for a description or none: none has none.
    #[must_use]
    pub fn stored(description: Option<&Self>) -> &[u8] {
        description.map_or(&[], Self::as_bytes)
    }

    /// Whether it says nothing, which is stored as no description.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of these bytes, however many.
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// Shows the size only: a description is its user's affair.
impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Description({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_its_bytes_and_no_bytes_are_none() {
        for size in [1, 192, 255] {
            let bytes: Vec<u8> = (0..size).collect();
            let description = Description::from_stored(&bytes).expect("it fits");
            let description = description.expect("it has bytes");
            assert_eq!(description.as_bytes(), bytes);
            let shown = format!("Description({size} bytes)");
            assert_eq!(format!("{description:?}"), shown);
        }
        assert_eq!(Description::from_stored(&[]).expect("it fits"), None);
        assert_eq!(Description::stored(None), b"");
        for size in [256, 1_000] {
            Description::from_stored(&vec![0; size]).expect_err("too long");
        }
    }
}
